//! First lines, lengths, paddings and lists that no client sends.

use std::io::{Read, Write};
use std::net::Shutdown;

use harness::River;

use crate::raw::{IDENT, Raw};
use crate::say::{self, text, uint};
use crate::{alice, fresh, is_sound};

/// How the server takes these first bytes: with its own KEXINIT, or by closing.
fn is_taken(river: &River, bytes: &[u8]) -> bool {
    let mut raw = Raw::connect(river.port, fresh());
    assert!(raw.line().unwrap().starts_with("SSH-2.0-river_"));
    // It may close before it has read all of a long one.
    let _ = raw.socket.write_all(bytes);
    let _ = raw.socket.shutdown(Shutdown::Write);
    let answer = raw.read();
    let taken = answer.is_ok_and(|packet| packet.first() == Some(&say::KEXINIT));
    // However that was, it ends.
    raw.end();
    taken
}

#[test]
fn first_lines_of_every_kind_are_taken_or_the_connection_ends() {
    let river = River::gateway_alone("");
    let line = |length: usize| {
        // CR and LF count (RFC 4253, 4.2).
        let mut line = format!("{IDENT}{}", "x".repeat(length - IDENT.len() - 2));
        line.push_str("\r\n");
        line.into_bytes()
    };
    let many = |count: usize| format!("{}{IDENT}\r\n", "hello\r\n".repeat(count)).into_bytes();
    let cases: [(&str, Vec<u8>, bool); 14] = [
        ("as it should be", line(20), true),
        ("LF alone", format!("{IDENT}\n").into_bytes(), true),
        ("1.99", b"SSH-1.99-old\r\n".to_vec(), true),
        ("255 bytes", line(255), true),
        ("256 bytes", line(256), false),
        ("no end in 64 KiB", vec![b'x'; 64 << 10], false),
        ("nothing", Vec::new(), false),
        ("NUL bytes", vec![0; 100], false),
        ("SSH 1", b"SSH-1.5-old\r\n".to_vec(), false),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: river\r\n\r\n".to_vec(),
            false,
        ),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n".to_vec(),
            false,
        ),
        ("no UTF-8", b"SSH-2.0-\xff\xfe\r\n".to_vec(), false),
        ("a line before it", many(1), false),
        ("21 lines before it", many(21), false),
    ];
    for (name, bytes, taken) in cases {
        assert_eq!(is_taken(&river, &bytes), taken, "{name}");
    }
    is_sound(&river);
}

#[test]
fn a_first_line_may_come_byte_by_byte() {
    let river = River::gateway_alone("");
    let mut raw = Raw::connect(river.port, fresh());
    for byte in format!("{IDENT}\r\n").bytes() {
        raw.socket.write_all(&[byte]).unwrap();
    }
    raw.line().unwrap();
    assert_eq!(raw.read().unwrap()[0], say::KEXINIT);
}

/// Whether such a packet, in plain text, has an answer that shows that it was read as one.
fn plain(river: &River, bytes: &[u8]) {
    let mut raw = Raw::connect(river.port, fresh());
    raw.ident().unwrap();
    let _ = raw.socket.write_all(bytes);
    let _ = raw.socket.shutdown(Shutdown::Write);
    let numbers = raw.end();
    let told = [say::KEXINIT, say::DISCONNECT];
    let odd = numbers.iter().find(|number| !told.contains(number));
    assert_eq!(odd, None, "{numbers:?}");
}

#[test]
fn lengths_and_paddings_that_no_packet_has_end_the_connection_and_take_no_memory() {
    let river = River::gateway_alone("");
    let before = river.memory();
    for length in [
        0_u32,
        1,
        2,
        5,
        7,
        35_000,
        256 << 10,
        1 << 20,
        1 << 31,
        u32::MAX,
    ] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([0; 64]);
        plain(&river, &bytes);
        let mut open = Vec::new();
        // All at once, and each waits for what it was promised.
        for _ in 0..8 {
            let mut raw = Raw::connect(river.port, fresh());
            raw.ident().unwrap();
            let _ = raw.socket.write_all(&bytes);
            open.push(raw);
        }
    }
    for padding in 0..=255_u8 {
        let mut bytes = 12_u32.to_be_bytes().to_vec();
        bytes.push(padding);
        bytes.extend([say::KEXINIT; 11]);
        plain(&river, &bytes);
    }
    let grown = river.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    is_sound(&river);
}

/// A KEXINIT with this list in this place, and what came back.
fn offers(river: &River, place: usize, list: &[u8]) -> Vec<u8> {
    let mut raw = Raw::connect(river.port, fresh());
    raw.ident().unwrap();
    let mut packet = vec![say::KEXINIT];
    packet.extend([7; 16]);
    for number in 0..10 {
        text(&mut packet, if number == place { list } else { b"none" });
    }
    packet.push(0);
    uint(&mut packet, 0);
    let _ = raw.send(&packet);
    let _ = raw.socket.shutdown(Shutdown::Write);
    raw.end()
}

#[test]
fn lists_of_a_thousand_names_and_of_none_are_read_and_refused() {
    let river = River::gateway_alone("");
    let names: Vec<String> = (0..2000).map(|n| format!("n{n}")).collect();
    let lists = [
        names.join(",").into_bytes(),
        ",".repeat(5000).into_bytes(),
        Vec::new(),
        b"curve25519-sha256\0".to_vec(),
        vec![0xff; 3000],
        vec![b'x'; 30_000],
    ];
    for list in &lists {
        for place in 0..10 {
            let numbers = offers(&river, place, list);
            assert!(!numbers.contains(&say::NEWKEYS), "{numbers:?}");
        }
    }
    // Lengths that lie.
    let mut raw = Raw::connect(river.port, fresh());
    raw.ident().unwrap();
    let mut packet = vec![say::KEXINIT];
    packet.extend([7; 16]);
    uint(&mut packet, u32::MAX);
    let _ = raw.send(&packet);
    let _ = raw.socket.shutdown(Shutdown::Write);
    raw.end();
    is_sound(&river);
}

#[test]
fn behind_the_keys_too_lengths_and_paddings_end_the_connection() {
    let river = River::gateway_alone("");
    for padding in 0..=255_u8 {
        let mut raw = Raw::exchanged(river.port, fresh());
        // Says so much, and has eleven bytes.
        let _ = raw.send_padded(&[say::SERVICE_REQUEST], padding, 14);
        let _ = raw.socket.shutdown(Shutdown::Write);
        let numbers = raw.end();
        assert!(!numbers.contains(&say::USERAUTH_SUCCESS));
    }
    for length in [0_u32, 5, 16, 35_000, 1 << 31, u32::MAX] {
        let mut raw = Raw::exchanged(river.port, fresh());
        let _ = raw.socket.write_all(&length.to_be_bytes());
        let _ = raw.socket.write_all(&[0; 64]);
        let _ = raw.socket.shutdown(Shutdown::Write);
        raw.end();
    }
    // One bit of the tag.
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    let _ = raw.socket.write_all(&16_u32.to_be_bytes());
    let _ = raw.socket.write_all(&[1; 32]);
    let mut rest = Vec::new();
    let _ = raw.socket.read_to_end(&mut rest);
    is_sound(&river);
}

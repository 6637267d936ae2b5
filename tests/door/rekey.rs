//! New keys, again and again, or never to the end.

use std::net::Shutdown;

use harness::{Engine, River};

use crate::raw::Raw;
use crate::say::{self, Key, text, uint};
use crate::{alice, answer, fresh, is_sound};

/// A whole second key exchange.
fn again(raw: &mut Raw) {
    raw.kexinit().unwrap();
    raw.their_kexinit().unwrap();
    raw.keys().unwrap();
}

#[test]
fn five_hundred_key_exchanges_leave_nothing_behind() {
    let river = River::gateway_alone("");
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    again(&mut raw);
    let before = river.memory();
    for round in 0..500 {
        again(&mut raw);
        if round % 100 == 0 {
            let channel = raw.session(1 << 20).unwrap();
            raw.exec(channel, "version").unwrap();
            assert_eq!(answer(&mut raw).1, Some(0), "round {round}");
            river.admin.ssh("version").good();
        }
    }
    let grown = river.memory().saturating_sub(before);
    eprintln!("500 key exchanges: {} KiB more memory", grown >> 10);
    assert!(grown < 8 << 20, "{grown} bytes more");
    is_sound(&river);
}

#[test]
fn who_begins_a_key_exchange_and_reads_nothing_lets_no_output_pile_up() {
    let river = River::start(Engine::Process, 2);
    let key = alice(&river);
    let line = "task submit -q -- sh -c 'yes river | head -c 50000000'";
    let task = river.admin.ssh(line).good().trim().to_owned();
    river.admin.ssh(&format!("task wait {task}")).good();
    let before = river.memory();
    let from = fresh();
    let mut open = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::inside(river.port, from, "alice", &key);
        let channel = raw.session(0x7fff_ffff).unwrap();
        raw.exec(channel, &format!("task logs -f {task}")).unwrap();
        // The answer to the request, so it runs; then an exchange that is never ended.
        raw.read_until(99).unwrap();
        raw.kexinit().unwrap();
        open.push(raw);
    }
    for _ in 0..3 {
        let all = river.admin.ssh(&format!("task logs -f {task}"));
        assert_eq!(all.good().len(), 50_000_000);
    }
    let grown = river.memory().saturating_sub(before);
    eprintln!(
        "50 unfinished key exchanges: {} KiB each",
        grown / 50 / 1024
    );
    assert!(grown < 50 * (4 << 20), "{grown} bytes more");
    drop(open);
    is_sound(&river);
}

#[test]
fn what_is_forbidden_in_a_key_exchange_ends_the_connection() {
    let river = River::gateway_alone("");
    let key: Key = alice(&river);
    let mut data = vec![say::CHANNEL_DATA];
    uint(&mut data, 0);
    text(&mut data, &[b'x'; 1000]);
    let mut open = vec![say::CHANNEL_OPEN];
    text(&mut open, b"session");
    for number in [0, 1 << 20, 32 << 10] {
        uint(&mut open, number);
    }
    let twice = say::kexinit("curve25519-sha256", "aes128-gcm@openssh.com");
    let before = river.memory();
    for packet in [data, open, twice, vec![say::NEWKEYS], vec![49, 1, 2, 3]] {
        let mut raw = Raw::inside(river.port, fresh(), "alice", &key);
        raw.session(1 << 20).unwrap();
        raw.kexinit().unwrap();
        raw.their_kexinit().unwrap();
        for _ in 0..1000 {
            if raw.send(&packet).is_err() {
                break;
            }
        }
        let _ = raw.socket.shutdown(Shutdown::Write);
        assert!(!raw.end().contains(&say::CHANNEL_OPEN_CONFIRMATION));
    }
    let grown = river.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    is_sound(&river);
}

/// russh tells nothing while keys are exchanged, and a client may take for ever: its forwards and programs went on for
/// as long.
#[test]
fn whose_account_is_disabled_in_the_middle_of_a_key_exchange_has_to_go() {
    let river = River::gateway_alone("");
    river.person("bob", "user").ssh("version").good();
    let key = Key::read(&river.dir.path().join("bob_key"));
    let mut raw = Raw::inside(river.port, fresh(), "bob", &key);
    raw.session(1 << 20).unwrap();
    raw.kexinit().unwrap();
    raw.their_kexinit().unwrap();
    river.admin.ssh("auth user disable bob").good();
    raw.gone();
    is_sound(&river);
}

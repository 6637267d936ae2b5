//! All channels of one connection: as many as there may be, and one more.

use harness::wait::until;
use harness::{Engine, River};

use crate::raw::Raw;
use crate::say::direct;
use crate::{alice, fresh, is_sound};

/// Channels of one connection, of the gateway's `tunnel::ssh`.
const MOST: u32 = 1024;
/// Of these, sessions.
const SESSIONS: u32 = 256;
/// Reason 4: resource shortage (RFC 4254, 5.1).
const SHORTAGE: u32 = 4;

/// Listens on loopback, which a box of processes shares, and says again what is said there: its port.
pub(crate) fn echo() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = socket.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
    });
    port
}

#[test]
fn sessions_forwards_and_what_is_nested_are_one_count_and_the_next_is_refused_by_name() {
    let river = River::start(Engine::Process, 2);
    river.admin.ssh("vps create --name lab").good();
    assert_eq!(river.admin.ssh_as("lab", "echo in").good(), "in\n");
    let (into_box, nested) = (direct("lab", echo()), direct("localhost", river.port));
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    let mut channels = Vec::new();
    // All but some of the sessions, as many forwards as one person's part of a node and a few less, and the rest nested.
    for own in 0..MOST {
        let (kind, more) = match own {
            0..200 => ("session", &[][..]),
            200..580 => ("direct-tcpip", &into_box[..]),
            _ => ("direct-tcpip", &nested[..]),
        };
        let opened = raw.open(kind, (own, 1 << 20), more).unwrap();
        channels.push(opened.unwrap_or_else(|why| panic!("channel {own}: {why:?}")));
    }
    let full = |raw: &mut Raw| {
        for (kind, more) in [
            ("session", &[][..]),
            ("direct-tcpip", &into_box),
            ("direct-tcpip", &nested),
        ] {
            let (reason, words) = raw.open(kind, (MOST, 1 << 20), more).unwrap().unwrap_err();
            assert_eq!(reason, SHORTAGE, "{kind}: {words}");
            assert!(words.contains("has 1024 channels"), "{kind}: {words}");
        }
    };
    full(&mut raw);
    // The others work: two forwards, and a session that ends by itself.
    for own in [200, 579] {
        raw.put(channels[own as usize], b"there and back").unwrap();
        raw.hears(own, "there and back");
    }
    raw.exec(channels[0], "version").unwrap();
    raw.hears(0, "river 0");
    raw.closed(0).unwrap();
    until("the place of who left is free", || {
        let opened = raw.open("direct-tcpip", (0, 1 << 20), &into_box);
        opened.unwrap().is_ok()
    });
    full(&mut raw);
    // One that the client closes.
    raw.close(channels[500], 500).unwrap();
    raw.open("session", (500, 1 << 20), &[]).unwrap().unwrap();
    full(&mut raw);
    raw.close(channels[501], 501).unwrap();
    raw.open("direct-tcpip", (501, 1 << 20), &nested)
        .unwrap()
        .unwrap();
    raw.hears(501, "SSH-2.0-river");
    full(&mut raw);
    is_sound(&river);
}

#[test]
fn a_connection_has_so_many_sessions_and_one_that_ends_makes_room() {
    let river = River::gateway_alone("");
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    let mut open = |own| raw.open("session", (own, 1 << 20), &[]).unwrap();
    let channels: Vec<u32> = (0..SESSIONS).map(|own| open(own).unwrap()).collect();
    let (reason, words) = open(SESSIONS).unwrap_err();
    assert_eq!(reason, SHORTAGE, "{words}");
    assert!(words.contains("has 256 sessions"), "{words}");
    raw.exec(channels[100], "version").unwrap();
    raw.hears(100, "river 0");
    raw.closed(100).unwrap();
    until("its place is free", || {
        let opened = raw.open("session", (100, 1 << 20), &[]).unwrap();
        opened.is_ok()
    });
    raw.close(channels[200], 200).unwrap();
    raw.open("session", (200, 1 << 20), &[]).unwrap().unwrap();
    let full = raw.open("session", (SESSIONS, 1 << 20), &[]).unwrap();
    assert!(full.is_err());
    is_sound(&river);
}

//! What may a stranger do? Real gateways, real `ssh` beside, and clients that break every rule.
#![expect(clippy::unwrap_used, reason = "a test program")]

mod certificates;
mod channels;
mod compressed;
mod crowded;
mod deaf;
mod flood;
mod guesses;
mod order;
mod packets;
mod proof;
mod raw;
mod readers;
mod rekey;
mod say;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use harness::River;

use crate::raw::Raw;
use crate::say::Key;

/// An address of loopback that nobody has used: what one test does is not held against another's.
fn fresh() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id() & 0x3f;
    Ipv4Addr::from_bits(0x7f40_0001 + (pid << 16) + number)
}

/// The admin's own key.
fn alice(river: &River) -> Key {
    Key::read(&river.dir.path().join("alice_key"))
}

/// It lives, lets people in, and made no mistake of its own.
fn is_sound(river: &River) {
    assert!(river.admin.ssh("version").good().contains("river"));
    let log = river.log();
    assert!(!log.contains("a mistake in this program"), "{log}");
}

/// The server's words on a channel, to its exit code.
fn answer(raw: &mut Raw) -> (String, Option<u32>) {
    let (mut said, mut code) = (Vec::new(), None);
    loop {
        let packet = raw.read().unwrap();
        match packet[0] {
            say::CHANNEL_DATA => said.extend(say::Text(&packet[5..]).next()),
            say::CHANNEL_REQUEST => {
                let mut rest = say::Text(&packet[5..]);
                if rest.next() == b"exit-status" {
                    code = Some(say::Text(&rest.0[1..]).uint());
                }
            }
            say::CHANNEL_CLOSE => return (String::from_utf8_lossy(&said).into_owned(), code),
            _ => {}
        }
    }
}

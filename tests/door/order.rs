//! Every message number in every state, empty and with noise: nothing is done before somebody is known,
//! and nothing breaks after.

use std::net::Shutdown;

use harness::River;

use crate::raw::Raw;
use crate::say::{self, Key, text, uint};
use crate::{alice, answer, fresh, is_sound};

/// At once in a test: each is a connection.
const THREADS: u8 = 8;

/// What only somebody who is known is told: USERAUTH_SUCCESS, REQUEST_SUCCESS, and all of channels.
fn is_for_the_known(number: u8) -> bool {
    number == 52 || number == 81 || (91..=127).contains(&number)
}

/// Up to where the strange message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// First lines.
    Fresh,
    /// This side's KEXINIT, too.
    Offered,
    /// Both.
    Exchanging,
    /// New keys.
    Keys,
    /// And `ssh-userauth`.
    Asking,
    /// Signed in.
    Known,
    /// With a channel that runs nothing.
    Open,
    /// In the middle of a second key exchange.
    Again,
}

const UNKNOWN: [State; 5] = [
    State::Fresh,
    State::Offered,
    State::Exchanging,
    State::Keys,
    State::Asking,
];
const KNOWN: [State; 3] = [State::Known, State::Open, State::Again];

fn reach(river: &River, state: State, key: &Key) -> Raw {
    let mut raw = match state {
        State::Fresh | State::Offered | State::Exchanging => {
            let mut raw = Raw::connect(river.port, fresh());
            raw.ident().unwrap();
            raw
        }
        State::Keys | State::Asking => Raw::exchanged(river.port, fresh()),
        State::Known | State::Open | State::Again => Raw::inside(river.port, fresh(), "alice", key),
    };
    match state {
        State::Offered => raw.kexinit().unwrap(),
        State::Exchanging | State::Again => {
            raw.kexinit().unwrap();
            raw.their_kexinit().unwrap();
        }
        State::Asking => raw.service().unwrap(),
        State::Open => {
            raw.session(1 << 20).unwrap();
        }
        State::Fresh | State::Keys | State::Known => {}
    }
    raw
}

/// Asks for a channel, as somebody who is known may.
fn ask(raw: &mut Raw) {
    let mut open = vec![say::CHANNEL_OPEN];
    text(&mut open, b"session");
    for number in [0, 1 << 20, 32 << 10] {
        uint(&mut open, number);
    }
    let _ = raw.send(&open);
}

/// The message with this body, in this state; the numbers of all that came back till the end.
fn try_one(river: &River, state: State, number: u8, body: &[u8], key: &Key) -> Vec<u8> {
    let mut raw = reach(river, state, key);
    let _ = raw.send(&[&[number], body].concat());
    if UNKNOWN.contains(&state) {
        ask(&mut raw);
    }
    let _ = raw.socket.shutdown(Shutdown::Write);
    raw.end()
}

fn bodies(seed: u8) -> Vec<Vec<u8>> {
    let mut noise = vec![0; 64];
    rand::fill(&mut noise[..]);
    // Numbers of channels, and strings as long as they say.
    let mut neat = Vec::new();
    uint(&mut neat, 0);
    text(&mut neat, b"session");
    for number in [1, 1 << 20, 32 << 10, u32::from(seed)] {
        uint(&mut neat, number);
    }
    vec![Vec::new(), noise, neat]
}

fn all(river: &River, states: &[State], check: impl Fn(State, u8, &[u8]) + Sync) {
    let key = &alice(river);
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let check = &check;
            scope.spawn(move || {
                for number in (first..=255).step_by(usize::from(THREADS)) {
                    for state in states {
                        for body in bodies(number) {
                            let numbers = try_one(river, *state, number, &body, key);
                            check(*state, number, &numbers);
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn nothing_is_done_for_somebody_who_is_not_known_whatever_comes_in_whatever_order() {
    let river = River::gateway_alone("");
    let before = river.memory();
    all(&river, &UNKNOWN, |state, number, numbers| {
        let odd = numbers.iter().find(|number| is_for_the_known(**number));
        assert_eq!(odd, None, "{number} in {state:?}: {numbers:?}");
    });
    let grown = river.memory().saturating_sub(before);
    eprintln!("strangers: {} KiB more memory", grown >> 10);
    assert!(grown < 64 << 20, "{grown} bytes more");
    let told = river.log().lines().count();
    assert!(told < 100, "{told} lines of strangers");
    is_sound(&river);
}

#[test]
fn nothing_breaks_whatever_somebody_sends_who_is_known() {
    let river = River::gateway_alone("");
    let before = river.memory();
    all(&river, &KNOWN, |_, _, _| {});
    let grown = river.memory().saturating_sub(before);
    eprintln!("the known: {} KiB more memory", grown >> 10);
    assert!(grown < 64 << 20, "{grown} bytes more");
    is_sound(&river);
}

#[test]
fn what_a_server_says_and_what_needs_a_name_is_ignored_before_there_is_one() {
    let river = River::gateway_alone("");
    for number in [52, 80, 90, 98] {
        let mut raw = Raw::exchanged(river.port, fresh());
        raw.service().unwrap();
        let mut body = vec![number];
        text(&mut body, b"tcpip-forward");
        body.push(1);
        text(&mut body, b"0.0.0.0");
        uint(&mut body, 0);
        raw.send(&body).unwrap();
        ask(&mut raw);
        // And it is nobody still.
        let mut exec = vec![say::CHANNEL_REQUEST];
        uint(&mut exec, 0);
        text(&mut exec, b"exec");
        exec.push(1);
        text(&mut exec, b"node list");
        raw.send(&exec).unwrap();
        assert!(!raw.asks(&Key::new().probe("alice")).unwrap());
        assert!(raw.sign_in("alice", &alice(&river)).unwrap());
    }
    is_sound(&river);
}

#[test]
fn channels_that_were_never_opened_take_nothing_and_the_others_go_on() {
    let river = River::gateway_alone("");
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    let open = raw.session(1 << 20).unwrap();
    for channel in (0..1000).chain([u32::MAX]).filter(|number| *number != open) {
        for number in [94, 95, 96, 97, 98, 93] {
            let mut packet = vec![number];
            uint(&mut packet, channel);
            match number {
                94 => text(&mut packet, b"data"),
                95 => {
                    uint(&mut packet, 1);
                    text(&mut packet, b"data");
                }
                98 => {
                    text(&mut packet, b"exec");
                    packet.push(1);
                    text(&mut packet, b"node list");
                }
                93 => uint(&mut packet, 1),
                _ => {}
            }
            raw.send(&packet).unwrap();
        }
    }
    raw.exec(open, "version").unwrap();
    let (said, code) = answer(&mut raw);
    assert!(said.contains("river") && code == Some(0), "{said}");
    is_sound(&river);
}

#[test]
fn a_mistake_in_one_connection_ends_that_connection_alone_and_is_told() {
    let river = River::gateway_alone("");
    let mut other = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    let channel = raw.session(1 << 20).unwrap();
    raw.exec(channel, harness::river::MISTAKE).unwrap();
    raw.gone();
    let channel = other.session(1 << 20).unwrap();
    other.exec(channel, "version").unwrap();
    assert_eq!(answer(&mut other).1, Some(0));
    assert!(river.admin.ssh("version").good().contains("river"));
    harness::wait::until("both are told", || {
        let log = river.log();
        log.contains("a mistake in this program: please report it")
            && log.contains("a connection was ended by a mistake in this program")
    });
    assert!(
        !river.log().contains('\u{1b}'),
        "a peer's words are shown as they are"
    );
}

//! Tries to sign in, again and again.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::River;

use crate::raw::Raw;
use crate::say::{self, Key, text};
use crate::{alice, fresh, is_sound};

/// Bad signatures that are sent in all.
const GUESSES: usize = 1000;

#[test]
fn a_thousand_bad_keys_from_ones_own_address_keep_no_good_one_out() {
    let river = River::gateway_alone("");
    let port = river.port;
    let made = AtomicUsize::new(0);
    let mut good = 0;
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                while made.load(Ordering::Relaxed) < GUESSES {
                    // Refused, cut for others, or ended: the next.
                    let _ = guess(port, &made);
                }
            });
        }
        while made.load(Ordering::Relaxed) < GUESSES {
            river.admin.ssh("version").good();
            good += 1;
        }
    });
    eprintln!("{good} sign-ins beside {GUESSES} bad ones");
    assert!(good > 0);
    is_sound(&river);
    let told = river.log().matches("at the door").count();
    assert!(
        (1..60).contains(&told),
        "{told} lines of a thousand failures"
    );
}

fn guess(port: u16, made: &AtomicUsize) -> std::io::Result<()> {
    let mut raw = Raw::connect(port, Ipv4Addr::LOCALHOST);
    raw.ident()?;
    raw.kexinit()?;
    raw.their_kexinit()?;
    raw.keys()?;
    raw.service()?;
    for _ in 0..6 {
        let key = Key::new();
        let request = key.signed(&raw.session.unwrap_or_default(), "alice", &key);
        made.fetch_add(1, Ordering::Relaxed);
        assert!(!raw.asks(&request)?, "a stranger was let in");
    }
    Ok(())
}

/// Makes the next request of a connection.
type Asker<'a> = Box<dyn FnMut(&Raw, u32) -> Vec<u8> + Send + 'a>;

/// How many of these requests a connection answers before it ends.
fn answered(river: &River, mut request: impl FnMut(&Raw, u32) -> Vec<u8>) -> u32 {
    let mut raw = Raw::exchanged(river.port, fresh());
    raw.service().unwrap();
    for number in 0..200 {
        let request = request(&raw, number);
        if raw.asks(&request).is_err() {
            return number;
        }
    }
    200
}

#[test]
fn one_connection_has_few_tries_of_each_kind_probes_included() {
    let river = River::gateway_alone("");
    let known = alice(&river);
    let password = |_: &Raw, number: u32| {
        let mut request = vec![say::USERAUTH_REQUEST];
        for piece in ["alice", "ssh-connection", "password"] {
            text(&mut request, piece.as_bytes());
        }
        request.push(0);
        text(&mut request, format!("guess {number}").as_bytes());
        request
    };
    let unknown = |method: &'static str| {
        move |_: &Raw, _: u32| {
            let mut request = vec![say::USERAUTH_REQUEST];
            for piece in ["alice", "ssh-connection", method] {
                text(&mut request, piece.as_bytes());
            }
            request
        }
    };
    std::thread::scope(|scope| {
        let river = &river;
        let kinds: [(&str, Asker<'_>); 6] = [
            ("strange keys", Box::new(|_, _| Key::new().probe("alice"))),
            ("one known key", Box::new(|_, _| known.probe("alice"))),
            (
                "bad signatures of a known key",
                Box::new(|raw, _| Key::new().signed(&raw.session.unwrap(), "alice", &known)),
            ),
            ("passwords", Box::new(password)),
            ("nothing", Box::new(unknown("none"))),
            ("nonsense", Box::new(unknown("nonsense"))),
        ];
        for (name, kind) in kinds {
            scope.spawn(move || {
                let tries = answered(river, kind);
                assert!((1..=32).contains(&tries), "{name}: {tries} tries");
            });
        }
    });
    is_sound(&river);
}

#[test]
fn who_has_some_wrong_keys_and_then_the_right_one_is_let_in() {
    let river = River::gateway_alone("");
    let mut raw = Raw::exchanged(river.port, fresh());
    raw.service().unwrap();
    for _ in 0..5 {
        assert!(!raw.asks(&Key::new().probe("alice")).unwrap());
    }
    assert!(raw.sign_in("alice", &alice(&river)).unwrap());
}

#[test]
fn who_does_not_sign_in_in_time_is_cut_however_busy() {
    let river = River::gateway_alone("login_grace = 2\n");
    // One says nothing, one a byte now and then, one has exchanged keys and ignores all that follows.
    let silent = Raw::connect(river.port, fresh());
    let mut slow = Raw::connect(river.port, fresh());
    let mut idle = Raw::exchanged(river.port, fresh());
    harness::wait::until("the slow one is cut", || {
        use std::io::Write;
        slow.socket.write_all(b"S").is_err()
    });
    harness::wait::until("the one that pretends is cut", || {
        idle.send(&[2, 0, 0, 0, 0]).is_err()
    });
    for mut raw in [silent, slow, idle] {
        raw.gone();
    }
    harness::wait::until("it is told", || {
        river.log().contains("did not sign in in time")
    });
    // Who is in, stays.
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    Raw::connect(river.port, fresh()).gone();
    let channel = raw.session(1 << 20).unwrap();
    raw.exec(channel, "version").unwrap();
    assert_eq!(crate::answer(&mut raw).1, Some(0));
}

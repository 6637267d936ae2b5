//! An offered key is not a proved one, and a name is nobody.

use harness::River;

use crate::raw::Raw;
use crate::say::{self, Key, text, uint};
use crate::{alice, answer, fresh, is_sound};

/// A gateway with alice, an admin, and bob, who is not.
struct Two {
    river: River,
    alice: Key,
    bob: Key,
}

impl Two {
    fn new() -> Self {
        let river = River::gateway_alone("");
        let _ = river.person("bob", "user");
        let bob = Key::read(&river.dir.path().join("bob_key"));
        Self {
            alice: alice(&river),
            river,
            bob,
        }
    }

    fn asking(&self) -> Raw {
        let mut raw = Raw::exchanged(self.river.port, fresh());
        raw.service().unwrap();
        raw
    }

    /// Whom the gateway takes this connection for.
    fn is_bob(&self, raw: &mut Raw) {
        let channel = raw.session(1 << 20).unwrap();
        raw.exec(channel, "auth status").unwrap();
        let (said, _) = answer(raw);
        assert!(said.contains("bob") && !said.contains("alice"), "{said}");
    }
}

/// A request of a method without more.
fn bare(login: &str, method: &str) -> Vec<u8> {
    let mut request = vec![say::USERAUTH_REQUEST];
    for piece in [login, "ssh-connection", method] {
        text(&mut request, piece.as_bytes());
    }
    request
}

#[test]
fn who_offers_the_admins_key_and_signs_with_their_own_is_themselves() {
    let two = Two::new();
    for login in ["alice", "bob", "root"] {
        let mut raw = two.asking();
        assert!(!raw.asks(&two.alice.probe(login)).unwrap());
        assert!(raw.sign_in(login, &two.bob).unwrap());
        two.is_bob(&mut raw);
        // Both were offered, one was proved.
        let mut raw = two.asking();
        assert!(!raw.asks(&two.bob.probe(login)).unwrap());
        assert!(!raw.asks(&two.alice.probe("alice")).unwrap());
        assert!(raw.sign_in(login, &two.bob).unwrap());
        two.is_bob(&mut raw);
    }
}

#[test]
fn another_keys_signature_proves_nothing_and_what_was_offered_helps_nobody() {
    let two = Two::new();
    let mut raw = two.asking();
    let session = raw.session.unwrap();
    assert!(!raw.asks(&two.alice.probe("alice")).unwrap());
    // The admin's key, another's signature.
    let forged = two.bob.signed(&session, "alice", &two.alice);
    assert!(!raw.asks(&forged).unwrap());
    // Proved nothing: neither does "none", nor an empty answer, now that a key was worth signing with.
    assert!(!raw.asks(&two.alice.probe("alice")).unwrap());
    assert!(!raw.asks(&bare("alice", "none")).unwrap());
    let mut interactive = bare("alice", "keyboard-interactive");
    text(&mut interactive, b"");
    text(&mut interactive, b"");
    raw.send(&interactive).unwrap();
    raw.read_until(60).unwrap();
    let mut response = vec![61];
    uint(&mut response, 0);
    assert!(!raw.asks(&response).unwrap());
    assert!(!raw.asks(&forged).unwrap());
    assert!(raw.sign_in("alice", &two.bob).unwrap());
    two.is_bob(&mut raw);
}

#[test]
fn a_signature_is_for_one_name_one_key_and_one_connection() {
    let two = Two::new();
    let other = two.asking().session.unwrap();
    let mut raw = two.asking();
    let session = raw.session.unwrap();
    // For another connection.
    assert!(
        !raw.asks(&two.alice.signed(&other, "alice", &two.alice))
            .unwrap()
    );
    // Offered as one name, signed for it, sent as another.
    assert!(!raw.asks(&two.alice.probe("vps-1")).unwrap());
    let mut moved = two.alice.signed(&session, "vps-1", &two.alice);
    let at = moved.windows(5).position(|part| part == b"vps-1").unwrap();
    moved[at..at + 5].copy_from_slice(b"vps-2");
    assert!(!raw.asks(&moved).unwrap());
    // A changed signature.
    let mut broken = two.alice.signed(&session, "alice", &two.alice);
    *broken.last_mut().unwrap() ^= 1;
    assert!(!raw.asks(&broken).unwrap());
    // Trailing bytes end the connection.
    let mut long = two.alice.signed(&session, "alice", &two.alice);
    long.push(0);
    assert!(raw.asks(&long).is_err());
    is_sound(&two.river);
}

#[test]
fn algorithms_that_are_not_the_keys_are_refused() {
    let two = Two::new();
    let blob = two.alice.blob();
    for algorithm in [
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-rsa",
        "rsa-sha2-256",
        "ecdsa-sha2-nistp256",
        "sk-ssh-ed25519@openssh.com",
        "ssh-dss",
        "",
        "none",
    ] {
        let mut raw = two.asking();
        let request = say::request("alice", algorithm, &blob, true);
        let request = two.alice.sign(&raw.session.unwrap(), request);
        assert!(!raw.asks(&request).unwrap_or_default(), "{algorithm}");
    }
    is_sound(&two.river);
}

#[test]
fn anybody_may_try_to_join_or_to_enrol_and_can_do_nothing_else() {
    let two = Two::new();
    let mut raw = two.asking();
    assert!(!raw.sign_in("invite-aaaaaaaaaaaaaaaa", &Key::new()).unwrap());
    assert!(
        !raw.sign_in("node", &two.alice).unwrap(),
        "only a certificate"
    );
    assert!(raw.sign_in("join", &two.alice).unwrap());
    for ask in ["exec", "shell", "subsystem"] {
        let channel = raw.session(1 << 20).unwrap();
        let mut request = vec![say::CHANNEL_REQUEST];
        uint(&mut request, channel);
        text(&mut request, ask.as_bytes());
        request.push(1);
        match ask {
            "exec" => text(&mut request, b"node list"),
            "subsystem" => text(&mut request, b"river-runner"),
            _ => {}
        }
        raw.send(&request).unwrap();
        // CHANNEL_FAILURE
        raw.read_until(100).unwrap();
    }
    let mut forward = vec![say::GLOBAL_REQUEST];
    text(&mut forward, b"tcpip-forward");
    forward.push(1);
    text(&mut forward, b"0.0.0.0");
    uint(&mut forward, 0);
    raw.send(&forward).unwrap();
    raw.read_until(say::REQUEST_FAILURE).unwrap();
    is_sound(&two.river);
}

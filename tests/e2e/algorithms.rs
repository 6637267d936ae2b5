//! Which algorithms are offered, by ssh-audit's judgement, and that the newest is used.

use std::process::Command;

use harness::river::cache;
use harness::{River, Run};

/// `scripts/clients.sh` installs it.
const VERSION: &str = "3.9.0";

/// Python of `scripts/clients.sh`.
fn python(words: &[&str]) -> Run {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-W", "ignore"]).args(words);
    python.env("PYTHONPATH", cache("python"));
    python.output().unwrap().into()
}

#[test]
fn ssh_audit_finds_no_fault_but_that_older_clients_have_nothing_post_quantum() {
    // Nobody's connections before: the rate test counts.
    let river = River::gateway_alone("");
    let audit = cache("python/bin/ssh-audit").display().to_string();
    let port = river.port.to_string();
    let version = python(&[&audit, "--help"]).text();
    assert!(version.contains(VERSION), "{version}");
    for _ in 0..2 {
        let run = python(&[&audit, "-n", "-p", &port, "127.0.0.1"]);
        let said = run.text();
        assert!(
            said.contains("mlkem768x25519-sha256"),
            "{said}{}",
            run.stderr
        );
        assert!(!said.contains("[fail]"), "{said}");
        let warnings: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("[warn]"))
            .collect();
        let known = |line: &&str| {
            line.contains("curve25519-sha256")
                && line.ends_with("[warn] does not provide protection against post-quantum attacks")
        };
        assert!(warnings.iter().all(known), "{warnings:#?}");
        assert_eq!(warnings.len(), 2, "both spellings of it");
        for word in ["DHEat", "throttling", "is vulnerable", "(cve)", "(rec) -"] {
            assert!(!said.contains(word), "{word}: {said}");
        }
        assert!(said.contains("kex-strict-s-v00@openssh.com"));
    }
}

const MLKEM: &str = r#"
import asyncio, sys, asyncssh
async def main():
    asked = dict(port=int(sys.argv[1]), username="alice", client_keys=[sys.argv[2]], known_hosts=None)
    async with asyncssh.connect("127.0.0.1", kex_algs=["mlkem768x25519-sha256"], **asked) as c:
        assert (await c.run("version")).exit_status == 0
    for old in ["diffie-hellman-group14-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group-exchange-sha256"]:
        try:
            async with asyncssh.connect("127.0.0.1", kex_algs=[old], **asked): raise SystemExit(old)
        except (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost): pass
    for old in ["aes128-cbc", "3des-cbc"]:
        try:
            async with asyncssh.connect("127.0.0.1", encryption_algs=[old], **asked): raise SystemExit(old)
        except (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost): pass
    for old in ["hmac-sha1", "hmac-sha2-256"]:
        try:
            async with asyncssh.connect("127.0.0.1", encryption_algs=["aes128-ctr"], mac_algs=[old], **asked): raise SystemExit(old)
        except (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost): pass
    print("good")
asyncio.run(main())
"#;

#[test]
fn a_client_that_has_ml_kem_uses_it_and_nothing_old_is_taken() {
    let river = River::gateway_alone("");
    let key = river.dir.path().join("alice_key").display().to_string();
    let run = python(&["-c", MLKEM, &river.port.to_string(), &key]);
    assert_eq!(run.text(), "good\n", "{}", run.stderr);
}

//! Certificates at a real door: of a node, and all that only look like it.

use std::path::Path;

use harness::{Engine, River};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::{Certificate, LineEnding};

use crate::raw::Raw;
use crate::say::{self, Key};
use crate::{alice, fresh, is_sound};

const KIND: &str = "ssh-ed25519-cert-v01@openssh.com";

/// Signs in as `login` with this certificate and its key.
fn enters(river: &River, login: &str, certificate: &Certificate, key: &Key) -> bool {
    let mut raw = Raw::exchanged(river.port, fresh());
    raw.service().unwrap();
    let blob = certificate.to_bytes().unwrap();
    let request = say::request(login, KIND, &blob, true);
    let request = key.sign(&raw.session.unwrap(), request);
    raw.asks(&request).unwrap_or_default()
}

/// What is signed for the node, and how it is bent.
struct Bench {
    river: River,
    authority: PrivateKey,
    subject: PrivateKey,
    key: Key,
    serial: u64,
}

fn new_key(path: &Path) -> (PrivateKey, Key) {
    let key = PrivateKey::random(&mut rand::rng(), russh::keys::Algorithm::Ed25519).unwrap();
    std::fs::write(path, key.to_openssh(LineEnding::LF).unwrap()).unwrap();
    (key, Key::read(path))
}

impl Bench {
    fn new() -> Self {
        let river = River::start(Engine::Process, 1);
        let dir = river.dir.path();
        let authority = russh::keys::load_secret_key(dir.join("g/authority_key"), None).unwrap();
        let (subject, key) = new_key(&dir.join("subject"));
        let real = std::fs::read_to_string(dir.join("r/node_certificate")).unwrap();
        let real = Certificate::from_openssh(real.trim()).unwrap();
        Self {
            river,
            authority,
            subject,
            key,
            serial: real.serial(),
        }
    }

    fn builder(&self, kind: CertType, principals: &[&str], times: (u64, u64)) -> Builder {
        self.numbered(self.serial, kind, principals, times)
    }

    fn numbered(
        &self,
        serial: u64,
        kind: CertType,
        principals: &[&str],
        times: (u64, u64),
    ) -> Builder {
        let subject = self.subject.public_key().key_data().clone();
        let mut builder = Builder::new([7; 32], subject, times.0, times.1).unwrap();
        builder.serial(serial).unwrap();
        builder.cert_type(kind).unwrap().key_id("x").unwrap();
        for principal in principals {
            builder.valid_principal(*principal).unwrap();
        }
        if principals.is_empty() {
            builder.all_principals_valid().unwrap();
        }
        builder
    }

    fn good(&self) -> Builder {
        self.builder(CertType::User, &["n1"], (0, u64::MAX))
    }

    fn as_node(&self, builder: Builder, signer: &PrivateKey) -> bool {
        enters(
            &self.river,
            "node",
            &builder.sign(signer).unwrap(),
            &self.key,
        )
    }
}

#[test]
fn only_the_certificate_of_the_node_as_it_is_now_makes_a_node() {
    let bench = Bench::new();
    let ours = &bench.authority;
    assert!(bench.as_node(bench.good(), ours), "the one that is right");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let user = |principals: &[&str]| bench.builder(CertType::User, principals, (0, u64::MAX));
    let mut option = bench.good();
    option.critical_option("river-unknown", "x").unwrap();
    let mut forced = bench.good();
    forced.critical_option("force-command", "true").unwrap();
    let mut address = bench.good();
    address
        .critical_option("source-address", "10.0.0.0/8")
        .unwrap();
    let other_serial = bench.serial.wrapping_sub(1);
    let older = bench.numbered(other_serial, CertType::User, &["n1"], (0, u64::MAX));
    let many: Vec<String> = (0..256).map(|n| format!("n{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: Vec<(&str, Builder)> = vec![
        ("another node's name", user(&["n2"])),
        ("a list in one name", user(&["n1,n2"])),
        ("the name and a comma", user(&["n1,"])),
        ("no name at all", user(&[])),
        ("an empty name", user(&[""])),
        ("256 names", user(&many)),
        ("two names", user(&["n1", "n1"])),
        ("another spelling", user(&["N1"])),
        ("a wildcard", user(&["*"])),
        (
            "a host's",
            bench.builder(CertType::Host, &["n1"], (0, u64::MAX)),
        ),
        (
            "expired",
            bench.builder(CertType::User, &["n1"], (0, now - 60)),
        ),
        (
            "not yet valid",
            bench.builder(CertType::User, &["n1"], (now + 3600, u64::MAX)),
        ),
        ("an unknown critical option", option),
        ("force-command", forced),
        ("source-address", address),
        ("one that was replaced", older),
    ];
    for (name, builder) in cases {
        assert!(!bench.as_node(builder, ours), "{name}");
    }
    let (other, _) = new_key(&bench.river.dir.path().join("other"));
    assert!(!bench.as_node(bench.good(), &other), "another authority");
    assert!(!bench.as_node(bench.good(), &bench.subject), "itself");
    is_sound(&bench.river);
}

#[test]
fn a_certificate_is_good_for_the_login_node_and_with_its_own_key_alone() {
    let bench = Bench::new();
    let right = bench.good().sign(&bench.authority).unwrap();
    for login in ["alice", "join", "root", "vps-1", "n1", "invite-aaaa"] {
        assert!(!enters(&bench.river, login, &right, &bench.key), "{login}");
    }
    let stranger = Key::new();
    assert!(
        !enters(&bench.river, "node", &right, &stranger),
        "another's signature"
    );
    let alice = alice(&bench.river);
    assert!(
        !enters(&bench.river, "node", &right, &alice),
        "an admin's signature"
    );
    // Its key without it, and it under the name of a plain key.
    let mut raw = Raw::exchanged(bench.river.port, fresh());
    raw.service().unwrap();
    assert!(!raw.sign_in("node", &bench.key).unwrap());
    let plain = say::request("node", "ssh-ed25519", &right.to_bytes().unwrap(), true);
    let plain = bench.key.sign(&raw.session.unwrap(), plain);
    assert!(!raw.asks(&plain).unwrap_or_default());
    // Every bit of it counts.
    let blob = right.to_bytes().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (bench, blob) = (&bench, &blob);
            scope.spawn(move || {
                for byte in (thread..blob.len()).step_by(8) {
                    let mut bent = blob.clone();
                    bent[byte] ^= 1 << (byte % 8);
                    let mut raw = Raw::exchanged(bench.river.port, fresh());
                    raw.service().unwrap();
                    let request = say::request("node", KIND, &bent, true);
                    let request = bench.key.sign(&raw.session.unwrap(), request);
                    assert!(!raw.asks(&request).unwrap_or_default(), "byte {byte}");
                }
            });
        }
    });
    is_sound(&bench.river);
}

#[test]
fn a_persons_certificate_is_nobody() {
    let bench = Bench::new();
    // Of a key that has an account, signed by the gateway's own authority.
    let subject = russh::keys::load_secret_key(bench.river.dir.path().join("alice_key"), None);
    let subject = subject.unwrap().public_key().key_data().clone();
    let mut builder = Builder::new([7; 32], subject, 0, u64::MAX).unwrap();
    builder
        .cert_type(CertType::User)
        .unwrap()
        .key_id("x")
        .unwrap();
    builder.valid_principal("alice").unwrap();
    let certificate = builder.sign(&bench.authority).unwrap();
    assert!(!enters(
        &bench.river,
        "alice",
        &certificate,
        &alice(&bench.river)
    ));
}

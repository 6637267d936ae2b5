//! Checks a node's certificate against the authority and a time. What is not expected is refused.

use russh::keys::PublicKey;
use russh::keys::ssh_key::Certificate;
use russh::keys::ssh_key::certificate::CertType;

use crate::NodeName;

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    pub node: NodeName,
    pub serial: u64,
}

/// Why a certificate proves nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    #[error("another authority signed it")]
    Authority,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is no user certificate")]
    Kind,
    #[error("it is not valid at this time")]
    Time,
    #[error("it has a critical option")]
    Option,
    #[error("it must have exactly one principal, a node's name")]
    Principal,
}

/// `now`: seconds since the Unix epoch.
///
/// # Errors
/// [`BadCertificate`]; every rule is checked, and an empty list of principals is no wildcard.
pub fn check_node(
    certificate: &Certificate,
    authority: &PublicKey,
    now: u64,
) -> Result<NodeIdentity, BadCertificate> {
    if certificate.signature_key() != authority.key_data() {
        return Err(BadCertificate::Authority);
    }
    certificate
        .verify_signature()
        .map_err(|_| BadCertificate::Signature)?;
    if certificate.cert_type() != CertType::User {
        return Err(BadCertificate::Kind);
    }
    if now < certificate.valid_after() || now >= certificate.valid_before() {
        return Err(BadCertificate::Time);
    }
    if !certificate.critical_options().is_empty() {
        return Err(BadCertificate::Option);
    }
    // Compared as whole strings: a comma or a blank makes no list of it.
    let [principal] = certificate.valid_principals() else {
        return Err(BadCertificate::Principal);
    };
    let node = principal.parse().map_err(|_| BadCertificate::Principal)?;
    Ok(NodeIdentity {
        node,
        serial: certificate.serial(),
    })
}

#[cfg(test)]
mod tests {
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;
    use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};

    use super::*;
    use crate::authority::Authority;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::new(
            KeypairData::from(Ed25519Keypair::from_seed(&[seed; 32])),
            "",
        )
        .unwrap()
    }

    fn builder(kind: CertType, principals: &[&str]) -> Builder {
        let subject = key(9).public_key().key_data().clone();
        let mut builder = Builder::new([0; 32], subject, 1000, 2000).unwrap();
        builder
            .serial(5)
            .unwrap()
            .cert_type(kind)
            .unwrap()
            .key_id("x")
            .unwrap();
        for principal in principals {
            builder.valid_principal(*principal).unwrap();
        }
        if principals.is_empty() {
            builder.all_principals_valid().unwrap();
        }
        builder
    }

    #[test]
    fn a_node_certificate_is_its_node() {
        let authority = Authority::create(&[1; 32]).unwrap();
        let node = "n1".parse().unwrap();
        let cert = authority
            .sign_node(key(9).public_key(), &node, "m", 5, [0; 32], (1000, 2000))
            .unwrap();
        let seen = check_node(&cert, authority.public_key(), 1500);
        assert_eq!(seen, Ok(NodeIdentity { node, serial: 5 }));
        for late in [999, 2000, u64::MAX] {
            let seen = check_node(&cert, authority.public_key(), late);
            assert_eq!(seen, Err(BadCertificate::Time), "{late}");
        }
    }

    /// What is bent, and why it is refused then.
    #[test]
    fn everything_unexpected_is_refused() {
        use BadCertificate as Bad;
        let ours = key(1);
        let check = |builder: Builder, signer: &PrivateKey| {
            check_node(&builder.sign(signer).unwrap(), ours.public_key(), 1500)
        };
        let good = || builder(CertType::User, &["n1"]);
        assert!(check(good(), &ours).is_ok());
        assert_eq!(check(good(), &key(2)), Err(Bad::Authority), "another's");
        assert_eq!(check(good(), &key(9)), Err(Bad::Authority), "its own");
        let host = builder(CertType::Host, &["n1"]);
        assert_eq!(check(host, &ours), Err(Bad::Kind));
        let many: Vec<String> = (0..256).map(|n| format!("n{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let principals: [&[&str]; 14] = [
            &[],
            &[""],
            &["n1", "n2"],
            &["n1", "n1"],
            &["n1,n2"],
            &["n1,"],
            &[",n1"],
            &["N1"],
            &[" n1"],
            &["n1\0"],
            &["*"],
            &["../n1"],
            &["n\u{131}"],
            &many,
        ];
        for principals in principals {
            let seen = check(builder(CertType::User, principals), &ours);
            assert_eq!(seen, Err(Bad::Principal), "{principals:?}");
        }
        for option in ["force-command", "source-address", "verify-required", "x@y"] {
            let mut optional = good();
            optional.critical_option(option, "").unwrap();
            assert_eq!(check(optional, &ours), Err(Bad::Option), "{option}");
        }
        // Extensions are what OpenSSH's programs set by themselves; they permit, and nothing is asked of them.
        let mut extended = good();
        extended.extension("permit-pty", "").unwrap();
        assert!(check(extended, &ours).is_ok());
    }

    #[test]
    fn a_certificate_has_its_time_and_no_longer() {
        let ours = key(1);
        let subject = || key(9).public_key().key_data().clone();
        // From, until, now, and whether it is good then.
        let table = [
            (1000, 2000, 999, false),
            (1000, 2000, 1000, true),
            (1000, 2000, 1999, true),
            (1000, 2000, 2000, false),
            (0, u64::MAX, 0, true),
            (0, u64::MAX, u64::MAX - 1, true),
            (u64::MAX - 1, u64::MAX, 1500, false),
        ];
        for (from, until, now, good) in table {
            let mut builder = Builder::new([0; 32], subject(), from, until).unwrap();
            builder.cert_type(CertType::User).unwrap();
            builder.key_id("x").unwrap().valid_principal("n1").unwrap();
            let certificate = builder.sign(&ours).unwrap();
            let seen = check_node(&certificate, ours.public_key(), now);
            assert_eq!(seen.is_ok(), good, "{from}..{until} at {now}: {seen:?}");
            assert!(good || seen == Err(BadCertificate::Time));
        }
    }

    #[test]
    fn what_is_changed_after_it_was_signed_is_nothing() {
        let ours = key(1);
        let signed = builder(CertType::User, &["n1"]).sign(&ours).unwrap();
        let bytes = signed.to_bytes().unwrap();
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << (at % 8);
            if let Ok(bent) = Certificate::from_bytes(&bent) {
                let seen = check_node(&bent, ours.public_key(), 1500);
                assert!(seen.is_err(), "byte {at}");
            }
        }
        for cut in 0..bytes.len() {
            assert!(
                Certificate::from_bytes(&bytes[..cut]).is_err(),
                "{cut} bytes"
            );
        }
    }

    /// The authority's key must be a plain one: OpenSSH's PROTOCOL.certkeys forbids chains.
    #[test]
    fn a_certificate_of_a_certificate_is_nothing() {
        let (ours, middle) = (key(1), key(2));
        let inner = builder(CertType::User, &["n1"]).sign(&ours).unwrap();
        let outer = builder(CertType::User, &["n1"]).sign(&middle).unwrap();
        let (inner, outer) = (inner.to_bytes().unwrap(), outer.to_bytes().unwrap());
        let plain = middle.public_key().to_bytes().unwrap();
        let at = outer
            .windows(plain.len())
            .position(|part| part == plain)
            .unwrap();
        let length = u32::try_from(inner.len()).unwrap().to_be_bytes();
        let nested = [
            &outer[..at - 4],
            &length,
            &inner,
            &outer[at + plain.len()..],
        ]
        .concat();
        let read = Certificate::from_bytes(&nested);
        let seen = read.map(|nested| check_node(&nested, ours.public_key(), 1500));
        assert!(!matches!(seen, Ok(Ok(_))), "{seen:?}");
    }
}

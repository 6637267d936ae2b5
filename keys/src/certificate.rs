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

    #[test]
    fn everything_unexpected_is_refused() {
        let ours = key(1);
        let check = |builder: Builder, signer: &PrivateKey| {
            check_node(&builder.sign(signer).unwrap(), ours.public_key(), 1500)
        };
        let good = || builder(CertType::User, &["n1"]);
        assert!(check(good(), &ours).is_ok());
        assert_eq!(check(good(), &key(2)), Err(BadCertificate::Authority));
        assert_eq!(
            check(builder(CertType::Host, &["n1"]), &ours),
            Err(BadCertificate::Kind)
        );
        for principals in [&[][..], &["n1", "n2"], &["n1,n2"], &["N1"], &[" n1"]] {
            let seen = check(builder(CertType::User, principals), &ours);
            assert_eq!(seen, Err(BadCertificate::Principal), "{principals:?}");
        }
        let mut optional = good();
        optional.critical_option("force-command", "true").unwrap();
        assert_eq!(check(optional, &ours), Err(BadCertificate::Option));
    }
}

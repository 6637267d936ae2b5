//! What must hold for any token, key line, name and certificate, whoever made it.

use russh::keys::ssh_key::Certificate;

use crate::authority::Authority;
use crate::certificate::{NodeIdentity, check_node};
use crate::name::LONGEST;
use crate::token::{self, JoinTokenText};
use crate::{AccountKeyLine, NodeName, UserName};

/// A token is read as it is written, or it is none.
pub fn tokens(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(token) = JoinTokenText::parse(&text) {
        let again = token.to_string();
        assert_eq!(again, text.trim());
        assert!(JoinTokenText::parse(&again) == Ok(token));
    }
    let hash = token::hash(&text);
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(hash, text);
}

/// A name is plain, short, and read as it is written.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = text.parse::<NodeName>() {
        assert_eq!(name.as_str(), text);
        assert!((1..=LONGEST).contains(&name.as_str().len()));
    }
    if let Ok(name) = text.parse::<UserName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.parse::<NodeName>().is_ok());
    }
}

/// A line that is taken is the same key when it is read again, and its comment is text.
pub fn key_lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(key) = AccountKeyLine::parse(&text) else {
        return;
    };
    assert!(!key.comment.chars().any(char::is_control));
    assert!(key.comment.chars().count() <= 64 && key.fingerprint.starts_with("SHA256:"));
    let again = AccountKeyLine::parse(&key.line);
    let again = again
        .as_ref()
        .map(|again| (&again.fingerprint, &again.line));
    assert_eq!(again, Ok((&key.fingerprint, &key.line)));
}

/// Seconds at which [`good`] is valid.
const NOW: u64 = 1500;

/// The one certificate that proves something to the authority of these tests.
fn good() -> Option<(Authority, Certificate)> {
    let authority = Authority::create(&[1; 32]).ok()?;
    let subject = Authority::create(&[9; 32]).ok()?;
    let node = "n1".parse().ok()?;
    let times = (1000, 2000);
    let certificate = authority.sign_node(subject.public_key(), &node, "m", 5, [0; 32], times);
    Some((authority, certificate.ok()?))
}

/// As it goes over the wire, to begin with.
#[must_use]
pub fn certificate_seed() -> Vec<u8> {
    let certificate = good().and_then(|(_, certificate)| certificate.to_bytes().ok());
    certificate.unwrap_or_default()
}

/// No bytes are a node but those that the authority signed.
pub fn certificates(bytes: &[u8]) {
    let Ok(certificate) = Certificate::from_bytes(bytes) else {
        return;
    };
    let Some((authority, good)) = good() else {
        return;
    };
    let node = check_node(&certificate, authority.public_key(), NOW);
    if let Ok(NodeIdentity { node, serial }) = node {
        assert_eq!((node.as_str(), serial), ("n1", 5));
        assert_eq!(certificate.to_bytes().ok(), good.to_bytes().ok());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@laptop";

    /// These bytes with some changed, cut or put in.
    fn bent(from: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
        let changes =
            prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..4);
        changes.prop_map(move |changes| {
            let mut bytes = from.clone();
            for (at, byte, how) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            bytes
        })
    }

    #[test]
    fn the_seed_is_a_node() {
        let (authority, certificate) = good().unwrap();
        assert!(check_node(&certificate, authority.public_key(), NOW).is_ok());
        certificates(&certificate_seed());
    }

    proptest! {
        #[test]
        fn any_bytes_are_what_they_are_or_nothing(bytes: Vec<u8>) {
            tokens(&bytes);
            names(&bytes);
            key_lines(&bytes);
            certificates(&bytes);
        }

        #[test]
        fn a_bent_certificate_is_no_node(bytes in bent(certificate_seed())) {
            certificates(&bytes);
        }

        #[test]
        fn a_bent_key_line_is_a_key_or_none(bytes in bent(LINE.into())) {
            key_lines(&bytes);
        }

        #[test]
        fn a_bent_token_is_a_token_or_none(
            bytes in bent(format!("river-join.{}.{}", "a".repeat(20), "B".repeat(43)).into())
        ) {
            tokens(&bytes);
        }

        #[test]
        fn a_bent_name_is_a_name_or_none(bytes in bent(b"gpu-box-2".to_vec())) {
            names(&bytes);
        }
    }
}

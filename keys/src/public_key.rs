//! A public key in its OpenSSH spelling, taken apart (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

use russh::keys::{Algorithm, HashAlg, PublicKey};
use serde::{Deserialize, Serialize};

/// Longest line taken, in bytes: an RSA key of 16384 bits has about 2,800.
const LONGEST: usize = 8 << 10;
/// Longest comment kept, in characters.
const LONGEST_COMMENT: usize = 64;
/// Shortest RSA modulus believed, in bits (NIST SP 800-131A).
const LEAST_RSA: u32 = 2048;

/// An authorized-keys line of a plain key, parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountKeyLine {
    /// `ssh-ed25519`, …
    pub algorithm: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// Algorithm and key, no comment.
    pub line: String,
    pub comment: String,
}

/// Why a line is no key that may sign in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it is a certificate; give the plain key")]
    Certificate,
    #[error("it is a private key: never show that to anyone")]
    Private,
    #[error("keys of this kind ({0}) are not taken; make one by `ssh-keygen -t ed25519`")]
    Kind(String),
    #[error("RSA keys below {LEAST_RSA} bits are not taken; make one by `ssh-keygen -t ed25519`")]
    Weak,
    #[error(
        "it does not read as `ssh-ed25519 AAAA… comment`; options before the key are not taken"
    )]
    Spelling,
}

impl AccountKeyLine {
    /// # Errors
    /// [`BadKey`] says what is wrong with the line.
    pub fn parse(line: &str) -> Result<Self, BadKey> {
        let line = line.trim();
        if line.len() > LONGEST {
            return Err(BadKey::TooLong);
        }
        if line.contains("PRIVATE KEY") {
            return Err(BadKey::Private);
        }
        if line
            .split_whitespace()
            .next()
            .is_some_and(|kind| kind.contains("-cert-v0"))
        {
            return Err(BadKey::Certificate);
        }
        let key = PublicKey::from_openssh(line).map_err(|_| BadKey::Spelling)?;
        Self::of(&key)
    }

    /// # Errors
    /// [`BadKey`] when such a key may not sign in.
    pub fn of(key: &PublicKey) -> Result<Self, BadKey> {
        match key.algorithm() {
            Algorithm::Ed25519
            | Algorithm::Ecdsa { .. }
            | Algorithm::SkEd25519
            | Algorithm::SkEcdsaSha2NistP256 => {}
            Algorithm::Rsa { .. } if rsa_bits(key) < LEAST_RSA => return Err(BadKey::Weak),
            Algorithm::Rsa { .. } => {}
            Algorithm::Dsa | Algorithm::Other(_) | _ => {
                return Err(BadKey::Kind(key.algorithm().to_string()));
            }
        }
        let comment = String::from_utf8_lossy(key.comment().as_bytes())
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_COMMENT)
            .collect();
        let mut plain = key.clone();
        plain.set_comment("");
        let line = plain
            .to_openssh()
            .map_err(|_| BadKey::Spelling)?
            .trim()
            .to_owned();
        Ok(Self {
            algorithm: key.algorithm().to_string(),
            fingerprint: fingerprint(key),
            line,
            comment,
        })
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn rsa_bits(key: &PublicKey) -> u32 {
    let modulus = key
        .key_data()
        .rsa()
        .and_then(|rsa| rsa.n().as_positive_bytes());
    modulus.map_or(0, |bytes| {
        u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@laptop";

    #[test]
    fn a_line_is_taken_apart() {
        let key = AccountKeyLine::parse(GOOD).unwrap();
        assert_eq!(key.algorithm, "ssh-ed25519");
        assert_eq!(key.comment, "me@laptop");
        assert!(key.fingerprint.starts_with("SHA256:") && key.fingerprint.len() == 50);
        assert_eq!(format!("{} me@laptop", key.line), GOOD);
    }

    #[test]
    fn what_is_no_plain_key_is_refused_by_name() {
        assert_eq!(AccountKeyLine::parse("").unwrap_err(), BadKey::Spelling);
        assert_eq!(
            AccountKeyLine::parse(&format!("no-pty {GOOD}")).unwrap_err(),
            BadKey::Spelling
        );
        assert_eq!(
            AccountKeyLine::parse("ssh-ed25519-cert-v01@openssh.com AAAA").unwrap_err(),
            BadKey::Certificate
        );
        assert_eq!(
            AccountKeyLine::parse("-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err(),
            BadKey::Private
        );
        assert_eq!(
            AccountKeyLine::parse(&"x".repeat(9000)).unwrap_err(),
            BadKey::TooLong
        );
    }

    #[test]
    fn a_comment_cannot_drive_a_terminal() {
        let key = AccountKeyLine::parse(&format!("{}\x1b[2J", GOOD)).unwrap();
        assert!(
            key.comment.chars().all(|c| !c.is_control()),
            "{:?}",
            key.comment
        );
    }
}

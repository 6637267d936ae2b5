//! Secrets that are shown once: invitation codes and join tokens. Only their hash is kept.

use sha2::{Digest, Sha256};

/// Without 0, 1, i, l, o: what is read aloud or retyped is not mistaken.
const LETTERS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";

/// Letters of a secret: 31^20 is above 2^99.
const LENGTH: usize = 20;

/// A secret from 32 random bytes, fit for a login name.
#[must_use]
pub fn mint(dice: &[u8; 32]) -> String {
    let mut code = String::with_capacity(LENGTH);
    // Hashing first spreads the bytes, so that a part of the dice used elsewhere tells nothing here.
    let spread: [u8; 32] = Sha256::new_with_prefix(b"river secret")
        .chain_update(dice)
        .finalize()
        .into();
    for byte in spread.iter().take(LENGTH) {
        let letter = LETTERS.get(usize::from(*byte) % LETTERS.len());
        code.extend(letter.copied().map(char::from));
    }
    code
}

/// What is stored of a secret: SHA-256, hex.
#[must_use]
pub fn hash(secret: &str) -> String {
    use std::fmt::Write;
    let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// What an operator carries to a new node: the secret, and the one host key to believe.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinTokenText {
    pub secret: String,
    /// `SHA256:…` of the gateway's host key.
    pub host_key: String,
}

/// The text is no join token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no join token: it begins with `river-join.` and has two further parts")]
pub struct BadToken;

impl JoinTokenText {
    /// # Errors
    /// [`BadToken`] when the text has another shape.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let rest = text.trim().strip_prefix("river-join.").ok_or(BadToken)?;
        let (secret, print) = rest.split_once('.').ok_or(BadToken)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        if secret.len() != LENGTH
            || print.len() != 43
            || !rest.bytes().all(|b| plain(b) || b == b'.')
        {
            return Err(BadToken);
        }
        Ok(Self {
            secret: secret.to_owned(),
            host_key: format!("SHA256:{print}"),
        })
    }
}

impl std::fmt::Display for JoinTokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let print = self
            .host_key
            .strip_prefix("SHA256:")
            .unwrap_or(&self.host_key);
        write!(f, "river-join.{}.{print}", self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let token = JoinTokenText {
            secret: mint(&[7; 32]),
            host_key: format!("SHA256:{}", "A".repeat(43)),
        };
        assert!(JoinTokenText::parse(&format!(" {token}\n")).ok() == Some(token));
        for bad in ["", "river-join.a.b", "river-join.", "x.y.z"] {
            assert!(JoinTokenText::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_differ_and_their_hash_is_not_them() {
        assert_ne!(mint(&[1; 32]), mint(&[2; 32]));
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}

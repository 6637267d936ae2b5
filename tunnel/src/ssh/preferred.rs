//! Algorithms of both ends.

use std::borrow::Cow;

use russh::keys::Algorithm;
use russh::keys::ssh_key::{EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression};

/// AES-GCM first: half the work of ChaCha20 where there are AES instructions. The client's order decides.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// russh's list without `ssh-rsa`, which signs with SHA-1.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// What the gateway offers to everyone. Compression only after authentication (`zlib@openssh.com`):
/// before it, anybody could send a bomb.
pub(super) fn server() -> Preferred {
    Preferred {
        key: Cow::Borrowed(KEYS),
        cipher: Cow::Borrowed(CIPHERS),
        compression: Cow::Borrowed(&[compression::NONE, compression::ZLIB_LEGACY]),
        ..Preferred::DEFAULT
    }
}

/// What a runner asks for.
pub(super) fn runner() -> Preferred {
    Preferred {
        key: Cow::Borrowed(KEYS),
        cipher: Cow::Borrowed(CIPHERS),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    }
}

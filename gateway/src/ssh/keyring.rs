//! The gateway's own keys: made at the first start, kept in the state folder with mode 0600.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use keys::authority::Authority;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

/// What the gateway signs with.
pub struct Keyring {
    pub host: PrivateKey,
    pub authority: Authority,
}

impl Keyring {
    /// # Errors
    /// When a key file is damaged or cannot be written.
    pub fn open(state_dir: &Path) -> anyhow::Result<Self> {
        let host = read_or_make(&state_dir.join("host_key"), || {
            let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
            Ok(key.to_openssh(LineEnding::LF)?.to_string())
        })?;
        let authority = read_or_make(&state_dir.join("authority_key"), || {
            Ok(Authority::create(&rand::random())?.to_pem()?)
        })?;
        Ok(Self {
            host: PrivateKey::from_openssh(&host).context("host_key is no OpenSSH private key")?,
            authority: Authority::from_pem(&authority)
                .context("authority_key is no OpenSSH private key")?,
        })
    }
}

fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = make()?;
            write_private(path, &text)?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whole or not at all, and for nobody else's eyes.
///
/// # Errors
/// When the disk fails.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .with_context(|| format!("cannot write {}", part.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

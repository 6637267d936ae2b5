//! Who this node is to its gateway: key, certificate, and the gateway's host key. Made by a join.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use keys::token::JoinTokenText;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, Certificate, PrivateKey};
use tunnel::ssh::{DialConfig, HostPin};

/// Bulk connections beside control.
const BULK: usize = 2;

/// Trades a token for a certificate and keeps it in `state_dir`. The node's name.
///
/// # Errors
/// When the token is no token, or the gateway refuses it.
pub async fn join(
    gateway: &str,
    state_dir: &Path,
    token: &str,
    machine_id: &str,
) -> anyhow::Result<String> {
    let token = JoinTokenText::parse(token)?;
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
    let pin: HostPin = token.host_key.parse()?;
    let dial = DialConfig {
        gateway: gateway.to_owned(),
        host_pins: vec![pin],
        key: key.clone(),
        certificate: None,
        bulk: BULK,
        instance: 0,
    };
    let joined = tunnel::ssh::join(&dial, &token.secret, machine_id).await?;
    fs::create_dir_all(state_dir)?;
    write(
        &state_dir.join("node_key"),
        &key.to_openssh(LineEnding::LF)?,
    )?;
    write(&state_dir.join("gateway_host_key"), &joined.host_key)?;
    write(&state_dir.join("node_certificate"), &joined.certificate)?;
    Ok(joined.node.to_string())
}

/// What the join left.
///
/// # Errors
/// When this node has not joined yet.
pub fn load(gateway: &str, state_dir: &Path) -> anyhow::Result<DialConfig> {
    let read = |name: &str| {
        fs::read_to_string(state_dir.join(name)).with_context(|| {
            format!(
                "{} has no {name}: join first, `river-runner join --token-file FILE` with a token of `ssh river node invite NAME`",
                state_dir.display()
            )
        })
    };
    let key = state_dir.join("node_key");
    if fs::metadata(&key).is_ok_and(|meta| meta.mode() & 0o077 != 0) {
        bail!("{} is open to others: chmod 600 {0}", key.display());
    }
    let certificate =
        Certificate::from_openssh(read("node_certificate")?.trim()).context("node_certificate")?;
    Ok(DialConfig {
        gateway: gateway.to_owned(),
        host_pins: vec![read("gateway_host_key")?.trim().parse()?],
        key: PrivateKey::from_openssh(read("node_key")?).context("node_key")?,
        certificate: Some(certificate),
        bulk: BULK,
        instance: rand::random(),
    })
}

/// The name in the certificate.
///
/// # Errors
/// As [`load`].
pub fn node(gateway: &str, state_dir: &Path) -> anyhow::Result<String> {
    let certificate = load(gateway, state_dir)?.certificate;
    let names = certificate.map(|certificate| certificate.valid_principals().to_vec());
    names
        .unwrap_or_default()
        .pop()
        .context("node_certificate names no node")
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    if let Some(dir) = path.parent() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

//! Invitations that nobody who is signed in makes: for the first account, and for whoever lost all keys.

use std::path::Path;

use cluster::Timestamp;
use keys::{Invitation, Role, token};

use crate::config::Config;
use crate::head::{dice, now};
use crate::ssh::keyring::Keyring;
use crate::state::{AuditEntry, Record};
use crate::store::Store;

/// Milliseconds that it lasts.
const LIFETIME_MS: u64 = 86_400_000;

/// What is to be typed with this code, and what it must see.
///
/// # Errors
/// When the host key has no text.
pub fn told(code: &str, config: &Config, keyring: &Keyring) -> anyhow::Result<String> {
    let (host, port) = (config.host(), config.listen.port());
    let key = keyring.host.public_key().to_openssh()?;
    // sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; `river` is the alias in the block of `ssh config`.
    let place = match port {
        22 => host.clone(),
        _ => format!("[{host}]:{port}"),
    };
    Ok(format!(
        "ssh -p {port} invite-{code}@{host} NAME\n\n# and this line belongs into ~/.ssh/known_hosts:\n{place},river {key}\n"
    ))
}

/// `river-gateway invite`: a one-time invitation for an admin, from whoever can write the store. The gateway must be
/// stopped; all that is told is that it was made.
///
/// # Errors
/// When a gateway uses the store, or it cannot be read or written.
pub fn invite(dir: &Path, config: &Config) -> anyhow::Result<String> {
    let (mut store, _) = Store::open(dir, config.keep_ended)?;
    let keyring = Keyring::open(dir)?;
    let code = token::mint(&dice());
    let at = now();
    let Timestamp(ms) = at;
    let invitation = Invitation {
        hash: token::hash(&code),
        role: Role::Admin,
        name: None,
        by: None,
        expires: ms.saturating_add(LIFETIME_MS),
    };
    let entry = AuditEntry {
        at,
        account: "river".to_owned(),
        action: "auth invite".to_owned(),
        object: "admin, on the gateway's machine".to_owned(),
        verdict: "done".to_owned(),
    };
    store.commit(&[Record::Invitation(invitation)], &[entry])?;
    told(&code, config, &keyring)
}

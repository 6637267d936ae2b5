//! The files that tell an attempt's story: what to run, that it began, how it ended.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::wire::guest::{BEGUN, EXIT, ExitRecord, GuestSpec, SPEC};

/// Unix milliseconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn spec(run: &Path) -> anyhow::Result<GuestSpec> {
    let path = run.join(SPEC);
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).context("the specification makes no sense")
}

/// `false`: this attempt began before, and must not begin again.
pub(super) fn begin(out: &Path) -> anyhow::Result<bool> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(out.join(BEGUN));
    match made {
        Ok(file) => {
            file.sync_all()?;
            File::open(out)?.sync_all()?;
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).context("cannot mark the beginning"),
    }
}

/// Durable when this returns.
pub(super) fn end(out: &Path, record: &ExitRecord) -> anyhow::Result<()> {
    let part = out.join("exit.part");
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    std::fs::rename(&part, out.join(EXIT))?;
    File::open(out)?.sync_all()?;
    Ok(())
}

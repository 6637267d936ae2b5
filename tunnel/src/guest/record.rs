//! The files that tell an attempt's story: what to run, that it began, how it ended.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::wire::guest::{BEGUN, EXIT, ExitRecord, FAILED, GuestSpec, SPEC};

/// What becomes [`EXIT`]. It is there from the beginning and has its room on the disk, so that an end can be written
/// down on a disk that is full by then.
const PART: &str = "exit.part";
/// Bytes of that room, and of [`FAILED`]'s.
const RESERVE: usize = 4096;

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
///
/// # Errors
/// When the disk has no room for it, and for its end.
pub(super) fn begin(out: &Path) -> anyhow::Result<bool> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(out.join(BEGUN));
    match made {
        Ok(file) => {
            for name in [PART, FAILED] {
                std::fs::write(out.join(name), [b' '; RESERVE])
                    .context("no room for how it ends")?;
            }
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
    let part = out.join(PART);
    let text = serde_json::to_vec(record)?;
    let file = match in_place(&part, &text) {
        Ok(file) => file,
        // No room was kept for it, or it needs more.
        Err(_) => {
            let mut file = File::create(&part)?;
            file.write_all(&text)?;
            file
        }
    };
    file.sync_all()?;
    std::fs::rename(&part, out.join(EXIT))?;
    File::open(out)?.sync_all()?;
    Ok(())
}

/// Over what lies there, and neither longer nor shorter: blanks after JSON mean nothing.
fn in_place(part: &Path, text: &[u8]) -> std::io::Result<File> {
    let file = OpenOptions::new().write(true).open(part)?;
    if file.metadata()?.len() != RESERVE as u64 || text.len() > RESERVE {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut padded = text.to_vec();
    padded.resize(RESERVE, b' ');
    file.write_all_at(&padded, 0)?;
    Ok(file)
}

/// For the launch to say why not, in the room that was kept.
pub(super) fn open_failed(out: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(out.join(FAILED))
}

/// What the launch could not do.
pub(super) fn failed(out: &Path) -> Option<String> {
    let why = std::fs::read_to_string(out.join(FAILED)).ok()?;
    let why = why.trim_end_matches(' ');
    (!why.is_empty()).then(|| why.to_owned())
}

#[cfg(test)]
mod tests {
    use cluster::OutputSize;

    use super::*;
    use crate::wire::guest::{GuestEnd, Unwritten};

    #[test]
    fn an_end_takes_the_room_that_was_kept_for_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(begin(dir.path()).unwrap());
        assert!(!begin(dir.path()).unwrap());
        assert_eq!(failed(dir.path()), None);
        let record = ExitRecord {
            attempt: "17.1".parse().unwrap(),
            started: Some(1),
            ended: 2,
            end: GuestEnd::Exited { code: 3 },
            output: OutputSize::default(),
            unwritten: Unwritten::default(),
        };
        end(dir.path(), &record).unwrap();
        let text = std::fs::read(dir.path().join(EXIT)).unwrap();
        assert_eq!(text.len(), RESERVE, "no more and no less");
        let read: ExitRecord = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, record);
        let why = "no such command";
        open_failed(dir.path())
            .unwrap()
            .write_all(why.as_bytes())
            .unwrap();
        assert_eq!(failed(dir.path()).as_deref(), Some(why));
    }
}

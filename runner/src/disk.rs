//! Room on the disks of a node: with little of it left, nothing new begins there.

use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster::DiskTrouble;
use nix::sys::statvfs::{FsFlags, statvfs};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::agent::Event;
use crate::engine::Engine;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// How long an engine may take to say where its folder is.
const ASKED: Duration = Duration::from_secs(1);
/// Looks between two probes of the state folder: not every disk that has gone read-only says so (ext4's
/// `emergency_ro`).
const PROBE: u32 = 5;
const PROBED: &str = ".writable";
/// A disk is full with so many bytes or files left, or with this part of a small one.
const BYTES: u64 = 256 << 20;
const FILES: u64 = 1000;
const PART: u64 = 20;
/// It has room again with so much more.
const MORE: u64 = 2;

/// As statvfs(3) has it.
#[derive(Clone, Copy, Debug)]
struct Room {
    bytes: u64,
    bytes_free: u64,
    /// 0: this kind of disk does not count them.
    files: u64,
    files_free: u64,
    read_only: bool,
}

/// Looks at the state folder and at that of the engine, and tells of each change. Ends with the agent.
pub async fn watch<E: Engine>(state_dir: PathBuf, engine: Arc<E>, events: mpsc::Sender<Event>) {
    let mut known: Option<DiskTrouble> = None;
    let (mut looks, mut broken) = (0, None);
    let mut folder = None;
    loop {
        // An engine that is away says it later.
        if folder.is_none() {
            let asked = tokio::time::timeout(ASKED, engine.folder()).await;
            folder = asked.ok().flatten();
        }
        let (own, others, before) = (state_dir.clone(), folder.clone(), known.clone());
        let (due, probed) = (looks % PROBE == 0, broken.take());
        looks = looks.wrapping_add(1);
        let looking = tokio::task::spawn_blocking(move || {
            let broken = if due { probe(&own) } else { probed };
            let known = before.as_ref();
            let mut places = std::iter::once(&own).chain(&others);
            let seen = places.find_map(|place| look(place, known));
            (broken.clone().or(seen), broken)
        });
        let (seen, probed) = looking.await.unwrap_or_default();
        broken = probed;
        if seen.as_ref().map(|seen| &seen.what) != known.as_ref().map(|known| &known.what) {
            match &seen {
                Some(seen) => warn!(seen.what, seen.detail, "nothing new begins here"),
                None => info!("there is room on the disk again"),
            }
            known.clone_from(&seen);
            if events.send(Event::Disk(seen)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Writes where a moment ago was written: want of room is told apart by [`look`].
fn probe(state_dir: &Path) -> Option<DiskTrouble> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(false).mode(0o600);
    let done = opened
        .open(state_dir.join(PROBED))
        .and_then(|file| file.write_all_at(b"\n", 0));
    let error = done.err()?;
    let kind = error.kind();
    if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&kind) {
        return None;
    }
    let what = if kind == ErrorKind::ReadOnlyFilesystem {
        READ_ONLY
    } else {
        BROKEN
    };
    Some(DiskTrouble {
        what: what.to_owned(),
        detail: format!("{}: {error}", state_dir.display()),
    })
}

fn look(place: &Path, known: Option<&DiskTrouble>) -> Option<DiskTrouble> {
    // An engine may name a folder of another machine.
    let disk = statvfs(place).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
    let room = Room {
        bytes: bytes(disk.blocks()),
        bytes_free: bytes(disk.blocks_available()),
        files: disk.files(),
        files_free: disk.files_available(),
        read_only: disk.flags().contains(FsFlags::ST_RDONLY),
    };
    let what = judge(room, known.map(|known| known.what.as_str()))?;
    let (mib, place) = (|bytes| bytes >> 20, place.display());
    let detail = match what {
        READ_ONLY => format!("{place} cannot be written"),
        NO_FILES => format!(
            "{} of {} files left in {place}",
            room.files_free, room.files
        ),
        _ => format!(
            "{} of {} MiB left in {place}",
            mib(room.bytes_free),
            mib(room.bytes)
        ),
    };
    Some(DiskTrouble {
        what: what.to_owned(),
        detail,
    })
}

const READ_ONLY: &str = "disk read-only";
const BROKEN: &str = "disk broken";
const FULL: &str = "disk full";
const NO_FILES: &str = "disk full of files";

/// What is wrong with a disk, by what was wrong with it before.
fn judge(room: Room, before: Option<&str>) -> Option<&'static str> {
    let lacks = |what: &str, all: u64, free: u64, most: u64| {
        let low = most.min(all / PART);
        let low = if before == Some(what) {
            low * MORE
        } else {
            low
        };
        all > 0 && free < low
    };
    if room.read_only {
        Some(READ_ONLY)
    } else if lacks(FULL, room.bytes, room.bytes_free, BYTES) {
        Some(FULL)
    } else if lacks(NO_FILES, room.files, room.files_free, FILES) {
        Some(NO_FILES)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room(bytes: u64, bytes_free: u64) -> Room {
        Room {
            bytes,
            bytes_free,
            files: 0,
            files_free: 0,
            read_only: false,
        }
    }

    #[test]
    fn little_is_full_and_a_little_more_is_not_room_again() {
        let small = |free| room(64 * MIB, free * MIB);
        assert_eq!(judge(small(4), None), None);
        assert_eq!(judge(small(3), None), Some(FULL));
        assert_eq!(judge(small(4), Some(FULL)), Some(FULL));
        assert_eq!(judge(small(7), Some(FULL)), None);
        let large = |free| room(1 << 40, free * MIB);
        assert_eq!(judge(large(255), None), Some(FULL));
        assert_eq!(judge(large(257), None), None);
    }

    #[test]
    fn files_count_where_they_are_counted() {
        let disk = |files, files_free| Room {
            files,
            files_free,
            ..room(64 * MIB, 32 * MIB)
        };
        assert_eq!(judge(disk(0, 0), None), None);
        assert_eq!(judge(disk(200, 9), None), Some(NO_FILES));
        assert_eq!(judge(disk(1_000_000, 999), None), Some(NO_FILES));
        assert_eq!(judge(disk(1_000_000, 1001), None), None);
    }

    #[test]
    fn what_cannot_be_written_is_not_full() {
        let disk = Room {
            read_only: true,
            ..room(MIB, 0)
        };
        assert_eq!(judge(disk, None), Some(READ_ONLY));
    }
}

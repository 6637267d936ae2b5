//! How much lies where a box's output is kept. Its guest keeps to the cap; whoever is root in the box need not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{AttemptId, Observation, Phase};
use nix::dir::Dir;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use tokio::sync::{mpsc, watch};
use tunnel::guest::output::SEGMENT;

use crate::agent::Event;

/// Between two looks: the kernel tells of no sizes.
const LOOK: Duration = Duration::from_secs(2);
/// Least that an entry takes, in bytes: a million empty files are not nothing.
const ENTRY: u64 = 4096;
/// Longest name of a folder in there, in bytes: a guest makes none, and no more than this is remembered of each.
const DEEPEST: usize = 256;
/// Bytes of a block of stat(2).
const BLOCK: u64 = 512;

/// Most that may lie in an attempt's folder, in bytes: both streams at their cap, a segment that is being filled
/// of each, marks and record.
#[must_use]
pub const fn most(output_cap: u64) -> u64 {
    2 * (output_cap + 2 * SEGMENT) + (1 << 20)
}

/// Looks at the boxes that run, and tells of each that has more than `most`. Ends with the agent.
pub async fn watch(
    attempts: PathBuf,
    most: u64,
    mut running: watch::Receiver<Option<Observation>>,
    events: mpsc::Sender<Event>,
) {
    loop {
        let boxes: Vec<AttemptId> = running
            .borrow_and_update()
            .iter()
            .flat_map(|seen| &seen.attempts)
            .filter(|seen| matches!(seen.phase, Phase::Running { .. }))
            .map(|seen| seen.attempt)
            .collect();
        if boxes.is_empty() {
            // Nothing to look at before something runs.
            if running.changed().await.is_err() {
                return;
            }
            continue;
        }
        let folder = attempts.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let over = |id: &AttemptId| is_over(&out(&folder, *id), most);
            boxes.into_iter().filter(over).collect::<Vec<_>>()
        });
        for id in looking.await.unwrap_or_default() {
            if events.send(Event::Overfull(id)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A box that stays has a folder for all its attempts.
fn out(attempts: &Path, id: AttemptId) -> PathBuf {
    let kept = attempts.join(AttemptId { number: 0, ..id }.to_string());
    let folder = if kept.is_dir() {
        kept
    } else {
        attempts.join(id.to_string())
    };
    folder.join("out")
}

/// Stops counting when it is too much. A tenant's names lead nowhere else: no links, no other disks.
fn is_over(out: &Path, most: u64) -> bool {
    let Ok(root) = File::open(out) else {
        return false;
    };
    let (mut total, mut waiting) = (0, vec![PathBuf::from(".")]);
    while let Some(dir) = waiting.pop() {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        let opened = openat2(&root, &dir, how).map(Dir::from_fd);
        // Gone meanwhile: its parent is counted.
        let Ok(Ok(mut entries)) = opened else {
            continue;
        };
        let here = File::from(match nix::unistd::dup(&entries) {
            Ok(fd) => fd,
            Err(_) => continue,
        });
        for entry in entries.iter().flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat =
                nix::sys::stat::fstatat(&here, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW);
            let Ok(stat) = stat else { continue };
            let bytes = u64::try_from(stat.st_blocks).unwrap_or_default() * BLOCK;
            total += bytes.max(ENTRY);
            if total > most {
                return true;
            }
            if stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR {
                use std::os::unix::ffi::OsStrExt;
                let inner = dir.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                // Deeper than any name reaches, nothing could be counted.
                if inner.as_os_str().len() > DEEPEST {
                    return true;
                }
                waiting.push(inner);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_seen_as_bytes_and_as_entries_and_no_link_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        std::fs::create_dir_all(out.join("deep/er")).unwrap();
        std::os::unix::fs::symlink("/", out.join("away")).unwrap();
        assert!(!is_over(&out, 64 << 10));
        std::fs::write(out.join("deep/er/junk"), vec![1; 100 << 10]).unwrap();
        assert!(is_over(&out, 64 << 10));
        assert!(!is_over(&out, 256 << 10));
        for number in 0..64 {
            File::create(out.join(format!("deep/{number}"))).unwrap();
        }
        assert!(is_over(&out, 256 << 10));
        assert!(!is_over(&dir.path().join("none"), 0));
    }

    #[test]
    fn what_lies_deeper_than_names_reach_is_not_overlooked() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        std::fs::create_dir_all(out.join("d/".repeat(100))).unwrap();
        assert!(!is_over(&out, 1 << 20));
        std::fs::create_dir_all(out.join("d/".repeat(200))).unwrap();
        assert!(is_over(&out, 1 << 20));
    }

    #[test]
    fn a_box_that_stays_is_looked_for_where_it_keeps_its_output() {
        let dir = tempfile::tempdir().unwrap();
        let id = AttemptId {
            task: cluster::TaskId(7),
            number: 3,
        };
        assert_eq!(out(dir.path(), id), dir.path().join("7.3/out"));
        std::fs::create_dir_all(dir.path().join("7.0/out")).unwrap();
        assert_eq!(out(dir.path(), id), dir.path().join("7.0/out"));
    }
}

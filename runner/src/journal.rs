//! What a runner must not forget: durable before it is acted on or reported.
//!
//! `state_dir/runner.json` holds the highest numbers seen. Each attempt has a folder `state_dir/a/17.1`
//! with `assignment.json`, later `result.json`, and the guest's `run` and `out`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cluster::{Assignment, Assignments, AttemptId, Phase, TaskId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::removal;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub epoch: u64,
    /// Newest `Assignments` taken.
    pub version: u64,
    pub task: TaskId,
}

impl Seen {
    /// Is this list newer than all that was taken? A runner obeys the highest life of a gateway that it has seen, and of
    /// that the newest list.
    #[must_use]
    pub fn is_before(self, list: &Assignments) -> bool {
        (self.epoch, self.version) < (list.epoch, list.version)
    }

    /// Once that list is taken.
    #[must_use]
    pub fn after(self, list: &Assignments) -> Self {
        let unread = list.unread.iter().map(|attempt| attempt.task);
        let tasks = list.list.iter().map(|assignment| assignment.attempt.task);
        let task = tasks.chain(unread).max();
        Self {
            epoch: list.epoch,
            version: list.version,
            task: self.task.max(task.unwrap_or_default()),
        }
    }
}

/// An attempt as it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub assignment: Assignment,
    /// Of the machine, when it was taken: another one now means a reboot.
    pub boot_id: String,
}

/// An attempt found at the start.
#[derive(Clone, Debug)]
pub struct Found {
    pub taken: Taken,
    pub result: Option<Phase>,
}

#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
    boot_id: String,
}

impl Journal {
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(
        state_dir: &Path,
        boot_id: &str,
    ) -> anyhow::Result<(Self, Seen, BTreeMap<AttemptId, Found>)> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let attempts = state_dir.join("a");
        // What tasks wrote is for nobody else on this machine. Their guests open it before they become
        // the tasks' users; an engine mounts it.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&attempts)
            .with_context(|| format!("cannot make {}", attempts.display()))?;
        // A disk that takes nothing may have it already.
        if fs::metadata(&attempts)?.permissions().mode() & 0o7777 != 0o700 {
            fs::set_permissions(&attempts, fs::Permissions::from_mode(0o700))?;
        }
        let seen = read(&state_dir.join("runner.json"))?.unwrap_or_default();
        let journal = Self {
            dir: state_dir.to_owned(),
            boot_id: boot_id.to_owned(),
        };
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&attempts)?.flatten() {
            let Some(attempt) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            match read::<Taken>(&entry.path().join("assignment.json"))? {
                Some(taken) => {
                    let result = read(&entry.path().join("result.json"))?;
                    found.insert(attempt, Found { taken, result });
                }
                // It was never taken: the folder was made and no more.
                None => drop(removal::remove(&entry.path())),
            }
        }
        Ok((journal, seen, found))
    }

    #[must_use]
    pub fn folder(&self, attempt: AttemptId) -> PathBuf {
        self.dir.join("a").join(attempt.to_string())
    }

    /// Of the box: [`cluster::Assignment::box_id`]. A box that stays has a folder beside those of its
    /// attempts.
    #[must_use]
    pub fn place(&self, assignment: &Assignment) -> PathBuf {
        self.folder(assignment.box_id())
    }

    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The runner's state folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// # Errors
    /// When the disk fails.
    pub fn seen(&self, seen: Seen) -> anyhow::Result<()> {
        write(&self.dir.join("runner.json"), &seen)
    }

    /// # Errors
    /// When the disk fails.
    pub fn take(&self, assignment: &Assignment) -> anyhow::Result<()> {
        let folder = self.folder(assignment.attempt);
        fs::create_dir_all(folder.join("run"))?;
        fs::create_dir_all(folder.join("out"))?;
        let taken = Taken {
            assignment: assignment.clone(),
            boot_id: self.boot_id.clone(),
        };
        write(&folder.join("assignment.json"), &taken)?;
        fs::File::open(self.dir.join("a"))?.sync_all()?;
        Ok(())
    }

    /// # Errors
    /// When the disk fails.
    pub fn result(&self, attempt: AttemptId, phase: &Phase) -> anyhow::Result<()> {
        write(&self.folder(attempt).join("result.json"), phase)
    }

    /// Forgets an attempt: its record first, so that a crash leaves nothing that could start again.
    pub fn drop_attempt(&self, attempt: AttemptId) {
        let folder = self.folder(attempt);
        let _ = fs::remove_file(folder.join("assignment.json"));
        let _ = removal::remove(&folder);
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => {
            let value = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged", path.display()))?;
            Ok(Some(value))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let mut file =
        fs::File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    if let Some(dir) = path.parent() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster::{TaskSpec, Wanted};

    use super::*;

    fn assignment(number: u32) -> Assignment {
        Assignment {
            attempt: AttemptId {
                task: TaskId(17),
                number,
            },
            owner: "alice".parse().unwrap(),
            spec: Arc::new(TaskSpec::of(vec!["true".into()])),
            cores: vec![1],
            spooled: None,
            wanted: Wanted::Run,
            keeps_box: false,
        }
    }

    #[test]
    fn what_was_taken_is_there_after_a_restart_and_what_was_dropped_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, seen, found) = Journal::open(dir.path(), "b1").unwrap();
        assert!(found.is_empty() && seen == Seen::default());
        for number in 1..=3 {
            journal.take(&assignment(number)).unwrap();
        }
        let highest = Seen {
            epoch: 4,
            version: 9,
            task: TaskId(17),
        };
        journal.seen(highest).unwrap();
        journal
            .result(
                assignment(2).attempt,
                &Phase::Preparing { note: "x".into() },
            )
            .unwrap();
        journal.drop_attempt(assignment(3).attempt);
        let (_, seen, found) = Journal::open(dir.path(), "b2").unwrap();
        assert_eq!(seen, highest);
        assert_eq!(found.len(), 2);
        assert_eq!(found[&assignment(1).attempt].taken.boot_id, "b1");
        assert!(found[&assignment(2).attempt].result.is_some());
    }
}

//! Plain processes under the guest's supervision. Isolates nothing, and says so.
//!
//! The guest is a process of its own that outlives the runner; it is found again by its pid and start
//! time (proc_pid_stat(5)), for a pid alone may be somebody else's by now.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::AttemptId;
use nix::unistd::{Pid, Uid};
use tunnel::wire::guest::GuestUser;

use super::{BoxPlan, BoxSeen, BoxState, Engine, EngineError, Prepared, proc};

/// Between two looks at the processes: their guests tell of their ends themselves.
const LOOK: Duration = Duration::from_secs(5);
/// In an attempt's folder: pid and start time of its guest.
const PID: &str = "pid";
/// In its place once the box was removed: what was started once is not started again.
const GONE: &str = "gone";
/// User ids in turn.
const UIDS: u32 = 10_000;

pub struct Process {
    /// Of all attempts.
    folder: PathBuf,
    first_uid: u32,
}

impl Process {
    #[must_use]
    pub fn new(folder: PathBuf, first_uid: u32) -> Self {
        Self { folder, first_uid }
    }

    fn user(&self, attempt: AttemptId) -> GuestUser {
        if self.first_uid == 0 || !Uid::effective().is_root() {
            return GuestUser::Same;
        }
        let turn = u32::try_from(attempt.task.0 % u64::from(UIDS)).unwrap_or_default();
        let id = self.first_uid + turn;
        GuestUser::Ids { uid: id, gid: id }
    }

    /// The guest's pid, while it is that process.
    fn alive(&self, attempt: AttemptId) -> Option<Pid> {
        let text = fs::read_to_string(self.record(attempt)).ok()?;
        let (pid, born) = text.trim().split_once(' ')?;
        let pid = Pid::from_raw(pid.parse().ok()?);
        let (state, now) = proc::stat(pid)?;
        (now == born && state != 'Z').then_some(pid)
    }

    /// `None`: it was removed.
    fn see(&self, attempt: AttemptId) -> Option<BoxSeen> {
        let state = match self.alive(attempt) {
            Some(guest) if proc::is_frozen(guest) => BoxState::Paused,
            Some(_) => BoxState::Running,
            None if fs::read_to_string(self.record(attempt)).is_ok_and(|text| text == GONE) => {
                return None;
            }
            None => BoxState::Exited { oom: false },
        };
        Some(BoxSeen {
            attempt: Some(attempt),
            name: format!("process of {attempt}"),
            state,
        })
    }

    fn record(&self, attempt: AttemptId) -> PathBuf {
        self.folder.join(attempt.to_string()).join(PID)
    }

    /// Was a guest ever started? One whose runner died before it could write that down is found and
    /// written down now.
    fn was_started(&self, attempt: AttemptId) -> bool {
        if self.record(attempt).exists() {
            return true;
        }
        let run = self.folder.join(attempt.to_string()).join("run");
        proc::guest_of(&run).is_some_and(|pid| self.write_down(attempt, pid).is_ok())
    }

    fn write_down(&self, attempt: AttemptId, pid: Pid) -> std::io::Result<()> {
        let born = proc::stat(pid).map(|(_, born)| born).unwrap_or_default();
        let record = self.record(attempt);
        let part = record.with_extension("part");
        fs::write(&part, format!("{pid} {born}"))?;
        fs::rename(part, record)
    }
}

fn mark_gone(record: &Path) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(record)?;
    file.write_all_at(GONE.as_bytes(), 0)?;
    file.set_len(GONE.len() as u64)
}

impl Engine for Process {
    async fn prepare(&self, plan: &BoxPlan) -> Result<Prepared, EngineError> {
        let spec = &plan.assignment.spec;
        if spec.needs_container() {
            return Err(EngineError::Task(
                "the process engine has no images, environments, mounts, privilege or read-only root".to_owned(),
            ));
        }
        let mut env = BTreeMap::new();
        for name in ["PATH", "LANG"] {
            if let Ok(value) = std::env::var(name) {
                env.insert(name.to_owned(), value);
            }
        }
        Ok(Prepared {
            env,
            workdir: Some("/tmp".to_owned()),
            user: self.user(plan.assignment.attempt),
            affinity: true,
        })
    }

    async fn start(&self, plan: &BoxPlan) -> Result<(), EngineError> {
        let attempt = plan.assignment.box_id();
        let stays = plan.assignment.spec.vps.is_some();
        if self.was_started(attempt) && (!stays || self.alive(attempt).is_some()) {
            return Ok(());
        }
        let broken =
            |error: std::io::Error| EngineError::Engine(format!("cannot start a process: {error}"));
        let log = fs::File::create(plan.run.join("guest.log")).map_err(broken)?;
        // By `setsid`, so that no signal to the runner's group reaches it; it is reaped by a thread.
        let mut child = Command::new("setsid")
            .arg(&plan.guest)
            .arg("run")
            .args([&plan.run, &plan.out])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .current_dir("/")
            .spawn()
            .map_err(broken)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
        self.write_down(attempt, pid).map_err(broken)?;
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    async fn freeze(&self, _: AttemptId, _: bool) -> Result<bool, EngineError> {
        Ok(false)
    }

    async fn kill(&self, attempt: AttemptId) -> Result<(), EngineError> {
        if let Some(guest) = self.alive(attempt) {
            proc::kill_tree(guest);
        }
        Ok(())
    }

    async fn remove(&self, attempt: AttemptId) -> Result<(), EngineError> {
        self.kill(attempt).await?;
        let record = self.record(attempt);
        if record.exists() {
            let broken = |error| EngineError::Engine(format!("{}: {error}", record.display()));
            // In the room that it has: the disk may be full. One that cannot be written keeps it, and nothing starts
            // there.
            match mark_gone(&record) {
                Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {}
                done => done.map_err(broken)?,
            }
        }
        Ok(())
    }

    /// The guest, or what it started: orphans of a box are its guest's.
    async fn holds(&self, attempt: AttemptId, process: Pid) -> Result<bool, EngineError> {
        let guest = self.alive(attempt);
        Ok(guest.is_some_and(|guest| proc::is_below(guest, process)))
    }

    async fn list(&self) -> Result<Vec<BoxSeen>, EngineError> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let attempts = entries.filter_map(|entry| super::box_id(entry.file_name().to_str()?));
        let attempts = attempts.filter(|attempt: &AttemptId| self.was_started(*attempt));
        Ok(attempts.filter_map(|attempt| self.see(attempt)).collect())
    }

    async fn guests(&self) -> Result<Vec<PathBuf>, EngineError> {
        let boxes = self.list().await?;
        let alive = boxes
            .into_iter()
            .filter_map(|seen| self.alive(seen.attempt?));
        Ok(alive.filter_map(proc::program).collect())
    }

    async fn changed(&self) {
        tokio::time::sleep(LOOK).await;
    }

    async fn version(&self) -> Result<String, EngineError> {
        Ok(env!("CARGO_PKG_VERSION").to_owned())
    }
}

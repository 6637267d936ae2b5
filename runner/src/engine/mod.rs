//! What starts and stops the boxes of a node: one trait, two engines.

pub mod docker;
mod proc;
pub mod process;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

use cluster::{Assignment, AttemptId, TaskName};
use nix::unistd::Pid;
use tunnel::wire::errand::Snapshot;
use tunnel::wire::guest::GuestUser;

/// What an engine needs to make the box of one attempt.
#[derive(Clone, Debug)]
pub struct BoxPlan {
    pub assignment: Assignment,
    /// The guest's program on this node.
    pub guest: PathBuf,
    /// Run and out directory of this attempt on this node (`tunnel::wire::guest`).
    pub run: PathBuf,
    pub out: PathBuf,
}

/// What an image brings along; the guest applies it, not the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The image's environment; the spec's goes over it.
    pub env: BTreeMap<String, String>,
    pub workdir: Option<String>,
    pub user: GuestUser,
    /// The guest keeps the command on its cores; the engine does not.
    pub affinity: bool,
}

/// One box as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxSeen {
    /// What its label says, if that can be read.
    pub attempt: Option<AttemptId>,
    pub name: String,
    pub state: BoxState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxState {
    /// Made, never started.
    Created,
    Running,
    Paused,
    /// `oom`: the kernel killed something in it for its memory limit.
    Exited {
        oom: bool,
    },
}

/// Why an engine could not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The task's own fault, or its image's: it ends as `failed`, with this sentence.
    #[error("{0}")]
    Task(String),
    /// The engine is there and says that it cannot: tried again for a while, then believed.
    #[error("{0}")]
    Refused(String),
    /// The engine is away or broken: the attempt waits.
    #[error("{0}")]
    Engine(String),
}

/// As [`Assignment::box_id`] writes it: the number 0 is of a box that stays.
fn box_id(text: &str) -> Option<AttemptId> {
    if let Some(task) = text.strip_suffix(".0") {
        let task = task.parse().ok()?;
        return Some(AttemptId { task, number: 0 });
    }
    text.parse().ok()
}

/// This process is no more, or waits to be taken note of.
pub(crate) fn has_ended(process: Pid) -> bool {
    proc::stat(process).is_none_or(|(state, _)| state == 'Z')
}

fn no_snapshots() -> EngineError {
    EngineError::Task("this node's engine has no disks, so no snapshots".to_owned())
}

/// `docker`, `process`. Every call may be repeated: done twice is done once.
pub trait Engine: Send + Sync + 'static {
    /// Fetches the image if it may and must, and says what it brings.
    fn prepare(&self, plan: &BoxPlan)
    -> impl Future<Output = Result<Prepared, EngineError>> + Send;

    /// Makes and starts the box; one that is there already is left as it is and started if it never was, or
    /// if it is one that stays. Boxes are named by `Assignment::box_id`, here and below.
    fn start(&self, plan: &BoxPlan) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Freezes or thaws every process of the box. `false`: the guest must do it.
    fn freeze(
        &self,
        attempt: AttemptId,
        frozen: bool,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send;

    /// Ends the box without grace; what it wrote stays.
    fn kill(&self, attempt: AttemptId) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes what is left of an ended box.
    fn remove(&self, attempt: AttemptId) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Is this process in the box? By what the kernel knows of it, not by what it says.
    fn holds(
        &self,
        attempt: AttemptId,
        process: Pid,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send;

    /// The box's disk as it is now, under a name of its own.
    fn snapshot(
        &self,
        held: AttemptId,
        name: &TaskName,
    ) -> impl Future<Output = Result<(), EngineError>> + Send {
        let _ = (held, name);
        async { Err(no_snapshots()) }
    }

    /// Newest first.
    fn snapshots(
        &self,
        held: AttemptId,
    ) -> impl Future<Output = Result<Vec<Snapshot>, EngineError>> + Send {
        let _ = held;
        async { Err(no_snapshots()) }
    }

    /// A box that does not run gets the disk of the snapshot.
    fn restore(
        &self,
        plan: &BoxPlan,
        name: &TaskName,
    ) -> impl Future<Output = Result<(), EngineError>> + Send {
        let _ = (plan, name);
        async { Err(no_snapshots()) }
    }

    fn drop_snapshot(
        &self,
        held: AttemptId,
        name: &TaskName,
    ) -> impl Future<Output = Result<(), EngineError>> + Send {
        let _ = (held, name);
        async { Err(no_snapshots()) }
    }

    /// Every box with river's label for this node, whoever made it.
    fn list(&self) -> impl Future<Output = Result<Vec<BoxSeen>, EngineError>> + Send;

    /// Programs of guests that boxes stand on, on this node: of all of [`Engine::list`], stopped ones too.
    fn guests(&self) -> impl Future<Output = Result<Vec<PathBuf>, EngineError>> + Send;

    /// Returns when something may have changed: a box ended, the engine came or went.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Where on this node it keeps its images and the disks of boxes, if that is a folder of its own.
    fn folder(&self) -> impl Future<Output = Option<PathBuf>> + Send {
        async { None }
    }

    /// What the engine calls its version; fails while it is away.
    fn version(&self) -> impl Future<Output = Result<String, EngineError>> + Send;
}

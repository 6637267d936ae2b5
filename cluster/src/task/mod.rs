//! The unit that is placed and run.

mod lifecycle;
mod name;
mod outcome;
mod spec;

use std::sync::Arc;

use keys::{NodeName, Role, UserName};
use serde::{Deserialize, Serialize};

pub use lifecycle::{IllegalStep, TaskEvent, TaskState, next};
pub use name::{STOP_SNAPSHOT, TaskName};
pub use outcome::{End, Outcome, OutputSize};
pub use spec::{Image, Mount, Stdin, TaskSpec, Vps, limits};

use crate::{AttemptId, TaskId, Timestamp, Wanted};

/// The gateway's durable record of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    /// As given, or made up; unique among live tasks of the cluster.
    pub name: TaskName,
    pub owner: UserName,
    /// Of the owner when it was submitted; decides which nodes may take it.
    pub owner_role: Role,
    pub spec: Arc<TaskSpec>,
    pub state: TaskState,
    pub submitted: Timestamp,
    /// `None` unless `spec.stdin` is `Spooled`.
    pub spool: Option<Spool>,
    /// 0 until the first placement.
    pub attempt: u32,
    /// Of the current attempt; kept after the end, for readers.
    pub placement: Option<Placement>,
    /// What the current attempt should be doing.
    pub wanted: Wanted,
    /// Who asked for the kill, if somebody did.
    pub killed_by: Option<UserName>,
    /// Ends and losses so far that a retry replaced.
    pub retried: u32,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// Bytes the last attempt wrote; known at its end.
    pub output: OutputSize,
    /// The output is in the gateway's store (or there is none), and the node may forget the attempt.
    pub collected: bool,
    /// What the node said it is preparing.
    pub note: Option<String>,
    /// Tasks submitted by one command share the id of the first.
    pub batch: Option<TaskId>,
}

/// Input that was durable at the gateway before the task was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spool {
    /// Its name in the gateway's spool folder.
    pub file: String,
    /// Bytes.
    pub length: u64,
}

/// Where an attempt is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub node: NodeName,
    /// Numbers out of the node's cores; empty: no limit.
    pub cores: Vec<u32>,
    /// Life of the gateway in which it was decided.
    pub epoch: u64,
    pub at: Timestamp,
}

impl Task {
    #[must_use]
    pub fn is_vps(&self) -> bool {
        self.spec.vps.is_some()
    }

    /// `task-17`, `vps-42`: its login name.
    #[must_use]
    pub fn label(&self) -> String {
        if self.is_vps() {
            format!("vps-{}", self.id.0)
        } else {
            self.id.to_string()
        }
    }

    /// The current attempt; `None` before the first placement.
    #[must_use]
    pub const fn current(&self) -> Option<AttemptId> {
        if self.attempt == 0 {
            return None;
        }
        Some(AttemptId {
            task: self.id,
            number: self.attempt,
        })
    }
}

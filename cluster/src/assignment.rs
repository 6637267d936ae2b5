//! The decision: this task, on that node, on these cores. All of a node's at once, with a version.

use std::sync::Arc;

use keys::UserName;
use serde::{Deserialize, Serialize};

use crate::{AttemptId, TaskSpec};

/// Everything a node should do. Complete; yet what is missing here is left alone and reported, for a
/// gateway restored from an old backup knows less than its nodes: only `Wanted::Drop` removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignments {
    /// Life of the gateway that made them; a runner obeys the highest it has seen.
    pub epoch: u64,
    /// Rises with each change: the epoch in the upper half, a count in the lower.
    pub version: u64,
    pub list: Vec<Assignment>,
    /// Others of the list, which this program is too old to understand: they never travel.
    #[serde(skip)]
    pub unread: Vec<AttemptId>,
}

/// One attempt of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    pub attempt: AttemptId,
    pub owner: UserName,
    pub spec: Arc<TaskSpec>,
    /// Numbers out of `NodeFacts::cores`; empty: no limit.
    pub cores: Vec<u32>,
    /// Length of the spooled input that the runner fetches before the start; `None`: not spooled.
    pub spooled: Option<u64>,
    pub wanted: Wanted,
    /// The attempt may be dropped, its box not: a later attempt is to start in it.
    #[serde(default)]
    pub keeps_box: bool,
}

impl Assignment {
    /// Names the box: a VPS keeps one for all its attempts, and a batch task has one for each.
    #[must_use]
    pub fn box_id(&self) -> AttemptId {
        match self.spec.vps {
            Some(_) => AttemptId {
                task: self.attempt.task,
                number: 0,
            },
            None => self.attempt,
        }
    }
}

/// What the attempt should be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    Run,
    Pause,
    /// TERM, grace, KILL. The result is reported as for any other end.
    Stop(StopReason),
    /// Result and output are safe at the gateway: remove everything of this attempt.
    Drop,
}

/// Why an attempt is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A person, or the caller of `task run` went away.
    Killed,
    /// The gateway gave this attempt up (`lost`) and may have started another.
    Fenced,
    /// A VPS that its person stopped: it may be started again as it is.
    Halted,
    /// A VPS that is to start again at once.
    Restarted,
}

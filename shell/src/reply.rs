//! What the gateway answers, as values. `render` makes text or JSON of them.

use std::sync::Arc;
use std::time::Duration;

use cluster::{
    AttemptId, DiskTrouble, Node, NodeState, Resources, Stranger, Task, TaskId, TaskName, Timestamp,
};
use keys::{NodeName, Role, UserName};

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Ready-made text: help, configuration.
    Text(String),
    Welcome(Status),
    Version(String),
    Status(Status),
    /// In the order of the specs. `known`: those that were there before, by their keys.
    Submitted {
        tasks: Vec<Arc<Task>>,
        known: Vec<TaskId>,
    },
    /// Boxes with a key of their own: its private half, shown once.
    Opened {
        tasks: Vec<Arc<Task>>,
        private: String,
    },
    Tasks {
        rows: Vec<TaskRow>,
        more: bool,
    },
    /// `vps list` of somebody who has none.
    NoBoxes,
    TaskDetails(Vec<TaskRow>),
    Why(Why),
    /// What was asked of which tasks and boxes, e.g. ("killing", …).
    Changed {
        verb: &'static str,
        found: Vec<Arc<Task>>,
    },
    /// All that a box has, newest first.
    Snapshots {
        vps: TaskId,
        rows: Vec<SnapshotRow>,
    },
    Nodes(Vec<NodeRow>),
    NodeDetails(Box<NodeRow>, Vec<TaskRow>),
    Summary(Status),
    /// The token is shown once; `install` is the line to type on the node.
    NodeInvited {
        node: NodeName,
        token: String,
        expires: Timestamp,
    },
    /// The node was told to end and remove it.
    Forgotten {
        node: NodeName,
        attempt: AttemptId,
    },
    NodeChanged {
        verb: &'static str,
        node: NodeName,
        running: usize,
    },
    Account(AccountRow, Vec<KeyRow>),
    Accounts(Vec<AccountRow>),
    Keys(Vec<KeyRow>),
    KeyAdded(KeyRow),
    KeyRemoved {
        fingerprint: String,
    },
    AccountChanged(AccountRow),
    /// The code is shown once.
    Invited {
        code: String,
        role: Role,
        name: Option<UserName>,
        expires: Timestamp,
    },
    Audit(Vec<AuditRow>),
    /// What `doctor` found, from the gateway outwards.
    Doctor(Vec<Hop>),
}

/// One thing that `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// `gateway`, the caller's name, or a node's.
    pub place: String,
    pub what: &'static str,
    pub verdict: Verdict,
    pub seen: String,
    /// What to do or type, where it is not well.
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    /// It works, and somebody should look after it.
    Warn,
    /// It does not work.
    Bad,
}

impl Verdict {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    pub name: TaskName,
    pub made: Timestamp,
    /// Bytes.
    pub size: u64,
}

/// A task with what a reader needs beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    pub task: Arc<Task>,
    /// Its node has had no link since.
    pub unreachable_since: Option<Timestamp>,
    /// Its node has a link, and said that its engine is down since.
    pub engine_down_since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodeRow {
    pub node: Arc<Node>,
    pub state: NodeState,
    pub used: Resources,
    pub running: usize,
    /// Its link has been there since.
    pub since: Option<Timestamp>,
    /// … and for so long nothing has come over it.
    pub quiet: Option<Duration>,
    /// It has had none since the gateway began, which was then; when it lost the one of before, is not known.
    pub missed: Option<Timestamp>,
    /// Engine down: what it said, and since when.
    pub engine_error: Option<String>,
    pub engine_down_since: Option<Timestamp>,
    /// Why it begins nothing new.
    pub disk: Option<DiskTrouble>,
    /// What its engine has with river's label, and its runner knows nothing of.
    pub strangers: Vec<Stranger>,
    /// What its runner keeps or runs, and the gateway knows nothing of.
    pub unknown: Vec<Unknown>,
}

/// An attempt of a life of the gateway that this one does not remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub attempt: AttemptId,
    /// `preparing`, `running`, `paused`, `ended`.
    pub phase: &'static str,
    /// Somebody said `node forget`; it is on its way out.
    pub ending: bool,
}

/// The cluster in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub version: String,
    pub account: Option<UserName>,
    pub nodes: Vec<NodeRow>,
    pub pending: usize,
    pub running: usize,
    pub paused: usize,
    /// Boxes that run, in all.
    pub boxes: usize,
    pub own: OwnCounts,
    /// What is not well, worst first, and what to type about it.
    pub wrong: Vec<Wrong>,
    /// The caller's own, newest first.
    pub recent: Vec<TaskRow>,
}

/// Of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnCounts {
    pub pending: usize,
    pub running: usize,
    pub paused: usize,
    pub boxes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub what: String,
    /// A command.
    pub next: String,
}

/// Why a task is where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    pub row: TaskRow,
    /// In plain words, most important first: `2 tasks before it`, `waits for 1 core`.
    pub reasons: Vec<String>,
    pub nodes: Vec<(NodeName, String)>,
    /// When it can start at the latest, if what runs has time limits.
    pub starts_by: Option<Timestamp>,
    /// Where it stands in the queue, from 1.
    pub position: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    pub name: UserName,
    pub role: Role,
    pub disabled: bool,
    pub keys: usize,
    pub created: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub account: UserName,
    pub fingerprint: String,
    pub algorithm: String,
    pub comment: String,
    pub added: Timestamp,
    pub last_used: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub at: Timestamp,
    pub account: String,
    pub action: String,
    pub object: String,
    /// `done`, or why not.
    pub verdict: String,
}

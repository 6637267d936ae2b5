//! One-offs for a node, on a stream of their own: one frame ([`super::frame`]) of [`Errand`], then one of
//! [`Answer`]. An errand may be asked for again: done twice is done once.

use cluster::{TaskName, Timestamp};
use serde::{Deserialize, Serialize};

/// About the disk of one box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    ListSnapshots,
    /// `None`: the node names it.
    Snapshot {
        name: Option<TaskName>,
    },
    /// Only while nothing runs in the box.
    Restore {
        name: TaskName,
    },
    DropSnapshot {
        name: TaskName,
    },
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// All that the box has now, newest first.
    Snapshots(Vec<Snapshot>),
    /// In words.
    Failed(String),
}

/// A disk as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub name: TaskName,
    pub made: Timestamp,
    /// Bytes, with all that it stands on.
    pub size: u64,
}

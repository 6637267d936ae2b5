//! How a node is, for `doctor`: on a stream of its own frames ([`super::frame`]) of [`Question`], each answered by one
//! of [`Told`], in order. A question that only a newer gateway asks is answered in words.

use cluster::Timestamp;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// What time it is there: answered at once, so that the way there and back can be measured.
    Clock,
    /// Disks, engine, versions: answered within [`LIMIT_MS`].
    Health,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Clock(Timestamp),
    Health(Box<Health>),
    /// In words.
    Failed(String),
}

/// Milliseconds that a node takes at most to look at a disk, at its engine, or at the guest's program: what does not
/// answer by then stands still, and is told so.
pub const LIMIT_MS: u64 = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub runner_version: String,
    /// Of the program that new boxes get; `None`: it does not say.
    pub guest_version: Option<String>,
    /// The disk of the runner's state folder; `None`: it does not answer.
    pub state: Option<Room>,
    pub engine: EngineSeen,
}

/// A disk, by a folder on it: statvfs(3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub path: String,
    /// Bytes, and those that may still be written.
    pub size: u64,
    pub free: u64,
    /// Files that may still be made; `None`: the file system does not count them.
    pub files_free: Option<u64>,
    pub read_only: bool,
}

/// The engine as it answers now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineSeen {
    Up {
        version: String,
        took_ms: u64,
        /// Where it keeps boxes and images; `None`: nowhere, or not on this machine.
        room: Option<Room>,
    },
    Down {
        error: String,
    },
}

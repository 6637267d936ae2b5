//! What a node says is true. Complete: an attempt that is missing here is unknown to the node.

use serde::{Deserialize, Serialize};

use crate::{AttemptId, End, OutputSize, TaskId, Timestamp};

/// Everything a node has. Sent whole after every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Version of the newest `Assignments` that was durably taken.
    pub version: u64,
    pub attempts: Vec<AttemptReport>,
    pub engine: EngineHealth,
    /// Why it begins nothing new, if that is for its disk; what runs goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskTrouble>,
    /// Things with river's label that no assignment explains: kept, shown, never killed.
    pub strangers: Vec<Stranger>,
    /// Other attempts, of which the node says what this program is too old to understand: they never travel.
    #[serde(skip)]
    pub unread: Vec<AttemptId>,
}

impl Observation {
    /// Is a box that stays still there of this one, and no attempt of it?
    #[must_use]
    pub fn shows_box(&self, task: TaskId) -> bool {
        let mut boxes = self
            .strangers
            .iter()
            .filter_map(|stranger| stranger.attempt);
        boxes.any(|held| held.number == 0 && held.task == task)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    pub attempt: AttemptId,
    pub phase: Phase,
}

/// How far an attempt came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Image, input or container on the way; `note` says which, in a few words.
    Preparing {
        note: String,
    },
    Running {
        started: Timestamp,
    },
    Paused {
        started: Timestamp,
    },
    /// Durable at the runner until the assignment says `Drop`.
    Ended {
        started: Option<Timestamp>,
        ended: Timestamp,
        end: End,
        output: OutputSize,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineHealth {
    #[default]
    Up,
    /// Since when, and what the engine said.
    Down { since: Timestamp, error: String },
}

/// A disk that takes nothing, or soon will not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskTrouble {
    /// In a few words: `disk full`.
    pub what: String,
    /// Which one, and how it stands.
    pub detail: String,
}

/// A container with river's label that nobody here knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// As the engine names it.
    pub name: String,
    /// What its label says it is, if that can be read.
    pub attempt: Option<AttemptId>,
}

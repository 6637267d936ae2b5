//! How a task ended: the final rows of the one table in the user's guide.

use serde::{Deserialize, Serialize};

use crate::{TaskEvent, TaskState};

/// Bytes written by an attempt, in all, counting what a cap dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSize {
    pub stdout: u64,
    pub stderr: u64,
}

/// How an attempt ended, as its node saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum End {
    Exited {
        code: u8,
    },
    /// A signal of its own, not one that river sent.
    Signaled {
        signal: u8,
    },
    /// River's TERM or KILL was sent because the assignment wanted a stop.
    Stopped,
    OutOfMemory,
    OutOfTime,
    /// Live input ended by a crash or a lost caller, not by an end of file.
    InputCut,
    /// No process of the task ever ran: no such image, command, mount…
    NeverStarted {
        reason: String,
    },
    /// The node rebooted or its container vanished; the code can never be known.
    Vanished {
        reason: String,
    },
}

/// The final result. Never changes once committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub state: TaskState,
    /// What `task run`, `wait`, `--wait` and `logs -f` end with.
    pub code: u8,
    /// Why, when the state alone does not say; one line, not yet escaped.
    pub reason: Option<String>,
}

impl End {
    /// What this end means for the task's life.
    #[must_use]
    pub const fn event(&self) -> TaskEvent {
        match self {
            Self::Exited { code: 0 } => TaskEvent::ExitedZero,
            Self::Exited { .. }
            | Self::Signaled { .. }
            | Self::InputCut
            | Self::NeverStarted { .. } => TaskEvent::ExitedNonzero,
            Self::Stopped => TaskEvent::Cancelled,
            Self::OutOfMemory => TaskEvent::OutOfMemory,
            Self::OutOfTime => TaskEvent::OutOfTime,
            Self::Vanished { .. } => TaskEvent::NodeLost,
        }
    }

    /// The exit code a caller of `task run` sees.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Exited { code } => *code,
            Self::Signaled { signal } => 128_u8.saturating_add(*signal),
            Self::OutOfTime => 124,
            Self::Stopped | Self::OutOfMemory => 137,
            Self::InputCut | Self::NeverStarted { .. } | Self::Vanished { .. } => 125,
        }
    }

    /// One line where the state alone does not say why.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            // SIGXFSZ: a limit of its own, or river's for what it writes.
            Self::Signaled { signal: 25 } => Some("signal 25 (it wrote too much)".to_owned()),
            Self::Signaled { signal } => Some(format!("signal {signal}")),
            Self::InputCut => Some("input cut".to_owned()),
            Self::NeverStarted { reason } | Self::Vanished { reason } => Some(reason.clone()),
            Self::Exited { .. } | Self::Stopped | Self::OutOfMemory | Self::OutOfTime => None,
        }
    }
}

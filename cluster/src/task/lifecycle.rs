//! The whole state machine of a task on one screen. A final state never changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The states of the one table users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    PendingApproval,
    Pending,
    Assigning,
    Running,
    Paused,
    Completed,
    Failed,
    TimedOut,
    Killed,
    KilledOom,
    Rejected,
    Lost,
    /// A VPS, by a person; it can be started again.
    Stopped,
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    Approved,
    Refused,
    Placed,
    Started,
    Paused,
    Resumed,
    ExitedZero,
    ExitedNonzero,
    OutOfMemory,
    OutOfTime,
    Cancelled,
    NodeLost,
    Retry,
    /// A VPS ended as its person wished.
    Halted,
    /// A stopped VPS is to run again.
    Restarted,
}

/// The event cannot happen in that state; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalStep {
    pub state: TaskState,
    pub event: TaskEvent,
}

impl TaskState {
    pub const ALL: [Self; 13] = [
        Self::PendingApproval,
        Self::Pending,
        Self::Assigning,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::TimedOut,
        Self::Killed,
        Self::KilledOom,
        Self::Rejected,
        Self::Lost,
        Self::Stopped,
    ];

    /// The spelling in listings, JSON and the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PendingApproval => "pending_approval",
            Self::Pending => "pending",
            Self::Assigning => "assigning",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Killed => "killed",
            Self::KilledOom => "killed_oom",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing can happen to the task any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !self.holds_resources()
            && !matches!(self, Self::PendingApproval | Self::Pending | Self::Stopped)
    }

    /// Cores, memory and GPUs of its node are taken. A paused task keeps them.
    #[must_use]
    pub const fn holds_resources(self) -> bool {
        matches!(self, Self::Assigning | Self::Running | Self::Paused)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The state after `event`.
///
/// # Errors
/// [`IllegalStep`] when the event cannot happen there, as for every event in a final state.
pub fn next(state: TaskState, event: TaskEvent) -> Result<TaskState, IllegalStep> {
    use TaskEvent as E;
    use TaskState as S;
    let illegal = IllegalStep { state, event };
    Ok(match (state, event) {
        (S::PendingApproval, E::Approved) => S::Pending,
        (S::PendingApproval, E::Refused) => S::Rejected,
        (S::PendingApproval | S::Pending | S::Stopped, E::Cancelled) => S::Killed,
        (S::Stopped, E::Restarted) => S::Pending,
        (S::Pending, E::Halted) => S::Stopped,
        (S::Pending, E::Placed) => S::Assigning,
        (S::Assigning, E::Started) | (S::Paused, E::Resumed) => S::Running,
        (S::Running, E::Paused) => S::Paused,
        (held, event) if held.holds_resources() => match event {
            // A short task can end before its start was reported.
            E::ExitedZero => S::Completed,
            E::ExitedNonzero => S::Failed,
            E::OutOfMemory => S::KilledOom,
            E::OutOfTime => S::TimedOut,
            E::Cancelled => S::Killed,
            E::NodeLost => S::Lost,
            E::Retry | E::Restarted => S::Pending,
            E::Halted => S::Stopped,
            E::Approved | E::Refused | E::Placed | E::Started | E::Paused | E::Resumed => {
                return Err(illegal);
            }
        },
        _ => return Err(illegal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [(&str, TaskEvent); 15] = [
        ("approved", TaskEvent::Approved),
        ("refused", TaskEvent::Refused),
        ("placed", TaskEvent::Placed),
        ("started", TaskEvent::Started),
        ("paused", TaskEvent::Paused),
        ("resumed", TaskEvent::Resumed),
        ("exited_zero", TaskEvent::ExitedZero),
        ("exited_nonzero", TaskEvent::ExitedNonzero),
        ("out_of_memory", TaskEvent::OutOfMemory),
        ("out_of_time", TaskEvent::OutOfTime),
        ("cancelled", TaskEvent::Cancelled),
        ("node_lost", TaskEvent::NodeLost),
        ("retry", TaskEvent::Retry),
        ("halted", TaskEvent::Halted),
        ("restarted", TaskEvent::Restarted),
    ];

    #[test]
    fn every_step_is_in_the_table_and_no_other() {
        let rows: Vec<Vec<&str>> = include_str!("lifecycle.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().collect())
            .collect();
        for state in TaskState::ALL {
            for (name, event) in EVENTS {
                let row = rows
                    .iter()
                    .find(|row| row[0] == state.name() && row[1] == name);
                let seen = next(state, event).ok().map(TaskState::name);
                assert_eq!(seen, row.map(|row| row[2]), "{state} {name}");
            }
        }
    }

    #[test]
    fn a_final_state_never_changes() {
        for state in TaskState::ALL.into_iter().filter(|s| s.is_final()) {
            for (_, event) in EVENTS {
                assert_eq!(next(state, event), Err(IllegalStep { state, event }));
            }
        }
    }
}

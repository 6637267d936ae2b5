//! How an attempt ended, from what its guest wrote and what the engine saw. Pure.

use cluster::{End, OutputSize, Phase, Timestamp};
use tunnel::wire::guest::{ExitRecord, GuestEnd};

/// SIGXFSZ (signal(7)): its files became too large.
const TOO_MUCH: u8 = 25;

/// What is known of an end.
#[derive(Clone, Debug)]
pub struct Facts {
    pub record: Option<ExitRecord>,
    /// The kernel killed something in the box for its memory limit.
    pub oom: bool,
    /// This runner was stopping it.
    pub stopping: bool,
    /// It had run longer than its limit.
    pub overdue: bool,
    /// It wrote more into its output folder than it may.
    pub overfull: bool,
    pub started: Option<Timestamp>,
    /// On the disk.
    pub output: OutputSize,
    pub now: Timestamp,
}

/// What the record says, as far as it is on the disk or in the record itself.
fn within(said: u64, on_disk: u64, unwritten: &str) -> u64 {
    said.min(on_disk.saturating_add(unwritten.len() as u64))
}

/// The result, to be kept and reported.
#[must_use]
pub fn verdict(facts: Facts) -> Phase {
    let said = facts.record.as_ref().and_then(|record| record.started);
    // The record is its tenant's: nothing ended in the future, or wrote what is not there.
    let started = said
        .map(|at| Timestamp(at).min(facts.now))
        .or(facts.started);
    if facts.overfull {
        return Phase::Ended {
            started,
            ended: facts.now,
            end: End::Signaled { signal: TOO_MUCH },
            output: facts.output,
        };
    }
    let Some(record) = facts.record else {
        let end = if facts.oom {
            End::OutOfMemory
        } else if facts.overdue {
            End::OutOfTime
        } else if facts.stopping {
            End::Stopped
        } else {
            End::Vanished {
                reason: "its container ended without a word".to_owned(),
            }
        };
        return Phase::Ended {
            started,
            ended: facts.now,
            end,
            output: facts.output,
        };
    };
    // A flag of the kernel alone proves nothing: a child may have been killed and the command gone on.
    let killed = matches!(
        record.end,
        GuestEnd::Signaled { signal: 9 } | GuestEnd::Exited { code: 137 }
    );
    let end = match record.end {
        _ if facts.oom && killed => End::OutOfMemory,
        GuestEnd::Exited { code } => End::Exited { code },
        GuestEnd::Signaled { signal } => End::Signaled { signal },
        GuestEnd::Stopped => End::Stopped,
        GuestEnd::OutOfTime => End::OutOfTime,
        GuestEnd::InputCut => End::InputCut,
        GuestEnd::NeverStarted { reason } => End::NeverStarted {
            reason: reason.chars().take(300).collect(),
        },
    };
    let started = if matches!(end, End::NeverStarted { .. }) {
        None
    } else {
        started
    };
    Phase::Ended {
        started,
        ended: Timestamp(record.ended).clamp(started.unwrap_or_default(), facts.now),
        end,
        output: OutputSize {
            stdout: within(
                record.output.stdout,
                facts.output.stdout,
                &record.unwritten.stdout,
            ),
            stderr: within(
                record.output.stderr,
                facts.output.stderr,
                &record.unwritten.stderr,
            ),
        },
    }
}

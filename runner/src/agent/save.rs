//! The journal on a disk that is full: what it does not take is tried again, and what need not wait for it goes on.
//!
//! Nothing begins that is not written down. What runs is watched, stopped and reported all the same: its guest has
//! kept room for its end, and the gateway writes that down too.

use std::io::ErrorKind;
use std::time::Duration;

use cluster::{AttemptId, Timestamp};
use tracing::{info, warn};

use super::{Agent, now};
use crate::engine::Engine;
use crate::workloads::{Kept, Step};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Why an attempt waits.
pub(super) const NO_ROOM: &str = "its node's disk takes nothing: it waits for room";

/// What the journal lacks beside attempts, and when it is tried again.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    seen: bool,
    again: Option<Timestamp>,
}

/// It may pass without a restart; after anything else nobody knows what the disk holds.
fn may_pass(error: &anyhow::Error) -> bool {
    let kinds = [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::ReadOnlyFilesystem,
    ];
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| kinds.contains(&error.kind()))
}

impl<E: Engine> Agent<E> {
    /// `false`: the disk did not take it, and may later.
    fn taken(&mut self, done: anyhow::Result<()>) -> anyhow::Result<bool> {
        match done {
            Ok(()) => Ok(true),
            Err(error) if may_pass(&error) => {
                if self.unsaved.again.is_none() {
                    warn!(
                        error = format!("{error:#}"),
                        "the journal cannot be written: nothing new begins"
                    );
                }
                self.unsaved.again = Some(now() + PAUSE);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The assignment of an attempt, as it is here.
    pub(super) fn save(&mut self, id: AttemptId) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.get(&id) else {
            return Ok(());
        };
        let done = self.journal.take(&attempt.assignment);
        let taken = self.taken(done)?;
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.kept = match (taken, attempt.kept) {
                (true, _) => Kept::Whole,
                (false, Kept::Nothing) => Kept::Nothing,
                (false, Kept::Whole | Kept::Older) => Kept::Older,
            };
            if attempt.step == Step::Taken {
                attempt.note = if taken { "" } else { NO_ROOM }.to_owned();
            }
        }
        Ok(())
    }

    /// The end of an attempt, if it has ended.
    pub(super) fn save_result(&mut self, id: AttemptId) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.get(&id) else {
            return Ok(());
        };
        let (Step::Ended(phase), false) = (&attempt.step, attempt.kept == Kept::Nothing) else {
            return Ok(());
        };
        let done = self.journal.result(id, phase);
        let taken = self.taken(done)?;
        if let Some(attempt) = self.attempts.get_mut(&id)
            && !taken
        {
            attempt.kept = Kept::Older;
        }
        Ok(())
    }

    /// Not while an attempt is nowhere: after a restart the gateway must send it again.
    pub(super) fn save_seen(&mut self) -> anyhow::Result<()> {
        let mut attempts = self.attempts.values();
        if attempts.any(|attempt| attempt.kept == Kept::Nothing) {
            self.unsaved.seen = true;
            return Ok(());
        }
        let done = self.journal.seen(self.seen);
        self.unsaved.seen = !self.taken(done)?;
        Ok(())
    }

    /// When to try again, if the disk still lacks something.
    pub(super) fn save_again(&mut self, turn: Timestamp) -> anyhow::Result<Option<Timestamp>> {
        match self.unsaved.again {
            None => return Ok(None),
            Some(again) if turn < again => return Ok(Some(again)),
            Some(_) => {}
        }
        let lacking: Vec<AttemptId> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.kept != Kept::Whole)
            .map(|(id, _)| *id)
            .collect();
        self.unsaved.again = Some(turn);
        for id in lacking {
            self.save(id)?;
            self.save_result(id)?;
        }
        if self.unsaved.seen {
            self.save_seen()?;
        }
        let whole = |attempt: &crate::workloads::Attempt| attempt.kept == Kept::Whole;
        if self.attempts.values().all(whole) && !self.unsaved.seen {
            info!("the journal is whole again");
            self.unsaved.again = None;
        }
        Ok(self.unsaved.again)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn room_may_come_back_and_a_broken_disk_does_not() {
        let failed = |errno: Errno| {
            let error = std::io::Error::from(errno);
            Err::<(), _>(error).context("cannot write it").unwrap_err()
        };
        for errno in [Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS] {
            assert!(may_pass(&failed(errno)), "{errno}");
        }
        assert!(!may_pass(&failed(Errno::EIO)));
        assert!(!may_pass(&anyhow::anyhow!("nonsense")));
    }
}

//! What the gateway wants of this node: its lists.

use cluster::{Assignment, Assignments, End, Wanted};
use tokio::sync::watch;
use tracing::warn;
use tunnel::fault::{self, Point};

use super::act::never_ran;
use super::{Agent, now};
use crate::engine::Engine;
use crate::journal::Seen;
use crate::workloads::{Attempt, Kept, Step};

impl<E: Engine> Agent<E> {
    /// Durable first; then acted on.
    pub(super) fn on_assignments(&mut self, list: Assignments) -> anyhow::Result<()> {
        if list.epoch < self.seen.epoch
            || (list.epoch == self.seen.epoch && list.version <= self.seen.version)
        {
            warn!(
                epoch = list.epoch,
                version = list.version,
                "an older list is not obeyed"
            );
            return Ok(());
        }
        for assignment in &list.list {
            let id = assignment.attempt;
            match self.attempts.get_mut(&id) {
                Some(attempt) => {
                    if attempt.hear(assignment) {
                        // A runner that starts anew must not begin what was stopped meanwhile.
                        self.save(id)?;
                    }
                }
                // The attempt is forgotten, and its box is to go all the same.
                None if assignment.wanted == Wanted::Drop
                    && assignment.spec.vps.is_some()
                    && !assignment.keeps_box =>
                {
                    self.take(assignment, Step::Ended(never_ran(End::Stopped)))?;
                }
                // Over before it was here: nothing to begin, and nothing to remember.
                None if assignment.wanted != Wanted::Run && assignment.wanted != Wanted::Pause => {}
                None => {
                    self.take(assignment, Step::Taken)?;
                    fault::pass(Point::P8);
                }
            }
        }
        self.withdraw();
        let before = std::mem::take(&mut self.unread);
        let new = list
            .unread
            .iter()
            .filter(|id| !self.attempts.contains_key(id));
        let since = |id| before.get(id).copied().unwrap_or_else(now);
        self.unread = new.map(|id| (*id, since(id))).collect();
        let unread = list.unread.iter().map(|attempt| attempt.task);
        let tasks = list.list.iter().map(|assignment| assignment.attempt.task);
        let task = tasks.chain(unread).max();
        self.seen = Seen {
            epoch: list.epoch,
            version: list.version,
            task: self.seen.task.max(task.unwrap_or_default()),
        };
        self.save_seen()
    }

    fn take(&mut self, assignment: &Assignment, step: Step) -> anyhow::Result<()> {
        let id = assignment.attempt;
        let mut attempt = Attempt::new(assignment.clone());
        attempt.step = step;
        attempt.kept = Kept::Nothing;
        let ended = watch::channel(attempt.output()).0;
        self.ended.insert(id, ended);
        self.attempts.insert(id, attempt);
        self.save(id)?;
        self.save_result(id)
    }

    /// What is not wanted any more is not begun, however long its image is on its way.
    fn withdraw(&self) {
        for (id, start) in &self.starting {
            if self.attempts.get(id).is_none_or(Attempt::is_withdrawn) {
                start.cancel();
            }
        }
    }
}

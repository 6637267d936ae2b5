//! What the gateway wants of this node: its lists.

use cluster::Assignments;
use tokio::sync::watch;
use tracing::warn;
use tunnel::fault::{self, Point};

use super::{Agent, now};
use crate::engine::Engine;
use crate::workloads::{self, Attempt, Follows};

impl<E: Engine> Agent<E> {
    /// Durable first; then acted on.
    pub(super) fn on_assignments(&mut self, list: Assignments) -> anyhow::Result<()> {
        if !self.seen.is_before(&list) {
            warn!(
                epoch = list.epoch,
                version = list.version,
                "an older list is not obeyed"
            );
            return Ok(());
        }
        for assignment in &list.list {
            let id = assignment.attempt;
            match workloads::take(&mut self.attempts, assignment) {
                Follows::Begins => {
                    self.ended.insert(id, watch::channel(None).0);
                    self.save(id)?;
                    fault::pass(Point::P8);
                }
                Follows::Changes => self.save(id)?,
                Follows::Nothing => {}
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
        self.seen = self.seen.after(&list);
        self.save_seen()
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

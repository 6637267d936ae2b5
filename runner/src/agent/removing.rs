//! What the gateway no longer wants goes, with all that was of it.

use std::sync::Arc;

use cluster::AttemptId;
use tokio::task::spawn_blocking;
use tunnel::fault::{self, Point};

use super::{Agent, Done};
use crate::engine::Engine;
use crate::errands;

impl<E: Engine> Agent<E> {
    pub(super) fn drop_attempt(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        let (stays, keeps) = (
            attempt.assignment.spec.vps.is_some(),
            attempt.assignment.keeps_box,
        );
        // Of a task only its folder is left once it is cleared.
        let gone = if stays { keeps } else { attempt.cleared };
        if gone {
            return self.forget(id);
        }
        attempt.busy = true;
        let held = attempt.assignment.box_id();
        self.remove_box(id, held, stays);
    }

    pub(super) fn forget(&mut self, id: AttemptId) {
        self.attempts.remove(&id);
        self.ended.remove(&id);
        self.starter.guests.forget(id);
        let journal = self.journal.clone();
        tokio::spawn(async move {
            let _ = spawn_blocking(move || journal.drop_attempt(id)).await;
            fault::pass(Point::P18);
        });
    }

    /// A box, and one that stayed with its snapshots and its folder. Its attempt is known until all of it is gone: a
    /// runner that starts anew goes on with that.
    fn remove_box(&self, id: AttemptId, held: AttemptId, stays: bool) {
        let (starter, journal) = (Arc::clone(&self.starter), self.journal.clone());
        let turn = stays.then(|| starter.turns.queue(held));
        self.spawn(id, async move {
            let _turn = match turn {
                Some(turn) => Some(turn.await),
                None => None,
            };
            if !stays {
                return Done::Removed(starter.engine.remove(held).await);
            }
            let done = errands::remove(&*starter.engine, held).await;
            if done.is_ok() {
                let _ = spawn_blocking(move || journal.drop_attempt(held)).await;
            }
            Done::Removed(done)
        });
    }
}

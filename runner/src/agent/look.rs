//! What the engine says of the boxes, or that it says nothing.

use std::sync::Arc;
use std::time::Duration;

use cluster::{AttemptId, EngineHealth, Stranger, Wanted};
use tracing::warn;

use super::{Agent, Event, now};
use crate::engine::{BoxSeen, BoxState, Engine, EngineError};
use crate::workloads::Step;

/// How long an engine may take to notice that a box has ended.
const SOON: Duration = Duration::from_millis(500);

impl<E: Engine> Agent<E> {
    /// A guest left without a word: the engine may know why, and need not have said so yet. One look is
    /// enough for all who leave meanwhile.
    pub(super) fn look_soon(&self) {
        let Ok(looking) = Arc::clone(&self.looking).try_lock_owned() else {
            return;
        };
        let (engine, events) = (Arc::clone(&self.starter.engine), self.events.clone());
        tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            let listed = engine.list().await;
            drop(looking);
            // The agent ends only with the process.
            let _ = events.send(Event::Listed(listed)).await;
        });
    }

    pub(super) fn on_listed(&mut self, listed: Result<Vec<BoxSeen>, EngineError>) {
        match listed {
            Ok(boxes) => {
                self.health = EngineHealth::Up;
                self.on_boxes(&boxes);
            }
            Err(error) => self.engine_down(&error),
        }
    }

    fn on_boxes(&mut self, boxes: &[BoxSeen]) {
        for attempt in self.attempts.values_mut() {
            let Step::Running { started } = attempt.step else {
                continue;
            };
            if attempt.busy {
                continue;
            }
            let seen = boxes
                .iter()
                .find(|seen| seen.attempt == Some(attempt.assignment.box_id()))
                .map(|seen| seen.state);
            match seen {
                Some(BoxState::Running | BoxState::Created | BoxState::Paused)
                    if attempt.copied => {}
                Some(BoxState::Running | BoxState::Created) => attempt.seen_frozen(false),
                Some(BoxState::Paused) => {
                    if !attempt.frozen && attempt.assignment.wanted == Wanted::Run {
                        let id = attempt.assignment.attempt;
                        warn!(attempt = %id, "its box was paused, and not by river: it goes on");
                    }
                    attempt.seen_frozen(true);
                }
                Some(BoxState::Exited { .. }) | None => {
                    attempt.step = Step::Ending {
                        started: Some(started),
                    }
                }
            }
        }
        self.note_strangers(boxes);
    }

    /// The disk of a box is being copied from now on, or until a look that began after that.
    pub(super) fn on_copied(&mut self, held: AttemptId, copied: bool) {
        for attempt in self.attempts.values_mut() {
            if attempt.assignment.box_id() == held {
                attempt.copied = copied;
            }
        }
    }

    /// Boxes with our label that we know nothing of: shown, never touched.
    pub(super) fn note_strangers(&mut self, boxes: &[BoxSeen]) {
        let unknown = |seen: &&BoxSeen| {
            let ours = |id| {
                self.attempts
                    .values()
                    .any(|own| own.assignment.box_id() == id)
            };
            seen.attempt.is_none_or(|id| !ours(id))
        };
        self.strangers = boxes
            .iter()
            .filter(unknown)
            .map(|seen| Stranger {
                name: seen.name.clone(),
                attempt: seen.attempt,
            })
            .collect();
    }

    pub(super) fn engine_down(&mut self, error: &EngineError) {
        if self.health == EngineHealth::Up {
            warn!(%error, "the engine is down");
            self.health = EngineHealth::Down {
                since: now(),
                error: error.to_string(),
            };
        }
    }
}

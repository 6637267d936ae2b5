//! Actions: begun here, done in tasks of their own, and what they came to.

use std::sync::Arc;
use std::time::Duration;

use cluster::{AttemptId, End, Phase, StopReason, Wanted};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use tunnel::fault::{self, Point};
use tunnel::wire::guest::ToGuest;

use super::ending::{end, finish, known};
use super::save::NO_ROOM;
use super::{Agent, Done, Event, now};
use crate::engine::{Engine, EngineError};
use crate::workloads::{self, Action, Step, verdict};
use crate::{errands, output};

/// After the engine failed.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

impl<E: Engine> Agent<E> {
    pub(super) fn begin(&mut self, id: AttemptId, action: Action) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Ok(());
        };
        attempt.not_before = None;
        match action {
            Action::Start if self.disk.is_some() => {
                attempt.note = NO_ROOM.to_owned();
                attempt.not_before = Some(now() + AGAIN);
            }
            Action::Start => self.start(id),
            Action::Abandon => self.abandon(id)?,
            Action::Freeze(frozen) => {
                attempt.busy = true;
                let (engine, held) = (
                    Arc::clone(&self.starter.engine),
                    attempt.assignment.box_id(),
                );
                self.spawn(id, async move {
                    Done::Frozen(frozen, engine.freeze(held, frozen).await)
                });
            }
            Action::Stop => self.stop(id),
            Action::Kill => {
                attempt.busy = true;
                attempt.stopping.get_or_insert_with(now);
                let (engine, held) = (
                    Arc::clone(&self.starter.engine),
                    attempt.assignment.box_id(),
                );
                self.spawn(id, async move { Done::Killed(engine.kill(held).await) });
            }
            Action::Finish => {
                fault::pass(Point::P12);
                attempt.busy = true;
                let (engine, out) = (
                    Arc::clone(&self.starter.engine),
                    self.journal.place(&attempt.assignment).join("out"),
                );
                let assignment = attempt.assignment.clone();
                let known = known(attempt, &out);
                self.spawn(id, async move {
                    let facts = finish(&*engine, &assignment, &out, known).await;
                    Done::Finished(facts.map(Box::new))
                });
            }
            Action::Clear => self.clear(id),
            Action::Drop => self.drop_attempt(id),
        }
        Ok(())
    }

    fn start(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        attempt.busy = true;
        attempt.step = Step::Starting {
            note: "preparing".to_owned(),
        };
        let (starter, assignment) = (Arc::clone(&self.starter), attempt.assignment.clone());
        let folder = self.journal.place(&assignment);
        // Of a box that does not stay nothing else is asked.
        let (stays, held) = (assignment.spec.vps.is_some(), assignment.box_id());
        let turn = stays.then(|| starter.turns.queue(held));
        let withdrawn = CancellationToken::new();
        self.starting.insert(id, withdrawn.clone());
        self.spawn(id, async move {
            let turn = match turn {
                Some(turn) => match withdrawn.run_until_cancelled(turn).await {
                    Some(turn) => Some(turn),
                    None => return Done::Started(Ok(false)),
                },
                None => None,
            };
            let done = starter.start(&assignment, folder, &withdrawn).await;
            if let (Ok(true), Some(turn)) = (&done, turn) {
                tokio::spawn(errands::after_start(starter, held, turn));
            }
            Done::Started(done)
        });
    }

    fn abandon(&mut self, id: AttemptId) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Ok(());
        };
        if attempt.assignment.spec.vps.is_none() {
            // Whatever there is of it goes with its box.
            return self.conclude(id, never_ran(End::Stopped));
        }
        // The engine may have started it, and could not say so.
        attempt.busy = true;
        let (engine, held) = (
            Arc::clone(&self.starter.engine),
            attempt.assignment.box_id(),
        );
        self.spawn(id, async move {
            end(&*engine, held).await;
            Done::Abandoned
        });
        Ok(())
    }

    fn stop(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        attempt.stopping = Some(now());
        let grace_ms = self.starter.grace_ms;
        // It is to hear its TERM: a copy of its disk goes on while it ends.
        let frozen = std::mem::take(&mut attempt.frozen) || attempt.copied;
        let held = attempt.assignment.box_id();
        let (engine, guests) = (
            Arc::clone(&self.starter.engine),
            self.starter.guests.clone(),
        );
        tokio::spawn(async move {
            if frozen {
                let _ = engine.freeze(held, false).await;
            }
            // Unsaid, it is said when the guest comes back; unheard, the engine ends it.
            let _ = guests.send(id, ToGuest::Stop { grace_ms });
        });
    }

    fn clear(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        self.starter.guests.forget(id);
        if attempt.assignment.spec.vps.is_some() {
            // It stays until it is deleted.
            attempt.cleared = true;
            return;
        }
        attempt.busy = true;
        let engine = Arc::clone(&self.starter.engine);
        self.spawn(id, async move { Done::Cleared(engine.remove(id).await) });
    }

    pub(super) fn spawn(&self, id: AttemptId, work: impl Future<Output = Done> + Send + 'static) {
        let events = self.events.clone();
        tokio::spawn(async move {
            let done = work.await;
            // The agent ends only with the process.
            let _ = events.send(Event::Done(id, done)).await;
        });
    }

    pub(super) fn on_done(&mut self, id: AttemptId, done: Done) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Ok(());
        };
        attempt.busy = false;
        match done {
            Done::Started(done) => self.on_started(id, done)?,
            Done::Abandoned => self.conclude(id, never_ran(End::Stopped))?,
            Done::Frozen(frozen, Ok(by_engine)) => {
                let guests = &self.starter.guests;
                if by_engine || guests.send(id, ToGuest::Freeze { frozen }) {
                    attempt.frozen = frozen;
                    attempt.by_engine = frozen && by_engine;
                } else {
                    // Its guest has no line now, and did not hear it.
                    attempt.not_before = Some(now() + AGAIN);
                }
            }
            Done::Killed(Ok(())) => {
                attempt.step = Step::Ending {
                    started: started(&attempt.step),
                }
            }
            Done::Frozen(_, Err(error)) | Done::Killed(Err(error)) => {
                attempt.not_before = Some(now() + AGAIN);
                self.engine_down(&error);
            }
            Done::Finished(None) => {
                let started = started(&attempt.step).unwrap_or_else(now);
                attempt.step = Step::Running { started };
            }
            Done::Finished(Some(facts)) => {
                let phase = verdict(*facts);
                info!(attempt = %id, ?phase, "ended");
                self.conclude(id, phase)?;
            }
            Done::Cleared(Ok(())) => {
                attempt.cleared = true;
                fault::pass(Point::P17);
            }
            Done::Cleared(Err(error)) => {
                attempt.not_before = Some(now() + AGAIN);
                warn!(attempt = %id, %error, "its container is still there");
                self.engine_down(&error);
            }
            Done::Removed(Ok(())) => self.forget(id),
            Done::Removed(Err(error)) => {
                attempt.not_before = Some(now() + AGAIN);
                warn!(attempt = %id, %error, "its container or its snapshots are still there");
            }
        }
        Ok(())
    }

    fn on_started(&mut self, id: AttemptId, done: Result<bool, EngineError>) -> anyhow::Result<()> {
        self.starting.remove(&id);
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Ok(());
        };
        match done {
            Ok(false) => attempt.step = Step::Taken,
            Ok(true) => {
                fault::pass(Point::P10);
                let out = self.journal.place(&attempt.assignment).join("out");
                let started = now();
                // A short command is over before the engine says that it began.
                attempt.step = match output::record(&out, id) {
                    Ok(Some(_)) => Step::Ending {
                        started: Some(started),
                    },
                    Ok(None) | Err(_) => Step::Running { started },
                };
            }
            Err(EngineError::Task(reason)) => {
                self.conclude(id, never_ran(End::NeverStarted { reason }))?;
            }
            Err(EngineError::Refused(reason)) => self.on_refused(id, reason)?,
            Err(error @ EngineError::Engine(_)) => {
                attempt.step = Step::Taken;
                attempt.note = error.to_string();
                attempt.not_before = Some(now() + AGAIN);
                warn!(attempt = %id, %error, "not started yet");
            }
        }
        Ok(())
    }

    fn on_refused(&mut self, id: AttemptId, reason: String) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Ok(());
        };
        attempt.refusals += 1;
        warn!(attempt = %id, reason, "refused by the engine");
        let Some(pause) = workloads::pause_ms(attempt.refusals) else {
            return self.conclude(id, never_ran(End::NeverStarted { reason }));
        };
        attempt.step = Step::Taken;
        attempt.note = reason;
        attempt.not_before = Some(now() + Duration::from_millis(pause));
        Ok(())
    }

    pub(super) fn on_overfull(&mut self, id: AttemptId) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            warn!(attempt = %id, "it wrote more into its output folder than it may");
            attempt.overfull = true;
        }
    }

    /// The end: durable, then known to readers and the gateway.
    fn conclude(&mut self, id: AttemptId, phase: Phase) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Ok(());
        };
        attempt.step = Step::Ended(phase);
        self.save_result(id)?;
        fault::pass(Point::P13);
        let Some(attempt) = self.attempts.get(&id) else {
            return Ok(());
        };
        if let Some(ended) = self.ended.get(&id) {
            ended.send_replace(attempt.output());
        }
        let assignment = attempt.assignment.clone();
        let halted = assignment.wanted == Wanted::Stop(StopReason::Halted);
        if halted && assignment.spec.vps.is_some() {
            let starter = Arc::clone(&self.starter);
            let turn = starter.turns.queue(assignment.box_id());
            tokio::spawn(async move {
                let _turn = turn.await;
                errands::after_stop(&starter, &assignment).await;
            });
        }
        Ok(())
    }
}

/// The end of what had no process.
fn never_ran(end: End) -> Phase {
    Phase::Ended {
        started: None,
        ended: now(),
        end,
        output: cluster::OutputSize::default(),
    }
}

pub(super) fn started(step: &Step) -> Option<cluster::Timestamp> {
    match step {
        Step::Running { started } => Some(*started),
        Step::Ending { started } => *started,
        Step::Taken | Step::Starting { .. } | Step::Ended(_) => None,
    }
}

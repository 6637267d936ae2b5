//! What the runner of a node on paper does: its own decisions (`runner/src/workloads/`), and what its agent does about
//! them. When a box starts and how it ends is for the test to say.

use cluster::{AttemptId, End, EngineHealth, OutputSize, Phase, Timestamp};
use runner::engine::BoxState;
use runner::workloads::{self, Action, Attempt, Facts, Step, verdict};
use tunnel::wire::guest::GuestEnd;

use super::PretendNode;

/// Between TERM and KILL: the runner's default.
pub const GRACE_MS: u64 = 10_000;
/// After the engine failed.
const AGAIN_MS: u64 = 1_000;

impl PretendNode {
    /// What the runner would do next about this attempt.
    #[must_use]
    pub fn due(&self, id: AttemptId, now: Timestamp) -> Option<Action> {
        workloads::next(self.attempts.get(&id)?, GRACE_MS, now)
    }

    /// As `Agent::begin`, with an engine that does at once what it is told, if it is there. Only a start takes as long
    /// as the test wants: [`Self::boot`] and [`Self::heard`] go on with it.
    pub fn act(&mut self, id: AttemptId, action: Action, now: Timestamp) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        attempt.not_before = None;
        let held = attempt.assignment.box_id();
        match action {
            Action::Start => {
                attempt.busy = true;
                attempt.step = Step::Starting {
                    note: "preparing".to_owned(),
                };
            }
            Action::Abandon => self.conclude(id, never_ran(End::Stopped, now)),
            Action::Freeze(_) | Action::Kill if self.away => self.fails(id, now),
            Action::Freeze(frozen) => {
                self.machine.freeze(held, frozen);
                if self.lives()
                    && let Some(attempt) = self.attempts.get_mut(&id)
                {
                    attempt.frozen = frozen;
                    attempt.by_engine = frozen;
                }
            }
            Action::Stop => {
                attempt.stopping = Some(now);
                if std::mem::take(&mut attempt.frozen) && !self.away {
                    self.machine.freeze(held, false);
                }
            }
            Action::Kill => {
                attempt.stopping.get_or_insert(now);
                self.machine.kill(held);
                if self.lives() {
                    self.over(id);
                }
            }
            Action::Finish => self.finish(id, now),
            Action::Clear => self.clear(id, now),
            Action::Drop => self.drop_attempt(id, now),
        }
    }

    fn fails(&mut self, id: AttemptId, now: Timestamp) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.not_before = Some(Timestamp(now.0 + AGAIN_MS));
        }
        self.engine_down(now);
    }

    fn engine_down(&mut self, now: Timestamp) {
        if self.engine == EngineHealth::Up {
            let error = "no answer".to_owned();
            self.engine = EngineHealth::Down { since: now, error };
        }
    }

    /// Its processes are gone, as the runner now knows.
    fn over(&mut self, id: AttemptId) {
        if let Some(attempt) = self.attempts.get_mut(&id)
            && let Step::Running { started } = attempt.step
        {
            attempt.step = Step::Ending {
                started: Some(started),
            };
        }
    }

    /// As `ending::finish`: the engine is asked where there is no record, and about a box that stays.
    fn finish(&mut self, id: AttemptId, now: Timestamp) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        let (held, stays) = (
            attempt.assignment.box_id(),
            attempt.assignment.spec.vps.is_some(),
        );
        let record = self.machine.record(held, id);
        if self.away && (stays || record.is_none()) {
            attempt.not_before = Some(Timestamp(now.0 + AGAIN_MS));
            return;
        }
        let started = match attempt.step {
            Step::Running { started } => Some(started),
            Step::Ending { started } => started,
            Step::Taken | Step::Starting { .. } | Step::Ended(_) => None,
        };
        let state = self.machine.state(held);
        if record.is_none() && !matches!(state, None | Some(BoxState::Exited { .. })) {
            let started = started.unwrap_or(now);
            attempt.step = Step::Running { started };
            return;
        }
        let limit = attempt.assignment.spec.time_limit_ms;
        let overdue = started
            .zip(limit)
            .is_some_and(|(at, limit)| now.0 >= at.0.saturating_add(limit));
        let phase = verdict(Facts {
            record,
            oom: state == Some(BoxState::Exited { oom: true }),
            stopping: attempt.stopping.is_some(),
            overdue,
            overfull: false,
            started,
            output: self.machine.output(held),
            now,
        });
        self.conclude(id, phase);
    }

    fn conclude(&mut self, id: AttemptId, phase: Phase) {
        if !self.lives() {
            return;
        }
        if let Some(attempt) = self.attempts.get_mut(&id) {
            self.machine.result(id, &phase);
            attempt.step = Step::Ended(phase);
        }
    }

    fn clear(&mut self, id: AttemptId, now: Timestamp) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        if attempt.assignment.spec.vps.is_some() {
            attempt.cleared = true;
        } else if self.away {
            self.fails(id, now);
        } else {
            self.machine.boxes.remove(&id);
            if self.lives()
                && let Some(attempt) = self.attempts.get_mut(&id)
            {
                attempt.cleared = true;
            }
        }
    }

    /// As `Agent::drop_attempt`: what there may be of it first, as long as the journal says that it is to go.
    fn drop_attempt(&mut self, id: AttemptId, now: Timestamp) {
        let Some(attempt) = self.attempts.get(&id) else {
            return;
        };
        let (held, known) = (attempt.assignment.box_id(), &attempt.assignment);
        let stays = known.spec.vps.is_some();
        let gone = if stays {
            known.keeps_box
        } else {
            attempt.cleared
        };
        if !gone && self.away {
            return self.fails(id, now);
        }
        if !gone && stays {
            self.machine.remove_box(held);
        } else if !gone {
            self.machine.boxes.remove(&held);
        }
        if !self.lives() {
            return;
        }
        self.attempts.remove(&id);
        if self.lives() {
            self.machine.forget(id);
        }
    }

    /// Somebody pauses its box, or lets it go on, and does not say so.
    pub fn meddle(&mut self, held: AttemptId) {
        let paused = self.machine.state(held) == Some(BoxState::Paused);
        self.machine.freeze(held, !paused);
    }

    /// As `Agent::on_listed`: the engine is asked.
    pub fn look(&mut self, now: Timestamp) {
        if self.away {
            return self.engine_down(now);
        }
        self.engine = EngineHealth::Up;
        for attempt in self.attempts.values_mut() {
            let Step::Running { started } = attempt.step else {
                continue;
            };
            match self.machine.state(attempt.assignment.box_id()) {
                Some(BoxState::Running | BoxState::Created) => attempt.seen_frozen(false),
                Some(BoxState::Paused) => attempt.seen_frozen(true),
                Some(BoxState::Exited { .. }) | None => {
                    attempt.step = Step::Ending {
                        started: Some(started),
                    }
                }
            }
        }
    }

    /// The engine makes and starts the box of what is being started. `false`: nothing is to be started, or it was.
    pub fn boot(&mut self, id: AttemptId, now: Timestamp) -> bool {
        let starting = |attempt: &&mut Attempt| matches!(attempt.step, Step::Starting { .. });
        let Some(attempt) = self.attempts.get_mut(&id).filter(starting) else {
            return false;
        };
        if self.away {
            attempt.busy = false;
            attempt.step = Step::Taken;
            self.fails(id, now);
            return true;
        }
        let made = self.machine.make(&attempt.assignment, now);
        if made && self.lives() {
            self.machine.run(self.attempts[&id].assignment.box_id());
        }
        made
    }

    /// The runner hears that the box was started: it runs, or is over already.
    pub fn heard(&mut self, id: AttemptId, now: Timestamp) -> bool {
        let starting = |attempt: &&mut Attempt| matches!(attempt.step, Step::Starting { .. });
        let Some(attempt) = self.attempts.get_mut(&id).filter(starting) else {
            return false;
        };
        attempt.busy = false;
        let record = self.machine.record(attempt.assignment.box_id(), id);
        attempt.step = match record {
            Some(_) => Step::Ending { started: Some(now) },
            None => Step::Running { started: now },
        };
        true
    }

    /// The box runs, and the runner knows. `false`: it was not being started.
    pub fn started(&mut self, id: AttemptId, now: Timestamp) -> bool {
        self.boot(id, now);
        self.heard(id, now)
    }

    /// The guest's last word, of which the runner hears. `false`: nothing of it runs here, or is being started.
    pub fn ended(&mut self, id: AttemptId, end: GuestEnd, oom: bool, now: Timestamp) -> bool {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return false;
        };
        match (&attempt.step, end) {
            (Step::Starting { .. }, GuestEnd::NeverStarted { reason }) => {
                attempt.busy = false;
                self.conclude(id, never_ran(End::NeverStarted { reason }, now));
                true
            }
            (Step::Running { .. }, end) => {
                let held = attempt.assignment.box_id();
                let ended = self.machine.end(held, end, oom, now);
                if ended {
                    self.over(id);
                }
                ended
            }
            _ => false,
        }
    }

    /// Its box is gone without a word, and the runner has seen it. `false`: it had none.
    pub fn vanished(&mut self, id: AttemptId) -> bool {
        let running = |attempt: &&Attempt| matches!(attempt.step, Step::Running { .. });
        let Some(attempt) = self.attempts.get(&id).filter(running) else {
            return false;
        };
        self.machine.boxes.remove(&attempt.assignment.box_id());
        self.over(id);
        true
    }
}

/// The end of what had no process.
fn never_ran(end: End, now: Timestamp) -> Phase {
    Phase::Ended {
        started: None,
        ended: now,
        end,
        output: OutputSize::default(),
    }
}

//! A node on paper: the runner's own decisions (`runner/src/workloads/`), and what its agent does about
//! them where no engine is needed. When a box starts and how it ends is for the test to say.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{
    Assignments, AttemptId, AttemptReport, DiskTrouble, End, EngineHealth, NodeFacts, Observation,
    OutputSize, Phase, Timestamp, Wanted,
};
use gateway::state::LinkId;
use keys::NodeName;
use runner::engine::BoxState;
use runner::journal::{Found, Seen, Taken};
use runner::workloads::{self, Action, Adopted, Attempt, Facts, Step, adopt, verdict};
use tunnel::wire::guest::{ExitRecord, GuestEnd};

/// Between TERM and KILL: the runner's default.
pub const GRACE_MS: u64 = 10_000;

/// Its attempts survive the loss of its link and the restart of its runner.
pub struct PretendNode {
    pub name: NodeName,
    pub facts: NodeFacts,
    pub engine: EngineHealth,
    pub disk: Option<DiskTrouble>,
    pub link: Option<LinkId>,
    pub seen: Seen,
    pub attempts: BTreeMap<AttemptId, Attempt>,
    /// Lists on their way; a lost link loses them.
    pub mail: Vec<Assignments>,
    /// Its connection is half dead: what is sent to it waits, and is lost with the connection.
    pub deaf: bool,
    /// The latest observation that this link carried.
    pub told: Option<Observation>,
    /// Boxes that stand still, whoever paused them.
    pub paused: BTreeSet<AttemptId>,
    /// What began here, and how often.
    pub starts: BTreeMap<AttemptId, u32>,
}

impl PretendNode {
    #[must_use]
    pub fn new(name: NodeName, facts: NodeFacts) -> Self {
        Self {
            name,
            facts,
            engine: EngineHealth::Up,
            disk: None,
            link: None,
            seen: Seen::default(),
            attempts: BTreeMap::new(),
            mail: Vec::new(),
            deaf: false,
            told: None,
            paused: BTreeSet::new(),
            starts: BTreeMap::new(),
        }
    }

    pub(super) fn unlink(&mut self) -> Option<LinkId> {
        self.mail.clear();
        self.deaf = false;
        self.told = None;
        self.link.take()
    }

    /// As `Agent::on_assignments`.
    pub fn take(&mut self, list: &Assignments) {
        let known = (self.seen.epoch, self.seen.version);
        if (list.epoch, list.version) <= known {
            return;
        }
        for assignment in &list.list {
            let begins = matches!(assignment.wanted, Wanted::Run | Wanted::Pause);
            match self.attempts.get_mut(&assignment.attempt) {
                Some(attempt) => drop(attempt.hear(assignment)),
                None if begins => {
                    let attempt = Attempt::new(assignment.clone());
                    self.attempts.insert(assignment.attempt, attempt);
                }
                None => {}
            }
        }
        let highest = list.list.iter().map(|assignment| assignment.attempt.task);
        self.seen = Seen {
            epoch: list.epoch,
            version: list.version,
            task: highest.max().unwrap_or_default().max(self.seen.task),
        };
    }

    /// What the runner would do next about this attempt.
    #[must_use]
    pub fn due(&self, id: AttemptId, now: Timestamp) -> Option<Action> {
        workloads::next(self.attempts.get(&id)?, GRACE_MS, now)
    }

    /// As `Agent::begin`, with an engine that does at once what it is told. Only a start takes as long as
    /// the test wants: [`Self::started`] ends it.
    pub fn act(&mut self, id: AttemptId, action: Action, now: Timestamp) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        match action {
            Action::Start => {
                attempt.busy = true;
                attempt.step = Step::Starting {
                    note: "preparing".to_owned(),
                };
            }
            Action::Abandon => attempt.step = never_ran(End::Stopped, now),
            Action::Freeze(frozen) => {
                attempt.frozen = frozen;
                attempt.by_engine = frozen;
                self.freeze(id, frozen);
            }
            Action::Stop => {
                attempt.stopping = Some(now);
                if std::mem::take(&mut attempt.frozen) {
                    self.freeze(id, false);
                }
            }
            Action::Kill => {
                attempt.stopping.get_or_insert(now);
                self.conclude(id, None, false, now);
            }
            Action::Finish => self.conclude(id, None, false, now),
            Action::Clear => attempt.cleared = true,
            Action::Drop => drop(self.attempts.remove(&id)),
        }
    }

    fn freeze(&mut self, id: AttemptId, frozen: bool) {
        if frozen {
            self.paused.insert(id);
        } else {
            self.paused.remove(&id);
        }
    }

    /// Somebody pauses its box, or lets it go on, and does not say so.
    pub fn meddle(&mut self, id: AttemptId) {
        let running = |attempt: &Attempt| matches!(attempt.step, Step::Running { .. });
        if self.attempts.get(&id).is_some_and(running) {
            self.freeze(id, !self.paused.contains(&id));
        }
    }

    /// As `Agent::look`: the engine is asked.
    pub fn look(&mut self) {
        for (id, attempt) in &mut self.attempts {
            if matches!(attempt.step, Step::Running { .. }) {
                attempt.seen_frozen(self.paused.contains(id));
            }
        }
    }

    /// The box runs. False: it was not being started.
    pub fn started(&mut self, id: AttemptId, now: Timestamp) -> bool {
        let starting = |attempt: &&mut Attempt| matches!(attempt.step, Step::Starting { .. });
        let Some(attempt) = self.attempts.get_mut(&id).filter(starting) else {
            return false;
        };
        attempt.busy = false;
        attempt.step = Step::Running { started: now };
        *self.starts.entry(id).or_default() += 1;
        true
    }

    /// The guest's last word. False: nothing of it runs here, or has been being started.
    pub fn ended(&mut self, id: AttemptId, end: GuestEnd, oom: bool, now: Timestamp) -> bool {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return false;
        };
        match (&attempt.step, end) {
            (Step::Starting { .. }, GuestEnd::NeverStarted { reason }) => {
                attempt.busy = false;
                attempt.step = never_ran(End::NeverStarted { reason }, now);
                true
            }
            // What stands still ends nothing.
            (Step::Running { .. }, _) if self.paused.contains(&id) => false,
            (Step::Running { .. }, end) => {
                self.conclude(id, Some(end), oom, now);
                true
            }
            _ => false,
        }
    }

    /// Its box is gone without a word. False: it had none.
    pub fn vanished(&mut self, id: AttemptId) -> bool {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return false;
        };
        let Step::Running { started } = attempt.step else {
            return false;
        };
        attempt.step = Step::Ending {
            started: Some(started),
        };
        true
    }

    /// The box is gone: the runner's verdict, from what the guest left, if it did.
    fn conclude(&mut self, id: AttemptId, end: Option<GuestEnd>, oom: bool, now: Timestamp) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        self.paused.remove(&id);
        let started = match &attempt.step {
            Step::Running { started } => Some(*started),
            Step::Ending { started } => *started,
            Step::Taken | Step::Starting { .. } | Step::Ended(_) => None,
        };
        // Something was written, so that a result without its output is seen.
        let output = OutputSize {
            stdout: 1,
            stderr: 0,
        };
        let limit = attempt.assignment.spec.time_limit_ms;
        let overdue = started
            .zip(limit)
            .is_some_and(|(at, limit)| now.0 >= at.0.saturating_add(limit));
        let record = end.map(|end| ExitRecord {
            attempt: id,
            started: started.map(|at| at.0),
            ended: now.0,
            end,
            output,
            unwritten: Default::default(),
        });
        attempt.step = Step::Ended(verdict(Facts {
            record,
            oom,
            stopping: attempt.stopping.is_some(),
            overdue,
            overfull: false,
            started,
            output,
            now,
        }));
    }

    /// The runner starts anew, and with `rebooted` the whole machine: what began is adopted or gone.
    pub fn restart(&mut self, rebooted: bool, now: Timestamp) {
        self.unlink();
        for (id, attempt) in &mut self.attempts {
            let begun = self.starts.contains_key(id);
            let gone = matches!(attempt.step, Step::Ending { .. });
            // The journal has an attempt as it was taken; what became of it is told at the next link.
            let mut assignment = attempt.assignment.clone();
            assignment.wanted = Wanted::Run;
            let boot_id = self.facts.boot_id.clone();
            let result = match &attempt.step {
                Step::Ended(phase) => Some(phase.clone()),
                Step::Taken
                | Step::Starting { .. }
                | Step::Running { .. }
                | Step::Ending { .. } => None,
            };
            let found = Found {
                taken: Taken {
                    assignment,
                    boot_id,
                },
                result,
            };
            let box_state = match self.paused.contains(id) {
                true => BoxState::Paused,
                false => BoxState::Running,
            };
            let what = Adopted {
                begun,
                record: false,
                rebooted,
                seen: Some(box_state).filter(|_| begun && !rebooted && !gone),
                output: OutputSize::default(),
            };
            *attempt = adopt(&found, what, now);
        }
        if rebooted {
            self.paused.clear();
        }
    }

    /// As `Agent::observe`.
    #[must_use]
    pub fn observation(&self) -> Observation {
        let report = |(id, attempt): (&AttemptId, &Attempt)| AttemptReport {
            attempt: *id,
            phase: attempt.phase(),
        };
        Observation {
            version: self.seen.version,
            attempts: self.attempts.iter().map(report).collect(),
            engine: self.engine.clone(),
            disk: self.disk.clone(),
            strangers: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// When an attempt's next action may be due, if nothing happens before.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let deadlines = self.attempts.values();
        let deadlines = deadlines.filter_map(|a| workloads::deadline(a, GRACE_MS, now));
        deadlines.min()
    }
}

/// The end of what had no process.
fn never_ran(end: End, now: Timestamp) -> Step {
    Step::Ended(Phase::Ended {
        started: None,
        ended: now,
        end,
        output: OutputSize::default(),
    })
}

//! A node on paper: what its runner knows and its machine has, and how the one becomes the other. Between two of its
//! writes the runner may fall.

use std::collections::BTreeMap;

use cluster::{
    Assignments, AttemptId, AttemptReport, DiskTrouble, EngineHealth, NodeFacts, Observation,
    Stranger, Timestamp,
};
use gateway::state::LinkId;
use keys::NodeName;
use runner::journal::Seen;
use runner::workloads::{self, Adopted, Attempt, Follows, Kept, Step, adopt};

use super::deeds::GRACE_MS;
use super::machine::Machine;

/// Its machine survives the loss of its link and the fall of its runner; what the runner only thought does not.
pub struct PretendNode {
    pub name: NodeName,
    pub facts: NodeFacts,
    /// What the runner believes of its engine.
    pub engine: EngineHealth,
    /// The engine answers nothing; boxes go on.
    pub away: bool,
    pub disk: Option<DiskTrouble>,
    pub link: Option<LinkId>,
    pub seen: Seen,
    pub attempts: BTreeMap<AttemptId, Attempt>,
    pub machine: Machine,
    /// Lists on their way, or not looked at yet.
    pub mail: Vec<Assignments>,
    /// Its connection is half dead: what is sent to it waits, and is lost with the connection.
    pub deaf: bool,
    /// The latest observation that this link carried.
    pub told: Option<Observation>,
    /// The runner falls when it has passed so many more places between two writes or deeds.
    pub falls: Option<u32>,
}

impl PretendNode {
    #[must_use]
    pub fn new(name: NodeName, facts: NodeFacts) -> Self {
        Self {
            name,
            facts,
            engine: EngineHealth::Up,
            away: false,
            disk: None,
            link: None,
            seen: Seen::default(),
            attempts: BTreeMap::new(),
            machine: Machine::default(),
            mail: Vec::new(),
            deaf: false,
            told: None,
            falls: None,
        }
    }

    pub(super) fn unlink(&mut self) -> Option<LinkId> {
        self.mail.clear();
        self.deaf = false;
        self.told = None;
        self.link.take()
    }

    /// It has fallen, and does nothing until [`Self::restart`].
    #[must_use]
    pub fn fell(&self) -> bool {
        self.falls == Some(0)
    }

    /// A place between two writes or deeds. `false`: it falls here.
    pub(super) fn lives(&mut self) -> bool {
        if let Some(places) = &mut self.falls {
            *places = places.saturating_sub(1);
        }
        !self.fell()
    }

    /// As `Agent::on_assignments`.
    pub fn take(&mut self, list: &Assignments) {
        if !self.seen.is_before(list) {
            return;
        }
        for assignment in &list.list {
            let id = assignment.attempt;
            let follows = workloads::take(&mut self.attempts, assignment);
            if follows != Follows::Nothing && !self.lives() {
                return;
            }
            match follows {
                Follows::Begins | Follows::Changes => self.save(id),
                Follows::Nothing => {}
            }
        }
        self.seen = self.seen.after(list);
        if self.lives() {
            self.machine.seen = self.seen;
        }
    }

    fn save(&mut self, id: AttemptId) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            self.machine.take(&attempt.assignment);
            attempt.kept = Kept::Whole;
        }
    }

    /// The runner starts anew, and with `rebooted` the whole machine: what began is adopted or gone, as `Agent::adopt`
    /// reads it from the journal and the engine, for which it waits.
    pub fn restart(&mut self, rebooted: bool, now: Timestamp) {
        self.unlink();
        if rebooted {
            self.machine.reboot();
        }
        (self.away, self.engine, self.falls) = (false, EngineHealth::Up, None);
        self.facts.boot_id = self.machine.boot_id();
        self.seen = self.machine.seen;
        let attempts = self.machine.journal.iter().map(|(id, found)| {
            let held = found.taken.assignment.box_id();
            let what = Adopted {
                begun: self.machine.begun(held),
                record: self.machine.record(held, *id).is_some(),
                rebooted: found.taken.boot_id != self.facts.boot_id,
                seen: self.machine.state(held),
                output: self.machine.output(held),
            };
            (*id, adopt(found, what, now))
        });
        self.attempts = attempts.collect();
        for (id, attempt) in &self.attempts {
            match &attempt.step {
                Step::Ended(phase) => self.machine.result(*id, phase),
                Step::Taken => self.machine.take(&attempt.assignment),
                Step::Starting { .. } | Step::Running { .. } | Step::Ending { .. } => {}
            }
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
            strangers: self.strangers(),
            unread: Vec::new(),
        }
    }

    fn strangers(&self) -> Vec<Stranger> {
        let ours = |held: &&AttemptId| {
            let mut own = self.attempts.values();
            own.any(|own| own.assignment.box_id() == **held)
        };
        let held = self.machine.boxes.keys().filter(|held| !ours(held));
        let strange = |held: &AttemptId| Stranger {
            name: held.to_string(),
            attempt: Some(*held),
        };
        held.map(strange).collect()
    }

    /// When an attempt's next action may be due, if nothing happens before.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let deadlines = self.attempts.values();
        let deadlines = deadlines.filter_map(|a| workloads::deadline(a, GRACE_MS, now));
        deadlines.min()
    }
}

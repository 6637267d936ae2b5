//! What outlives a runner on paper: its journal, the boxes of its engine, and what guests wrote.

use std::collections::BTreeMap;

use cluster::{Assignment, AttemptId, OutputSize, Phase, Timestamp};
use runner::engine::BoxState;
use runner::journal::{Found, Seen, Taken};
use tunnel::wire::guest::{ExitRecord, GuestEnd};

/// Boxes and marks are named by `Assignment::box_id`, as those of the engines are.
#[derive(Default)]
pub struct Machine {
    /// Starts of the machine so far: another one means a reboot.
    boots: u64,
    pub seen: Seen,
    pub journal: BTreeMap<AttemptId, Found>,
    pub boxes: BTreeMap<AttemptId, PretendBox>,
    marks: BTreeMap<AttemptId, Marks>,
    /// What began here, and how often.
    pub starts: BTreeMap<AttemptId, u32>,
}

pub struct PretendBox {
    /// In which of its lives it is.
    pub life: AttemptId,
    pub state: BoxState,
    pub cores: Vec<u32>,
    pub since: Timestamp,
    /// Milliseconds.
    pub limit: Option<u64>,
}

/// As in the folder `out`.
#[derive(Default)]
struct Marks {
    begun: bool,
    record: Option<ExitRecord>,
}

impl PretendBox {
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, BoxState::Running | BoxState::Paused)
    }
}

impl Machine {
    #[must_use]
    pub fn boot_id(&self) -> String {
        self.boots.to_string()
    }

    /// Power is gone, and comes back: boxes stand still where they were, and files are there.
    pub fn reboot(&mut self) {
        self.boots += 1;
        for held in self.boxes.values_mut().filter(|held| held.is_up()) {
            held.state = BoxState::Exited { oom: false };
        }
    }

    /// As `Journal::take`.
    pub fn take(&mut self, assignment: &Assignment) {
        let taken = Taken {
            assignment: assignment.clone(),
            boot_id: self.boot_id(),
        };
        let known = self.journal.remove(&assignment.attempt);
        let result = known.and_then(|found| found.result);
        let found = Found { taken, result };
        self.journal.insert(assignment.attempt, found);
    }

    /// As `Journal::result`.
    pub fn result(&mut self, id: AttemptId, phase: &Phase) {
        let found = self.journal.get_mut(&id);
        let found = found.unwrap_or_else(|| panic!("{id}: a result without its folder"));
        found.result = Some(phase.clone());
    }

    /// As `Journal::drop_attempt`.
    pub fn forget(&mut self, id: AttemptId) {
        self.journal.remove(&id);
        self.marks.remove(&id);
    }

    /// The first half of a start, as `Starter::clean` and the engine do it. `false`: it was made and started before.
    pub fn make(&mut self, assignment: &Assignment, now: Timestamp) -> bool {
        let (held, life) = (assignment.box_id(), assignment.attempt);
        let known = self.boxes.get(&held);
        let is_new = known.is_none_or(|known| known.state == BoxState::Created);
        if assignment.spec.vps.is_some() {
            if known.is_some_and(|known| known.is_up() && known.life == life) {
                return false;
            }
            // Marks of its earlier life go.
            self.marks.remove(&held);
        } else if !is_new {
            return false;
        }
        let made = PretendBox {
            life,
            state: BoxState::Created,
            cores: assignment.cores.clone(),
            since: now,
            limit: assignment.spec.time_limit_ms,
        };
        self.boxes.insert(held, made);
        true
    }

    /// The second half: the box runs, and its guest begins, unless it finds that it has begun before.
    pub fn run(&mut self, held: AttemptId) {
        let Some(made) = self.boxes.get_mut(&held) else {
            return;
        };
        let marks = self.marks.entry(held).or_default();
        if std::mem::replace(&mut marks.begun, true) {
            made.state = BoxState::Exited { oom: false };
            return;
        }
        made.state = BoxState::Running;
        *self.starts.entry(made.life).or_default() += 1;
    }

    /// The guest's last word, and the end of its box. `false`: it does not run, or stands still.
    pub fn end(&mut self, held: AttemptId, end: GuestEnd, oom: bool, now: Timestamp) -> bool {
        let known = self.boxes.get_mut(&held);
        let Some(known) = known.filter(|known| known.state == BoxState::Running) else {
            return false;
        };
        known.state = BoxState::Exited { oom };
        let record = ExitRecord {
            attempt: known.life,
            started: Some(known.since.0),
            ended: now.0,
            end,
            output: self.output(held),
            unwritten: Default::default(),
        };
        self.marks.entry(held).or_default().record = Some(record);
        true
    }

    /// Without grace, and without a word.
    pub fn kill(&mut self, held: AttemptId) {
        if let Some(known) = self.boxes.get_mut(&held).filter(|known| known.is_up()) {
            known.state = BoxState::Exited { oom: false };
        }
    }

    pub fn freeze(&mut self, held: AttemptId, frozen: bool) {
        if let Some(known) = self.boxes.get_mut(&held).filter(|known| known.is_up()) {
            known.state = match frozen {
                true => BoxState::Paused,
                false => BoxState::Running,
            };
        }
    }

    /// A box that stayed, with its folder.
    pub fn remove_box(&mut self, held: AttemptId) {
        self.boxes.remove(&held);
        self.marks.remove(&held);
    }

    #[must_use]
    pub fn begun(&self, held: AttemptId) -> bool {
        self.marks.get(&held).is_some_and(|marks| marks.begun)
    }

    /// What the guest of this attempt left, if it is there and of no other life.
    #[must_use]
    pub fn record(&self, held: AttemptId, life: AttemptId) -> Option<ExitRecord> {
        let record = self.marks.get(&held)?.record.clone();
        record.filter(|record| record.attempt == life)
    }

    /// Something was written, so that a result without its output is seen.
    #[must_use]
    pub fn output(&self, held: AttemptId) -> OutputSize {
        OutputSize {
            stdout: u64::from(self.begun(held)),
            stderr: 0,
        }
    }

    #[must_use]
    pub fn state(&self, held: AttemptId) -> Option<BoxState> {
        self.boxes.get(&held).map(|known| known.state)
    }
}

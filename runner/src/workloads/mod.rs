//! Assigned and observed attempts of this node. Pure: `next(attempt)` says what is to be done.

mod adopt;
mod take;
mod verdict;

use cluster::{Assignment, End, OutputSize, Phase, Timestamp, Wanted};

use tunnel::wire::guest::ExitRecord;

pub use adopt::{Adopted, adopt};
pub use take::{Follows, take};
pub use verdict::{Facts, verdict};

/// How far an attempt came, as the runner knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Durable here; nothing was made of it.
    Taken,
    /// Image, input or box on the way; in a few words.
    Starting {
        note: String,
    },
    Running {
        started: Timestamp,
    },
    /// Its processes are gone; what that means is being read.
    Ending {
        started: Option<Timestamp>,
    },
    /// Durable, until the gateway says that it may go.
    Ended(Phase),
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub assignment: Assignment,
    pub step: Step,
    /// Something is being done about it.
    pub busy: bool,
    pub frozen: bool,
    /// The engine did it, and shows it; else the guest did.
    pub by_engine: bool,
    /// Its disk is being copied: whoever does that has frozen it, and lets it go on.
    pub copied: bool,
    /// Since when it is being stopped.
    pub stopping: Option<Timestamp>,
    /// Not before this: the engine failed last time.
    pub not_before: Option<Timestamp>,
    /// How often the engine answered that it cannot start it, and its last words.
    pub refusals: u32,
    pub note: String,
    /// Its box is gone from the engine, or being removed.
    pub cleared: bool,
    /// It wrote more into its output folder than it may.
    pub overfull: bool,
    pub kept: Kept,
    /// Found in the journal, and in no list since: it may be over for the gateway, or be done elsewhere.
    pub unheard: bool,
    /// What its guest said last, while it could not be written down.
    pub told: Option<ExitRecord>,
}

/// What the journal has of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Whole,
    /// An older state of it: the disk is full.
    Older,
    /// Nothing: it must not begin, for a restart would know nothing of it.
    Nothing,
}

/// What this program is too old for: it never ran, and says why.
#[must_use]
pub fn not_understood(since: Timestamp) -> Phase {
    let reason = format!(
        "this node's river-runner {} does not understand what its newer gateway wants: upgrade it",
        env!("CARGO_PKG_VERSION")
    );
    Phase::Ended {
        started: None,
        ended: since,
        end: End::NeverStarted { reason },
        output: OutputSize::default(),
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start,
    /// It must end and never ran.
    Abandon,
    Freeze(bool),
    /// TERM, through the guest.
    Stop,
    /// Without grace, through the engine.
    Kill,
    /// Read how it ended.
    Finish,
    /// Remove the box; files stay.
    Clear,
    /// Remove everything.
    Drop,
}

impl Attempt {
    #[must_use]
    pub fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            step: Step::Taken,
            busy: false,
            frozen: false,
            by_engine: false,
            copied: false,
            stopping: None,
            not_before: None,
            refusals: 0,
            note: String::new(),
            cleared: false,
            overfull: false,
            kept: Kept::Whole,
            unheard: false,
            told: None,
        }
    }

    /// What a list says of it. `true`: that is news, and to be written down.
    pub fn hear(&mut self, said: &Assignment) -> bool {
        self.unheard = false;
        let begins =
            matches!(self.step, Step::Taken) && matches!(said.wanted, Wanted::Run | Wanted::Pause);
        if begins && self.assignment != *said {
            // After a restore the same number may have been given again, with other cores.
            self.assignment = said.clone();
            return true;
        }
        let wish = (said.wanted, said.keeps_box);
        let known = &mut self.assignment;
        let before = (known.wanted, known.keeps_box);
        (known.wanted, known.keeps_box) = wish;
        before != wish
    }

    /// A start of it is under way, and is to lead to nothing.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        let unwanted = matches!(self.assignment.wanted, Wanted::Stop(_) | Wanted::Drop);
        unwanted && matches!(self.step, Step::Starting { .. })
    }

    /// What the engine shows of its freezer, also when somebody else used that.
    pub fn seen_frozen(&mut self, frozen: bool) {
        if frozen || self.by_engine {
            self.frozen = frozen;
            self.by_engine = frozen;
        }
    }

    /// What the gateway is told.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.step {
            Step::Taken => Phase::Preparing {
                note: self.note.clone(),
            },
            Step::Starting { note } => Phase::Preparing { note: note.clone() },
            Step::Running { started } if self.frozen => Phase::Paused { started: *started },
            Step::Running { started } => Phase::Running { started: *started },
            // Cores are free when the result says so, not before.
            Step::Ending {
                started: Some(started),
            } => Phase::Running { started: *started },
            Step::Ending { started: None } => Phase::Preparing {
                note: String::new(),
            },
            Step::Ended(phase) => phase.clone(),
        }
    }

    /// The output's full length, once that is known.
    #[must_use]
    pub fn output(&self) -> Option<OutputSize> {
        match &self.step {
            Step::Ended(Phase::Ended { output, .. }) => Some(*output),
            Step::Ended(_)
            | Step::Taken
            | Step::Starting { .. }
            | Step::Running { .. }
            | Step::Ending { .. } => None,
        }
    }
}

/// Pauses after each refusal of an engine, in milliseconds: a minute in all, then it is believed.
const PAUSES_MS: [u64; 6] = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000];

/// How long to wait after so many refusals; `None`: it will not get better.
#[must_use]
pub fn pause_ms(refusals: u32) -> Option<u64> {
    let number = usize::try_from(refusals.saturating_sub(1)).ok()?;
    PAUSES_MS.get(number).copied()
}

/// What the guest may be late with its own deadlines.
const SLACK_MS: u64 = 5_000;

/// The next thing to do about an attempt, if any, and if none is under way. `grace_ms`: between TERM
/// and KILL; the guest does that by itself, and the runner a while later if it did not.
#[must_use]
pub fn next(attempt: &Attempt, grace_ms: u64, now: Timestamp) -> Option<Action> {
    if attempt.busy || attempt.not_before.is_some_and(|at| now < at) {
        return None;
    }
    let wanted = attempt.assignment.wanted;
    match &attempt.step {
        Step::Taken => match wanted {
            Wanted::Drop => Some(Action::Drop),
            Wanted::Stop(_) => Some(Action::Abandon),
            Wanted::Run | Wanted::Pause if attempt.kept == Kept::Nothing || attempt.unheard => None,
            Wanted::Run | Wanted::Pause => Some(Action::Start),
        },
        Step::Starting { .. } => None,
        // Nobody in there is asked: whoever did it may be the guest.
        Step::Running { .. } if attempt.overfull => Some(Action::Kill),
        Step::Running { started } => {
            let limit = attempt.assignment.spec.time_limit_ms;
            let latest = limit.map(|limit| {
                started
                    .0
                    .saturating_add(limit)
                    .saturating_add(grace_ms + SLACK_MS)
            });
            let overdue = latest.is_some_and(|latest| now.0 >= latest);
            match (wanted, attempt.stopping) {
                (_, Some(since)) if now.0 >= since.0.saturating_add(grace_ms + SLACK_MS) => {
                    Some(Action::Kill)
                }
                (_, Some(_)) => None,
                (Wanted::Stop(_) | Wanted::Drop, None) => Some(Action::Stop),
                (Wanted::Run | Wanted::Pause, None) if overdue => Some(Action::Kill),
                (Wanted::Run | Wanted::Pause, None) if attempt.copied => None,
                (Wanted::Pause, None) if !attempt.frozen => Some(Action::Freeze(true)),
                (Wanted::Run, None) if attempt.frozen => Some(Action::Freeze(false)),
                (Wanted::Run | Wanted::Pause, None) => None,
            }
        }
        Step::Ending { .. } => Some(Action::Finish),
        // The box first: without our record of it, it would be a stranger for ever.
        Step::Ended(_) if !attempt.cleared => Some(Action::Clear),
        Step::Ended(_) if wanted == Wanted::Drop => Some(Action::Drop),
        Step::Ended(_) => None,
    }
}

/// When `next` may answer something else than `now`, if nothing happens before.
#[must_use]
pub fn deadline(attempt: &Attempt, grace_ms: u64, now: Timestamp) -> Option<Timestamp> {
    let after = |at: Timestamp, ms: u64| Timestamp(at.0.saturating_add(ms));
    let late = grace_ms + SLACK_MS;
    let own = match &attempt.step {
        Step::Running { started } => {
            let limit = attempt.assignment.spec.time_limit_ms;
            let limit = limit.map(|limit| after(*started, limit.saturating_add(late)));
            attempt.stopping.map(|since| after(since, late)).or(limit)
        }
        Step::Taken | Step::Starting { .. } | Step::Ending { .. } | Step::Ended(_) => None,
    };
    let both = [own, attempt.not_before];
    both.into_iter().flatten().filter(|at| *at > now).min()
}

#[cfg(test)]
mod tests;

//! The one loop that owns the state: inputs, decision, one commit, and only then effects.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cluster::{AttemptId, Timestamp};
use keys::NodeName;
use shell::{Failure, Kind, Reply};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::warn;
use tunnel::fault::{self, Point};

use crate::head::{Head, now};
use crate::held::{Held, repeatable};
use crate::queries::History;
use crate::state::{Answer, AuditEntry, Effect, Input, Record, State};
use crate::store::{CommitError, Store};

/// Inputs that wait for the driver at most; whoever has more waits.
pub const QUEUE: usize = 1024;
/// Inputs taken into one turn, and so into one commit.
const TURN: usize = 256;

/// Runs until the store fails: then the process must end, for nobody knows what the disk holds.
///
/// # Errors
/// The store's failure.
pub async fn drive(
    head: Arc<Head>,
    mut state: State,
    (mut store, mut retirement): (Store, Retirement),
    mut inputs: mpsc::Receiver<Input>,
    snapshot: watch::Sender<Arc<State>>,
) -> anyhow::Result<()> {
    let mut batch = Vec::with_capacity(TURN);
    let mut held = Held::default();
    let mut looked = now();
    loop {
        // Whoever counts no silence may wait for long.
        let counts = state.next_deadline().is_some();
        if !held.wait(&mut inputs, &mut batch).await {
            wait(&mut inputs, &mut batch, &state, retirement.due).await;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let before = std::mem::replace(&mut looked, now());
        if let Some(time) = stood_still(before, looked).filter(|_| counts) {
            state.excuse(time);
            snapshot.send_replace(Arc::new(state.clone()));
        }
        store = retirement.step(store).await?;
        let before = state.clone();
        let kept: Vec<Input> = batch.iter().filter_map(repeatable).collect();
        let mut turn = Turn::default();
        turn.take(state.turn(batch.drain(..), now()));
        let (again, done) = commit(store, turn).await?;
        store = again;
        match done {
            Ok(turn) => {
                held.is_over();
                if turn.is_written() {
                    head.vitals.committed();
                }
                // Heartbeats wake nobody.
                if !state.is_same(&before) {
                    snapshot.send_replace(Arc::new(state.clone()));
                    if !std::ptr::eq(state.directory(), before.directory()) {
                        head.people_changed();
                    }
                }
                turn.act(&head, &state);
            }
            Err(refused) => {
                state = before;
                refused.refuse(&head);
                let why = "the disk is full: changes are refused until there is room";
                head.vitals.refused(now(), why);
                held.keep(kept);
            }
        }
    }
}

/// Looks in the store for a task that a node still has something of.
fn recall(head: &Arc<Head>, node: NodeName, attempt: AttemptId) {
    let head = Arc::clone(head);
    tokio::spawn(async move {
        let reader = Arc::clone(&head);
        let looking = tokio::task::spawn_blocking(move || reader.history.task(attempt.task)).await;
        match looking {
            Ok(Ok(Some(task))) => {
                head.tell(Input::Recalled {
                    node,
                    attempt,
                    task,
                })
                .await;
            }
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => warn!(%attempt, %error, "a task that is over"),
        }
    });
}

/// While a node's silence is counted, this side looks at least so often whether anything was said.
const LOOK: Duration = Duration::from_secs(2);
/// What a look may be late for want of a processor or for the disk's sake, and still have been in time.
const LATE: Duration = Duration::from_secs(3);

/// How long nobody listened: this process was stopped, its machine was, or its disk was. Pure.
fn stood_still(looked: Timestamp, now: Timestamp) -> Option<Duration> {
    let between = now.since(looked);
    (between > LOOK + LATE).then_some(between)
}

/// Fills `batch`, with a tick when a deadline has come.
async fn wait(
    inputs: &mut mpsc::Receiver<Input>,
    batch: &mut Vec<Input>,
    state: &State,
    retirement: Instant,
) {
    // Invitations and tokens expire without a deadline of their own: an hour is early enough.
    let hour = Duration::from_secs(3600);
    let due = state
        .next_deadline()
        .map_or(hour, |at| at.since(now()).min(LOOK));
    tokio::select! {
        _ = inputs.recv_many(batch, TURN) => {}
        () = tokio::time::sleep(due) => batch.push(Input::Tick),
        () = tokio::time::sleep_until(retirement) => batch.push(Input::Tick),
    }
}

/// Old tasks leave the store, a few at a time between two turns.
pub struct Retirement {
    age: Duration,
    due: Instant,
}

/// Rows that go at once: nobody's turn waits long for them.
const RETIRED: u32 = 200;
/// Between two goes while more are due, and when none is.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));
/// Until the next go when the disk was too full for one: rows that go make room.
const FULL: Duration = Duration::from_secs(5);

impl Retirement {
    /// Ended tasks go when they are this old.
    #[must_use]
    pub fn after(age: Duration) -> Self {
        Self {
            age,
            due: Instant::now(),
        }
    }

    async fn step(&mut self, mut store: Store) -> anyhow::Result<Store> {
        if Instant::now() < self.due {
            return Ok(store);
        }
        let age = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp(now().0.saturating_sub(age));
        let (store, gone) = tokio::task::spawn_blocking(move || {
            let gone = store.retire(before, RETIRED);
            (store, gone)
        })
        .await
        .context("the store's thread died")?;
        let pause = match gone {
            Ok(gone) if gone >= RETIRED as usize => PAUSES.0,
            Ok(_) => PAUSES.1,
            // The next turn says more.
            Err(CommitError::Full) => FULL,
            Err(broken @ CommitError::Broken(_)) => return Err(broken.into()),
        };
        self.due = Instant::now() + pause;
        Ok(store)
    }
}

async fn commit(mut store: Store, turn: Turn) -> anyhow::Result<(Store, Result<Turn, Turn>)> {
    if !turn.is_written() {
        return Ok((store, Ok(turn)));
    }
    let (store, turn, done) = tokio::task::spawn_blocking(move || {
        turn.passes(Point::P2, Point::P5);
        let done = store.commit(&turn.records, &turn.audit);
        turn.passes(Point::P3, Point::P6);
        (store, turn, done)
    })
    .await
    .context("the store's thread died")?;
    match done {
        Ok(()) => Ok((store, Ok(turn))),
        Err(CommitError::Full) => Ok((store, Err(turn))),
        Err(broken @ CommitError::Broken(_)) => Err(broken.into()),
    }
}

/// One commit's worth.
#[derive(Default)]
struct Turn {
    records: Vec<Record>,
    audit: Vec<AuditEntry>,
    after: Vec<Effect>,
    publish: BTreeSet<NodeName>,
}

impl Turn {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Save(record) => self.records.push(record),
                Effect::Audit(entry) => self.audit.push(entry),
                Effect::Publish(node) => drop(self.publish.insert(node)),
                Effect::Answer(..)
                | Effect::Collect { .. }
                | Effect::DropSpool(_)
                | Effect::Recall { .. }
                | Effect::CloseLink(..)
                | Effect::CloseNode(..)
                | Effect::Changed(_) => self.after.push(effect),
            }
        }
    }

    /// Does it put anything into the store?
    fn is_written(&self) -> bool {
        !self.records.is_empty() || !self.audit.is_empty()
    }

    /// Faults are aimed at submits, at placements, and at results.
    fn passes(&self, submit: Point, placement: Point) {
        let submitted = self.after.iter().any(|effect| {
            matches!(
                effect,
                Effect::Answer(_, Ok(Answer::Reply(Reply::Submitted { .. })))
            )
        });
        if submitted {
            fault::pass(submit);
        }
        if !self.publish.is_empty() {
            fault::pass(placement);
        }
        let collects = self
            .after
            .iter()
            .any(|effect| matches!(effect, Effect::Collect { .. }));
        if collects && placement == Point::P6 {
            fault::pass(Point::P15);
        }
    }

    /// What was decided is durable: now it may be said.
    fn act(self, head: &Arc<Head>, state: &State) {
        for node in &self.publish {
            head.links.publish(node, state.assignments(node));
        }
        for effect in self.after {
            match effect {
                Effect::Answer(ticket, answer) => head.answer(ticket, answer),
                Effect::Collect { node, attempt } => head.collector.add(node, attempt),
                Effect::DropSpool(file) => head.spools.remove(&file),
                Effect::Recall { node, attempt } => recall(head, node, attempt),
                Effect::CloseLink(link, why) => head.links.close(link, &why),
                Effect::CloseNode(node, why) => head.links.close_node(&node, &why),
                // Watchers look at the snapshot, which has just been replaced.
                Effect::Changed(_) | Effect::Save(_) | Effect::Audit(_) | Effect::Publish(_) => {}
            }
        }
    }

    /// Nothing was written: nobody is told otherwise.
    fn refuse(self, head: &Head) {
        for effect in self.after {
            if let Effect::Answer(ticket, _) = effect {
                let failure = Failure::new(
                    Kind::Busy,
                    "the disk of the gateway is full, nothing was changed",
                )
                .hint("an operator must make room; then try again");
                head.answer(ticket, Err(failure));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_in_time_has_not_stood_still() {
        let at = |secs: u64| Timestamp(secs * 1000);
        assert_eq!(stood_still(at(100), at(105)), None);
        assert_eq!(stood_still(at(100), at(121)), Some(Duration::from_secs(21)));
        // A clock that was put back.
        assert_eq!(stood_still(at(100), at(40)), None);
    }
}

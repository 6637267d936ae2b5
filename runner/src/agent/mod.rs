//! The one loop: link, guests, engine and clock move attempts along; the gateway hears what is true.

mod act;
mod ending;
mod link;
mod lists;
mod look;
mod removing;
mod save;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use cluster::{
    AttemptId, AttemptReport, DiskTrouble, EngineHealth, Observation, OutputSize, Stranger,
    Timestamp,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use tunnel::ssh::{RunnerLink, Stream};
use tunnel::wire::guest::ToGuest;
use tunnel::wire::{ChannelName, ToRunner};

pub use link::{Dialer, dial_for_ever};

use crate::engine::{BoxSeen, Engine, EngineError};
use crate::guest::{GuestEvent, GuestSaid};
use crate::journal::{Journal, Seen};
use crate::output::{self, Watches};
use crate::start::{SharedLink, Starter};
use crate::workloads::{self, Action, Adopted, Attempt, Step};
use save::Unsaved;

/// Everything that can happen to a runner.
pub enum Event {
    LinkUp(Arc<RunnerLink>),
    LinkDown,
    Said(ToRunner),
    Stream(ChannelName, Stream),
    Guest(GuestEvent),
    /// The engine was looked at.
    Listed(Result<Vec<BoxSeen>, EngineError>),
    /// The disk of this box is being copied.
    Copying(AttemptId),
    /// No more; and the engine was looked at.
    Copied(AttemptId, Result<Vec<BoxSeen>, EngineError>),
    Done(AttemptId, Done),
    /// More lies in its output folder than may.
    Overfull(AttemptId),
    /// How the node's disks stand now.
    Disk(Option<DiskTrouble>),
}

/// What an action came to.
pub enum Done {
    /// `false`: it was withdrawn before it began.
    Started(Result<bool, EngineError>),
    /// Nothing runs of what is not to run.
    Abandoned,
    Frozen(bool, Result<bool, EngineError>),
    Killed(Result<(), EngineError>),
    /// `None`: it has not ended after all.
    Finished(Option<Box<workloads::Facts>>),
    Cleared(Result<(), EngineError>),
    /// Its box that stayed, with all that was of it.
    Removed(Result<(), EngineError>),
}

/// The only writer of its attempts.
pub struct Agent<E> {
    journal: Journal,
    seen: Seen,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// For readers of output: the full length, once an attempt has ended.
    ended: BTreeMap<AttemptId, watch::Sender<Option<OutputSize>>>,
    /// Starts under way.
    starting: BTreeMap<AttemptId, CancellationToken>,
    /// Given to this node by a newer gateway, and not understood; since when.
    unread: BTreeMap<AttemptId, Timestamp>,
    strangers: Vec<Stranger>,
    health: EngineHealth,
    disk: Option<DiskTrouble>,
    unsaved: Unsaved,
    starter: Arc<Starter<E>>,
    events: mpsc::Sender<Event>,
    link: SharedLink,
    observations: watch::Sender<Option<Observation>>,
    looking: Arc<tokio::sync::Mutex<()>>,
    /// Of outputs.
    watches: Watches,
}

/// The clock of this machine.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis();
    Timestamp(u64::try_from(ms).unwrap_or(u64::MAX))
}

impl<E: Engine> Agent<E> {
    /// Reads the journal and looks at what runs: nothing is started or ended by this.
    ///
    /// # Errors
    /// When the journal is damaged.
    pub async fn adopt(
        state_dir: &std::path::Path,
        boot_id: &str,
        starter: Arc<Starter<E>>,
        events: mpsc::Sender<Event>,
        observations: watch::Sender<Option<Observation>>,
    ) -> anyhow::Result<Self> {
        let (journal, seen, found) = Journal::open(state_dir, boot_id)?;
        let boxes = loop {
            // Without the engine's word an attempt that runs would look like one that vanished.
            match starter.engine.list().await {
                Ok(boxes) => break boxes,
                Err(_) if found.is_empty() => break Vec::new(),
                Err(error) => {
                    warn!(%error, "waiting for the engine before anything else");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        let link = Arc::clone(&starter.link);
        let mut agent = Self {
            journal,
            seen,
            attempts: BTreeMap::new(),
            ended: BTreeMap::new(),
            starting: BTreeMap::new(),
            unread: BTreeMap::new(),
            strangers: Vec::new(),
            health: EngineHealth::Up,
            disk: None,
            unsaved: Unsaved::default(),
            starter,
            events,
            link,
            observations,
            looking: Arc::default(),
            watches: Watches::new(),
        };
        for (id, found) in found {
            let held = found.taken.assignment.box_id();
            let out = agent.journal.place(&found.taken.assignment).join("out");
            let what = Adopted {
                begun: output::begun(&out),
                record: output::record(&out, id).ok().flatten().is_some(),
                rebooted: found.taken.boot_id != boot_id,
                seen: boxes
                    .iter()
                    .find(|seen| seen.attempt == Some(held))
                    .map(|seen| seen.state),
                output: output::size(&out),
            };
            let attempt = workloads::adopt(&found, what, now());
            info!(attempt = %id, step = ?attempt.step, "adopted");
            if matches!(attempt.step, Step::Running { .. }) {
                let run = agent.journal.place(&attempt.assignment).join("run");
                if let Err(error) = agent.starter.guests.listen(id, held, &run) {
                    warn!(attempt = %id, %error, "its guest cannot be heard");
                }
            }
            agent.ended.insert(id, watch::channel(attempt.output()).0);
            // It begins after this reboot, if at all: a later start must not think that it began before.
            let anew = what.rebooted && attempt.step == Step::Taken;
            agent.attempts.insert(id, attempt);
            if anew {
                agent.save(id)?;
            }
            if found.result.is_none() {
                agent.save_result(id)?;
            }
        }
        agent.note_strangers(&boxes);
        Ok(agent)
    }

    /// Numbers for the hello.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// For ever.
    ///
    /// # Errors
    /// When the journal cannot be written: nothing more may be promised then.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) -> anyhow::Result<()> {
        loop {
            // One moment for all: what is not due now is due at its deadline.
            let turn = now();
            let again = self.save_again(turn)?;
            self.act(turn)?;
            self.observe();
            let due = self
                .attempts
                .values()
                .filter_map(|a| workloads::deadline(a, self.starter.grace_ms, turn))
                .chain(again)
                .min();
            let pause = due.map_or(Duration::from_secs(3600), |at| {
                at.since(now()).max(Duration::from_millis(20))
            });
            tokio::select! {
                event = events.recv() => self.on_event(event.context("no more events")?)?,
                () = tokio::time::sleep(pause) => {}
            }
            // What has piled up is one turn.
            while let Ok(event) = events.try_recv() {
                self.on_event(event)?;
            }
        }
    }

    /// The newest truth; the sender of the link takes it from here.
    fn observe(&self) {
        let report = |(id, attempt): (&AttemptId, &Attempt)| AttemptReport {
            attempt: *id,
            phase: attempt.phase(),
        };
        let unread = self.unread.iter().map(|(id, since)| AttemptReport {
            attempt: *id,
            phase: workloads::not_understood(*since),
        });
        let truth = Observation {
            version: self.seen.version,
            attempts: self.attempts.iter().map(report).chain(unread).collect(),
            engine: self.health.clone(),
            disk: self.disk.clone(),
            strangers: self.strangers.clone(),
            unread: Vec::new(),
        };
        self.observations.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&truth);
            *known = Some(truth);
            changed
        });
    }

    fn on_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::LinkUp(link) => self.set_link(Some(link)),
            Event::LinkDown => self.set_link(None),
            Event::Said(ToRunner::Assignments(list)) => self.on_assignments(list)?,
            Event::Said(ToRunner::Signal { attempt, signal }) => {
                let _ = self
                    .starter
                    .guests
                    .send(attempt, ToGuest::Signal { signal });
            }
            Event::Said(ToRunner::Welcome(_) | ToRunner::Refused(_) | ToRunner::Ping) => {}
            Event::Stream(name, stream) => self.on_stream(&name, stream),
            Event::Guest(event) => self.on_guest(event),
            Event::Listed(listed) => self.on_listed(listed),
            Event::Copying(held) => self.on_copied(held, true),
            Event::Copied(held, listed) => {
                self.on_copied(held, false);
                self.on_listed(listed);
            }
            Event::Done(id, done) => self.on_done(id, done)?,
            Event::Overfull(id) => self.on_overfull(id),
            Event::Disk(disk) => self.disk = disk,
        }
        Ok(())
    }

    fn set_link(&self, link: Option<Arc<RunnerLink>>) {
        if let Ok(mut shared) = self.link.write() {
            *shared = link;
        }
    }

    fn on_guest(&mut self, event: GuestEvent) {
        let Some(attempt) = self.attempts.get_mut(&event.attempt) else {
            return;
        };
        // Believed once its box is over, and if nothing is on the disk.
        if let GuestSaid::Exited(record) = &event.what
            && record.attempt == event.attempt
        {
            attempt.told = Some(record.clone());
        }
        let Step::Running { started } = attempt.step else {
            return;
        };
        match event.what {
            // A stop that could not be said before is said again. Its time runs on: whoever is root in
            // the box may connect as often as he likes.
            GuestSaid::Connected if attempt.stopping.is_some() => {
                let grace_ms = self.starter.grace_ms;
                let stop = ToGuest::Stop { grace_ms };
                let _ = self.starter.guests.send(event.attempt, stop);
            }
            // So may a pause be lost with the line.
            GuestSaid::Connected if attempt.frozen && !attempt.by_engine => {
                let freeze = ToGuest::Freeze { frozen: true };
                let _ = self.starter.guests.send(event.attempt, freeze);
            }
            GuestSaid::Connected => {}
            GuestSaid::Exited(_) => {}
            GuestSaid::Gone => {
                let out = self.journal.place(&attempt.assignment).join("out");
                // The guest's last word is on the disk, and its process is gone: so is the box.
                if output::record(&out, event.attempt).ok().flatten().is_some() {
                    attempt.step = Step::Ending {
                        started: Some(started),
                    };
                } else {
                    self.look_soon();
                }
            }
        }
    }

    /// Everything that is due, each in a task of its own that reports back; and what is due by that at once.
    fn act(&mut self, turn: Timestamp) -> anyhow::Result<()> {
        loop {
            let due: Vec<(AttemptId, Action)> = self
                .attempts
                .iter()
                .filter_map(|(id, attempt)| {
                    Some((*id, workloads::next(attempt, self.starter.grace_ms, turn)?))
                })
                .collect();
            if due.is_empty() {
                return Ok(());
            }
            for (id, action) in due {
                self.begin(id, action)?;
            }
        }
    }
}

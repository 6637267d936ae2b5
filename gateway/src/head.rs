//! What every connection of the gateway shares: the way to the driver, the snapshot, the stores.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::{Task, TaskId, Timestamp};
use keys::authority::Authority;
use keys::{Actor, UserName};
use shell::{Change, Failure, Kind, Reply};
use tokio::sync::{mpsc, oneshot, watch};

use crate::ending::Ending;
use crate::memory::Memory;
use crate::programs::Programs;
use crate::queries::History;
use crate::readers::Readers;
use crate::runners::{Collector, Links};
use crate::seats::{Holder, Seats};
use crate::state::{Answer, Dice, Input, State, Ticket};
use crate::store::{HistoryReader, OutputStore, SpoolStore};
use crate::vitals::Vitals;

/// Cheap to share; there is one of it.
pub struct Head {
    inputs: mpsc::Sender<Input>,
    snapshot: watch::Receiver<Arc<State>>,
    /// Told when accounts or keys change.
    people: watch::Sender<()>,
    tickets: Mutex<HashMap<Ticket, oneshot::Sender<Result<Answer, Failure>>>>,
    next: AtomicU64,
    pub history: HistoryReader,
    pub outputs: OutputStore,
    pub spools: SpoolStore,
    pub links: Links,
    pub collector: Collector,
    pub ending: Ending,
    pub authority: Authority,
    /// `SHA256:…` of the host key.
    pub host_key: String,
    /// Settings of the SSH server, for connections and for those nested in them.
    pub server: Arc<russh::server::Config>,
    /// How long a connection may take to prove who it is; also a newcomer's or a joining runner's whole visit.
    pub login_grace: Duration,
    /// Those of nodes.
    pub programs: Programs,
    pub vitals: Vitals,
    pub memory: Memory,
    pub readers: Readers,
    /// Connections of people.
    pub seats: Arc<Seats<Holder>>,
    /// That this process may have open.
    pub files: usize,
    /// Of the store.
    pub state_dir: PathBuf,
}

/// What [`Head::new`] puts together.
pub struct Parts {
    pub history: HistoryReader,
    pub outputs: OutputStore,
    pub spools: SpoolStore,
    pub authority: Authority,
    pub host_key: String,
    pub server: Arc<russh::server::Config>,
    pub login_grace: Duration,
    pub programs: Programs,
    /// That this process may have open.
    pub files: usize,
    pub state_dir: PathBuf,
}

impl Head {
    #[must_use]
    pub fn new(
        inputs: mpsc::Sender<Input>,
        snapshot: watch::Receiver<Arc<State>>,
        parts: Parts,
    ) -> Arc<Self> {
        Arc::new(Self {
            inputs,
            snapshot,
            people: watch::Sender::default(),
            tickets: Mutex::default(),
            next: AtomicU64::new(1),
            history: parts.history,
            outputs: parts.outputs,
            spools: parts.spools,
            links: Links::default(),
            collector: Collector::default(),
            ending: Ending::default(),
            authority: parts.authority,
            host_key: parts.host_key,
            server: parts.server,
            login_grace: parts.login_grace,
            programs: parts.programs,
            vitals: Vitals::default(),
            memory: Memory::default(),
            readers: Readers::default(),
            seats: Seats::connections(parts.files),
            files: parts.files,
            state_dir: parts.state_dir,
        })
    }

    /// What is committed, now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// An ended task that left memory; whose it is says whose turn it takes.
    pub async fn old(self: &Arc<Self>, id: TaskId, owner: &UserName) -> Option<Arc<Task>> {
        let reader = Arc::clone(self);
        let read = self.readers.read(owner, move || reader.history.task(id));
        read.await?.ok().flatten()
    }

    /// For those who wait for a change: wakes after every commit.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.snapshot.clone()
    }

    /// Wakes when accounts or keys have changed, which is seldom.
    #[must_use]
    pub fn people(&self) -> watch::Receiver<()> {
        self.people.subscribe()
    }

    pub(crate) fn people_changed(&self) {
        self.people.send_replace(());
    }

    /// Tells the driver something; waits while its queue is full.
    pub async fn tell(&self, input: Input) {
        // The driver ends only with the process.
        let _ = self.inputs.send(input).await;
    }

    /// A number that is not given twice in this life: for tickets and links.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the driver and waits for the committed answer.
    ///
    /// # Errors
    /// What the driver answers, or code 75 when the gateway is stopping.
    pub async fn ask(&self, input: impl FnOnce(Ticket) -> Input) -> Result<Answer, Failure> {
        self.put(input).await.answer().await
    }

    /// Asks the driver, in the order of the calls; the answer may be waited for later.
    pub async fn put(&self, input: impl FnOnce(Ticket) -> Input) -> Asked {
        let ticket = Ticket(self.number());
        let (sender, receiver) = oneshot::channel();
        self.tickets().insert(ticket, sender);
        self.tell(input(ticket)).await;
        Asked(receiver)
    }

    /// # Errors
    /// What [`State`] says of the change.
    pub async fn change(&self, actor: &Actor, change: Change) -> Result<Reply, Failure> {
        let actor = actor.clone();
        self.put(|ticket| Input::Change {
            ticket,
            actor,
            change,
            dice: dice(),
        })
        .await
        .reply()
        .await
    }

    /// One line for the audit log; it is there when this returns.
    ///
    /// # Errors
    /// Code 75 when it cannot be written: what is not noted must not happen.
    pub async fn note(
        &self,
        account: &str,
        action: &str,
        object: &str,
        verdict: &str,
    ) -> Result<(), Failure> {
        let (account, action) = (account.to_owned(), action.to_owned());
        let (object, verdict) = (object.to_owned(), verdict.to_owned());
        self.ask(|ticket| Input::Audit {
            ticket,
            account,
            action,
            object,
            verdict,
        })
        .await
        .map(|_| ())
    }

    pub(crate) fn answer(&self, ticket: Ticket, answer: Result<Answer, Failure>) {
        if let Some(sender) = self.tickets().remove(&ticket) {
            // Whoever asked may have gone; the change stands.
            let _ = sender.send(answer);
        }
    }

    fn tickets(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<Ticket, oneshot::Sender<Result<Answer, Failure>>>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that the driver was asked. Dropped: nobody hears the answer, and what was asked is done all the same.
pub struct Asked(oneshot::Receiver<Result<Answer, Failure>>);

impl Asked {
    /// The committed answer. May be dropped and called again.
    ///
    /// # Errors
    /// As [`Head::ask`].
    pub async fn answer(&mut self) -> Result<Answer, Failure> {
        (&mut self.0).await.unwrap_or_else(|_| {
            Err(Failure::new(Kind::Busy, "the gateway is stopping").hint("try again in a moment"))
        })
    }

    /// Of a change. May be dropped and called again.
    ///
    /// # Errors
    /// As [`Head::change`].
    pub async fn reply(&mut self) -> Result<Reply, Failure> {
        match self.answer().await? {
            Answer::Reply(reply) => Ok(reply),
            Answer::Joined { .. } | Answer::Enrolled(_) | Answer::Noted => Err(Failure::new(
                Kind::Failed,
                "the gateway answered something else",
            )
            .hint("tell the operator")),
        }
    }
}

/// Fresh randomness from the system.
#[must_use]
pub fn dice() -> Dice {
    rand::random()
}

/// The clock of this machine.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

//! From a node's name to its open link.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::{Assignments, AttemptId};
use keys::{NodeName, UserName};
use tokio::sync::{mpsc, watch};
use tracing::info;
use tunnel::ssh::{LinkConnection, MOST, Stream};
use tunnel::wire::{ChannelName, ToRunner};

use crate::seats::Seats;
use crate::state::LinkId;

/// Messages that are sent at most once; what does not fit is not sent.
const MESSAGES: usize = 64;

/// How long the last message of a control connection may take to leave.
const GOODBYE: Duration = Duration::from_secs(1);

/// Streams to a node that have to do with one person's tasks and boxes, of those that are typed on and of all others:
/// half of those that a connection carries.
const SHARE: usize = MOST / 2;

/// All links. A control connection makes a node reachable; bulk connections carry its streams.
pub struct Links {
    entries: Mutex<HashMap<NodeName, Entry>>,
    shares: Arc<Seats<(NodeName, UserName, bool)>>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            shares: Seats::of(SHARE, usize::MAX),
        }
    }
}

#[derive(Default)]
struct Entry {
    control: Option<Control>,
    bulk: Vec<Bulk>,
    next: AtomicUsize,
}

/// Carries streams while a control connection of the same instance is live; till then it waits.
struct Bulk {
    instance: u64,
    connection: LinkConnection,
}

struct Control {
    link: LinkId,
    /// Of its runner's start.
    instance: u64,
    connection: LinkConnection,
    assignments: watch::Sender<Option<Assignments>>,
    messages: mpsc::Sender<ToRunner>,
}

/// What a control connection sends on.
pub(super) struct Outgoing {
    /// The newest wins; what was not sent in between needs not be.
    pub(super) assignments: watch::Receiver<Option<Assignments>>,
    pub(super) messages: mpsc::Receiver<ToRunner>,
}

impl Entry {
    /// Those that streams may be opened on.
    fn live(&self) -> impl Iterator<Item = &LinkConnection> {
        let control = self.control.as_ref();
        let ours = move |bulk: &&Bulk| control.is_some_and(|one| one.instance == bulk.instance);
        self.bulk.iter().filter(ours).map(|bulk| &bulk.connection)
    }
}

impl Links {
    /// With its number, and with the connections that it takes over from: an older control, and other instances' bulk.
    /// Of two of a node the one that takes over has the higher number, for the state goes by that.
    pub(super) fn add_control(
        &self,
        node: &NodeName,
        instance: u64,
        next: impl FnOnce() -> LinkId,
        connection: LinkConnection,
    ) -> (LinkId, Outgoing, Vec<LinkConnection>) {
        let (assignments, newest) = watch::channel(None);
        let (messages, waiting) = mpsc::channel(MESSAGES);
        let mut entries = self.entries();
        let link = next();
        let control = Control {
            link,
            instance,
            connection,
            assignments,
            messages,
        };
        let entry = entries.entry(node.clone()).or_default();
        let older = entry.control.replace(control);
        let others = entry.bulk.extract_if(.., |bulk| bulk.instance != instance);
        let mut over: Vec<LinkConnection> = others.map(|bulk| bulk.connection).collect();
        over.extend(older.map(|older| older.connection));
        let outgoing = Outgoing {
            assignments: newest,
            messages: waiting,
        };
        (link, outgoing, over)
    }

    /// Its connections for streams.
    pub(super) fn bulk(&self, node: &NodeName) -> Vec<LinkConnection> {
        let entries = self.entries();
        let bulk = entries.get(node).into_iter().flat_map(|entry| &entry.bulk);
        bulk.map(|bulk| bulk.connection.clone()).collect()
    }

    pub(super) fn remove_control(&self, node: &NodeName, link: LinkId) {
        if let Some(entry) = self.entries().get_mut(node)
            && entry
                .control
                .as_ref()
                .is_some_and(|control| control.link == link)
        {
            entry.control = None;
        }
    }

    /// Is this node connected now, by what, and by which start of its runner?
    pub fn control(&self, node: &NodeName) -> Option<(LinkConnection, u64)> {
        let entries = self.entries();
        let control = entries.get(node)?.control.as_ref()?;
        Some((control.connection.clone(), control.instance))
    }

    /// Those that carry the node's streams now.
    pub fn carriers(&self, node: &NodeName) -> Vec<LinkConnection> {
        let entries = self.entries();
        let live = entries.get(node).into_iter().flat_map(Entry::live);
        live.cloned().collect()
    }

    /// For how long nothing has come from a node that is connected.
    pub fn quiet(&self, node: &NodeName) -> Option<Duration> {
        let entries = self.entries();
        entries.get(node)?.control.as_ref()?.connection.quiet()
    }

    /// One more connection for streams; it leaves by itself when it ends.
    pub fn add_bulk(&self, node: &NodeName, instance: u64, connection: LinkConnection) {
        let bulk = Bulk {
            instance,
            connection,
        };
        let mut entries = self.entries();
        entries.entry(node.clone()).or_default().bulk.push(bulk);
    }

    /// Does this connection carry the node's streams: is its instance's control live?
    pub fn carries(&self, node: &NodeName, connection: &LinkConnection) -> bool {
        let entries = self.entries();
        let entry = entries.get(node);
        entry.is_some_and(|entry| entry.live().any(|bulk| bulk.same(connection)))
    }

    /// This start of a runner was refused: its connections for streams go with it.
    pub(super) fn refuse(&self, node: &NodeName, instance: u64) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(node) else {
            return;
        };
        let live = entry.control.as_ref().map(|control| control.instance);
        if live == Some(instance) {
            return;
        }
        for bulk in entry.bulk.extract_if(.., |bulk| bulk.instance == instance) {
            tokio::spawn(async move { bulk.connection.disconnect("refused").await });
        }
    }

    /// Forgets bulk connections that have ended.
    pub fn prune(&self, node: &NodeName, ended: &LinkConnection) {
        if let Some(entry) = self.entries().get_mut(node) {
            entry.bulk.retain(|bulk| !bulk.connection.same(ended));
        }
    }

    /// The node should do this now.
    pub fn publish(&self, node: &NodeName, assignments: Assignments) {
        if let Some(control) = self
            .entries()
            .get(node)
            .and_then(|entry| entry.control.as_ref())
        {
            control.assignments.send_replace(Some(assignments));
        }
    }

    /// A signal to a task, at most once.
    pub fn signal(&self, node: &NodeName, attempt: AttemptId, signal: u8) {
        if let Some(control) = self
            .entries()
            .get(node)
            .and_then(|entry| entry.control.as_ref())
        {
            let _ = control
                .messages
                .try_send(ToRunner::Signal { attempt, signal });
        }
    }

    pub fn close(&self, link: LinkId, why: &str) {
        let entries = self.entries();
        let found = entries.iter().find_map(|(node, entry)| {
            entry
                .control
                .as_ref()
                .filter(|control| control.link == link)
                .map(|control| (node, control))
        });
        if let Some((node, control)) = found {
            info!(%node, why, "closing a control connection");
            let _ = control.messages.try_send(ToRunner::Refused(why.to_owned()));
            let (connection, why) = (control.connection.clone(), why.to_owned());
            tokio::spawn(async move {
                // The refusal goes out by another task.
                tokio::time::sleep(GOODBYE).await;
                connection.disconnect(&why).await;
            });
        }
    }

    /// Ends everything of this node, whichever start of its runner it is of.
    pub fn close_node(&self, node: &NodeName, why: &str) {
        let Some(entry) = self.entries().remove(node) else {
            return;
        };
        info!(%node, why, "closing a node's connections");
        if let Some(control) = &entry.control {
            let _ = control.messages.try_send(ToRunner::Refused(why.to_owned()));
        }
        let why = why.to_owned();
        tokio::spawn(async move {
            // The refusal goes out by another task, as long as the entry is there.
            tokio::time::sleep(GOODBYE).await;
            let control = entry.control.map(|control| control.connection);
            let bulk = entry.bulk.into_iter().map(|bulk| bulk.connection);
            for connection in bulk.chain(control) {
                connection.disconnect(&why).await;
            }
        });
    }

    /// Ends all connections of all nodes.
    pub fn close_all(&self, why: &'static str) {
        for (_, entry) in self.entries().drain() {
            let bulk = entry.bulk.into_iter().map(|bulk| bulk.connection);
            for connection in bulk.chain(entry.control.map(|control| control.connection)) {
                tokio::spawn(async move { connection.disconnect(why).await });
            }
        }
    }

    /// As [`Links::open`], for what is `owner`'s: others have some, too.
    ///
    /// # Errors
    /// `QuotaExceeded` when all that is theirs has as many as it may; else as [`Links::open`].
    pub async fn open_for(
        &self,
        owner: &UserName,
        node: &NodeName,
        name: ChannelName,
    ) -> io::Result<Stream> {
        let typed = matches!(name, ChannelName::Guest { typed: true, .. });
        let share = (node.clone(), owner.clone(), typed);
        let seat = self.shares.take(&share).map_err(|_| {
            let what = format!("{SHARE} channels to the tasks and boxes of {owner} on {node} are open, the most there may be");
            io::Error::new(io::ErrorKind::QuotaExceeded, what)
        })?;
        Ok(self.open(node, name).await?.keeping(seat))
    }

    /// A stream on the node's bulk connections in turn. One that has failed is left out from then on.
    ///
    /// # Errors
    /// `NotConnected` when the node has no link now; else as [`LinkConnection::open`].
    pub async fn open(&self, node: &NodeName, name: ChannelName) -> io::Result<Stream> {
        loop {
            let connection = self.turn(node, &name).ok_or(io::ErrorKind::NotConnected)?;
            match connection.open(name.clone()).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.prune(node, &connection);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.prune(node, &connection);
                    // Its runner dials again once it hears of the end.
                    tokio::spawn(async move { connection.disconnect("no answer").await });
                    return Err(error);
                }
                opened => return opened,
            }
        }
    }

    /// Keys have the first connection, what moves much the others, where there are several.
    fn turn(&self, node: &NodeName, name: &ChannelName) -> Option<LinkConnection> {
        let entries = self.entries();
        let entry = entries.get(node)?;
        let turn = entry.next.fetch_add(1, Ordering::Relaxed);
        let place = match (name, entry.live().count()) {
            (ChannelName::Guest { typed: true, .. }, _) => 0,
            (ChannelName::Guest { typed: false, .. }, all @ 2..) => 1 + turn % (all - 1),
            (_, all) => turn % all.max(1),
        };
        entry.live().nth(place).cloned()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<NodeName, Entry>> {
        let entries = self.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner)
    }
}

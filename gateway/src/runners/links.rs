//! From a node's name to its open link.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::{Assignments, AttemptId};
use keys::NodeName;
use tokio::sync::{mpsc, watch};
use tracing::info;
use tunnel::ssh::{LinkConnection, Stream};
use tunnel::wire::{ChannelName, ToRunner};

use crate::state::LinkId;

/// Messages that are sent at most once; what does not fit is not sent.
const MESSAGES: usize = 64;

/// How long the last message of a control connection may take to leave.
const GOODBYE: Duration = Duration::from_secs(1);

/// All links. A control connection makes a node reachable; bulk connections carry its streams.
#[derive(Default)]
pub struct Links(Mutex<HashMap<NodeName, Entry>>);

#[derive(Default)]
struct Entry {
    control: Option<Control>,
    bulk: Vec<LinkConnection>,
    next: AtomicUsize,
}

struct Control {
    link: LinkId,
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

impl Links {
    /// With the connection that it takes over from, if there is one.
    pub(super) fn add_control(
        &self,
        node: &NodeName,
        link: LinkId,
        connection: LinkConnection,
    ) -> (Outgoing, Option<LinkConnection>) {
        let (assignments, newest) = watch::channel(None);
        let (messages, waiting) = mpsc::channel(MESSAGES);
        let control = Control {
            link,
            connection,
            assignments,
            messages,
        };
        let mut entries = self.entries();
        let older = entries
            .entry(node.clone())
            .or_default()
            .control
            .replace(control);
        let outgoing = Outgoing {
            assignments: newest,
            messages: waiting,
        };
        (outgoing, older.map(|older| older.connection))
    }

    /// Its connections for streams.
    pub(super) fn bulk(&self, node: &NodeName) -> Vec<LinkConnection> {
        let entries = self.entries();
        entries
            .get(node)
            .map(|entry| entry.bulk.clone())
            .unwrap_or_default()
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

    /// Is this node connected now, and by what?
    pub fn control(&self, node: &NodeName) -> Option<LinkConnection> {
        let entries = self.entries();
        entries
            .get(node)?
            .control
            .as_ref()
            .map(|control| control.connection.clone())
    }

    /// One more connection for streams; it leaves by itself when it ends.
    pub fn add_bulk(&self, node: &NodeName, connection: LinkConnection) {
        self.entries()
            .entry(node.clone())
            .or_default()
            .bulk
            .push(connection);
    }

    /// Forgets bulk connections that have ended.
    pub fn prune(&self, node: &NodeName, ended: &LinkConnection) {
        if let Some(entry) = self.entries().get_mut(node) {
            entry.bulk.retain(|bulk| !bulk.same(ended));
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
        match (name, entry.bulk.len()) {
            (ChannelName::Guest { typed: true, .. }, _) => return entry.bulk.first().cloned(),
            (ChannelName::Guest { typed: false, .. }, 2..) => {
                let turn = 1 + entry.next.fetch_add(1, Ordering::Relaxed) % (entry.bulk.len() - 1);
                return entry.bulk.get(turn).cloned();
            }
            _ => {}
        }
        let turn = entry.next.fetch_add(1, Ordering::Relaxed);
        entry.bulk.get(turn % entry.bulk.len().max(1)).cloned()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<NodeName, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

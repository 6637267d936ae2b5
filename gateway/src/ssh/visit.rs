//! One connection behind its callbacks: who is there, and which channels are open.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use keys::NodeName;
use russh::server::Msg;
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tunnel::ssh::{CHANNELS, Inbox, Inboxes, InboxesGuard, LinkConnection, Streams, StreamsGuard};
use tunnel::wire::session::{self, Pty};
use tunnel::wire::{SUBSYSTEM_CONTROL, SUBSYSTEM_JOIN, bulk_instance};

use super::auth::Caller;
use super::connection::Connection;
use super::enter::{self, Display, Listeners, Place, Wish};
use super::knock::Standing;
use super::places::Nest;
use super::requests::{PROHIBITED, because, full};
use super::{environment, x11};
use crate::console::{self, SessionEvent, Terminal};
use crate::head::Head;
use crate::runners;

/// Requests that wait for a session's attention; more are dropped.
const EVENTS: usize = 16;

/// Sessions of one connection.
const SESSIONS: usize = 256;

/// … of one that may be anybody's: joining takes one.
const JOINING: usize = 4;

/// What a session channel is to run.
pub(super) enum Asked {
    Shell,
    Exec(Vec<u8>),
    Sftp,
}

/// One connection's callbacks.
pub(super) struct Handler {
    pub(super) head: Arc<Head>,
    pub(super) connection: Connection,
    pub(super) inboxes: Inboxes,
    pub(super) streams: Streams,
    _guards: (InboxesGuard, StreamsGuard),
    pub(super) standing: Standing,
    pub(super) source: SocketAddr,
    pub(super) offered: Vec<String>,
    pub(super) told: bool,
    pub(super) caller: Option<Caller>,
    slot: Arc<LinkSlot>,
    pub(super) channels: HashMap<ChannelId, Open>,
    /// The box that the login name means, or that a nested connection was made to.
    pub(super) place: Option<Place>,
    pub(super) nest: Nest,
    pub(super) listeners: Listeners,
    /// As many displays of the client's as it may have in boxes.
    pub(super) displays: Arc<Semaphore>,
}

/// A session channel, before and after its command.
pub(super) struct Open {
    pub(super) fresh: Option<(Option<Inbox>, ChannelWriteHalf<Msg>)>,
    pub(super) terminal: Option<Pty>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) agent: bool,
    pub(super) display: Option<Display>,
    pub(super) events: Option<mpsc::Sender<SessionEvent>>,
}

/// Where the server puts the connection once it has it, for a runner's link.
#[derive(Default)]
pub(super) struct LinkSlot {
    connection: OnceLock<LinkConnection>,
    bulk: Mutex<Option<NodeName>>,
}

impl LinkSlot {
    pub(super) fn set(&self, connection: LinkConnection) {
        let _ = self.connection.set(connection);
    }

    pub(super) fn ended(&self, head: &Head) {
        let bulk = self
            .bulk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Some(node), Some(connection)) = (bulk, self.connection.get()) {
            head.links.prune(&node, connection);
        }
    }
}

impl Handler {
    pub(super) fn new(
        head: Arc<Head>,
        connection: Connection,
        inboxes: Inboxes,
        streams: Streams,
        standing: Standing,
        source: SocketAddr,
    ) -> Self {
        Self {
            head,
            connection,
            _guards: (inboxes.guard(), streams.guard()),
            inboxes,
            streams,
            standing,
            source,
            offered: Vec::new(),
            told: false,
            caller: None,
            slot: Arc::default(),
            channels: HashMap::new(),
            place: None,
            nest: Nest::No,
            listeners: Listeners::default(),
            displays: Arc::new(Semaphore::new(x11::MOST)),
        }
    }

    pub(super) fn link_slot(&self) -> Arc<LinkSlot> {
        Arc::clone(&self.slot)
    }

    pub(super) fn is_link(&self) -> bool {
        matches!(
            self.caller,
            Some(Caller::Node { .. } | Caller::Joining { .. })
        )
    }

    /// The node that this is a link of, as long as its certificate is the one that the node has.
    pub(super) fn node(&self) -> Option<NodeName> {
        let Some(Caller::Node { node, serial }) = &self.caller else {
            return None;
        };
        let state = self.head.state();
        let known = state.node(node)?;
        (known.certificate == *serial).then(|| node.clone())
    }

    /// Is this one of the connections that carry its node's streams?
    pub(super) fn carries(&self) -> Option<NodeName> {
        let (node, connection) = (self.node()?, self.slot.connection.get()?);
        self.head.links.carries(&node, connection).then_some(node)
    }

    /// An error: nothing begins on this connection, which is about to end.
    pub(super) fn refused(&self) -> Result<(), ChannelOpenFailure> {
        let why = self.standing.recall.refuses();
        why.map_or(Ok(()), |why| {
            Err(because(&ChannelOpenFailure::ResourceShortage, why))
        })
    }

    /// An error: there are too many, or nobody may have one.
    pub(super) fn open_session(&mut self, channel: Channel<Msg>) -> Result<(), ChannelOpenFailure> {
        // russh tells nothing of channels that we closed: forget them here.
        self.channels.retain(|_, open| {
            open.fresh.is_some()
                || open
                    .events
                    .as_ref()
                    .is_some_and(|events| !events.is_closed())
        });
        let (open, most) = match self.caller {
            Some(Caller::Joining { .. }) => (self.channels.len() + self.streams.len(), JOINING),
            Some(Caller::Person { .. } | Caller::Newcomer { .. } | Caller::Node { .. }) => {
                (self.channels.len(), SESSIONS)
            }
            None => return Err(PROHIBITED),
        };
        self.refused()?;
        if open >= most {
            return Err(full("sessions", most));
        }
        let (_, half) = channel.split();
        let channel = half.id();
        let inbox = if self.is_link() {
            None
        } else {
            let inbox = self.inboxes.open(channel);
            Some(inbox.ok_or_else(|| full("channels", CHANNELS))?)
        };
        let fresh = Open {
            terminal: None,
            env: BTreeMap::new(),
            agent: false,
            display: None,
            events: None,
            fresh: Some((inbox, half)),
        };
        self.channels.insert(channel, fresh);
        Ok(())
    }

    /// A task's environment is said by --env; a client's own is its own. Into a box comes along what says
    /// how somebody reads and writes.
    pub(super) fn take_variable(&mut self, channel: ChannelId, name: &str, value: &str) -> bool {
        let taken = self.place().is_some() && environment::allowed(name, value);
        let open = self
            .channels
            .get_mut(&channel)
            .filter(|open| taken && open.env.len() < environment::MOST);
        open.map(|open| open.env.insert(name.to_owned(), value.to_owned()))
            .is_some()
    }

    /// A program, shell or transfer begins in the box, or a command here: whoever runs it gets the channel's
    /// ends.
    pub(super) fn begin(
        &mut self,
        channel: ChannelId,
        asked: Asked,
        handle: russh::server::Handle,
    ) -> bool {
        let place = self.place();
        let head = Arc::clone(&self.head);
        let Some(caller @ (Caller::Person { .. } | Caller::Newcomer { .. })) = self.caller.clone()
        else {
            return false;
        };
        let Some(open) = self.channels.get_mut(&channel) else {
            return false;
        };
        let Some((Some(inbox), half)) = open.fresh.take() else {
            return false;
        };
        let (events, receiver) = mpsc::channel(EVENTS);
        open.events = Some(events);
        let terminal = open.terminal.as_ref().map(Terminal::of);
        let session = console::Session {
            inbox,
            half,
            events: receiver,
            pty: open.terminal.clone(),
            terminal,
            handle: handle.clone(),
            connection: self.connection.clone(),
        };
        let line = match (place, asked) {
            (Some(place), asked) => {
                let display = open.display.take();
                let mut env = std::mem::take(&mut open.env);
                env.extend(display.iter().flat_map(|display| display.env.clone()));
                let mut program = |line| session::Session {
                    line,
                    env: std::mem::take(&mut env),
                    pty: open.terminal.take(),
                    // Wished for; the path comes when the box listens.
                    agent: open.agent.then(String::new),
                };
                let wish = match asked {
                    Asked::Shell => Wish::Program(program(None)),
                    Asked::Exec(line) => Wish::Program(program(Some(line))),
                    Asked::Sftp => Wish::Sftp,
                };
                head.ending
                    .session(enter::serve(place, wish, session, handle, display));
                return true;
            }
            (None, Asked::Shell) => None,
            (None, Asked::Exec(line)) => Some(line),
            // Here are no files.
            (None, Asked::Sftp) => return false,
        };
        match caller {
            Caller::Person { actor, .. } => {
                let work = console::serve(Arc::clone(&head), actor, line, session);
                head.ending.session(work);
            }
            Caller::Newcomer { code, key } => {
                let work = console::enrol(Arc::clone(&head), code, key, line, session);
                head.ending.session(work);
            }
            Caller::Joining { .. } | Caller::Node { .. } => return false,
        }
        true
    }

    pub(super) fn begin_link(&mut self, channel: ChannelId, name: &str) -> bool {
        let half = self.channels.remove(&channel).and_then(|open| open.fresh);
        let Some((None, half)) = half else {
            return false;
        };
        let stream = self.streams.adopt_server(half);
        let head = Arc::clone(&self.head);
        let connection = self.slot.connection.get();
        match (self.node(), name, bulk_instance(name), connection) {
            (Some(node), SUBSYSTEM_CONTROL, _, Some(connection)) => {
                let connection = connection.clone();
                tokio::spawn(runners::serve_control(head, node, connection, stream));
            }
            (Some(node), _, Some(instance), Some(connection)) => {
                head.links.add_bulk(&node, instance, connection.clone());
                *self
                    .slot
                    .bulk
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
                let connection = connection.clone();
                tokio::spawn(runners::serve_bulk(head, node, connection, stream));
            }
            (None, SUBSYSTEM_JOIN, ..) => return self.join(stream),
            _ => return false,
        }
        true
    }

    fn join(&self, stream: tunnel::ssh::Stream) -> bool {
        let Some(Caller::Joining { key }) = &self.caller else {
            return false;
        };
        let (key, pulse) = (key.clone(), self.standing.pulse());
        let joining = runners::serve_join(Arc::clone(&self.head), key, stream);
        self.head.ending.session(async move {
            if joining.await {
                pulse.joins();
            }
        });
        true
    }

    pub(super) fn event(&self, channel: ChannelId, event: SessionEvent) {
        if let Some(events) = self
            .channels
            .get(&channel)
            .and_then(|open| open.events.as_ref())
        {
            let _ = events.try_send(event);
        }
    }
}

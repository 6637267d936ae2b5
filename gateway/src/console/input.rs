//! What a person sends while a command runs: bytes for a task's input, and keys for us.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::TaskId;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tunnel::ssh::{Inbox, Received, Stream};
use tunnel::wire::ChannelName;

use super::line::{Discipline, Typed};
use crate::head::Head;

/// Keys that wait for the session's attention.
const KEYS: usize = 64;
/// Lines typed ahead of a task that does not read; later ones are dropped.
const AHEAD: usize = 256;
/// Between two tries to open a task's input.
const PAUSE: Duration = Duration::from_secs(1);

/// What a command reads from.
pub(super) enum Keyboard {
    /// The channel itself.
    Channel(Inbox),
    /// The prompt passes on what it gets while the command runs.
    Prompt(Arc<Mutex<mpsc::Receiver<Received>>>),
}

impl Keyboard {
    pub(super) async fn next(&mut self) -> Received {
        match self {
            Self::Channel(inbox) => inbox.next().await,
            Self::Prompt(received) => {
                let received = received.lock().await.recv().await;
                received.unwrap_or(Received::Closed)
            }
        }
    }
}

/// What the session must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Ctrl-C at a terminal.
    Interrupt,
    /// To be shown, as a terminal in line mode does.
    Echo(Bytes),
}

/// Whose input the bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) struct To {
    pub(super) task: TaskId,
    /// A lost link does not end the input.
    pub(super) typed: bool,
}

/// The pumps; they end when this is dropped.
pub(super) struct Input {
    keys: mpsc::Receiver<Key>,
    _pumps: JoinSet<()>,
}

impl Input {
    /// Without a task the bytes are only watched for keys, and dropped.
    pub(super) fn start(
        head: &Arc<Head>,
        keyboard: Keyboard,
        to: Option<To>,
        terminal: bool,
    ) -> Self {
        let (sender, keys) = mpsc::channel(KEYS);
        let mut pumps = JoinSet::new();
        let sink = to.map(|to| {
            let (pieces, feed) = mpsc::channel(if terminal { AHEAD } else { 1 });
            pumps.spawn(feed_task(Arc::clone(head), to, feed));
            pieces
        });
        if terminal {
            pumps.spawn(typed(keyboard, sender, sink));
        } else {
            pumps.spawn(piped(keyboard, sink));
        }
        Self {
            keys,
            _pumps: pumps,
        }
    }

    /// Waits for ever once there is no more input.
    pub(super) async fn key(&mut self) -> Key {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }

    /// Resolves at Ctrl-C.
    pub(super) async fn interrupted(&mut self) {
        while self.key().await != Key::Interrupt {}
    }
}

/// A piece of a task's input.
enum Piece {
    Bytes(Bytes),
    End,
}

/// From a pipe: byte for byte, as fast as the task takes it.
async fn piped(mut keyboard: Keyboard, mut sink: Option<mpsc::Sender<Piece>>) {
    loop {
        let piece = match keyboard.next().await {
            Received::Data(bytes) => Piece::Bytes(bytes),
            Received::Eof => Piece::End,
            // Dropping the sink cuts the input: an end of file was never said.
            Received::Closed => return,
        };
        if let Some(to) = &sink
            && to.send(piece).await.is_err()
        {
            sink = None;
        }
    }
}

/// From a terminal: line by line, and never so that a task that does not read keeps Ctrl-C waiting.
async fn typed(mut keyboard: Keyboard, keys: mpsc::Sender<Key>, sink: Option<mpsc::Sender<Piece>>) {
    let mut discipline = Discipline::default();
    let pass = |piece| {
        if let Some(sink) = &sink {
            // Full: dropped, as a terminal does.
            let _ = sink.try_send(piece);
        }
    };
    loop {
        let bytes = match keyboard.next().await {
            Received::Data(bytes) => bytes,
            Received::Eof => {
                pass(Piece::End);
                continue;
            }
            Received::Closed => return,
        };
        for typed in discipline.take(&bytes) {
            let key = match typed {
                Typed::Echo(bytes) => Key::Echo(bytes),
                Typed::Interrupt => Key::Interrupt,
                Typed::Line(line) => {
                    pass(Piece::Bytes(line));
                    continue;
                }
                Typed::End => {
                    pass(Piece::End);
                    continue;
                }
            };
            if keys.send(key).await.is_err() {
                return;
            }
        }
    }
}

async fn feed_task(head: Arc<Head>, to: To, mut feed: mpsc::Receiver<Piece>) {
    let mut sink = Sink {
        head,
        to,
        stream: None,
        over: false,
    };
    while let Some(piece) = feed.recv().await {
        match piece {
            Piece::Bytes(bytes) => sink.send(bytes).await,
            Piece::End => sink.finish().await,
        }
        if sink.over {
            return;
        }
    }
}

/// The running task's live input, opened when there is something for it.
struct Sink {
    head: Arc<Head>,
    to: To,
    stream: Option<Stream>,
    /// The task has ended or reads no more: the rest is for nobody.
    over: bool,
}

impl Sink {
    async fn send(&mut self, bytes: Bytes) {
        if !self.open().await {
            return;
        }
        let Some(stream) = &mut self.stream else {
            return;
        };
        if let Err(error) = stream.send(bytes).await {
            // What is typed after a lost link goes to the next stream; this line may have arrived, and
            // is not sent twice.
            let lost = error.kind() == std::io::ErrorKind::ConnectionReset;
            self.over = !(lost && self.to.typed);
            self.stream = None;
        }
    }

    async fn finish(&mut self) {
        if self.open().await
            && let Some(stream) = &mut self.stream
        {
            let _ = stream.finish().await;
            // The runner closes it once the task has the end; a close by us could overtake it.
            while matches!(stream.next().await, Ok(Some(_))) {}
        }
        self.over = true;
    }

    /// Waits until the task runs; `false` when it never will (again).
    async fn open(&mut self) -> bool {
        let mut watch = self.head.watch();
        while !self.over && self.stream.is_none() {
            let task = watch.borrow_and_update().task(self.to.task).cloned();
            let Some(task) = task.filter(|task| !task.state.is_final()) else {
                self.over = true;
                break;
            };
            let running = task.started.is_some() && task.state.holds_resources();
            let (Some(placement), Some(attempt), true) = (&task.placement, task.current(), running)
            else {
                self.over = watch.changed().await.is_err();
                continue;
            };
            let name = ChannelName::Stdin { attempt };
            let links = &self.head.links;
            match links.open_for(&task.owner, &placement.node, name).await {
                Ok(stream) => self.stream = Some(stream),
                // Its link is down, or the task is not ready for it: that need not change the state.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        !self.over
    }
}

//! What users send, between russh's callbacks and whoever consumes it.
//!
//! russh gives a channel's window back when it *receives*, not when somebody consumes, and it has one
//! target for all channels of a connection. So bytes are taken into queues here at once, and while one of
//! them is above [`CAP`] the connection's target becomes 2 bytes: that uploader crawls, nobody waits, and
//! it is back at full speed with the first packet after its consumer caught up. (1 would be for ever:
//! russh adjusts below half the target. 0 could never be undone.)

mod closing;
mod expected;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use russh::ChannelId;
use tokio::sync::Notify;

pub use closing::Closing;
pub use expected::Expected;

use super::socket::Crawl;
use super::waiting::Waiting;

/// Target of the SSH window of each channel, in bytes.
pub const WINDOW: u32 = 2 << 20;
/// Above so many queued bytes in one channel its connection crawls.
pub const CAP: usize = 4 << 20;
/// A channel above this is cut: its client ignores windows.
pub const HARD_CAP: usize = 16 << 20;
/// Above so many queued bytes in all channels together, one that has more than its window is cut.
pub const HARD_TOTAL: usize = 256 << 20;
/// Most channels of one connection, whoever opened them and whatever for: a browser behind `-D` has hundreds.
pub const CHANNELS: usize = 1024;
const CRAWL_WINDOW: u32 = 2;

/// What comes out of an [`Inbox`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<T = Bytes> {
    Data(T),
    /// The client will send no more; it may still listen.
    Eof,
    /// The client closed the channel, or was cut, or its connection ended. Without an `Eof` before it
    /// the input is incomplete.
    Closed,
}

/// The inboxes of one SSH connection.
#[derive(Clone, Debug, Default)]
pub struct Inboxes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queues: Mutex<Queues>,
    /// How many queues are above [`CAP`].
    full: AtomicUsize,
    /// Bytes in all queues.
    total: AtomicUsize,
    over: Notify,
    crawl: Crawl,
}

#[derive(Debug, Default)]
struct Queues {
    open: HashMap<ChannelId, Arc<Queue>>,
    /// Channels that this side is opening: bytes, and their end, may arrive before their opener hears of them.
    expected: usize,
    early: HashMap<ChannelId, Arc<Queue>>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: Waiting,
    length: usize,
    eof: bool,
    eof_told: bool,
    closed: bool,
    /// Its [`Inbox`] is gone, or it was cut: nothing is stored any more.
    dead: bool,
}

impl Inboxes {
    /// With the flag of this connection's [`super::Tune`].
    #[must_use]
    pub fn new(crawl: Crawl) -> Self {
        Self(Arc::new(Shared {
            crawl,
            ..Shared::default()
        }))
    }

    /// The inbox of a channel that is being opened: call it in the `channel_open_*` callback, before the
    /// client hears of it. An older inbox of the same number is cut off. `None`: the connection has [`CHANNELS`].
    #[must_use]
    pub fn open(&self, channel: ChannelId) -> Option<Inbox> {
        let queue = Arc::new(Queue::default());
        let mut queues = lock(&self.0.queues);
        if queues.count() >= CHANNELS {
            return None;
        }
        if queues.ended {
            lock(&queue.state).closed = true;
        } else {
            let older = queues.open.insert(channel, queue.clone());
            if let Some(older) = older {
                self.0.kill(&older);
            }
        }
        let entry = Arc::new(Entry {
            channel,
            queue,
            shared: self.0.clone(),
        });
        Some(Inbox { entry })
    }

    /// How many channels have an inbox, or will have one when the client takes them.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.0.queues).count()
    }

    /// `Handler::data`. Bytes for a channel without an inbox are dropped.
    pub fn on_data(&self, channel: ChannelId, data: &[u8]) {
        let Some(queue) = self.find(channel) else {
            return;
        };
        let mut state = lock(&queue.state);
        if state.dead || state.eof || state.closed || data.is_empty() {
            return;
        }
        let total = self.0.total.load(Ordering::Relaxed);
        let most = if total < HARD_TOTAL {
            HARD_CAP
        } else {
            WINDOW as usize
        };
        if state.length + data.len() > most {
            drop(state);
            self.0.kill(&queue);
            return;
        }
        state.bytes.push(data);
        self.0.total.fetch_add(data.len(), Ordering::Relaxed);
        if state.length <= CAP && state.length + data.len() > CAP {
            self.0.full.fetch_add(1, Ordering::Relaxed);
        }
        state.length += data.len();
        drop(state);
        queue.changed.notify_waiters();
    }

    /// `Handler::channel_eof`.
    pub fn on_eof(&self, channel: ChannelId) {
        if let Some(queue) = self.find(channel) {
            let mut state = lock(&queue.state);
            state.eof = !state.dead;
            drop(state);
            queue.changed.notify_waiters();
        }
    }

    /// `Handler::channel_close`. russh does not call it for a channel that this side closed first;
    /// dropping the [`Inbox`] and each [`Closing`] does for both.
    pub fn on_close(&self, channel: ChannelId) {
        let queue = {
            let mut queues = lock(&self.0.queues);
            let open = queues.open.remove(&channel);
            // One that is not adopted yet keeps what came.
            open.or_else(|| queues.early(channel))
        };
        if let Some(queue) = queue {
            lock(&queue.state).closed = true;
            queue.changed.notify_waiters();
        }
    }

    /// The connection ended: all inboxes close. Called by whoever runs the session, or [`Inboxes::guard`].
    pub fn end(&self) {
        let open = {
            let mut queues = lock(&self.0.queues);
            queues.ended = true;
            std::mem::take(&mut queues.open)
        };
        for queue in open.into_values() {
            lock(&queue.state).closed = true;
            queue.changed.notify_waiters();
        }
        self.0.over.notify_waiters();
    }

    /// Resolves when the connection has ended.
    pub async fn ended(&self) {
        let over = self.0.over.notified();
        if !lock(&self.0.queues).ended {
            over.await;
        }
    }

    /// Calls [`Inboxes::end`] when dropped: a field of the handler makes sure of it, since russh drops
    /// the handler however the connection ends.
    #[must_use]
    pub fn guard(&self) -> InboxesGuard {
        InboxesGuard(self.clone())
    }

    /// `Handler::adjust_window`: the next target, in bytes.
    #[must_use]
    pub fn window(&self) -> u32 {
        let crawling = self.0.full.load(Ordering::Relaxed) > 0;
        self.0.crawl.set(crawling);
        if crawling { CRAWL_WINDOW } else { WINDOW }
    }

    fn find(&self, channel: ChannelId) -> Option<Arc<Queue>> {
        let mut queues = lock(&self.0.queues);
        let open = queues.open.get(&channel).cloned();
        open.or_else(|| queues.early(channel))
    }
}

impl Queues {
    fn count(&self) -> usize {
        self.open.len() + self.expected
    }

    fn early(&mut self, channel: ChannelId) -> Option<Arc<Queue>> {
        let may_be = self.expected > 0 && !self.ended;
        may_be.then(|| Arc::clone(self.early.entry(channel).or_default()))
    }
}

/// See [`Inboxes::guard`].
#[derive(Debug)]
pub struct InboxesGuard(Inboxes);

impl Drop for InboxesGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Shared {
    /// `was` queued bytes became `is`, by consumption.
    fn shrunk(&self, was: usize, is: usize) {
        self.total.fetch_sub(was - is, Ordering::Relaxed);
        if was > CAP && is <= CAP && self.full.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.crawl.set(false);
        }
    }

    /// Nothing is stored any more, and what is stored is forgotten.
    fn discard(&self, state: &mut State) {
        let was = std::mem::take(&mut state.length);
        state.bytes = Waiting::default();
        state.dead = true;
        state.eof = false;
        self.shrunk(was, 0);
    }

    fn kill(&self, queue: &Queue) {
        let mut state = lock(&queue.state);
        self.discard(&mut state);
        state.closed = true;
        drop(state);
        queue.changed.notify_waiters();
    }
}

/// A channel's place among the open ones, for as long as somebody wants to hear of its end.
#[derive(Debug)]
struct Entry {
    channel: ChannelId,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut queues = lock(&self.shared.queues);
        let mine = |queue: &Arc<Queue>| Arc::ptr_eq(queue, &self.queue);
        if queues.open.get(&self.channel).is_some_and(mine) {
            queues.open.remove(&self.channel);
        }
    }
}

/// What one channel's client sends. Dropping it forgets the rest, also what is still to come, and lets
/// the connection run again.
#[derive(Debug)]
pub struct Inbox {
    entry: Arc<Entry>,
}

impl Inbox {
    #[must_use]
    pub fn channel(&self) -> ChannelId {
        self.entry.channel
    }

    /// Bytes that wait here.
    #[must_use]
    pub fn queued(&self) -> usize {
        lock(&self.entry.queue.state).length
    }

    /// The next piece: data, then once `Eof` if the client sent it, then `Closed` as often as asked.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Received {
        let shared = &self.entry.shared;
        self.entry.queue.wait(|state| state.take(shared)).await
    }

    /// As [`Inbox::next`], with what else is here already, up to about `most` bytes.
    pub async fn next_pieces(&mut self, most: usize) -> Received<Vec<Bytes>> {
        let first = match self.next().await {
            Received::Data(bytes) => bytes,
            Received::Eof => return Received::Eof,
            Received::Closed => return Received::Closed,
        };
        let (mut length, mut pieces) = (first.len(), vec![first]);
        let mut state = lock(&self.entry.queue.state);
        while length < most
            && let Some(more) = state.take_data(&self.entry.shared)
        {
            length += more.len();
            pieces.push(more);
        }
        Received::Data(pieces)
    }

    /// Resolves when the client closed the channel or the connection ended; takes no data.
    pub async fn closed(&self) {
        self.closing().closed().await;
    }

    /// For another task that must know when nobody listens any more.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(self.entry.clone())
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut state = lock(&self.entry.queue.state);
        self.entry.shared.discard(&mut state);
    }
}

impl Queue {
    async fn wait<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(value) = ready(&mut lock(&self.state)) {
                return value;
            }
            changed.await;
        }
    }
}

impl State {
    fn take_data(&mut self, shared: &Shared) -> Option<Bytes> {
        let bytes = self.bytes.pop()?;
        let was = self.length;
        self.length -= bytes.len();
        shared.shrunk(was, self.length);
        Some(bytes)
    }

    fn take(&mut self, shared: &Shared) -> Option<Received> {
        if let Some(bytes) = self.take_data(shared) {
            return Some(Received::Data(bytes));
        }
        if self.eof && !self.eof_told {
            self.eof_told = true;
            return Some(Received::Eof);
        }
        self.closed.then_some(Received::Closed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

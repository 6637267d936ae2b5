//! One flow-controlled stream on a link: an SSH channel with credits of our own.
//!
//! russh gives the SSH window back when bytes arrive, so it holds nobody back. Instead each side may send
//! only what the other has granted: [`pipe::FIRST_CREDIT`] at the start, then what it is told in-band, as a
//! big-endian `u32` in extended data of code [`CREDIT_CODE`] on the same channel in the other direction.
//! The grant grows to [`reader::LARGEST_WINDOW`] while its reader is faster than its writer. More than was
//! granted is a breach and closes the channel.
//!
//! russh 0.65.1 keeps about 3.5 KB for ever of each channel that its own side closes first (measured). The
//! gateway lives longest and has most streams, so it asks for a close, by one byte of extended data of code
//! [`CLOSE_CODE`], and the runner closes.

mod pipe;
mod reader;
mod writer;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use russh::{ChannelId, ChannelWriteHalf, client, server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use pipe::{Half, Pipe};
pub use reader::StreamReader;
pub use writer::StreamWriter;

/// Data type code of a grant of credit (RFC 4254, 5.2; 1 is stderr, others are free).
pub const CREDIT_CODE: u32 = 7;
/// Data type code of the gateway's request that the runner close the channel.
pub const CLOSE_CODE: u32 = 8;
/// Most streams of one connection at once; more are refused.
pub const MOST: usize = 768;
/// Most bytes that all streams of a connection together may be granted beyond their first credit.
const GROWTH: u32 = 32 << 20;
/// Closed channels whose late bytes are still recognised. russh's queue to the session, where a close
/// waits, holds far fewer.
const MOST_RETIRED: usize = 1024;

/// The streams of one SSH connection, gateway or runner side.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// What is left of [`GROWTH`].
    growth: AtomicU32,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// An entry can precede its stream: bytes may arrive before the opener hears of its channel.
    pipes: HashMap<ChannelId, Arc<Pipe>>,
    retired: VecDeque<ChannelId>,
    ended: bool,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            growth: AtomicU32::new(GROWTH),
            ended: Notify::new(),
        }
    }
}

impl Streams {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `Handler::data`.
    pub fn on_data(&self, channel: ChannelId, data: &[u8]) {
        if let Some(pipe) = self.find_or_begin(channel) {
            pipe.on_data(data);
        }
    }

    /// `Handler::extended_data`.
    pub fn on_extended(&self, channel: ChannelId, code: u32, data: &[u8]) {
        let pipe = match code {
            CREDIT_CODE | CLOSE_CODE => self.find_or_begin(channel),
            _ => None,
        };
        match (code, pipe) {
            (CREDIT_CODE, Some(pipe)) => pipe.on_credit(data),
            (_, Some(pipe)) => pipe.on_close_request(),
            (_, None) => {}
        }
    }

    /// `Handler::channel_eof`.
    pub fn on_eof(&self, channel: ChannelId) {
        if let Some(pipe) = self.find_or_begin(channel) {
            pipe.on_eof();
        }
    }

    /// `Handler::channel_close`.
    pub fn on_close(&self, channel: ChannelId) {
        let mut table = self.table();
        let Some(pipe) = table.pipes.get(&channel) else {
            return;
        };
        // What came before its opener heard of the channel must wait for the opener.
        if pipe.on_close() {
            table.pipes.remove(&channel);
            table.retire(channel);
        }
    }

    /// The connection is lost: every stream without its end of file fails.
    pub fn on_end(&self) {
        let pipes = {
            let mut table = self.table();
            table.ended = true;
            std::mem::take(&mut table.pipes)
        };
        for pipe in pipes.into_values() {
            pipe.on_lost();
        }
        self.0.ended.notify_waiters();
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Calls [`Streams::on_end`] when dropped: make it a field of the handler, which russh drops
    /// however the connection ends.
    #[must_use]
    pub fn guard(&self) -> StreamsGuard {
        StreamsGuard(self.clone())
    }

    /// Resolves when the connection has ended.
    pub async fn ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.table().ended {
                return;
            }
            ended.await;
        }
    }

    /// How many streams are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().pipes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A stream on a channel of a russh server. The read half must have been dropped, and the channel
    /// accepted, or at least be accepted before anything is sent.
    #[must_use]
    pub fn adopt_server(&self, half: ChannelWriteHalf<server::Msg>) -> Stream {
        self.adopt(half.id(), Half::Server(half))
    }

    /// A stream on a channel of a russh client, as [`Streams::adopt_server`].
    #[must_use]
    pub fn adopt_client(&self, half: ChannelWriteHalf<client::Msg>) -> Stream {
        self.adopt(half.id(), Half::Client(half))
    }

    fn adopt(&self, channel: ChannelId, half: Half) -> Stream {
        let half = Arc::new(half);
        let pipe = self.find_or_begin(channel).unwrap_or_else(|| {
            // The connection has ended, or has far too many streams.
            half.clone().close_soon();
            let pipe = Arc::new(Pipe::default());
            pipe.on_lost();
            pipe
        });
        pipe.adopt(half.clone());
        let core = Arc::new(Core {
            channel,
            half,
            pipe,
            shared: self.0.clone(),
            kept: OnceLock::new(),
        });
        Stream {
            reader: StreamReader::new(core.clone()),
            writer: StreamWriter::new(core),
        }
    }

    fn find_or_begin(&self, channel: ChannelId) -> Option<Arc<Pipe>> {
        let mut table = self.table();
        if let Some(pipe) = table.pipes.get(&channel) {
            return Some(pipe.clone());
        }
        if table.ended || table.retired.contains(&channel) || table.pipes.len() >= 2 * MOST {
            return None;
        }
        let pipe = Arc::new(Pipe::default());
        table.pipes.insert(channel, pipe.clone());
        Some(pipe)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0.table)
    }
}

/// See [`Streams::guard`].
#[derive(Debug)]
pub struct StreamsGuard(Streams);

impl Drop for StreamsGuard {
    fn drop(&mut self) {
        self.0.on_end();
    }
}

impl Table {
    fn retire(&mut self, channel: ChannelId) {
        if self.retired.len() == MOST_RETIRED {
            self.retired.pop_front();
        }
        self.retired.push_back(channel);
    }
}

impl Shared {
    /// Takes up to `wanted` bytes of the connection's room to grow.
    fn take_growth(&self, wanted: u32) -> u32 {
        let taken = |left: u32| Some(left - left.min(wanted));
        match self
            .growth
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
        {
            Ok(left) | Err(left) => left.min(wanted),
        }
    }

    fn return_growth(&self, taken: u32) {
        self.growth.fetch_add(taken, Ordering::Relaxed);
    }
}

/// What both halves of a stream hold; the last one closes the channel.
#[derive(Debug)]
struct Core {
    channel: ChannelId,
    half: Arc<Half>,
    pipe: Arc<Pipe>,
    shared: Arc<Shared>,
    kept: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Drop for Core {
    fn drop(&mut self) {
        let open = self.pipe.is_open();
        let asks = matches!(*self.half, Half::Server(_));
        if !(open && asks) {
            let mut table = lock(&self.shared.table);
            if table.pipes.remove(&self.channel).is_some() {
                table.retire(self.channel);
            }
        }
        if open {
            // One that asks stays in the table, taking nothing, until the peer has closed.
            self.half.clone().close_soon();
        }
    }
}

/// Bytes both ways, with an end of file each way. Dropping both halves closes the channel at once:
/// bytes of a stream that was not [`Stream::finish`]ed may be lost, and the peer sees a cut.
#[derive(Debug)]
pub struct Stream {
    reader: StreamReader,
    writer: StreamWriter,
}

impl Stream {
    /// The next bytes; `None` only after the peer's end of file. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer closed without an end of file, `ConnectionReset` when the connection
    /// was lost, `InvalidData` when the peer sent more than it was granted.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.next().await
    }

    /// See [`StreamWriter::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.writer.send(bytes).await
    }

    /// See [`StreamWriter::finish`].
    ///
    /// # Errors
    /// As there.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.writer.finish().await
    }

    /// Drops this with the last of its halves.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        self.writer.keep(Box::new(what));
        self
    }

    #[must_use]
    pub fn split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_shutdown(cx)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The wrapper round every SSH socket: buffered, quick, and reading while a write is blocked.
//!
//! russh does not read while it writes. Two such ends with bulk data both ways stop for ever once both
//! send buffers are full; so a blocked write here takes what the peer sends into memory.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::io::poll_read_buf;

use super::terms::Terms;

/// Size of one read from the socket, in bytes.
const READ: usize = 128 << 10;
/// Reads after which delayed acknowledgements may come back: past the handshake, where they cost 40 ms.
const QUICK_READS: u32 = 64;
/// A read of fewer bytes is of somebody who waits for each step: a session that opens, a key. Not of a link, whose ends
/// both send at once.
const QUICK_READ: usize = 1024;
/// Wait before a read while an upload crawls, so that crawling costs no processor.
const CRAWL_PAUSE: Duration = Duration::from_millis(2);
/// A read below this size, in bytes, is a crawling or idle one.
const CRAWL_READ: usize = 512;

/// Tells the socket that a channel's consumer is behind and its uploader has a window of a few bytes.
#[derive(Clone, Debug, Default)]
pub struct Crawl(Arc<AtomicBool>);

impl Crawl {
    pub fn set(&self, crawling: bool) {
        self.0.store(crawling, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It runs, or this side ended it.
    Open,
    /// The peer closed it in order.
    EndOfFile,
    /// Reset, timed out, or worse.
    Failed(io::ErrorKind),
}

/// Outlives its [`Tune`] and tells how the connection ended; the first end stays.
#[derive(Clone, Debug)]
pub struct Ending(Arc<Mutex<End>>);

impl Default for Ending {
    /// Of a connection that is no socket: it stays open.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(End::Open)))
    }
}

impl Ending {
    #[must_use]
    pub fn get(&self) -> End {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, end: End) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == End::Open {
            *now = end;
        }
    }
}

/// A TCP connection made fit for SSH in both directions at once.
#[derive(Debug)]
pub struct Tune {
    socket: TcpStream,
    crawl: Crawl,
    ending: Ending,
    /// Read from the socket and not yet taken.
    held: BytesMut,
    /// What the socket said last, to be told once `held` is empty.
    end: Option<End>,
    terms: Terms,
    last_read: usize,
    reads: u32,
    pause: Option<Pin<Box<Sleep>>>,
    /// Runs while a write is blocked.
    stall: Option<Pin<Box<Sleep>>>,
    /// When something was read last.
    heard: Instant,
    /// Runs while nothing is read.
    silence: Option<Pin<Box<Sleep>>>,
    /// Waits in `poll_read`; a blocked write may find its data.
    reader: Option<Waker>,
}

impl Tune {
    /// # Errors
    /// When the socket's options cannot be set.
    pub fn new(socket: TcpStream, crawl: Crawl, terms: Terms) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            crawl,
            ending: Ending(Arc::new(Mutex::new(End::Open))),
            held: BytesMut::new(),
            end: None,
            terms,
            last_read: READ,
            reads: 0,
            pause: None,
            stall: None,
            heard: Instant::now(),
            silence: None,
            reader: None,
        })
    }

    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// One read into `held`; `Ready` when something came, the end included.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.end.is_some() {
            return Poll::Ready(());
        }
        self.held.reserve(READ);
        // Its room may have doubled.
        let mut room = (&mut self.held).limit(READ);
        let result = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut room));
        match result {
            Ok(0) => self.end_with(End::EndOfFile),
            Ok(read) => {
                self.last_read = read;
                self.heard = Instant::now();
                self.terms.hear(self.heard);
            }
            Err(error) => self.end_with(End::Failed(error.kind())),
        }
        let steps = self.last_read < QUICK_READ && !self.terms.is_link();
        if self.reads < QUICK_READS || steps {
            self.reads = self.reads.saturating_add(1);
            // An option that lasts for a few packets only (tcp(7)); without it the peer's Nagle
            // waits for our delayed acknowledgement. Failing costs time, nothing else.
            let _ = self.socket.set_quickack(true);
        }
        Poll::Ready(())
    }

    fn end_with(&mut self, end: End) {
        self.ending.set(end);
        self.end = Some(end);
    }

    /// Holds a crawling connection back for a moment before its next read.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pause.is_none() {
            if !self.crawl.is_set() || self.last_read >= CRAWL_READ {
                return Poll::Ready(());
            }
            self.pause = Some(Box::pin(sleep(CRAWL_PAUSE)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        self.pause = None;
        Poll::Ready(())
    }

    /// Ready once the peer has been silent for longer than it may.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.terms.silence() else {
            return Poll::Pending;
        };
        let due = self.heard + limit;
        let timer = self
            .silence
            .get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            // It was set before the last bytes came: one timer for many reads.
            timer.as_mut().reset(due);
        }
    }

    fn timed_out(&mut self) -> io::Error {
        self.end_with(End::Failed(io::ErrorKind::TimedOut));
        io::ErrorKind::TimedOut.into()
    }

    /// The socket takes nothing now: read meanwhile, as much as the terms allow, and give up after a while.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let before = self.held.len();
        let most = self.terms.held();
        while self.end.is_none() && self.held.len() < most && self.poll_fill(cx).is_ready() {}
        let stall_after = self.terms.stall();
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(sleep(stall_after)));
        if self.held.len() > before {
            stall.as_mut().reset(Instant::now() + stall_after);
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(self.timed_out())
    }

    /// What a write came to: blocked, it reads.
    fn poll_written<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => self.poll_blocked(cx).map(Err),
            Poll::Ready(Ok(value)) => {
                self.stall = None;
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => {
                self.end_with(End::Failed(error.kind()));
                Poll::Ready(Err(error))
            }
        }
    }
}

impl AsyncRead for Tune {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.held.is_empty() {
            if this.end.is_none() {
                this.reader = Some(cx.waker().clone());
                ready!(this.poll_pause(cx));
                if this.poll_fill(cx).is_pending() {
                    ready!(this.poll_silence(cx));
                    return Poll::Ready(Err(this.timed_out()));
                }
                this.reader = None;
            }
            if this.held.is_empty() {
                return Poll::Ready(match this.end {
                    Some(End::Failed(kind)) => Err(kind.into()),
                    Some(End::EndOfFile | End::Open) | None => Ok(()),
                });
            }
        }
        let taken = this.held.len().min(into.remaining());
        into.put_slice(this.held.get(..taken).unwrap_or_default());
        this.held.advance(taken);
        if this.held.is_empty() && this.held.capacity() > 8 * READ {
            this.held = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tune {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.poll_written(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

//! The receiving half of a stream: takes bytes and grants credit for them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::Core;
use super::pipe::{FIRST_CREDIT, Sending};

/// Most that is granted at once, in bytes: bandwidth times round trip of a fast, far link.
pub(super) const LARGEST_WINDOW: u32 = 4 << 20;
/// A quarter of the window consumed within this time, with nothing left in the queue, is fast.
const FAST: Duration = Duration::from_millis(200);

/// See [`super::Stream`].
pub struct StreamReader {
    core: Arc<Core>,
    window: u32,
    /// Consumed and not yet granted again.
    owed: u32,
    granted_at: Instant,
    granting: Option<Sending>,
    /// What `AsyncRead` has not yet passed on.
    rest: Bytes,
}

impl StreamReader {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            window: FIRST_CREDIT,
            owed: 0,
            granted_at: Instant::now(),
            granting: None,
            rest: Bytes::new(),
        }
    }

    /// The next bytes; `None` only after the peer's end of file. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`super::Stream::next`].
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`StreamReader::next`], with what else is here already, up to about `most` bytes; empty only after
    /// the peer's end of file.
    ///
    /// # Errors
    /// As [`StreamReader::next`].
    pub async fn next_pieces(&mut self, most: usize) -> io::Result<Vec<Bytes>> {
        let Some(first) = self.next().await? else {
            return Ok(Vec::new());
        };
        let (mut length, mut pieces) = (first.len(), vec![first]);
        // An end or a cut is told by the next call, as often as it is asked.
        let mut nobody = Context::from_waker(Waker::noop());
        while length < most
            && let Poll::Ready(Ok(Some(more))) = self.poll_next(&mut nobody)
        {
            length += more.len();
            pieces.push(more);
        }
        Ok(pieces)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        self.drive_grant(cx);
        let Some((bytes, drained)) = ready!(self.core.pipe.poll_take(cx))? else {
            return Poll::Ready(Ok(None));
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.owed = self.owed.saturating_add(length);
        if self.owed >= self.window / 4 && self.granting.is_none() {
            self.begin_grant(drained);
            self.drive_grant(cx);
        }
        Poll::Ready(Ok(Some(bytes)))
    }

    fn begin_grant(&mut self, drained: bool) {
        let now = Instant::now();
        let mut amount = std::mem::take(&mut self.owed);
        if drained && now.duration_since(self.granted_at) < FAST && self.window < LARGEST_WINDOW {
            let wanted = self.window.min(LARGEST_WINDOW - self.window);
            let growth = self.core.shared.take_growth(wanted);
            self.window += growth;
            amount += growth;
        }
        self.granted_at = now;
        self.core.pipe.grant(amount);
        self.granting = Some(self.core.half.clone().credit(amount));
    }

    /// A grant that cannot be sent now is kept; failing means that the pipe is cut and says so itself.
    fn drive_grant(&mut self, cx: &mut Context<'_>) {
        if let Some(granting) = &mut self.granting
            && granting.as_mut().poll(cx).is_ready()
        {
            self.granting = None;
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.core.shared.return_growth(self.window - FIRST_CREDIT);
        self.core.pipe.discard();
    }
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(mut bytes) = ready!(this.poll_next(cx))? {
            into.put_slice(&bytes.split_to(bytes.len().min(into.remaining())));
            this.rest = bytes;
        }
        Poll::Ready(Ok(()))
    }
}

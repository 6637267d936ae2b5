//! The sending half of a stream: waits for credit, then hands bytes to russh.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::Core;
use super::pipe::Sending;

/// Most that one `AsyncWrite` call copies, in bytes.
const LARGEST_COPY: usize = 64 << 10;

/// See [`super::Stream`].
pub struct StreamWriter {
    core: Arc<Core>,
    sending: Option<Sending>,
    finished: bool,
}

impl StreamWriter {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            sending: None,
            finished: false,
        }
    }

    pub(super) fn keep(&self, what: Box<dyn Any + Send + Sync>) {
        // One thing is kept: the first.
        let _ = self.core.kept.set(what);
    }

    /// Hands all of `bytes` to the connection, waiting for the peer's credit. Dropping the future may
    /// leave a part sent; [`StreamWriter::send_from`] tells which.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer closed the stream, `ConnectionReset` when the connection was lost,
    /// `BrokenPipe` after [`StreamWriter::finish`].
    pub async fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        self.send_from(&mut bytes).await
    }

    /// As [`StreamWriter::send`], taking what is sent off the front of `bytes`: after a dropped future the
    /// same call goes on where it was.
    ///
    /// # Errors
    /// As [`StreamWriter::send`].
    pub async fn send_from(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx, bytes)).await
    }

    /// Sends the end of file; the other direction stays open. A second call does nothing.
    ///
    /// # Errors
    /// As [`StreamWriter::send`]: the peer may not have got everything.
    pub async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// Resolves when the peer closed the stream or the connection was lost, with the reason.
    pub async fn closed(&mut self) -> io::Error {
        poll_fn(|cx| self.core.pipe.poll_cut(cx)).await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            ready!(self.poll_idle(cx))?;
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let taken = ready!(self.core.pipe.poll_credit(cx, bytes.len()))?;
            let chunk = bytes.split_to(taken);
            self.sending = Some(self.core.half.clone().data(chunk));
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            ready!(self.poll_idle(cx))?;
            self.sending = Some(self.core.half.clone().eof());
            self.finished = true;
        }
        self.poll_idle(cx)
    }

    /// `Ready` once russh has taken what was sent before. A cut ends the wait: russh itself would wait
    /// for the window of a closed channel for ever.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else {
            return Poll::Ready(Ok(()));
        };
        if let Poll::Ready(result) = sending.as_mut().poll(cx) {
            self.sending = None;
            return Poll::Ready(result.map_err(|_| io::ErrorKind::ConnectionReset.into()));
        }
        let cut = ready!(self.core.pipe.poll_cut(cx));
        self.sending = None;
        Poll::Ready(Err(cut))
    }
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_idle(cx))?;
        let wanted = bytes.len().min(LARGEST_COPY);
        let taken = ready!(this.core.pipe.poll_credit(cx, wanted))?;
        let chunk = Bytes::copy_from_slice(bytes.get(..taken).unwrap_or(bytes));
        this.sending = Some(this.core.half.clone().data(chunk));
        // It need not be taken yet; the next call waits for it.
        match this.poll_idle(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_idle(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_finish(cx)
    }
}

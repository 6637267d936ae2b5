//! A socket that can be cut from outside. russh runs a connection in a task of its own that nobody can
//! stop, and once it has said goodbye it waits for the peer to hang up, for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::door::Pulse;

/// How long a peer may take to hang up after a goodbye.
const LINGER: Duration = Duration::from_secs(10);

/// A socket on a [`Leash`]: cut, it has come to its end and takes nothing more.
pub(super) struct Leashed<S> {
    socket: S,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
    linger_for: Duration,
    /// Runs after the goodbye.
    linger: Option<Pin<Box<Sleep>>>,
    /// Hears whose turn it is, from this moment on.
    pulse: (Pulse, Instant),
}

/// Cuts its socket, if it is asked to; dropping it does nothing.
#[derive(Clone)]
pub(super) struct Leash(Arc<watch::Sender<bool>>);

/// The other end of a [`Leash`], for all that must end with the socket.
#[derive(Clone)]
pub(super) struct Cut(watch::Receiver<bool>);

impl Leash {
    pub(super) fn new() -> (Self, Cut) {
        let (sender, receiver) = watch::channel(false);
        (Self(Arc::new(sender)), Cut(receiver))
    }

    pub(super) fn cut(&self) {
        self.0.send_replace(true);
    }
}

impl Cut {
    /// Resolves when it is cut; never, if that cannot happen any more.
    pub(super) async fn cut(&mut self) {
        if self.0.wait_for(|cut| *cut).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(test)]
    pub(super) fn is_cut(&self) -> bool {
        *self.0.borrow()
    }
}

impl<S> Leashed<S> {
    /// `since`: what the pulse counts from.
    pub(super) fn new(socket: S, mut cut: Cut, pulse: Pulse, since: Instant) -> Self {
        Self {
            socket,
            cut: Box::pin(async move { cut.cut().await }),
            is_cut: false,
            linger_for: LINGER,
            linger: None,
            pulse: (pulse, since),
        }
    }
}

impl<S> Leashed<S> {
    /// … and by this one.
    pub(super) fn also(mut self, mut other: Cut) -> Self {
        let cut = self.cut;
        self.cut = Box::pin(async move {
            tokio::select! {
                () = cut => {}
                () = other.cut() => {}
            }
        });
        self
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_cut {
            let over = self
                .linger
                .as_mut()
                .is_some_and(|linger| linger.as_mut().poll(cx).is_ready());
            self.is_cut = over || self.cut.as_mut().poll(cx).is_ready();
        }
        if self.is_cut {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leashed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poll_cut(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let (pulse, since) = &this.pulse;
        let read = Pin::new(&mut this.socket).poll_read(cx, into);
        if read.is_pending() {
            pulse.waits(since.elapsed());
        }
        let read = ready!(read);
        pulse.heard();
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leashed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.poll_cut(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut this.socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let linger_for = this.linger_for;
        this.linger
            .get_or_insert_with(|| Box::pin(sleep(linger_for)));
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.poll_cut(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut this.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn leashed<S>(socket: S) -> (Leash, Leashed<S>) {
        let (leash, cut) = Leash::new();
        let pulse = Pulse::default();
        (leash, Leashed::new(socket, cut, pulse, Instant::now()))
    }

    #[tokio::test]
    async fn a_cut_socket_ends_both_ways_also_for_who_waits() {
        let (peer, socket) = duplex(4);
        let (leash, mut leashed) = leashed(socket);
        leashed.write_all(b"full").await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(leashed);
        let mut room = [0; 8];
        // One task, as in russh: polled in this order, so both wait before the cut.
        let (read, written, ()) = tokio::join!(
            biased;
            reader.read(&mut room),
            writer.write_all(b"more"),
            async { leash.cut() }
        );
        assert_eq!(read.unwrap(), 0);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(peer);
    }

    #[tokio::test]
    async fn nothing_is_cut_when_the_leash_is_dropped() {
        let (mut peer, socket) = duplex(64);
        let (leash, mut leashed) = leashed(socket);
        drop(leash);
        peer.write_all(b"on").await.unwrap();
        let mut read = [0; 2];
        leashed.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"on");
    }

    #[tokio::test]
    async fn after_a_goodbye_the_peer_may_not_stay_for_ever() {
        let (_peer, socket) = duplex(64);
        let (_leash, mut leashed) = leashed(socket);
        leashed.linger_for = Duration::from_millis(1);
        leashed.shutdown().await.unwrap();
        assert_eq!(leashed.read(&mut [0; 8]).await.unwrap(), 0);
    }
}

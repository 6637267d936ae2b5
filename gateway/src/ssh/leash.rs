//! A socket that can be cut from outside. russh runs a connection in a task of its own that nobody can
//! stop, and once it has said goodbye it waits for the peer to hang up, for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

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
}

/// Cuts its socket, if it is asked to; dropping it does nothing.
pub(super) struct Leash(watch::Sender<bool>);

impl Leash {
    pub(super) fn new<S>(socket: S) -> (Self, Leashed<S>) {
        Self::with_linger(socket, LINGER)
    }

    fn with_linger<S>(socket: S, linger_for: Duration) -> (Self, Leashed<S>) {
        let (sender, mut receiver) = watch::channel(false);
        let cut = async move {
            if receiver.wait_for(|cut| *cut).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let leashed = Leashed {
            socket,
            cut: Box::pin(cut),
            is_cut: false,
            linger_for,
            linger: None,
        };
        (Self(sender), leashed)
    }

    pub(super) fn cut(&self) {
        self.0.send_replace(true);
    }
}

impl<S> Leashed<S> {
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
        Pin::new(&mut this.socket).poll_read(cx, into)
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

    #[tokio::test]
    async fn a_cut_socket_ends_both_ways_also_for_who_waits() {
        let (peer, socket) = duplex(4);
        let (leash, mut leashed) = Leash::new(socket);
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
        let (leash, mut leashed) = Leash::new(socket);
        drop(leash);
        peer.write_all(b"on").await.unwrap();
        let mut read = [0; 2];
        leashed.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"on");
    }

    #[tokio::test]
    async fn after_a_goodbye_the_peer_may_not_stay_for_ever() {
        let (_peer, socket) = duplex(64);
        let (_leash, mut leashed) = Leash::with_linger(socket, Duration::from_millis(1));
        leashed.shutdown().await.unwrap();
        assert_eq!(leashed.read(&mut [0; 8]).await.unwrap(), 0);
    }
}

//! Bytes between two descriptors without a copy of our own (splice(2)).
//!
//! Only what is much: of a little, one read and one write are quicker.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

use crate::pieces::ENOUGH;

/// Bytes moved at a time, and of a buffer for what is little.
const PIECE: usize = 256 << 10;
/// Bytes that the pipe between two sockets holds.
const PIPE: usize = 1 << 20;
const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// A socket that the kernel can splice from and to.
pub(super) trait Socket: AsFd + Sync {
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send;
    fn attempt<T>(&self, interest: Interest, step: impl FnOnce() -> io::Result<T>)
    -> io::Result<T>;
}

impl Socket for TcpStream {
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        Self::ready(self, interest)
    }

    fn attempt<T>(
        &self,
        interest: Interest,
        step: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.try_io(interest, step)
    }
}

impl Socket for UnixStream {
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        Self::ready(self, interest)
    }

    fn attempt<T>(
        &self,
        interest: Interest,
        step: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.try_io(interest, step)
    }
}

/// How many bytes wait to be read.
pub(super) fn waiting(from: &impl AsFd) -> usize {
    let here = rustix::io::ioctl_fionread(from).unwrap_or_default();
    usize::try_from(here).unwrap_or_default()
}

/// Exactly so many bytes of a pipe, which are there, into a socket.
///
/// # Errors
/// Of the socket; some may be sent.
pub(super) async fn drain(pipe: &impl AsFd, to: &impl Socket, mut length: usize) -> io::Result<()> {
    while length > 0 {
        let step = || Ok(splice(pipe, None, to, None, length, FLAGS)?);
        match when(to, Interest::WRITABLE, step).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => length -= count,
        }
    }
    Ok(())
}

/// All that `from` says, until it says no more.
///
/// # Errors
/// Of either socket.
pub(super) async fn carry(from: &impl Socket, to: &impl Socket) -> io::Result<()> {
    let mut between = None;
    let mut buffer = Vec::new();
    loop {
        from.ready(Interest::READABLE).await?;
        if waiting(from) >= ENOUGH {
            let (out, into) = match &mut between {
                Some(pipe) => pipe,
                none => none.insert(pipe()?),
            };
            let step = || Ok(splice(from, None, &*into, None, PIECE, FLAGS)?);
            let count = when(from, Interest::READABLE, step).await?;
            drain(out, to, count).await?;
            continue;
        }
        buffer.resize(PIECE, 0);
        let step = || Ok(rustix::io::read(from, &mut buffer)?);
        let mut rest = match when(from, Interest::READABLE, step).await? {
            0 => return Ok(()),
            count => &buffer[..count],
        };
        while !rest.is_empty() {
            let step = || {
                Ok(rustix::net::send(
                    to,
                    rest,
                    rustix::net::SendFlags::NOSIGNAL,
                )?)
            };
            rest = &rest[when(to, Interest::WRITABLE, step).await?..];
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let ends = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // A smaller one does too.
    let _ = rustix::pipe::fcntl_setpipe_size(&ends.0, PIPE);
    Ok(ends)
}

/// As soon as the socket can.
async fn when<T>(
    socket: &impl Socket,
    interest: Interest,
    mut step: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match socket.attempt(interest, &mut step) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.ready(interest).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

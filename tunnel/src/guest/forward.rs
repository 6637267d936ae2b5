//! Connections made inside the box, and their bytes.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use super::act;
use super::serve::fail;
use super::splice::{self, Socket};
use crate::wire::guest::GuestSpec;
use crate::wire::session::{Kind, Place, frame};

/// How long a connection inside the box may take.
const CONNECT: Duration = Duration::from_secs(20);

pub(super) async fn connect(
    spec: &GuestSpec,
    place: &Place,
    mut stream: UnixStream,
) -> io::Result<()> {
    let connected = match tokio::time::timeout(CONNECT, dial(spec, place)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    match connected {
        Ok(end) => {
            stream.write_all(&frame(Kind::Ready, b"")).await?;
            pass(stream, end).await
        }
        Err(error) => fail(stream, &error.to_string()).await,
    }
}

pub(super) enum End {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn dial(spec: &GuestSpec, place: &Place) -> io::Result<End> {
    match place {
        Place::Tcp { host, port } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            socket.set_nodelay(true)?;
            Ok(End::Tcp(socket))
        }
        Place::Unix { path } => {
            let path = PathBuf::from(path);
            let socket = act::as_user(spec, move || socket_at(&path)).await?;
            UnixStream::from_std(socket).map(End::Unix)
        }
        Place::Agent | Place::X11 { .. } => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Never waits: one that accepts nobody is told as such (unix(7), EAGAIN).
pub(super) fn socket_at(path: &Path) -> io::Result<net::UnixStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(net::UnixStream::from(socket))
}

/// Each way by itself: who reads no more may still have words for the other, and who says no more may still be
/// listening.
pub(super) async fn pass(stream: UnixStream, end: End) -> io::Result<()> {
    match end {
        End::Tcp(end) => both(&stream, &end).await,
        End::Unix(end) => both(&stream, &end).await,
    }
}

async fn both(stream: &UnixStream, end: &impl Socket) -> io::Result<()> {
    let inward = async {
        splice::carry(stream, end).await?;
        shut(end)
    };
    let outward = async {
        let carried = splice::carry(end, stream).await;
        let _ = shut(stream);
        carried
    };
    tokio::pin!(inward);
    tokio::pin!(outward);
    tokio::select! {
        _ = &mut outward => inward.await,
        _ = &mut inward => outward.await,
    }
}

/// It says no more.
fn shut(socket: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?)
}

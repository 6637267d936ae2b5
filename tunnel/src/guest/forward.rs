//! Connections made, and listened for, inside the box.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::act;
use super::serve::fail;
use super::splice::{self, Socket};
use crate::wire::guest::GuestSpec;
use crate::wire::session::{Accepted, Kind, Listening, Place, frame, json};

/// How long a connection inside the box may take.
const CONNECT: Duration = Duration::from_secs(20);
/// Connections of one listener that wait to be taken; more are closed.
const WAITING: usize = 128;

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

enum End {
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
        Place::Agent => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Never waits: one that accepts nobody is told as such (unix(7), EAGAIN).
fn socket_at(path: &Path) -> io::Result<net::UnixStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(net::UnixStream::from(socket))
}

/// Each way by itself: who reads no more may still have words for the other, and who says no more may still be
/// listening.
async fn pass(stream: UnixStream, end: End) -> io::Result<()> {
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

/// Connections that listeners accepted and the gateway has not taken yet.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<(u64, u64), End>>>);

enum Listener {
    Tcp(TcpListener),
    /// The socket's file goes with it.
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "dropped, not read")] Made,
    ),
}

/// A socket that goes with its listener.
struct Made {
    path: PathBuf,
    /// Its folder, if that was made for it.
    dir: Option<PathBuf>,
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

impl Listeners {
    /// Until the gateway ends the stream.
    pub(super) async fn listen(
        &self,
        spec: &GuestSpec,
        key: u64,
        place: &Place,
        mut stream: UnixStream,
    ) -> io::Result<()> {
        let (listener, told) = match bind(spec, key, place).await {
            Ok(bound) => bound,
            Err(error) => return fail(stream, &error.to_string()).await,
        };
        stream.write_all(&frame(Kind::Ready, b"")).await?;
        stream.write_all(&json(Kind::Listening, &told)).await?;
        let mut nothing = [0; 1];
        let mut number = 0;
        loop {
            let (end, host, port) = tokio::select! {
                accepted = accept(&listener) => accepted?,
                // The gateway says nothing more: this is its end.
                _ = stream.read(&mut nothing) => break,
            };
            number += 1;
            if !self.keep(key, number, end) {
                continue;
            }
            let said = Accepted {
                number,
                listener: told.port,
                host,
                port,
            };
            stream.write_all(&json(Kind::Accepted, &said)).await?;
        }
        self.waiting().retain(|(of, _), _| *of != key);
        Ok(())
    }

    fn keep(&self, key: u64, number: u64, end: End) -> bool {
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING {
            return false;
        }
        waiting.insert((key, number), end);
        true
    }

    pub(super) async fn take(
        &self,
        key: u64,
        number: u64,
        mut stream: UnixStream,
    ) -> io::Result<()> {
        let found = self.waiting().remove(&(key, number));
        let Some(end) = found else {
            return fail(stream, "that connection is gone").await;
        };
        stream.write_all(&frame(Kind::Ready, b"")).await?;
        pass(stream, end).await
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<(u64, u64), End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn bind(spec: &GuestSpec, key: u64, place: &Place) -> io::Result<(Listener, Listening)> {
    match place {
        Place::Tcp { host, port } => {
            // As sshd without GatewayPorts: what is not asked to be open to others is not (RFC 4254, 7.1).
            let host = match host.as_str() {
                "" | "*" => "0.0.0.0",
                "localhost" => "127.0.0.1",
                other => other,
            };
            let listener = TcpListener::bind((host, *port)).await?;
            let port = listener.local_addr()?.port();
            Ok((Listener::Tcp(listener), Listening { port, path: None }))
        }
        Place::Unix { path } => unix(spec, PathBuf::from(path), None).await,
        Place::Agent => {
            let dir = PathBuf::from(format!("/tmp/ssh-{key:016x}"));
            unix(spec, dir.join("agent"), Some(dir)).await
        }
    }
}

/// As the box's user: nobody listens where they may not write.
async fn unix(
    spec: &GuestSpec,
    path: PathBuf,
    dir: Option<PathBuf>,
) -> io::Result<(Listener, Listening)> {
    let bound = act::as_user(spec, move || {
        if let Some(dir) = &dir {
            std::fs::DirBuilder::new().mode(0o700).create(dir)?;
        }
        let listener = net::UnixListener::bind(&path)?;
        let made = Made { path, dir };
        std::fs::set_permissions(&made.path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok((listener, made))
    });
    let (listener, made) = bound.await?;
    let listening = Listening {
        port: 0,
        path: Some(made.path.display().to_string()),
    };
    Ok((
        Listener::Unix(UnixListener::from_std(listener)?, made),
        listening,
    ))
}

async fn accept(listener: &Listener) -> io::Result<(End, String, u16)> {
    match listener {
        Listener::Tcp(listener) => {
            let (socket, from) = listener.accept().await?;
            socket.set_nodelay(true)?;
            Ok((End::Tcp(socket), from.ip().to_string(), from.port()))
        }
        Listener::Unix(listener, _) => {
            let (socket, _) = listener.accept().await?;
            Ok((End::Unix(socket), String::new(), 0))
        }
    }
}

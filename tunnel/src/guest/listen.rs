//! Connections listened for inside the box, until the gateway takes them.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::act;
use super::display::{self, Loopback};
use super::forward::{End, pass, socket_at};
use super::serve::fail;
use crate::wire::guest::GuestSpec;
use crate::wire::session::{Accepted, Kind, Listening, Place, frame, json};

/// Connections of all listeners that wait to be taken; more are closed.
const WAITING: usize = 128;
/// How long one waits: longer than a client's own connection may take to fail (127 s, tcp(7), tcp_syn_retries).
const UNTAKEN: Duration = Duration::from_secs(150);

/// Connections that listeners accepted and the gateway has not taken yet.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<Waiting>>);

/// By listener and number: a connection, and what ends it when nobody takes it.
type Waiting = HashMap<(u64, u64), (End, AbortOnDropHandle<()>)>;

/// A listener and what was made for it.
struct Bound {
    listener: Listener,
    told: Listening,
    made: Option<Made>,
    /// It accepts one connection, and no more.
    single: bool,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
    Display(Loopback),
}

/// A file that goes with its listener.
#[derive(Clone)]
struct Made {
    path: PathBuf,
    /// Its folder, if that was made for it.
    dir: Option<PathBuf>,
}

impl Made {
    /// In a folder for it alone, which is named after the listener.
    fn fresh(key: u64, name: &str) -> Self {
        let dir = PathBuf::from(format!("/tmp/ssh-{key:016x}"));
        Self {
            path: dir.join(name),
            dir: Some(dir),
        }
    }

    /// By whoever the box's user is: nobody makes, or removes, a file where they may not.
    fn make<T>(&self, fill: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        if let Some(dir) = &self.dir {
            std::fs::DirBuilder::new().mode(0o700).create(dir)?;
        }
        fill(&self.path).inspect_err(|_| {
            // The file may be somebody else's.
            if let Some(dir) = &self.dir {
                let _ = std::fs::remove_file(&self.path);
                let _ = std::fs::remove_dir(dir);
            }
        })
    }

    async fn remove(self, spec: &GuestSpec) {
        let removed = act::as_user(spec, move || {
            let file = std::fs::remove_file(&self.path);
            self.dir.map_or(file, std::fs::remove_dir)
        });
        // Its user may have removed it before.
        let _ = removed.await;
    }
}

impl Listeners {
    /// Until the gateway ends the stream.
    pub(super) async fn listen(
        &self,
        spec: &GuestSpec,
        key: u64,
        place: Place,
        stream: UnixStream,
    ) -> io::Result<()> {
        let mut bound = match bind(spec, key, place).await {
            Ok(bound) => bound,
            Err(error) => return fail(stream, &error.to_string()).await,
        };
        let made = bound.made.take();
        let done = self.accept_all(key, bound, stream).await;
        self.waiting().retain(|(of, _), _| *of != key);
        if let Some(made) = made {
            made.remove(spec).await;
        }
        done
    }

    async fn accept_all(&self, key: u64, bound: Bound, mut stream: UnixStream) -> io::Result<()> {
        let Bound {
            listener,
            told,
            single,
            made: _,
        } = bound;
        stream.write_all(&frame(Kind::Ready, b"")).await?;
        stream.write_all(&json(Kind::Listening, &told)).await?;
        let mut nothing = [0; 1];
        let mut number = 0;
        loop {
            let (end, host, port) = tokio::select! {
                accepted = accept(&listener) => accepted?,
                // The gateway says nothing more: this is its end.
                _ = stream.read(&mut nothing) => return Ok(()),
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
            if single {
                break;
            }
        }
        drop(listener);
        // The one connection may not be taken yet.
        let _ = stream.read(&mut nothing).await;
        Ok(())
    }

    fn keep(&self, key: u64, number: u64, end: End) -> bool {
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING {
            return false;
        }
        let own = self.clone();
        let limit = tokio::spawn(async move {
            tokio::time::sleep(UNTAKEN).await;
            own.waiting().remove(&(key, number));
        });
        waiting.insert((key, number), (end, AbortOnDropHandle::new(limit)));
        true
    }

    pub(super) async fn take(
        &self,
        key: u64,
        number: u64,
        mut stream: UnixStream,
    ) -> io::Result<()> {
        let found = self.waiting().remove(&(key, number));
        let Some((end, limit)) = found else {
            return fail(stream, "that connection is gone").await;
        };
        drop(limit);
        stream.write_all(&frame(Kind::Ready, b"")).await?;
        pass(stream, end).await
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn bind(spec: &GuestSpec, key: u64, place: Place) -> io::Result<Bound> {
    match place {
        Place::Tcp { host, port } => {
            // As sshd without GatewayPorts: what is not asked to be open to others is not (RFC 4254, 7.1).
            let host = match host.as_str() {
                "" | "*" => "0.0.0.0",
                "localhost" => "127.0.0.1",
                other => other,
            };
            let listener = TcpListener::bind((host, port)).await?;
            let port = listener.local_addr()?.port();
            Ok(Bound {
                listener: Listener::Tcp(listener),
                told: Listening { port, path: None },
                made: None,
                single: false,
            })
        }
        Place::Unix { path } => {
            let path = PathBuf::from(path);
            unix(spec, Made { path, dir: None }).await
        }
        Place::Agent => unix(spec, Made::fresh(key, "agent")).await,
        Place::X11 {
            protocol,
            cookie,
            single,
        } => {
            let (listener, number) = Loopback::bind().await?;
            let entries = display::entries(number, &protocol, &cookie)?;
            let made = Made::fresh(key, "Xauthority");
            let wanted = made.clone();
            act::as_user(spec, move || {
                wanted.make(|path| display::write(path, &entries))
            })
            .await?;
            Ok(Bound {
                listener: Listener::Display(listener),
                told: made.told(display::port(number)),
                made: Some(made),
                single,
            })
        }
    }
}

/// As the box's user: nobody listens where they may not write.
async fn unix(spec: &GuestSpec, made: Made) -> io::Result<Bound> {
    let wanted = made.clone();
    let bound = act::as_user(spec, move || {
        wanted.make(|path| {
            let listener = bind_at(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
    });
    Ok(Bound {
        listener: Listener::Unix(UnixListener::from_std(bound.await?)?),
        told: made.told(0),
        made: Some(made),
        single: false,
    })
}

/// In the place of a socket that an earlier life of the box left: nobody listens there any more.
fn bind_at(path: &Path) -> io::Result<net::UnixListener> {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    match net::UnixListener::bind(path) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && path.symlink_metadata()?.file_type().is_socket()
                && socket_at(path).as_ref().is_err_and(refused) =>
        {
            std::fs::remove_file(path)?;
            net::UnixListener::bind(path)
        }
        bound => bound,
    }
}

impl Made {
    fn told(&self, port: u16) -> Listening {
        Listening {
            port,
            path: Some(self.path.display().to_string()),
        }
    }
}

async fn accept(listener: &Listener) -> io::Result<(End, String, u16)> {
    let accepted = match listener {
        Listener::Tcp(listener) => listener.accept().await,
        Listener::Display(loopback) => loopback.accept().await,
        Listener::Unix(listener) => {
            let (socket, _) = listener.accept().await?;
            return Ok((End::Unix(socket), String::new(), 0));
        }
    };
    let (socket, from) = accepted?;
    socket.set_nodelay(true)?;
    Ok((End::Tcp(socket), from.ip().to_string(), from.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection in the box that waits to be taken, as its program sees it.
    fn waiting(listeners: &Listeners, number: u64) -> UnixStream {
        let (own, program) = UnixStream::pair().unwrap();
        assert!(listeners.keep(7, number, End::Unix(own)), "{number}");
        program
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_nobody_takes_end_and_make_room() {
        let listeners = Listeners::default();
        let mut programs = Vec::new();
        for number in 0..WAITING as u64 {
            programs.push(waiting(&listeners, number));
        }
        let (own, mut refused) = UnixStream::pair().unwrap();
        assert!(!listeners.keep(7, 999, End::Unix(own)));
        assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
        for mut program in programs {
            assert_eq!(program.read(&mut [0]).await.unwrap(), 0);
        }
        waiting(&listeners, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_taken_lives_on() {
        let listeners = Listeners::default();
        let mut program = waiting(&listeners, 1);
        let (stream, mut gateway) = UnixStream::pair().unwrap();
        let own = listeners.clone();
        tokio::spawn(async move { own.take(7, 1, stream).await });
        let mut ready = vec![0; frame(Kind::Ready, b"").len()];
        gateway.read_exact(&mut ready).await.unwrap();
        tokio::time::sleep(UNTAKEN * 2).await;
        program.write_all(b"x").await.unwrap();
        assert_eq!(gateway.read_u8().await.unwrap(), b'x');
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let kind = |result: io::Result<_>| result.map(drop).unwrap_err().kind();
        let first = bind_at(&path).unwrap();
        assert_eq!(kind(bind_at(&path)), io::ErrorKind::AddrInUse);
        drop(first);
        let second = bind_at(&path).unwrap();
        socket_at(&path).unwrap();
        drop(second);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "words").unwrap();
        assert_eq!(kind(bind_at(&path)), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read(&path).unwrap(), b"words");
    }
}

//! Streams that a runner asked for: what each is to be, and who serves it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::children::Children;
use super::enter::{Entry, Program, told_alone};
use super::listen::Listeners;
use super::terminal::Terminals;
use super::{control, forward, own, session, udp, user};
use crate::wire::guest::GuestSpec;
use crate::wire::session::{Kind, Request, Session, frame};

/// Largest request, in bytes: a command line as JSON.
const LARGEST: usize = 2 << 20;
/// Streams of one box at once.
const STREAMS: usize = 1024;

/// Cheap to share.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) spec: Arc<GuestSpec>,
    pub(super) children: Children,
    pub(super) terminals: Terminals,
    pub(super) listeners: Listeners,
    /// As many forwards of UDP as there may be.
    datagrams: Arc<Semaphore>,
    run: PathBuf,
    room: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(spec: &GuestSpec, run: &Path) -> Self {
        Self {
            spec: Arc::new(spec.clone()),
            children: Children::default(),
            terminals: Terminals::default(),
            listeners: Listeners::default(),
            datagrams: Arc::new(Semaphore::new(udp::MOST)),
            run: run.to_owned(),
            room: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// Dials for this stream and serves it, in a task of its own.
    pub(super) fn open(&self, id: u64) {
        let server = self.clone();
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            if let Ok(stream) = control::dial(&server.run, id).await {
                // Its end is told on the stream itself, or is the stream's.
                let _ = server.serve(stream).await;
            }
            drop(place);
        });
    }

    async fn serve(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        let length = stream.read_u32().await? as usize;
        anyhow::ensure!(length <= LARGEST, "a request of {length} bytes");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let done = match serde_json::from_slice::<Request>(&body) {
            Ok(Request::Session(wanted)) => session::serve(self, wanted, stream).await,
            Ok(Request::Attach(wanted)) => self.terminals.serve(self, wanted, stream).await,
            Ok(Request::Sftp) => self.sftp(stream).await,
            Ok(Request::Connect(place)) => forward::connect(&self.spec, &place, stream).await,
            Ok(Request::Listen { key, place }) => {
                self.listeners.listen(&self.spec, key, place, stream).await
            }
            Ok(Request::Take { key, number }) => self.listeners.take(key, number, stream).await,
            Ok(Request::Udp { port }) => udp::serve(&self.datagrams, port, stream).await,
            Err(_) => {
                fail(
                    stream,
                    "this box was made by an older river, whose guest cannot do that: one that is made now can",
                )
                .await
            }
        };
        Ok(done?)
    }

    /// A process of the box's user, with the stream itself as its output, and its input once it has heard what it is.
    async fn sftp(&self, mut stream: UnixStream) -> io::Result<()> {
        let entry = match self.entry(Program::Sftp, &Session::default(), None) {
            Ok(entry) => entry,
            Err(why) => return fail(stream, &why).await,
        };
        stream.write_all(&frame(Kind::Ready, b"")).await?;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        let mut command = program();
        command
            .stdin(told_alone(&entry)?)
            .stdout(std::os::fd::OwnedFd::from(stream));
        let (_, _, ended) = self.children.spawn(&mut command)?;
        drop(command);
        let _ = ended.await;
        Ok(())
    }

    /// What a process must know to become this program.
    pub(super) fn entry(
        &self,
        program: Program,
        session: &Session,
        terminal: Option<PathBuf>,
    ) -> Result<Entry, String> {
        let spec = &self.spec;
        let mut env = spec.env.clone();
        env.extend(session.env.clone());
        if let Some(pty) = &session.pty {
            env.insert("TERM".to_owned(), pty.term.clone());
        }
        if let Some(path) = &terminal {
            env.insert("SSH_TTY".to_owned(), path.display().to_string());
        }
        if let Some(agent) = &session.agent {
            env.insert("SSH_AUTH_SOCK".to_owned(), agent.clone());
        }
        // What sshd says of a connection that has no address (sshd.c); programs look whether it is there.
        env.insert(
            "SSH_CONNECTION".to_owned(),
            "UNKNOWN 65535 UNKNOWN 65535".to_owned(),
        );
        // A task has its working directory, a box of one's own a home.
        let workdir = spec.workdir.clone().filter(|_| !spec.argv.is_empty());
        Ok(Entry {
            user: user::find(&spec.user)?,
            rights: spec.rights,
            env,
            workdirs: workdir.into_iter().collect(),
            affinity: spec.affinity.clone(),
            program,
            terminal,
        })
    }
}

/// The process that becomes what its standard input says.
pub(super) fn program() -> std::process::Command {
    let mut command = std::process::Command::new(own::program());
    command.arg("enter").env_clear();
    command
}

/// Says why not, and ends.
pub(super) async fn fail(mut stream: UnixStream, why: &str) -> io::Result<()> {
    stream
        .write_all(&frame(Kind::Failed, why.as_bytes()))
        .await?;
    stream.shutdown().await
}

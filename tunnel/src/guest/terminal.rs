//! Terminals that stay: left and taken up again, seen by several, with what was shown before.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

use super::pty::{self, Master};
use super::serve::{Server, fail};
use super::session::{In, Out, exit, listen, signal, start_on};
use crate::wire::session::{Attach, CREDIT, Exit, Kind, Session, Window, frame};

/// Bytes that a newcomer is shown of what was there before.
const SCROLLBACK: usize = 256 << 10;
/// Pieces that a slow viewer may be behind; then it skips.
const BEHIND: usize = 256;
/// Terminals of one box.
const MOST: usize = 64;
const PIECE: usize = 32 << 10;
/// Keys that wait for a terminal that takes none.
const KEYS: usize = 64;

/// Those of a box, by name.
#[derive(Clone, Default)]
pub(super) struct Terminals(Arc<Mutex<HashMap<String, Arc<Terminal>>>>);

struct Terminal {
    shown: Mutex<VecDeque<u8>>,
    live: broadcast::Sender<Bytes>,
    keys: mpsc::Sender<Bytes>,
    window: watch::Sender<Window>,
    ended: watch::Receiver<Option<Exit>>,
    pid: Pid,
}

impl Terminals {
    pub(super) async fn serve(
        &self,
        server: &Server,
        wanted: Attach,
        stream: UnixStream,
    ) -> io::Result<()> {
        let found = self.find_or_start(server, &wanted);
        let terminal = match found {
            Ok(terminal) => terminal,
            Err(why) => return fail(stream, &why).await,
        };
        let (reader, writer) = stream.into_split();
        let out = Out::new(writer);
        let (said, heard) = mpsc::unbounded_channel();
        let listening = tokio::spawn(listen(reader, said));
        let done = terminal.show(&wanted, &out, heard).await;
        listening.abort();
        done
    }

    fn find_or_start(&self, server: &Server, wanted: &Attach) -> Result<Arc<Terminal>, String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, terminal| terminal.ended.borrow().is_none());
        if let Some(terminal) = all.get(&wanted.name) {
            return Ok(Arc::clone(terminal));
        }
        if wanted.read_only {
            return Err(format!(
                "no terminal called {} is open in this box",
                wanted.name
            ));
        }
        if all.len() >= MOST {
            return Err("this box has too many terminals open".to_owned());
        }
        let terminal = Terminal::start(server, &wanted.session).map_err(|e| e.to_string())?;
        all.insert(wanted.name.clone(), Arc::clone(&terminal));
        Ok(terminal)
    }
}

impl Terminal {
    fn start(server: &Server, session: &Session) -> io::Result<Arc<Self>> {
        let wanted = session.pty.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        let user = super::user::find(&server.spec.user).map_err(io::Error::other)?;
        let (master, path) = pty::open(wanted, user.as_ref())?;
        let (pid, ended) = start_on(server, session, path)?;
        let (keys, typed) = mpsc::channel(KEYS);
        let (window, sized) = watch::channel(wanted.window);
        let (told, over) = watch::channel(None);
        let terminal = Arc::new(Self {
            shown: Mutex::default(),
            live: broadcast::channel(BEHIND).0,
            keys,
            window,
            ended: over,
            pid,
        });
        let own = Arc::clone(&terminal);
        tokio::spawn(async move {
            let master = Arc::new(master);
            let typing = tokio::spawn(type_all(Arc::clone(&master), typed, sized));
            let status = own.read_all(&master, ended).await;
            typing.abort();
            told.send_replace(Some(status));
        });
        Ok(terminal)
    }

    async fn read_all(
        &self,
        master: &Master,
        mut ended: tokio::sync::oneshot::Receiver<nix::sys::wait::WaitStatus>,
    ) -> Exit {
        let mut buffer = vec![0; PIECE];
        let status = loop {
            tokio::select! {
                status = &mut ended => break status,
                count = master.read(&mut buffer) => match count {
                    0 => break (&mut ended).await,
                    count => self.keep(&buffer[..count]),
                },
            }
        };
        loop {
            match master.read_now(&mut buffer) {
                0 => return exit(status),
                count => self.keep(&buffer[..count]),
            }
        }
    }

    /// Kept and shown under one lock: a newcomer sees each byte once.
    fn keep(&self, bytes: &[u8]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.extend(bytes);
        let extra = shown.len().saturating_sub(SCROLLBACK);
        shown.drain(..extra);
        // Without viewers there is nobody to tell.
        let _ = self.live.send(Bytes::copy_from_slice(bytes));
    }

    async fn show(
        &self,
        wanted: &Attach,
        out: &Out,
        mut heard: mpsc::UnboundedReceiver<In>,
    ) -> io::Result<()> {
        out.frame(&frame(Kind::Ready, b"")).await?;
        if let (Some(pty), false) = (&wanted.session.pty, wanted.read_only) {
            self.window.send_replace(pty.window);
        }
        let (before, mut live) = {
            let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            (
                shown.iter().copied().collect::<Vec<u8>>(),
                self.live.subscribe(),
            )
        };
        out.data(Kind::Stdout, &before).await?;
        let mut ended = self.ended.clone();
        loop {
            tokio::select! {
                biased;
                piece = live.recv() => match piece {
                    Ok(bytes) => out.data(Kind::Stdout, &bytes).await?,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
                said = heard.recv() => match said {
                    None => return Ok(()),
                    Some(said) => self.obey(said, wanted.read_only, out).await?,
                },
                exit = over(&mut ended) => {
                    while let Ok(bytes) = live.try_recv() {
                        out.data(Kind::Stdout, &bytes).await?;
                    }
                    return out.end(&exit).await;
                }
            }
        }
    }

    async fn obey(&self, said: In, read_only: bool, out: &Out) -> io::Result<()> {
        match said {
            In::Stdin(bytes) => {
                // Granted back at once: a terminal takes what it can, and drops the rest, as a real one.
                let length = u32::try_from(bytes.len()).unwrap_or(CREDIT);
                if !read_only {
                    let _ = self.keys.try_send(bytes);
                }
                out.frame(&frame(Kind::Credit, &length.to_be_bytes()))
                    .await?;
            }
            In::Window(window) if !read_only => {
                self.window.send_replace(window);
            }
            In::Signal(number) if !read_only => signal(self.pid, number),
            In::Window(_) | In::Signal(_) | In::Eof => {}
        }
        Ok(())
    }
}

async fn over(ended: &mut watch::Receiver<Option<Exit>>) -> Exit {
    let exit = ended.wait_for(Option::is_some).await;
    exit.ok()
        .and_then(|exit| exit.clone())
        .unwrap_or(Exit::Code(255))
}

async fn type_all(
    master: Arc<Master>,
    mut typed: mpsc::Receiver<Bytes>,
    mut sized: watch::Receiver<Window>,
) {
    loop {
        tokio::select! {
            changed = sized.changed() => match changed {
                Ok(()) => master.resize(*sized.borrow_and_update()),
                Err(_) => return,
            },
            bytes = typed.recv() => match bytes {
                Some(bytes) => drop(master.write_all(&bytes).await),
                None => return,
            },
        }
    }
}

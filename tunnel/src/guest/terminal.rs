//! Terminals that stay: left and taken up again, seen by several, with what was shown before.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::pty::{self, Master};
use super::serve::{Server, fail};
use super::session::{GRANT, In, Out, exit, listen, signal, start_on};
use super::shown::{Piece, Shown};
use crate::wire::session::{Attach, CREDIT, Exit, Kind, Session, Window, frame};

/// Terminals of one box.
const MOST: usize = 64;
const PIECE: usize = 32 << 10;
/// Keys that wait for a terminal that takes none.
const KEYS: usize = 64;

/// Those of a box, by name.
#[derive(Clone, Default)]
pub(super) struct Terminals(Arc<Mutex<HashMap<String, Arc<Terminal>>>>);

struct Terminal {
    shown: Mutex<Shown>,
    /// Something was shown.
    more: watch::Sender<()>,
    /// A viewer took something, or left.
    taken: watch::Sender<()>,
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
            more: watch::Sender::new(()),
            taken: watch::Sender::new(()),
            keys,
            window,
            ended: over,
            pid,
        });
        let own = Arc::clone(&terminal);
        tokio::spawn(async move {
            let master = Arc::new(master);
            let typing = tokio::spawn(type_all(Arc::clone(&master), typed));
            let sizing = tokio::spawn(size(Arc::clone(&master), sized));
            let status = own.read_all(&master, ended).await;
            typing.abort();
            sizing.abort();
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
        let mut taken = self.taken.subscribe();
        let status = loop {
            let next = async {
                self.room(&mut taken).await;
                master.read(&mut buffer).await
            };
            tokio::select! {
                status = &mut ended => break status,
                count = next => match count {
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

    /// Nobody is waited for, or no longer.
    async fn room(&self, taken: &mut watch::Receiver<()>) {
        loop {
            taken.mark_unchanged();
            let held = self.shown().held(Instant::now());
            let Some(until) = held else { return };
            tokio::select! {
                _ = taken.changed() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    fn keep(&self, bytes: &[u8]) {
        self.shown().add(bytes, Instant::now());
        self.more.send_replace(());
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn show(
        &self,
        wanted: &Attach,
        out: &Out,
        heard: mpsc::UnboundedReceiver<In>,
    ) -> io::Result<()> {
        out.frame(&frame(Kind::Ready, b"")).await?;
        if let (Some(pty), false) = (&wanted.session.pty, wanted.read_only) {
            self.window.send_replace(pty.window);
        }
        // Side by side: who takes nothing for a while is heard all the same.
        tokio::select! {
            biased;
            heard = self.hear(heard, wanted.read_only, out) => heard,
            told = self.tell(!wanted.read_only, out) => told,
        }
    }

    /// What is shown, from what is kept of it to the end.
    async fn tell(&self, types: bool, out: &Out) -> io::Result<()> {
        let viewing = Viewing {
            terminal: self,
            number: self.shown().join(types, Instant::now()),
        };
        let mut more = self.more.subscribe();
        let mut ended = self.ended.clone();
        loop {
            more.mark_unchanged();
            if let Some(piece) = viewing.next() {
                viewing.see(&piece, out).await?;
                continue;
            }
            tokio::select! {
                biased;
                _ = more.changed() => {}
                exit = over(&mut ended) => if viewing.next().is_none() {
                    return out.end(&exit).await;
                },
            }
        }
    }

    /// Until the viewer is gone.
    async fn hear(
        &self,
        mut heard: mpsc::UnboundedReceiver<In>,
        read_only: bool,
        out: &Out,
    ) -> io::Result<()> {
        let mut owed = 0;
        while let Some(said) = heard.recv().await {
            match said {
                In::Stdin(bytes) => {
                    // Granted in any case: a terminal takes what it can, and drops the rest, as a real one.
                    owed += u32::try_from(bytes.len()).unwrap_or(CREDIT);
                    if !read_only {
                        let _ = self.keys.try_send(bytes);
                    }
                    if owed >= GRANT {
                        out.frame(&frame(Kind::Credit, &owed.to_be_bytes())).await?;
                        owed = 0;
                    }
                }
                In::Window(window) if !read_only => {
                    self.window.send_replace(window);
                }
                In::Signal(number) if !read_only => signal(self.pid, number),
                In::Window(_) | In::Signal(_) | In::Eof => {}
            }
        }
        Ok(())
    }
}

/// One viewer, as long as it looks.
struct Viewing<'a> {
    terminal: &'a Terminal,
    number: u64,
}

impl Viewing<'_> {
    fn next(&self) -> Option<Piece> {
        self.terminal.shown().next(self.number)
    }

    async fn see(&self, piece: &Piece, out: &Out) -> io::Result<()> {
        if piece.skipped > 0 {
            // First CAN, which ends what a sequence may have begun (ECMA-48, 8.3.6).
            let mark = format!(
                "\x18\r\n[river: {} bytes were not shown]\r\n",
                piece.skipped
            );
            out.data(Kind::Stdout, mark.as_bytes()).await?;
        }
        out.data(Kind::Stdout, &piece.bytes).await?;
        self.terminal
            .shown()
            .took(self.number, piece, Instant::now());
        self.terminal.taken.send_replace(());
        Ok(())
    }
}

impl Drop for Viewing<'_> {
    fn drop(&mut self) {
        self.terminal.shown().leave(self.number);
        self.terminal.taken.send_replace(());
    }
}

async fn over(ended: &mut watch::Receiver<Option<Exit>>) -> Exit {
    let exit = ended.wait_for(Option::is_some).await;
    exit.ok()
        .and_then(|exit| exit.clone())
        .unwrap_or(Exit::Code(255))
}

/// Until nobody can type any more.
async fn type_all(master: Arc<Master>, mut typed: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = typed.recv().await {
        let _ = master.write_all(&bytes).await;
    }
}

/// Apart from the keys: a program that takes none has a size all the same.
async fn size(master: Arc<Master>, mut sized: watch::Receiver<Window>) {
    while sized.changed().await.is_ok() {
        master.resize(*sized.borrow_and_update());
    }
}

//! One session: a program, its pipes or its terminal, and the frames of its stream.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::enter::{Program, told, told_alone};
use super::pty::{self, Master};
use super::serve::{Server, fail, program};
use super::splice;
use crate::pieces::{ENOUGH, write_all};
use crate::wire::session::{CREDIT, Exit, Frames, Kind, PIECE, Session, Window, frame, head, json};

/// Standard input that was consumed is granted again in pieces of this size.
pub(super) const GRANT: u32 = CREDIT / 16;
/// Pieces of standard input that are written at once.
const PIECES: usize = 16;
/// Bytes of the program's pipes.
const PIPE: i32 = 1 << 20;

/// The frames towards the gateway; whoever has something writes a whole frame.
#[derive(Clone)]
pub(super) struct Out(Arc<Mutex<OwnedWriteHalf>>);

impl Out {
    pub(super) fn new(half: OwnedWriteHalf) -> Self {
        Self(Arc::new(Mutex::new(half)))
    }

    pub(super) async fn frame(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().await.write_all(bytes).await
    }

    pub(super) async fn data(&self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        let mut half = self.0.lock().await;
        write_all(&mut *half, &[&head(kind, bytes.len()), bytes]).await
    }

    /// As [`Out::data`], of what lies in the pipe.
    async fn splice(&self, kind: Kind, pipe: &pipe::Receiver, length: usize) -> io::Result<()> {
        let mut half = self.0.lock().await;
        half.write_all(&head(kind, length)).await?;
        let socket: &UnixStream = (*half).as_ref();
        splice::drain(pipe, socket, length).await
    }

    pub(super) async fn end(&self, exit: &Exit) -> io::Result<()> {
        let mut half = self.0.lock().await;
        half.write_all(&json(Kind::Exit, exit)).await?;
        half.shutdown().await
    }
}

/// What comes from the gateway.
pub(super) enum In {
    Stdin(Bytes),
    Eof,
    Window(Window),
    Signal(u8),
}

/// Reads frames until the gateway is gone. Never waits for the program: standard input has its credit.
pub(super) async fn listen(mut half: OwnedReadHalf, to: mpsc::UnboundedSender<In>) {
    let mut frames = Frames::default();
    let mut buffer = BytesMut::new();
    loop {
        // What was passed on lives as long as it is used; the rest of the buffer is used again.
        buffer.reserve(PIECE);
        let Ok(1..) = half.read_buf(&mut buffer).await else {
            return;
        };
        frames.add(buffer.split().freeze());
        loop {
            let said = match frames.take() {
                Ok(Some((Kind::Stdin, bytes))) => In::Stdin(bytes),
                Ok(Some((Kind::Eof, _))) => In::Eof,
                Ok(Some((Kind::Window, body))) => match serde_json::from_slice(&body) {
                    Ok(window) => In::Window(window),
                    Err(_) => continue,
                },
                Ok(Some((Kind::Signal, body))) => match body.first() {
                    Some(number) => In::Signal(*number),
                    None => continue,
                },
                Ok(Some(_)) => continue,
                Ok(None) => break,
                Err(_) => return,
            };
            if to.send(said).is_err() {
                return;
            }
        }
    }
}

pub(super) async fn serve(server: &Server, wanted: Session, stream: UnixStream) -> io::Result<()> {
    let user = match super::user::find(&server.spec.user) {
        Ok(user) => user,
        Err(why) => return fail(stream, &why).await,
    };
    let terminal = match &wanted.pty {
        Some(wanted) => match pty::open(wanted, user.as_ref()) {
            Ok(opened) => Some(opened),
            Err(error) => return fail(stream, &format!("no terminal: {error}")).await,
        },
        None => None,
    };
    let (reader, writer) = stream.into_split();
    let out = Out::new(writer);
    let (said, heard) = mpsc::unbounded_channel();
    let listening = tokio::spawn(listen(reader, said));
    let done = match terminal {
        Some((master, path)) => with_terminal(server, &wanted, (master, path), &out, heard).await,
        None => with_pipes(server, &wanted, &out, heard).await,
    };
    listening.abort();
    if let Err(error) = &done {
        let _ = out
            .frame(&frame(Kind::Failed, error.to_string().as_bytes()))
            .await;
    }
    done
}

fn wish(wanted: &Session) -> Program {
    wanted
        .line
        .clone()
        .map_or(Program::LoginShell, Program::Line)
}

async fn with_pipes(
    server: &Server,
    wanted: &Session,
    out: &Out,
    mut heard: mpsc::UnboundedReceiver<In>,
) -> io::Result<()> {
    let entry = server
        .entry(wish(wanted), wanted, None)
        .map_err(io::Error::other)?;
    let told = told(&entry)?;
    let mut command = program();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (mut child, pid, mut ended) = server.children.spawn(&mut command)?;
    out.frame(&frame(Kind::Ready, b"")).await?;
    let stdout = tokio::spawn(pump(
        receiver(child.stdout.take())?,
        Kind::Stdout,
        out.clone(),
    ));
    let stderr = tokio::spawn(pump(
        receiver(child.stderr.take())?,
        Kind::Stderr,
        out.clone(),
    ));
    let (feed, pieces) = mpsc::unbounded_channel();
    let mut feed = Some(feed);
    if let Some(pipe) = child.stdin.take() {
        let pipe = OwnedFd::from(pipe);
        let _ = nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE));
        tokio::spawn(write(
            pipe::Sender::from_owned_fd(pipe)?,
            told,
            pieces,
            out.clone(),
        ));
    }
    let status = loop {
        tokio::select! {
            status = &mut ended => break status,
            said = heard.recv() => match said {
                Some(In::Stdin(bytes)) => {
                    if let Some(feed) = &feed {
                        let _ = feed.send(bytes);
                    }
                }
                Some(In::Eof) => feed = None,
                Some(In::Signal(number)) => signal(pid, number),
                Some(In::Window(_)) => {}
                // As sshd: without its client a program without a terminal loses its pipes, no more.
                None => {
                    stdout.abort();
                    stderr.abort();
                    return Ok(());
                }
            },
        }
    };
    // What it started in the background may hold its pipes: as with sshd, the session waits for them, as
    // long as its client does.
    tokio::select! {
        _ = async { let _ = stdout.await; stderr.await } => {}
        () = async { while heard.recv().await.is_some() {} } => return Ok(()),
    }
    out.end(&exit(status)).await
}

async fn with_terminal(
    server: &Server,
    wanted: &Session,
    (master, path): (Master, std::path::PathBuf),
    out: &Out,
    mut heard: mpsc::UnboundedReceiver<In>,
) -> io::Result<()> {
    let (pid, mut ended) = start_on(server, wanted, path)?;
    out.frame(&frame(Kind::Ready, b"")).await?;
    let master = Arc::new(master);
    let (keys, typed) = mpsc::unbounded_channel();
    let typing = tokio::spawn(type_in(Arc::clone(&master), typed, out.clone()));
    let sized = Arc::clone(&master);
    let hear = async {
        while let Some(said) = heard.recv().await {
            match said {
                In::Stdin(bytes) => drop(keys.send(bytes)),
                In::Window(window) => sized.resize(window),
                In::Signal(number) => signal(pid, number),
                // A terminal has no end of input.
                In::Eof => {}
            }
        }
    };
    let tell = async {
        let mut buffer = vec![0; PIECE];
        let status = loop {
            tokio::select! {
                status = &mut ended => break status,
                count = master.read(&mut buffer) => match count {
                    // Nobody has the terminal any more: the end comes.
                    0 => break (&mut ended).await,
                    count => out.data(Kind::Stdout, &buffer[..count]).await?,
                },
            }
        };
        loop {
            match master.read_now(&mut buffer) {
                0 => return out.end(&exit(status)).await,
                count => out.data(Kind::Stdout, &buffer[..count]).await?,
            }
        }
    };
    // Side by side: a client that takes nothing for a while is heard all the same.
    let done = tokio::select! {
        biased;
        // Closing the terminal hangs its programs up.
        () = hear => Ok(()),
        told = tell => told,
    };
    typing.abort();
    done
}

/// Grants as it writes: a terminal whose program reads nothing takes only so much.
async fn type_in(master: Arc<Master>, mut typed: mpsc::UnboundedReceiver<Bytes>, out: Out) {
    let mut owed = 0;
    while let Some(bytes) = typed.recv().await {
        if master.write_all(&bytes).await.is_err() {
            return;
        }
        owed += u32::try_from(bytes.len()).unwrap_or(CREDIT);
        if owed >= GRANT {
            if out
                .frame(&frame(Kind::Credit, &owed.to_be_bytes()))
                .await
                .is_err()
            {
                return;
            }
            owed = 0;
        }
    }
}

/// The program on a terminal.
pub(super) fn start_on(
    server: &Server,
    wanted: &Session,
    path: std::path::PathBuf,
) -> io::Result<(Pid, oneshot::Receiver<WaitStatus>)> {
    let entry = server
        .entry(wish(wanted), wanted, Some(path))
        .map_err(io::Error::other)?;
    let mut command = program();
    command
        .stdin(told_alone(&entry)?)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let (_, pid, ended) = server.children.spawn(&mut command)?;
    Ok((pid, ended))
}

fn receiver(end: Option<impl Into<OwnedFd>>) -> io::Result<pipe::Receiver> {
    let fd = end.ok_or(io::ErrorKind::BrokenPipe)?.into();
    let _ = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE));
    pipe::Receiver::from_owned_fd(fd)
}

async fn pump(mut pipe: pipe::Receiver, kind: Kind, out: Out) {
    let mut buffer = Vec::new();
    loop {
        if pipe.readable().await.is_err() {
            return;
        }
        // A pipe of our own: what is here stays here until it is taken.
        let moved = match splice::waiting(&pipe).min(PIECE) {
            length @ ENOUGH.. => out.splice(kind, &pipe, length).await,
            _ => {
                buffer.resize(PIECE, 0);
                match pipe.read(&mut buffer).await {
                    Ok(count @ 1..) => out.data(kind, &buffer[..count]).await,
                    Ok(0) | Err(_) => return,
                }
            }
        };
        if moved.is_err() {
            return;
        }
    }
}

/// Feeds the program, after what it is to be; its end of input comes when the sender is dropped. What a program does not want is
/// taken and dropped, so that its client can go on.
async fn write(
    mut pipe: pipe::Sender,
    told: Vec<u8>,
    mut pieces: mpsc::UnboundedReceiver<Bytes>,
    out: Out,
) {
    let mut deaf = write_all(&mut pipe, &[&told]).await.is_err();
    drop(told);
    let mut owed = 0;
    let mut some = Vec::with_capacity(PIECES);
    while pieces.recv_many(&mut some, PIECES).await > 0 {
        let slices: Vec<&[u8]> = some.iter().map(AsRef::as_ref).collect();
        deaf = deaf || write_all(&mut pipe, &slices).await.is_err();
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        some.clear();
        owed += u32::try_from(length).unwrap_or(CREDIT);
        if owed >= GRANT {
            // A client that is gone wants no credit, but what it had sent still goes on.
            let _ = out.frame(&frame(Kind::Credit, &owed.to_be_bytes())).await;
            owed = 0;
        }
    }
}

/// To the session of the program, as sshd does.
pub(super) fn signal(pid: Pid, number: u8) {
    if let Ok(signal) = Signal::try_from(i32::from(number)) {
        let _ = killpg(pid, signal);
    }
}

pub(super) fn exit(status: Result<WaitStatus, oneshot::error::RecvError>) -> Exit {
    match status {
        Ok(WaitStatus::Exited(_, code)) => Exit::Code(u32::try_from(code & 0xff).unwrap_or(255)),
        Ok(WaitStatus::Signaled(_, signal, core)) => Exit::Signal {
            name: signal.as_str().trim_start_matches("SIG").to_owned(),
            core,
        },
        Ok(_) | Err(_) => Exit::Code(255),
    }
}

//! The supervisor: starts the command once, keeps its output, ends it when told, and tells how it ended.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cluster::OutputSize;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, Sleep};

use super::control::{self, Story};
use super::kept::Output;
use super::output::{OutputFile, Which};
use super::serve::Server;
use super::{keep, own, processes, record, stdin};
use crate::wire::guest::{
    ExitRecord, GuestEnd, GuestSpec, GuestStdin, GuestStream, INPUT, ToGuest, Unwritten,
};

/// Bytes of the command's pipes, and of one read.
const PIPE: i32 = 1 << 20;
const PIECE: usize = 256 << 10;
/// Output is on the disk at the latest so long after it was written: a power failure costs no more.
const SYNC: Duration = Duration::from_secs(1);
/// How long the end waits for a runner to hear it; it is on the disk anyway.
const TELL: Duration = Duration::from_millis(200);
const TERM: u8 = 15;

/// Why the command is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Stop,
    Time,
    Cut,
}

/// Runs the attempt in these directories; returns the exit code for this process.
///
/// # Errors
/// When the directories cannot be used: no command was started then.
pub async fn run(run: &Path, out: &Path) -> anyhow::Result<i32> {
    // Not to be traced by what it supervises (prctl(2), PR_SET_DUMPABLE).
    let _ = nix::sys::prctl::set_dumpable(false);
    let _ = nix::sys::prctl::set_child_subreaper(true);
    processes::as_everybody();
    let spec = record::spec(run)?;
    let begun = record::begin(out);
    if matches!(begun, Ok(false)) {
        // It began in an earlier life of this box: a second start would run it twice. What is on the
        // disk stands; without an exit record the runner calls it vanished.
        return Ok(125);
    }
    let (orders, mut received) = mpsc::channel(16);
    let server = Server::new(&spec, run);
    let (story, heard) = watch::channel(Story::default());
    let (told, mut is_told) = watch::channel(false);
    tokio::spawn(control::control(
        run.to_owned(),
        spec.attempt,
        heard,
        orders,
        told,
    ));
    let mut ended = if let Err(error) = begun {
        never(&spec, format!("its node's disk: {error:#}"))
    } else if spec.argv.is_empty() {
        story.send_modify(|story| story.started = Some(record::now()));
        keep::keep(&spec, &server, &mut received).await?
    } else {
        match Supervisor::start(&spec, run, out, server) {
            Ok(mut supervisor) => {
                story.send_modify(|story| story.started = Some(supervisor.started));
                supervisor.supervise(&mut received).await?
            }
            Err(error) => never(&spec, format!("{error:#}")),
        }
    };
    if let Some(why) = record::failed(out) {
        ended = ExitRecord {
            started: None,
            end: GuestEnd::NeverStarted { reason: why },
            ..ended
        };
    }
    let mut kept = record::end(out, &ended);
    let code = match &ended.end {
        GuestEnd::Exited { code } => i32::from(*code),
        GuestEnd::Signaled { signal } => 128 + i32::from(*signal),
        GuestEnd::OutOfTime => 124,
        GuestEnd::Stopped => 137,
        GuestEnd::InputCut | GuestEnd::NeverStarted { .. } => 125,
    };
    story.send_modify(|story| story.exited = Some(ended.clone()));
    let mut wait = TELL;
    loop {
        let heard = tokio::time::timeout(wait, is_told.wait_for(|told| *told)).await;
        // Neither on the disk nor heard by a runner, it would be lost.
        if kept.is_ok() || heard.is_ok() {
            return Ok(code);
        }
        kept = record::end(out, &ended);
        wait = SYNC;
    }
}

fn never(spec: &GuestSpec, reason: String) -> ExitRecord {
    ExitRecord {
        attempt: spec.attempt,
        started: None,
        ended: record::now(),
        end: GuestEnd::NeverStarted { reason },
        output: OutputSize::default(),
        unwritten: Unwritten::default(),
    }
}

struct Supervisor {
    main: Pid,
    spec: GuestSpec,
    run: PathBuf,
    started: u64,
    stdout: Output,
    stderr: Output,
    streams: Option<mpsc::Sender<tokio::net::UnixStream>>,
    server: Server,
    cut: Arc<Notify>,
    cause: Option<Cause>,
    deadline: Pin<Box<Sleep>>,
}

impl Supervisor {
    fn start(spec: &GuestSpec, run: &Path, out: &Path, server: Server) -> anyhow::Result<Self> {
        let input = match spec.stdin {
            GuestStdin::Empty => Stdio::null(),
            GuestStdin::File => File::open(run.join(INPUT))
                .context("cannot read the input")?
                .into(),
            GuestStdin::Live | GuestStdin::Typed => Stdio::piped(),
        };
        let mut child = Command::new(own::program())
            .arg("launch")
            .args([run, out])
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a process")?;
        let main = Pid::from_raw(i32::try_from(child.id())?);
        let stdout = receiver(child.stdout.take().map(OwnedFd::from))?;
        let stderr = receiver(child.stderr.take().map(OwnedFd::from))?;
        let (mut streams, cut) = (None, Arc::new(Notify::new()));
        if let Some(pipe) = child.stdin.take() {
            let pipe = OwnedFd::from(pipe);
            let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE));
            let (sender, receiver) = mpsc::channel(4);
            let cutter = Arc::clone(&cut);
            let strict = spec.stdin == GuestStdin::Live;
            tokio::spawn(stdin::feed(
                pipe::Sender::from_owned_fd(pipe)?,
                receiver,
                strict,
                cutter,
            ));
            streams = Some(sender);
        }
        let far = Duration::from_secs(366 * 24 * 3600);
        let limit = spec.time_limit_ms.map_or(far, Duration::from_millis);
        Ok(Self {
            main,
            spec: spec.clone(),
            run: run.to_owned(),
            started: record::now(),
            stdout: Output::new(stdout, OutputFile::new(out, Which::Stdout, spec.output_cap)),
            stderr: Output::new(stderr, OutputFile::new(out, Which::Stderr, spec.output_cap)),
            streams,
            server,
            cut,
            cause: None,
            deadline: Box::pin(tokio::time::sleep(limit)),
        })
    }

    async fn supervise(
        &mut self,
        orders: &mut mpsc::Receiver<ToGuest>,
    ) -> anyhow::Result<ExitRecord> {
        let mut children = signal(SignalKind::child())?;
        let mut term = signal(SignalKind::terminate())?;
        let mut sync = tokio::time::interval(SYNC);
        let mut buffer = vec![0; PIECE];
        let mut status = processes::reap(Some(self.main), &self.server.children);
        while status.is_none() {
            let (first, second) = buffer.split_at_mut(PIECE / 2);
            tokio::select! {
                _ = children.recv() => status = processes::reap(Some(self.main), &self.server.children),
                read = self.stdout.pipe.read(first), if self.stdout.wants_more() => {
                    self.stdout.keep(read, first);
                }
                read = self.stderr.pipe.read(second), if self.stderr.wants_more() => {
                    self.stderr.keep(read, second);
                }
                Some(order) = orders.recv() => self.order(order),
                _ = term.recv() => self.end(Cause::Stop, self.spec.grace_ms),
                () = self.cut.notified() => self.end(Cause::Cut, self.spec.grace_ms),
                () = self.deadline.as_mut() => self.due(),
                _ = sync.tick() => self.sync(),
            }
        }
        let ended = record::now();
        // As in a container without us: the end of the command is the end of the box.
        processes::kill_all();
        let hurry = self.cause.is_some();
        let stdout = self.stdout.finish(&mut buffer, hurry).await;
        let stderr = self.stderr.finish(&mut buffer, hurry).await;
        Ok(ExitRecord {
            attempt: self.spec.attempt,
            started: Some(self.started),
            ended,
            end: self.verdict(status),
            output: OutputSize {
                stdout: self.stdout.file.length() + stdout.len() as u64,
                stderr: self.stderr.file.length() + stderr.len() as u64,
            },
            unwritten: Unwritten { stdout, stderr },
        })
    }

    fn verdict(&self, status: Option<WaitStatus>) -> GuestEnd {
        match (self.cause, status) {
            (Some(Cause::Time), _) => GuestEnd::OutOfTime,
            (Some(Cause::Cut), _) => GuestEnd::InputCut,
            (Some(Cause::Stop), _) => GuestEnd::Stopped,
            (None, Some(WaitStatus::Signaled(_, signal, _))) => GuestEnd::Signaled {
                signal: u8::try_from(signal as i32).unwrap_or(u8::MAX),
            },
            (None, Some(WaitStatus::Exited(_, code))) => GuestEnd::Exited {
                code: u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            },
            (None, _) => GuestEnd::Exited { code: 255 },
        }
    }

    fn order(&mut self, order: ToGuest) {
        match order {
            ToGuest::Open {
                id,
                stream: GuestStream::Session,
            } => self.server.open(id),
            ToGuest::Open {
                id,
                stream: GuestStream::Stdin,
            } => {
                let Some(streams) = self.streams.clone() else {
                    return;
                };
                let run = self.run.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = control::dial(&run, id).await {
                        let _ = streams.send(stream).await;
                    }
                });
            }
            ToGuest::Stop { grace_ms } => self.end(Cause::Stop, grace_ms),
            ToGuest::Signal { signal } => processes::signal_group(self.main, signal),
            ToGuest::Freeze { frozen } => processes::freeze(frozen),
        }
    }

    /// TERM now, KILL after the grace. The first cause stands.
    fn end(&mut self, cause: Cause, grace_ms: u64) {
        if self.cause.is_none() {
            self.cause = Some(cause);
            processes::freeze(false);
            processes::signal_group(self.main, TERM);
            self.deadline
                .as_mut()
                .reset(Instant::now() + Duration::from_millis(grace_ms));
        }
    }

    fn due(&mut self) {
        if self.cause.is_none() {
            self.end(Cause::Time, self.spec.grace_ms);
        } else {
            processes::signal_group(self.main, 9);
            self.deadline.as_mut().reset(Instant::now() + SYNC);
        }
    }

    fn sync(&mut self) {
        for output in [&mut self.stdout, &mut self.stderr] {
            output.again();
            if let Some(file) = output.file.dirty() {
                tokio::task::spawn_blocking(move || file.sync_data());
            }
        }
    }
}

fn receiver(fd: Option<OwnedFd>) -> anyhow::Result<pipe::Receiver> {
    let fd = fd.context("a pipe is missing")?;
    let _ = fcntl(&fd, FcntlArg::F_SETPIPE_SZ(PIPE));
    Ok(pipe::Receiver::from_owned_fd(fd)?)
}

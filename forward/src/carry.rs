//! Datagrams between the programs of this machine and ssh's standard input and output.
//!
//! Three threads: one hears the programs, one writes to ssh, one reads from it. What comes while ssh takes nothing
//! is kept up to a limit, then dropped and counted: an old datagram is worth less than a new one.

use std::collections::HashMap;
use std::io::{self, BufWriter, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use forward::flags::Flags;
use forward::frame::{Frames, HELLO, LONGEST, frame};
use forward::peers::Peers;

/// Frames, and bytes of them, that wait for ssh.
const WAITING: usize = 1024;
const ROOM: usize = 4 << 20;
/// Bytes of one read, and of one write of small frames.
const PIECE: usize = 64 << 10;
/// Between two lines about what was dropped.
const TOLD: Duration = Duration::from_secs(10);

/// Whose datagrams these are.
#[derive(Default)]
struct Programs {
    by_number: Peers<SocketAddr>,
    numbers: HashMap<SocketAddr, u32>,
    next: u32,
}

impl Programs {
    fn number(&mut self, program: SocketAddr, now: Duration) -> u32 {
        if let Some(number) = self.numbers.get(&program)
            && self.by_number.get(*number, now).is_some()
        {
            return *number;
        }
        for gone in self.by_number.expire(now) {
            self.numbers.remove(&gone);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        if let Some(gone) = self.by_number.insert(number, program, now) {
            self.numbers.remove(&gone);
        }
        self.numbers.insert(program, number);
        number
    }
}

struct Here {
    socket: UdpSocket,
    begun: Instant,
    programs: Mutex<Programs>,
    /// Bytes that wait for ssh.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

/// Until ssh ends: its code, or one sentence.
pub(crate) fn run(flags: &Flags) -> Result<u8, String> {
    let wanted = SocketAddr::from((flags.host, flags.local.unwrap_or(flags.port)));
    let taken = |error| format!("udp {wanted}: {error}; `-l PORT` names another, `-l 0` any");
    let socket = UdpSocket::bind(wanted).map_err(taken)?;
    let here = socket.local_addr().map_err(taken)?;
    let mut ssh = Command::new("ssh")
        .args(flags.words())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("ssh: {error}; install OpenSSH's client"))?;
    let (Some(input), Some(mut output)) = (ssh.stdin.take(), ssh.stdout.take()) else {
        return Err("ssh: it has no pipes".to_owned());
    };
    let code = |ssh: &mut std::process::Child| match ssh.wait().map(|status| status.code()) {
        Ok(Some(code)) => u8::try_from(code).unwrap_or(u8::MAX),
        Ok(None) | Err(_) => u8::MAX,
    };
    match greeting(&mut output) {
        Greeting::Right => {}
        Greeting::None => {
            return match code(&mut ssh) {
                0 => Err(stranger(flags)),
                // ssh, or the gateway, has said why.
                code => Ok(code),
            };
        }
        Greeting::Wrong => {
            let _ = ssh.kill();
            code(&mut ssh);
            return Err(stranger(flags));
        }
    }
    let line = format!("udp {here} -> {}:{}", flags.place, flags.port);
    // Whoever started it may not be reading.
    let _ = writeln!(io::stdout(), "{line}");
    let shared = Arc::new(Here {
        socket,
        begun: Instant::now(),
        programs: Mutex::default(),
        waiting: AtomicUsize::new(0),
        dropped: AtomicU64::new(0),
    });
    let (queue, frames) = sync_channel(WAITING);
    let (hearing, passing) = (Arc::clone(&shared), Arc::clone(&shared));
    thread::spawn(move || hear(&hearing, &queue));
    thread::spawn(move || pass(&passing, &frames, input));
    answer(&shared, output);
    let code = code(&mut ssh);
    tell(shared.dropped.load(Ordering::Relaxed));
    eprintln!("river-forward: {line} has ended: ssh ended with code {code}");
    Ok(code)
}

fn stranger(flags: &Flags) -> String {
    let host = flags.gateway.escape_debug();
    format!(
        "{host} does not answer as a gateway of river that carries UDP; look at `ssh {host} version`"
    )
}

enum Greeting {
    Right,
    Wrong,
    /// It ended without a word.
    None,
}

fn greeting(output: &mut ChildStdout) -> Greeting {
    let mut said = [0; HELLO.len()];
    for length in 0..HELLO.len() {
        // One by one: whoever says something else may say no more.
        if output.read_exact(&mut said[length..=length]).is_err() {
            return if length == 0 {
                Greeting::None
            } else {
                Greeting::Wrong
            };
        }
        if !HELLO.starts_with(&said[..=length]) {
            return Greeting::Wrong;
        }
    }
    Greeting::Right
}

/// What programs here say, towards the box.
fn hear(here: &Here, queue: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        let (length, program) = match here.socket.recv_from(&mut buffer) {
            Ok(heard) => heard,
            Err(error) if harmless(&error) => continue,
            Err(error) => return eprintln!("river-forward: the socket here: {error}"),
        };
        let number = lock(&here.programs).number(program, here.begun.elapsed());
        let Some(frame) = frame(number, &buffer[..length]) else {
            continue;
        };
        let length = frame.len();
        let room = here.waiting.fetch_add(length, Ordering::Relaxed) + length <= ROOM;
        if !room || queue.try_send(frame).is_err() {
            here.waiting.fetch_sub(length, Ordering::Relaxed);
            here.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Some systems say of a socket that somebody it spoke to is not there.
fn harmless(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// To ssh, as fast as it takes them. Its end of input is ours.
fn pass(here: &Here, frames: &Receiver<Vec<u8>>, input: ChildStdin) {
    let mut input = BufWriter::with_capacity(PIECE, input);
    let (mut told, mut at) = (0, None::<Instant>);
    let mut next = frames.recv().ok();
    while let Some(frame) = next {
        let written = input.write_all(&frame);
        here.waiting.fetch_sub(frame.len(), Ordering::Relaxed);
        next = frames.try_recv().ok();
        // What is little waits for more only where there is more.
        let flushed = if next.is_none() {
            input.flush()
        } else {
            Ok(())
        };
        if written.and(flushed).is_err() {
            return;
        }
        let dropped = here.dropped.load(Ordering::Relaxed);
        if dropped > told && at.is_none_or(|at| at.elapsed() >= TOLD) {
            (told, at) = (dropped, Some(Instant::now()));
            tell(dropped);
        }
        if next.is_none() {
            next = frames.recv().ok();
        }
    }
}

fn tell(dropped: u64) {
    if dropped > 0 {
        eprintln!(
            "river-forward: datagrams dropped so far: {dropped}; more came than ssh could carry"
        );
    }
}

/// What the box says, to whom it is for, until ssh says no more.
fn answer(here: &Here, mut output: ChildStdout) {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; PIECE]);
    loop {
        let count = match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        frames.add(&buffer[..count]);
        while let Some((number, datagram)) = frames.take() {
            let program = lock(&here.programs)
                .by_number
                .get(number, here.begun.elapsed())
                .copied();
            if let Some(program) = program {
                // It may be gone; nobody would hear of it with UDP either.
                let _ = here.socket.send_to(datagram, program);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use forward::peers::{IDLE, MOST};

    use super::*;

    #[test]
    fn a_program_keeps_its_number_while_it_speaks() {
        let program = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (mut programs, begin) = (Programs::default(), Duration::ZERO);
        assert_eq!(programs.number(program(1), begin), 0);
        assert_eq!(programs.number(program(2), begin), 1);
        assert_eq!(programs.number(program(1), begin + IDLE / 2), 0);
        let late = begin + IDLE;
        assert_eq!(programs.number(program(1), late), 0);
        assert_eq!(programs.number(program(2), late), 2, "it was forgotten");
        assert_eq!(programs.by_number.get(1, late), None);
    }

    #[test]
    fn however_many_programs_come_no_more_than_some_are_kept() {
        let (mut programs, now) = (Programs::default(), Duration::ZERO);
        for port in 1..=u16::MAX {
            programs.number(SocketAddr::from(([127, 0, 0, 1], port)), now);
        }
        assert_eq!(programs.numbers.len(), MOST);
        programs.next = u32::MAX;
        let one = |port| SocketAddr::from(([127, 0, 0, 2], port));
        assert_eq!(programs.number(one(1), now), u32::MAX);
        assert_eq!(programs.number(one(2), now), 0);
    }
}

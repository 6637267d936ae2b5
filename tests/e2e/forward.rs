//! UDP of a box on this machine, by `river-forward`: real sockets at both ends.

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::river::program;
use harness::wait::until;
use harness::{Person, Run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clients::{Lab, bring};

const ECHO: &str = env!("CARGO_BIN_EXE_udp-echo");

/// `river-forward -l 0 river BOX PORT`, which has begun.
struct Forward {
    child: Child,
    port: u16,
    /// A file.
    stderr: String,
}

impl Forward {
    fn start(lab: &Lab, place: &str, port: &str) -> Self {
        Self::try_start(lab, place, port).unwrap()
    }

    /// Else what was said instead.
    fn try_start(lab: &Lab, place: &str, port: &str) -> Result<Self, String> {
        let stderr = lab.text(&format!("forward-{}", rand::random::<u32>()));
        let mut child = command(lab.alice(), place, port)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let told = |line: &str| {
            let (own, there) = line.strip_prefix("udp 127.0.0.1:")?.split_once(" -> ")?;
            (there == format!("{place}:{port}\n")).then(|| own.parse().ok())?
        };
        let said = std::fs::read_to_string(&stderr).unwrap();
        let port = told(&line).ok_or_else(|| format!("{line:?}: {said}"));
        // It has ended, or is ended here.
        let forward = Self {
            child,
            port: port.clone().unwrap_or_default(),
            stderr,
        };
        port.map(|_| forward)
    }

    /// A program of this machine that speaks with it.
    fn program(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", self.port)).unwrap();
        socket
    }

    /// The process of its ssh.
    fn ssh(&self) -> Pid {
        let pid = self.child.id();
        let mut found = None;
        until("its ssh", || {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            found = children
                .unwrap()
                .split(' ')
                .find_map(|pid| pid.parse().ok());
            found.is_some()
        });
        Pid::from_raw(found.unwrap())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(person: &Person, place: &str, port: &str) -> Command {
    let mut command = Command::new(program("river-forward"));
    command
        .args(["-l", "0", "-F"])
        .arg(&person.config)
        .args(["river", place, port])
        .stdin(Stdio::null());
    command
}

/// To its end, which comes by itself.
fn refused(person: &Person, place: &str) -> Run {
    command(person, place, "5353").output().unwrap().into()
}

fn lab() -> Lab {
    let lab = Lab::with("");
    bring(&lab, &[ECHO]);
    lab
}

fn echo_inside(lab: &Lab) {
    let line = format!("{ECHO} 5353 > /dev/null 2>&1 < /dev/null &");
    lab.alice().ssh_as("lab", &line).good();
}

fn heard(socket: &UdpSocket, limit: Duration) -> Option<(String, Vec<u8>)> {
    socket.set_read_timeout(Some(limit)).unwrap();
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    let colon = buffer.iter().position(|byte| *byte == b':').unwrap();
    let port = String::from_utf8(buffer[..colon].to_vec()).unwrap();
    Some((port, buffer[colon + 1..length].to_vec()))
}

/// Its port in the box, once it is heard there.
fn reaches(socket: &UdpSocket) -> String {
    let mut port = None;
    until("an answer", || {
        let text: [u8; 16] = rand::random();
        socket.send(&text).unwrap();
        // Of an earlier try, or of this one.
        let answer = heard(socket, Duration::from_millis(500));
        port = answer.and_then(|(port, said)| (said == text).then_some(port));
        port.is_some()
    });
    port.unwrap()
}

fn answered(socket: &UdpSocket) -> (String, Vec<u8>) {
    heard(socket, Duration::from_secs(60)).expect("an answer")
}

#[test]
fn programs_here_speak_with_a_port_there_each_for_itself() {
    let lab = lab();
    echo_inside(&lab);
    let forward = Forward::start(&lab, "lab", "5353");
    let (one, two) = (forward.program(), forward.program());
    let ports = (reaches(&one), reaches(&two));
    assert_ne!(ports.0, ports.1);
    // Both at once, and each hears its own.
    one.send(b"of the one").unwrap();
    two.send(b"of the other").unwrap();
    assert_eq!(answered(&two), (ports.1.clone(), b"of the other".to_vec()));
    assert_eq!(answered(&one), (ports.0.clone(), b"of the one".to_vec()));
    let (_, noise) = lab.noise("noise", 60_000);
    for size in [60_000, 0, 1, 1_472, 1_473, 60_000] {
        one.send(&noise[..size]).unwrap();
        let (port, said) = answered(&one);
        assert!(port == ports.0 && said == noise[..size], "{size} bytes");
    }
    // A burst, for which every socket on the way has room (a kernel counts 1280 of its 212,992 bytes for each).
    for number in 0..50 {
        one.send(&noise[number..number + 200]).unwrap();
        two.send(&noise[number + 300..number + 500]).unwrap();
    }
    for number in 0..50 {
        assert_eq!(answered(&one).1, noise[number..number + 200]);
        assert_eq!(answered(&two).1, noise[number + 300..number + 500]);
    }
    assert_eq!(forward.said(), "");
    // The line that says how, and the log that says who.
    let line = lab.alice().ssh("forward lab 5353 --proto udp").good();
    assert_eq!(line, "river-forward river vps-1 5353\n");
    let audit = lab.alice().ssh("audit --json -n 20").good();
    assert!(
        audit.contains("\"forward\"") && audit.contains("\"enter\""),
        "{audit}"
    );
}

#[test]
fn where_nobody_listens_nothing_comes_until_somebody_does() {
    let lab = lab();
    let mut forward = Forward::start(&lab, "lab", "5353");
    let one = forward.program();
    for _ in 0..5 {
        one.send(b"nobody").unwrap();
        assert_eq!(heard(&one, Duration::from_millis(100)), None);
    }
    echo_inside(&lab);
    reaches(&one);
    assert!(forward.child.try_wait().unwrap().is_none());
    assert_eq!(forward.said(), "");
    // Beside a task, too: it opens.
    lab.alice().ssh("task submit -- sleep 600").good();
    Forward::start(&lab, "task-2", "5353");
}

#[test]
fn a_box_that_is_stopped_is_told_in_one_sentence() {
    let lab = lab();
    echo_inside(&lab);
    let mut forward = Forward::start(&lab, "lab", "5353");
    reaches(&forward.program());
    lab.alice().ssh("vps stop lab").good();
    let mut ended = None;
    until("it ends with its box", || {
        ended = forward.child.try_wait().unwrap();
        ended.is_some()
    });
    let said = forward.said();
    assert_eq!(ended.unwrap().code(), Some(75), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("river: vps-1: the connection to the box was lost"),
        "{said}"
    );
    let last = format!(
        "river-forward: udp 127.0.0.1:{} -> lab:5353 has ended: ssh ended with code 75",
        forward.port
    );
    assert_eq!(lines[1..], [last]);
    until("it is stopped", || {
        lab.alice().ssh("vps list").text().contains("stopped")
    });
    let run = refused(lab.alice(), "lab");
    let sentence = "river: vps-1 is stopped; `ssh river vps restart 1` starts it\n";
    assert_eq!((run.code, run.stderr.as_str()), (1, sentence));
    assert_eq!(run.text(), "");
}

#[test]
fn only_who_may_enter_a_box_reaches_its_ports() {
    let lab = lab();
    let bob = lab.person("bob");
    let run = refused(&bob, "vps-1");
    let sentence = "vps-1: permission denied, it belongs to alice";
    assert!(run.code == 4 && run.stderr.contains(sentence), "{run:?}");
    assert_eq!((run.stderr.lines().count(), run.text().as_str()), (1, ""));
    let audit = lab.alice().ssh("audit -n 5").good();
    assert!(
        audit.contains("bob") && audit.contains("forward"),
        "{audit}"
    );
    assert_eq!(refused(lab.alice(), "vps-9").code, 3);
    // What is no gateway of river, or an old one.
    let mut words = command(lab.alice(), "lab", "5353");
    let there = words.args(["-o", "User=lab"]).output().unwrap();
    let there = Run::from(there);
    assert!(
        there.code == 127 && there.stderr.contains("forward"),
        "{there:?}"
    );
    let script = "echo 'echo hello' > /bin/forward; chmod 755 /bin/forward";
    lab.alice().ssh_as("lab", script).good();
    let there = Run::from(words.output().unwrap());
    assert!(
        there.code == 1 && there.stderr.contains("does not answer as a gateway"),
        "{there:?}"
    );
    // A person at a terminal, who cannot speak in frames.
    let typed = lab
        .alice()
        .run(&["-tt"], "forward lab 5353 --proto udp --stdio");
    assert_eq!(typed.code, 2);
    assert!(
        typed.stderr.contains("type `river-forward river lab 5353`"),
        "{typed:?}"
    );
}

#[test]
fn what_a_stuck_ssh_does_not_take_is_dropped_and_counted() {
    let lab = lab();
    echo_inside(&lab);
    let forward = Forward::start(&lab, "lab", "5353");
    let (one, two) = (forward.program(), forward.program());
    reaches(&one);
    let ssh = forward.ssh();
    kill(ssh, Signal::SIGSTOP).unwrap();
    let resident = || {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", forward.child.id())).unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let before = resident();
    for _ in 0..4000 {
        one.send(&[7; 30_000]).unwrap();
    }
    let more = resident().saturating_sub(before);
    assert!(more < 32 << 20, "120 MB were sent, {more} bytes kept");
    kill(ssh, Signal::SIGCONT).unwrap();
    reaches(&two);
    // On a busy machine the kernel may have dropped most of them before the program could count any.
    until("it is told", || {
        kill(ssh, Signal::SIGSTOP).unwrap();
        for _ in 0..2000 {
            one.send(&[7; 30_000]).unwrap();
        }
        kill(ssh, Signal::SIGCONT).unwrap();
        reaches(&two);
        forward.said().contains("datagrams dropped so far: ")
    });
}

#[test]
fn a_forward_ends_with_its_program_and_a_box_has_so_many() {
    let lab = lab();
    echo_inside(&lab);
    let mut many: Vec<Forward> = (0..8)
        .map(|_| Forward::start(&lab, "lab", "5353"))
        .collect();
    let run = refused(lab.alice(), "lab");
    let sentence = "vps-1: it forwards as many UDP ports as it can: end one";
    assert!(run.code == 1 && run.stderr.contains(sentence), "{run:?}");
    let mut last = many.pop().unwrap();
    let ssh = last.ssh();
    last.child.kill().unwrap();
    last.child.wait().unwrap();
    until("its ssh has ended", || {
        let line = std::fs::read(format!("/proc/{ssh}/cmdline"));
        line.unwrap_or_default().is_empty()
    });
    assert_eq!(last.said(), "");
    let mut next = None;
    until("its turn is another's", || {
        next = Forward::try_start(&lab, "lab", "5353").ok();
        next.is_some()
    });
    reaches(&next.unwrap().program());
    drop(many);
    // Somebody who speaks no frames hurts nobody.
    let (_, noise) = lab.noise("noise", 2 << 20);
    let line = "forward lab 5353 --proto udp --stdio";
    let mut raw = lab.alice().command(&["-T"], line);
    let mut raw = raw.stdin(Stdio::piped()).spawn().unwrap();
    raw.stdin.take().unwrap().write_all(&noise).unwrap();
    let raw = Run::from(raw.wait_with_output().unwrap());
    assert!(
        raw.code == 0 && raw.stdout.starts_with(b"river-udp 1\n"),
        "{}",
        raw.stderr
    );
    reaches(&Forward::start(&lab, "lab", "5353").program());
}

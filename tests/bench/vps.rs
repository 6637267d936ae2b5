//! A box, entered: against sshd on the same machine.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use harness::openssh::Person;
use harness::{Engine, River};

use crate::bulk::data;
use crate::peer::{CIPHER, Sshd, Warm, fed, quietly};
use crate::report::{Bar, Report, pair, took};

const SIZE: usize = 512 << 20;
const MIB: (f64, &str) = (512.0, "MiB/s");
const FILES: usize = 2000;
const KEYS: usize = 400;

pub(super) fn measure(report: &mut Report) {
    let river = River::start(Engine::Docker, 4);
    river.admin.ssh("task run -- true").good();
    let mut number = 0;
    let mut create = || {
        number += 1;
        river
            .admin
            .ssh(&format!("vps create --name b{number}"))
            .good();
        river.admin.ssh_as(&format!("b{number}"), "true").good();
    };
    create();
    let seconds = [took(&mut create), took(&mut create), took(&mut create)];
    report.figure(
        "create to `ssh true`",
        crate::report::median(seconds.into_iter()) * 1e3,
        "ms",
        1000.0,
    );
    let sshd = Sshd::start();
    let inside = |options: &[&str], line: &str| {
        let mut all = vec!["-l", "b1"];
        all.extend(options);
        river.admin.command(&all, line)
    };
    let peer = |options: &[&str], line: &str| sshd.person.command(options, line);
    let seen = pair(
        15,
        || quietly(&mut inside(&["-T"], "true")),
        || quietly(&mut peer(&["-T"], "true")),
    );
    report.time(
        "ssh box true, new connection",
        &seen,
        "sshd",
        Bar::AtMost(0.15),
    );
    let (warm, other) = (Warm::open_as(&river.admin, "b1"), Warm::open(&sshd.person));
    let seen = pair(25, || warm.ssh("true"), || other.ssh("true"));
    report.time(
        "  same, on a warm connection",
        &seen,
        "sshd",
        Bar::AtMost(1.0),
    );
    drop((warm, other));
    bulk(report, &inside, &peer);
    copies(report, &river.admin, &sshd.person);
    forward(report, &inside, &peer);
    keystrokes(report, &inside, &peer);
}

fn bulk(
    report: &mut Report,
    inside: &dyn Fn(&[&str], &str) -> Command,
    peer: &dyn Fn(&[&str], &str) -> Command,
) {
    let dir = data(SIZE);
    let path = dir.path().join("data");
    let options = ["-T", "-o", CIPHER];
    let down = format!("dd if=/dev/zero bs=262144 count={} 2>/dev/null", SIZE >> 18);
    let seen = pair(
        5,
        || quietly(&mut inside(&options, &down)),
        || quietly(&mut peer(&options, &down)),
    );
    report.speed(
        "exec download 512 MiB",
        &seen,
        MIB,
        "sshd",
        Bar::AtLeast(1.0),
    );
    let up = "cat > /dev/null";
    let seen = pair(
        5,
        || fed(&mut inside(&options, up), &path),
        || fed(&mut peer(&options, up), &path),
    );
    report.speed("exec upload 512 MiB", &seen, MIB, "sshd", Bar::AtLeast(1.0));
}

/// One large file, and many small ones.
fn copies(report: &mut Report, ours: &Person, theirs: &Person) {
    let dir = data(SIZE);
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    for number in 0..FILES {
        std::fs::write(small.join(number.to_string()), [7; 1024]).unwrap();
    }
    let big = dir.path().join("data").display().to_string();
    let back = dir.path().join("back").display().to_string();
    let small = small.display().to_string();
    let scp = |person: &Person, user: &str, words: &[&str]| {
        let mut command = Command::new("scp");
        command
            .arg("-F")
            .arg(&person.config)
            .args(["-q", "-o", CIPHER]);
        if !user.is_empty() {
            command.args(["-o", &format!("User={user}")]);
        }
        quietly(command.args(words).stdin(Stdio::null()));
    };
    let put = |person: &Person, user: &str| scp(person, user, &[&big, "river:/tmp/river-bench"]);
    let seen = pair(3, || put(ours, "b1"), || put(theirs, ""));
    report.speed("sftp put 512 MiB", &seen, MIB, "sshd", Bar::AtLeast(1.5));
    let get = |person: &Person, user: &str| scp(person, user, &["river:/tmp/river-bench", &back]);
    let seen = pair(3, || get(ours, "b1"), || get(theirs, ""));
    report.speed("sftp get 512 MiB", &seen, MIB, "sshd", Bar::AtLeast(1.2));
    let many =
        |person: &Person, user: &str| scp(person, user, &["-r", &small, "river:/tmp/river-many"]);
    let seen = pair(3, || many(ours, "b1"), || many(theirs, ""));
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let files = (FILES as f64, "files/s");
    report.speed(
        "sftp put 2,000 files of 1 KiB",
        &seen,
        files,
        "sshd",
        Bar::AtLeast(0.7),
    );
    let _ = std::fs::remove_file("/tmp/river-bench");
    let _ = std::fs::remove_dir_all("/tmp/river-many");
}

/// Through `-W`: a connection inside, and its bytes.
fn forward(
    report: &mut Report,
    inside: &dyn Fn(&[&str], &str) -> Command,
    peer: &dyn Fn(&[&str], &str) -> Command,
) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let block = vec![0; 1 << 20];
        for socket in listener.incoming().flatten() {
            let mut socket = socket;
            for _ in 0..SIZE >> 20 {
                if socket.write_all(&block).is_err() {
                    break;
                }
            }
        }
    });
    // The box has a network of its own: what serves there is started there.
    quietly(&mut inside(
        &["-T"],
        &format!(
            "(while true; do dd if=/dev/zero bs=262144 count={} 2>/dev/null | nc -l -p 9000; done) > /dev/null 2>&1 < /dev/null &",
            SIZE >> 18
        ),
    ));
    let take = |mut command: Command| {
        // Held open: busybox's nc ends once its peer has.
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (_held, mut stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let (mut buffer, mut got) = (vec![0; 1 << 20], 0);
        while got < SIZE {
            match stdout.read(&mut buffer).unwrap() {
                0 => break,
                count => got += count,
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(got, SIZE, "a forward was cut");
    };
    let theirs = format!("localhost:{port}");
    let seen = pair(
        3,
        || take(inside(&["-o", CIPHER, "-W", "localhost:9000"], "")),
        || take(peer(&["-o", CIPHER, "-W", &theirs], "")),
    );
    report.speed(
        "forward download 512 MiB",
        &seen,
        MIB,
        "sshd",
        Bar::AtLeast(0.8),
    );
}

/// One byte to `cat` on a pty, and back.
fn keystrokes(
    report: &mut Report,
    inside: &dyn Fn(&[&str], &str) -> Command,
    peer: &dyn Fn(&[&str], &str) -> Command,
) {
    let open = |mut command: Command| {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (mut keys, mut shown) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut buffer = [0; 64];
        // The first echo says that it is up.
        keys.write_all(b"x").unwrap();
        let _ = shown.read(&mut buffer).unwrap();
        (child, keys, shown)
    };
    let line = "stty raw -echo 2>/dev/null; exec cat";
    let (mut ours, mut our_keys, mut our_screen) = open(inside(&["-tt"], line));
    let (mut theirs, mut their_keys, mut their_screen) = open(peer(&["-tt"], line));
    let press = |keys: &mut std::process::ChildStdin, screen: &mut std::process::ChildStdout| {
        keys.write_all(b"k").unwrap();
        screen.read_exact(&mut [0]).unwrap();
    };
    let seen = pair(
        KEYS,
        || press(&mut our_keys, &mut our_screen),
        || press(&mut their_keys, &mut their_screen),
    );
    report.time("keystroke echo", &seen, "sshd", Bar::AtMost(2.0));
    for child in [&mut ours, &mut theirs] {
        let _ = child.kill();
        let _ = child.wait();
    }
}

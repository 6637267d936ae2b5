//! Keystrokes: one byte to `cat` on a pty, and back; alone, and beside a bulk copy.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Sides;
use crate::peer::CIPHER;
use crate::report::{Bar, Report, median, pair, rank, took};

const KEYS: usize = 1000;

struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
}

impl Terminal {
    fn open(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut terminal = Self {
            child,
            keys,
            screen,
        };
        // The terminal is raw from here on.
        let mut byte = [0];
        while byte != *b"!" {
            terminal.screen.read_exact(&mut byte).unwrap();
        }
        terminal.press();
        terminal
    }

    fn press(&mut self) {
        self.keys.write_all(b"k").unwrap();
        let mut byte = [0];
        while byte != *b"k" {
            self.screen.read_exact(&mut byte).unwrap();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CAT: &str = "stty raw -echo; echo !; exec cat";

pub(super) fn measure(report: &mut Report, sides: &Sides<'_>) {
    let mut ours = Terminal::open(sides.ours(&["-tt"], CAT));
    let mut theirs = Terminal::open(sides.theirs(&["-tt"], CAT));
    let (mut mine, mut others) = (Vec::new(), Vec::new());
    let seen = pair(
        KEYS,
        || mine.push(took(&mut || ours.press())),
        || others.push(took(&mut || theirs.press())),
    );
    report.time("keystroke echo", &seen, "sshd", Bar::AtMost(2.0));
    let tail = crate::report::Pair::of(rank(&mine, 0.99), rank(&others, 0.99));
    report.time("  its 99th percentile", &tail, "sshd", Bar::AtMost(2.0));
    drop((ours, theirs));
    beside(report, sides, false);
    beside(report, sides, true);
}

/// A bulk download goes on all the while: each side's own, for the machine has but two cores.
fn beside(report: &mut Report, sides: &Sides<'_>, same: bool) {
    let run = |command: &dyn Fn(&[&str], &str) -> Command, socket: &str| {
        let shared = ["-S", socket];
        let words = if same { &shared[..] } else { &[] };
        let master = same.then(|| {
            let mut master = command(&["-S", socket, "-M", "-N", "-o", CIPHER], "");
            let child = master.stdin(Stdio::null()).spawn().unwrap();
            harness::wait::until("a master", || std::path::Path::new(socket).exists());
            child
        });
        let mut bulk = command(&[words, &["-T", "-o", CIPHER]].concat(), "cat /dev/zero");
        let mut bulk = bulk
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut flood = bulk.stdout.take().unwrap();
        // It runs, before the first key.
        flood.read_exact(&mut [0]).unwrap();
        let taking = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            // Until its client is ended below.
            let (begun, mut got) = (std::time::Instant::now(), 0);
            while let Ok(count @ 1..) = flood.read(&mut buffer) {
                got += count >> 10;
            }
            #[expect(clippy::cast_precision_loss, reason = "some GiB in KiB")]
            let speed = got as f64 / 1024.0 / begun.elapsed().as_secs_f64();
            speed
        });
        let mut terminal = Terminal::open(command(&[words, &["-tt"]].concat(), CAT));
        let times: Vec<f64> = (0..KEYS).map(|_| took(&mut || terminal.press())).collect();
        drop(terminal);
        for child in std::iter::once(bulk)
            .chain(master)
            .collect::<Vec<_>>()
            .iter_mut()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
        let speed = taking.join().unwrap();
        Report::note("  beside a download of", speed, "MiB/s");
        times
    };
    let dir = tempfile::tempdir().unwrap();
    let socket = |name: &str| dir.path().join(name).display().to_string();
    let mine = run(&|words, line| sides.ours(words, line), &socket("a"));
    let others = run(&|words, line| sides.theirs(words, line), &socket("b"));
    let where_ = if same { "same" } else { "another" };
    let mid = crate::report::Pair::of(median(mine.iter().copied()), median(others.iter().copied()));
    report.time(
        &format!("echo, bulk on {where_} connection"),
        &mid,
        "sshd",
        Bar::AtMost(2.0),
    );
    let tail = crate::report::Pair::of(rank(&mine, 0.99), rank(&others, 0.99));
    report.time("  its 99th percentile", &tail, "sshd", Bar::AtMost(2.0));
}

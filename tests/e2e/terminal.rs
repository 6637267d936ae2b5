//! Terminals in a box that stay: left, lost, taken up again, watched.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

use harness::wait::until;
use harness::{Engine, Person, River};

/// A person at a terminal: types, and sees.
struct Seat {
    child: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Seat {
    fn at(person: &Person, line: &str) -> Self {
        let mut child = person
            .command(&["-tt"], line)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut stdout, sink) = (child.stdout.take().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        let keys = child.stdin.take();
        Self { child, keys, seen }
    }

    fn types(&mut self, text: &str) {
        let keys = self.keys.as_mut().unwrap();
        keys.write_all(text.as_bytes()).unwrap();
        keys.flush().unwrap();
    }

    fn sees(&self, text: &str) {
        until(text, || self.shows(text));
    }

    fn shows(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).contains(text)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_outlives_gateway_runner_and_viewers() {
    let mut river = River::start(Engine::Docker, 4);
    river.admin.ssh("vps create --name lab").good();
    river.admin.ssh("task submit -- sleep 600").good();
    river
        .admin
        .ssh_as("lab", "sleep 601 > /dev/null 2>&1 &")
        .good();
    let mut seat = Seat::at(&river.admin, "connect lab");
    seat.types("echo mark-$((40 + 2))\n");
    seat.sees("mark-42");
    river.kill_gateway();
    until("the viewer is gone", || {
        seat.child.try_wait().unwrap().is_some()
    });
    river.start_gateway();
    until("the node is back", || {
        river.admin.ssh("node list").text().contains("ready")
    });
    let mut seat = Seat::at(&river.admin, "connect lab");
    seat.sees("mark-42");
    seat.types("echo after-$((1 + 1))\n");
    seat.sees("after-2");
    river.kill_runner();
    river.start_runner();
    // A second viewer sees what was and what comes, and types nothing.
    let mut watcher = Seat::at(&river.admin, "connect --read-only lab");
    watcher.sees("after-2");
    watcher.types("echo unseen-$((2 + 2))\n");
    let mut seat = Seat::at(&river.admin, "connect lab");
    seat.sees("mark-42");
    seat.types("ps | grep -c '[s]leep 601'; echo live-$((3 + 4))\n");
    seat.sees("live-7");
    watcher.sees("live-7");
    assert!(seat.shows("\r\n1\r\n"), "what ran in the box runs on");
    assert!(!seat.shows("unseen-4"), "a watcher typed");
    seat.types("exit 5\n");
    until("the shell's end is the viewer's", || {
        seat.child.try_wait().unwrap().is_some()
    });
    assert_eq!(seat.child.wait().unwrap().code(), Some(5));
    assert!(river.admin.ssh("task list").text().contains("running"));
    let refused = river.admin.ssh("connect lab");
    assert!(
        refused.code == 2 && refused.stderr.contains("ssh -t river connect lab"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_hung_up_client_takes_its_shell_with_it() {
    let river = River::start(Engine::Docker, 2);
    river.admin.ssh("vps create --name lab").good();
    let mut command = river.admin.command(&["-tt", "-l", "lab"], "sleep 602");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let count = || {
        river
            .admin
            .ssh_as("lab", "ps | grep '[s]leep 602' | wc -l")
            .good()
    };
    until("it runs", || count().trim() != "0");
    child.kill().unwrap();
    child.wait().unwrap();
    until("it was hung up", || count().trim() == "0");
}

//! Terminals in a box that stay: left, lost, taken up again, watched.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

use harness::river::docker;
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
        let mut seat = Self::away(person, &[], line);
        seat.looks();
        seat
    }

    /// They type, and look at nothing yet.
    fn away(person: &Person, options: &[&str], line: &str) -> Self {
        let mut child = person
            .command(&[&["-tt"], options].concat(), line)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let keys = child.stdin.take();
        let seen = Arc::default();
        Self { child, keys, seen }
    }

    fn looks(&mut self) {
        let (mut stdout, sink) = (self.child.stdout.take().unwrap(), Arc::clone(&self.seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
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

/// Its containers and the pids of their first processes.
fn docker_boxes(river: &River) -> Vec<String> {
    let filter = format!("label=river.node=test-{}", river.port);
    let ids = docker(&["ps", "-q", "--filter", &filter]);
    let words = ["inspect", "-f", "{{.Id}} {{.State.Pid}}"];
    let words = [&words[..], &ids.split_whitespace().collect::<Vec<_>>()].concat();
    let mut held: Vec<String> = docker(&words).lines().map(str::to_owned).collect();
    held.sort();
    held
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

/// Twenty people in ten boxes, each at a terminal of their own, and a task that speaks to its caller.
#[test]
fn twenty_terminals_and_a_live_task_outlive_gateway_and_runner() {
    const BOXES: usize = 10;
    let mut river = River::start(Engine::Docker, 16);
    for number in 0..BOXES {
        let line = format!("vps create --name box{number} -c 1");
        river.admin.ssh(&line).good();
    }
    let marked = river.data.join("marks");
    let line = format!(
        "task run --mount {0}:{0} -c 1 -- sh -c 'for i in $(seq 100000); do echo tick $i; echo $i >> {0}/marks; sleep 0.2; done'",
        river.data.display()
    );
    let mut live = river.admin.start(&["-T"], &line);
    let marks = || std::fs::read_to_string(&marked).unwrap_or_default();
    until("the task speaks", || !marks().is_empty());
    let lines: Vec<String> = (0..2 * BOXES)
        .map(|number| {
            format!(
                "connect --terminal t{} box{}",
                number / BOXES,
                number % BOXES
            )
        })
        .collect();
    let sit = |river: &River| -> Vec<Seat> {
        let seats = lines.iter().map(|line| Seat::at(&river.admin, line));
        seats.collect()
    };
    let mut seats = sit(&river);
    for (number, seat) in seats.iter_mut().enumerate() {
        // A variable of the shell: it is the same shell that answers later.
        seat.types(&format!(
            "me=shell{number}; echo mark-{number}-$((40 + 2))\n"
        ));
        seat.sees(&format!("mark-{number}-42"));
    }
    let before = docker_boxes(&river);
    assert_eq!(before.len(), BOXES + 1, "{before:?}");
    for round in 0..2 {
        if round == 0 {
            river.kill_gateway();
            river.start_gateway();
        } else {
            river.kill_runner();
            river.start_runner();
        }
        until("the node is back", || {
            river.admin.ssh("node list").text().contains("ready")
        });
        seats = sit(&river);
        for (number, seat) in seats.iter_mut().enumerate() {
            seat.sees(&format!("mark-{number}-42"));
            seat.types(&format!("echo $me-again-{round}\n"));
            seat.sees(&format!("shell{number}-again-{round}"));
        }
        let so_far = marks().lines().count();
        until("the task goes on", || marks().lines().count() > so_far + 2);
    }
    assert_eq!(docker_boxes(&river), before, "the same containers");
    // No step was done twice or left out.
    for (number, line) in marks().lines().enumerate() {
        assert_eq!(line, (number + 1).to_string());
    }
    let _ = live.kill();
    let _ = live.wait();
    drop(seats);
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

/// What the box's only program of this name has written to its terminal, in bytes; 0 without one.
fn written(river: &River, name: &str) -> u64 {
    let line = format!("grep wchar /proc/$(pidof {name})/io");
    let text = river.admin.ssh_as("lab", &line).text();
    let count = text.trim().strip_prefix("wchar: ");
    count.map_or(0, |count| count.parse().unwrap())
}

fn stands_still(river: &River, name: &str) {
    let mut before = 0;
    until(&format!("{name} waits for its viewer"), || {
        let now = written(river, name);
        std::mem::replace(&mut before, now) == now && now > 0
    });
}

#[test]
fn keys_reach_a_terminal_whose_viewer_takes_nothing() {
    let river = River::start(Engine::Docker, 2);
    river.admin.ssh("vps create --name lab").good();
    // One that stays, and a shell that goes with its connection.
    for (options, line) in [(&[][..], "connect lab"), (&["-l", "lab"], "")] {
        let mut seat = Seat::away(&river.admin, options, line);
        seat.types("yes\n");
        stands_still(&river, "yes");
        seat.types("\x03");
        until("it was interrupted", || written(&river, "yes") == 0);
        seat.types("echo mark-$((40 + 2))\n");
        seat.looks();
        seat.sees("mark-42");
    }
}

/// The bytes of all marks of a gap, and the text without them.
fn without_marks(text: &str) -> (u64, String) {
    let (mut skipped, mut rest) = (0, String::new());
    for (number, part) in text.split("\x18\r\n[river: ").enumerate() {
        let Some((count, after)) = part.split_once(" bytes were not shown]\r\n") else {
            assert_eq!(number, 0, "{part}");
            rest.push_str(part);
            continue;
        };
        skipped += count.parse::<u64>().unwrap();
        rest.push_str(after);
    }
    (skipped, rest)
}

#[test]
fn a_slow_viewer_sees_all_or_how_much_was_lost_and_a_stuck_one_stops_nobody_for_ever() {
    const LAST: u64 = 2_000_000;
    let river = River::start(Engine::Docker, 2);
    river.admin.ssh("vps create --name lab").good();
    let mut slow = Seat::away(&river.admin, &[], "connect lab");
    slow.types(&format!("seq 1 {LAST}; echo mark-$((40 + 2))\n"));
    stands_still(&river, "seq");
    slow.looks();
    slow.sees("mark-42");
    let seen = String::from_utf8_lossy(&slow.seen.lock().unwrap()).into_owned();
    let first = seen.find("\r\n1\r\n2\r\n").unwrap() + 2;
    let (skipped, shown) = without_marks(&seen[first..seen.find("mark-42").unwrap()]);
    let all: u64 = (1..=LAST)
        .map(|number| number.to_string().len() as u64 + 2)
        .sum();
    assert_eq!(shown.len() as u64 + skipped, all);
    // Another who may type comes, and looks at nothing: for a while the terminal waits, and then no more.
    let mut stuck = Seat::away(&river.admin, &[], "connect lab");
    stuck.types(&format!("seq 1 {LAST}; echo mark-$((40 + 3))\n"));
    slow.sees("mark-43");
    stuck.looks();
    stuck.sees("bytes were not shown]");
    stuck.sees("mark-43");
}

//! The gateway is restarted in order, with everybody there: no change is lost or made twice, and all are told.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};

use harness::openssh::{Person, Run};
use harness::wait::until;
use harness::{Engine, River};

const SUBMITS: usize = 200;
/// People who submit at the same time.
const HANDS: usize = 4;

/// What each of them came to: its id, and how many were tried again.
fn submit_all(
    river: &RwLock<&mut River>,
    acknowledged: &AtomicUsize,
) -> (BTreeMap<usize, String>, usize) {
    let (ids, again) = (Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    let next = AtomicUsize::new(0);
    let (alice, port) = {
        let river = river.read().unwrap();
        (river.admin.clone(), river.port)
    };
    let submit =
        |number: usize| alice.ssh(&format!("task submit -q --name s{number} -c 0 -- true"));
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SUBMITS {
                        return;
                    }
                    let mut run = submit(number);
                    if run.code != 0 {
                        again.fetch_add(1, Ordering::Relaxed);
                        until("the gateway is back", || {
                            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
                        });
                        run = submit(number);
                    }
                    let id = run.good().trim().to_owned();
                    ids.lock().unwrap().insert(number, id);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (ids.into_inner().unwrap(), again.into_inner())
}

/// Every one that was acknowledged is there, and nothing else is.
fn each_is_there_once(river: &River, ids: &BTreeMap<usize, String>) {
    let list = river.admin.ssh("task list -a -n 1000 --json").good();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let rows = list["tasks"].as_array().unwrap();
    assert_eq!(rows.len(), SUBMITS, "no more and no less");
    for row in rows {
        let number: usize = row["name"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(row["id"].to_string(), ids[&number], "s{number}");
    }
    for id in ids.values() {
        assert_eq!(
            river.admin.ssh(&format!("task wait {id}")).code,
            0,
            "task {id}"
        );
    }
}

fn restarts_under_load(river: &mut River) -> usize {
    let river = RwLock::new(river);
    let acknowledged = AtomicUsize::new(0);
    let (ids, again) = std::thread::scope(|scope| {
        let submitting = scope.spawn(|| submit_all(&river, &acknowledged));
        for restart in 1..=3 {
            until("a quarter more is acknowledged", || {
                acknowledged.load(Ordering::Relaxed) >= restart * SUBMITS / 4
            });
            let mut river = river.write().unwrap();
            let status = river.end_gateway();
            assert_eq!(status.code(), Some(0), "{status}");
            river.start_gateway();
        }
        submitting.join().unwrap()
    });
    let river = river.into_inner().unwrap();
    each_is_there_once(river, &ids);
    again
}

#[test]
fn two_hundred_submits_over_three_restarts_need_one_retry_at_most() {
    let mut river = River::start(Engine::Process, 2);
    let again = restarts_under_load(&mut river);
    eprintln!("{again} of {SUBMITS} were tried again");
}

#[test]
fn with_a_socket_that_stays_nobody_is_refused() {
    let mut river = River::start(Engine::Process, 2);
    river.keep_socket();
    river.end_gateway();
    // Nobody accepts now, and this waits in the socket's queue.
    let waiting = river.admin.start(&["-T"], "auth status");
    assert!(river.listens());
    river.start_gateway();
    let waited: Run = waiting.wait_with_output().unwrap().into();
    assert!(waited.good().contains("alice"));
    let again = restarts_under_load(&mut river);
    eprintln!("{again} of {SUBMITS} were tried again");
}

fn ended(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}

/// People who wait, look on, or are in the box `lab`: each has begun, and what each is to end with.
fn crowd(alice: &Person) -> Vec<(&'static str, i32, Child)> {
    let with_input = |options: &[&str], line: &str| {
        let mut command = alice.command(options, line);
        command.stdin(Stdio::piped()).spawn().unwrap()
    };
    let mut all = vec![
        ("logs", 125, alice.start(&["-T"], "task logs -f 2")),
        ("watch", 75, alice.start(&["-T"], "task watch 2")),
        ("list", 75, alice.start(&["-T"], "task list -w")),
        (
            "inside",
            255,
            alice.start(&["-T", "-l", "lab"], "echo in; sleep 1000"),
        ),
        ("prompt", 75, with_input(&["-tt"], "")),
    ];
    for (name, _, child) in &mut all {
        let count = child.stdout.as_mut().unwrap().read(&mut [0; 512]).unwrap();
        assert!(count > 0, "{name} has said nothing");
    }
    all.push(("wait", 125, alice.start(&["-T"], "task wait 2")));
    all.push(("copy", 255, with_input(&["-T", "-l", "lab", "-s"], "sftp")));
    // These say nothing; the audit log says that they are there.
    until("the others have begun", || {
        let log = alice.ssh("audit").text();
        log.contains("task wait") && log.matches(" enter ").count() >= 3
    });
    all
}

#[test]
fn everybody_is_told_and_what_runs_goes_on() {
    let mut river = River::start(Engine::Process, 8);
    let alice = river.admin.clone();
    alice.ssh("vps create -c 0 --name lab").good();
    assert_eq!(alice.ssh_as("lab", "true").code, 0);
    let go = river.data.join("go");
    let waits = format!(
        "sh -c 'echo begun; while [ ! -e {} ]; do sleep 0.1; done; echo over'",
        go.display()
    );
    let mut run = alice.start(&["-T"], &format!("task run -- {waits}"));
    let mut begun = [0; 6];
    run.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
    let crowd = crowd(&alice);
    let status = river.end_gateway();
    assert_eq!(status.code(), Some(0), "{status}");
    let run = ended(run);
    let attach = "river: the gateway restarts: task-2 goes on, `task attach 2` in a moment\n";
    assert_eq!((run.code, run.stderr.as_str()), (125, attach));
    for (name, code, child) in crowd {
        let told = ended(child);
        let text = told.text() + &told.stderr;
        let well = told.code == code && text.contains("river: the gateway restarts: ");
        assert!(well, "{name}: {}\n{text}", told.code);
    }
    river.start_gateway();
    let attached = alice.start(&["-T"], "task attach 2");
    until("it runs on", || {
        alice.ssh("task status 2").text().contains("running")
    });
    std::fs::write(&go, "").unwrap();
    let attached = ended(attached);
    assert_eq!(attached.code, 0, "{attached:?}");
    assert_eq!(alice.ssh("task logs 2").good(), "begun\nover\n");
    until("the box is entered again", || {
        alice.ssh_as("lab", "true").code == 0
    });
}

/// Its goodbye was once taken for the caller's own, and the task was stopped for it.
#[test]
fn a_caller_who_does_not_read_is_only_detached() {
    let mut river = River::start(Engine::Process, 2);
    let alice = river.admin.clone();
    let run = alice.start(
        &["-T"],
        "task run -- sh -c 'while :; do echo on and on; done'",
    );
    let written = || {
        let text = alice.ssh("task status 1 --json").text();
        text.contains("\"running\"")
    };
    until("it runs", written);
    // Its client's pipe is full by then, and the channel's window with it.
    let output = river.dir.path().join("r/a/1.1/out/out.1");
    until("it has written more than anybody holds", || {
        std::fs::metadata(&output).is_ok()
    });
    assert_eq!(river.end_gateway().code(), Some(0));
    river.start_gateway();
    until("the node is back", || {
        alice.ssh("node list").text().contains("ready")
    });
    let status = alice.ssh("task status 1").good();
    assert!(status.contains("running"), "{status}");
    alice.ssh("task kill 1").good();
    drop(ended(run));
}

//! Two versions at work together, and one after the other under boxes and tasks that live on.

use std::process::Child;

use harness::wait::until;
use harness::{Build, Engine, Person, River};

/// Lines that the long task writes.
const LINES: usize = 40;

fn lines() -> String {
    (0..LINES).map(|n| format!("line {n}\n")).collect()
}

/// Writes for about eight seconds and ends with 7.
fn long_task(alice: &Person) -> String {
    let line = format!(
        "task submit -q -- sh -c 'i=0; while [ $i -lt {LINES} ]; do echo line $i; sleep 0.2; i=$((i+1)); done; exit 7'"
    );
    alice.ssh(&line).good().trim().to_owned()
}

/// What everybody does every day.
fn a_day(alice: &Person) {
    assert_eq!(alice.ssh("task run -- echo out").good(), "out\n");
    let piped = alice.ssh_with("task run -- wc -c", &[b'x'; 300_000]).good();
    assert_eq!(piped.trim(), "300000");
    assert_eq!(alice.ssh("task run -- sh -c 'exit 7'").code, 7);
    let spooled = alice.ssh_with(
        "task submit -q --stdin --wait -- grep -q needle",
        b"hay\nneedle\n",
    );
    assert_eq!(spooled.code, 0, "{}", spooled.stderr);
}

/// A box, entered in every way.
fn a_box(alice: &Person, name: &str) {
    alice.ssh(&format!("vps create -c 0 --name {name}")).good();
    assert_eq!(
        alice
            .ssh_as(name, "echo data > /root/data; cat /root/data")
            .good(),
        "data\n"
    );
    let copied = alice.run(&["-T", "-l", name], "cat > /root/copy; wc -c < /root/copy");
    assert_eq!(copied.good().trim(), "0");
    alice
        .ssh(&format!("vps snapshot create {name} --name kept"))
        .good();
}

pub(super) fn together(what: &str, gateway: &Build, node: &Build) {
    let programs = Build {
        gateway: gateway.gateway.clone(),
        ..node.clone()
    };
    let mut river = River::start_of(Engine::Docker, 4, "", programs);
    let alice = river.admin.clone();
    a_day(&alice);
    a_box(&alice, "lab");
    let id = long_task(&alice);
    river.kill_runner();
    river.start_runner();
    river.kill_gateway();
    river.start_gateway();
    until("the box is entered again", || {
        alice.ssh_as("lab", "true").code == 0
    });
    assert_eq!(alice.ssh(&format!("task wait {id}")).code, 7);
    assert_eq!(alice.ssh(&format!("task logs {id}")).good(), lines());
    alice.ssh("vps stop lab").good();
    until("it is stopped", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "data\n");
    alice.ssh("vps delete lab").good();
    println!("{what}: tasks, input, output, codes, a box and its snapshot, restarts of both");
}

/// An older runner would make a box that can be written where one was asked for that cannot.
pub(super) fn half_a_wish(newer: &Build, older: &Build) {
    let programs = Build {
        gateway: newer.gateway.clone(),
        ..older.clone()
    };
    let mut river = River::start_of(Engine::Docker, 4, "", programs);
    let alice = river.admin.clone();
    alice
        .ssh("vps create --read-only -c 0 --name sealed")
        .good();
    let mut waits = false;
    until("it waits for an upgrade, or runs", || {
        let why = alice.ssh("task why 1").text();
        waits = why.contains("is too old for this: upgrade it");
        waits || alice.ssh_as("sealed", "true").code == 0
    });
    if waits {
        river.change(newer, newer);
        river.kill_runner();
        river.start_runner();
    }
    let written = alice.ssh_as("sealed", "echo x > /root/x");
    assert!(written.code != 0, "{}", written.text());
    println!(
        "newer gateway, older runner: `vps create --read-only` {}",
        if waits {
            "waits, says why, and starts once the runner is upgraded"
        } else {
            "is known to both, and nothing can be written there"
        }
    );
}

fn follow(alice: &Person, id: &str) -> Child {
    alice.start(&["-T"], &format!("task logs -f {id}"))
}

/// Does this gateway say that the store is newer than itself? Else it serves, and is ended again.
fn refuses(river: &River, gateway: &Build) -> bool {
    let config = river.dir.path().join("g.toml");
    let mut serving = std::process::Command::new(&gateway.gateway)
        .arg("--config")
        .arg(config)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("it serves or refuses", || {
        let serves = std::net::TcpStream::connect(("127.0.0.1", river.port)).is_ok();
        serves || serving.try_wait().unwrap().is_some()
    });
    let _ = serving.kill();
    let said = serving.wait_with_output().unwrap();
    String::from_utf8_lossy(&said.stderr).contains("a newer river wrote this store")
}

/// From all old to all new, and back, with a box and a task that live through it.
pub(super) fn step_by_step(older: &Build, newer: &Build) {
    let mut river = River::start_of(Engine::Docker, 4, "", older.clone());
    let alice = river.admin.clone();
    a_box(&alice, "lab");
    let inside = |what: &str| {
        until("the box is entered", || {
            alice.ssh_as("lab", "true").code == 0
        });
        assert_eq!(
            alice.ssh_as("lab", "cat /root/data").good(),
            "data\n",
            "{what}"
        );
    };
    let steps: [(&str, &Build, &Build, bool); 4] = [
        ("the gateway upgraded", newer, older, true),
        ("the runner upgraded", newer, newer, false),
        ("the runner taken back", newer, older, false),
        ("the gateway taken back", older, older, true),
    ];
    for (what, gateway, node, is_gateway) in steps {
        let id = long_task(&alice);
        until("it runs", || {
            alice
                .ssh(&format!("task status {id}"))
                .text()
                .contains("running")
        });
        let following = (!is_gateway).then(|| follow(&alice, &id));
        if is_gateway {
            river.end_gateway();
        }
        if is_gateway && refuses(&river, gateway) {
            println!("{what}: refused, by name, for the newer one has brought the store up");
            river.start_gateway();
            break;
        }
        river.change(gateway, node);
        if is_gateway {
            river.start_gateway();
        } else {
            river.kill_runner();
            river.start_runner();
        }
        inside(what);
        if let Some(following) = following {
            let seen = following.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&seen.stdout), lines(), "{what}");
        }
        assert_eq!(alice.ssh(&format!("task wait {id}")).code, 7, "{what}");
        assert_eq!(
            alice.ssh(&format!("task logs {id}")).good(),
            lines(),
            "{what}"
        );
        a_day(&alice);
        println!("{what}: the box goes on, the task's code and all {LINES} lines are there");
    }
    alice.ssh("vps stop lab").good();
    until("it is stopped", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    alice.ssh("vps restart lab").good();
    inside("restarted at the end");
}

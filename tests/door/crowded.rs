//! One person who wants all: connections, the gateway's memory, the channels of a node. Others have theirs.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use harness::wait::until;
use harness::{Build, Engine, River, Run};

use crate::channels::echo;
use crate::raw::Raw;
use crate::say::direct;
use crate::{alice, fresh, is_sound};

/// Of a gateway that may have 256 files open.
const SEATS: usize = 64;

/// A gateway with few files.
fn narrow() -> River {
    let folder = tempfile::tempdir().unwrap().keep();
    let own = Build::own();
    let gateway = folder.join("river-gateway");
    let script = format!(
        "#!/bin/sh\nulimit -n 256\nexec {} \"$@\"\n",
        own.gateway.display()
    );
    std::fs::write(&gateway, script).unwrap();
    std::fs::set_permissions(&gateway, std::fs::Permissions::from_mode(0o700)).unwrap();
    let river = River::start_of(Engine::Process, 1, "", Build { gateway, ..own });
    std::fs::remove_dir_all(folder).unwrap();
    river
}

#[test]
fn one_account_has_a_quarter_of_the_connections_and_others_come_in() {
    let river = narrow();
    let bob = river.person("bob", "user");
    let key = alice(&river);
    let mut seats: Vec<Raw> = Vec::new();
    for _ in 0..SEATS {
        let mut raw = Raw::inside(river.port, fresh(), "river", &key);
        raw.session(1 << 20).unwrap();
        seats.push(raw);
    }
    let one_more = river.admin.ssh("version");
    assert_eq!(one_more.code, 255, "{one_more:?}");
    let said = "alice has 64 connections, the most there may be: end some of them";
    assert!(one_more.stderr.contains(said), "{}", one_more.stderr);
    bob.ssh("version").good();
    assert!(bob.ssh("node list").good().contains("ready"));
    seats.pop();
    until("there is a place again", || {
        river.admin.ssh("version").code == 0
    });
    for mut seat in seats {
        seat.session(1 << 20).unwrap();
    }
    is_sound(&river);
}

/// Channels to what is one person's on one node.
const SHARE: u32 = 384;

#[test]
fn what_is_one_persons_has_half_of_a_nodes_channels_and_others_come_in() {
    let river = River::start(Engine::Process, 2);
    let bob = river.person("bob", "admin");
    river.admin.ssh("vps create --name lab").good();
    assert_eq!(river.admin.ssh_as("lab", "echo in").good(), "in\n");
    bob.ssh("vps create --name den").good();
    let into_box = direct("lab", echo());
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    let mut open = |own| raw.open("direct-tcpip", (own, 1 << 20), &into_box).unwrap();
    let channels: Vec<u32> = (0..SHARE).map(|own| open(own).unwrap()).collect();
    let (_, words) = open(SHARE).unwrap_err();
    let wanted = "384 channels to the tasks and boxes of alice on n1 are open";
    assert!(words.contains(wanted), "{words}");
    assert_eq!(bob.ssh_as("den", "echo in").good(), "in\n");
    // Who types has others.
    assert_eq!(
        river
            .admin
            .run(&["-tt", "-l", "lab"], "echo in")
            .text()
            .trim_end(),
        "in"
    );
    raw.close(channels[100], 100).unwrap();
    until("its place is free", || {
        let opened = raw.open("direct-tcpip", (100, 1 << 20), &into_box);
        opened.unwrap().is_ok()
    });
    is_sound(&river);
}

/// Standard input that has come so far, and goes on.
fn batch(river: &River, mebibytes: usize) -> Child {
    let mut command = river.admin.command(&["-T"], "task submit --batch");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let line = [vec![b' '; 1023], vec![b'\n']].concat().repeat(1024);
    let mut input = child.stdin.take().unwrap();
    for _ in 0..mebibytes {
        if input.write_all(&line).is_err() {
            break;
        }
    }
    child.stdin = Some(input);
    child
}

#[test]
fn what_one_person_sends_fills_a_part_of_the_memory_and_what_is_refused_has_changed_nothing() {
    let river = River::gateway_alone("");
    let bob = river.person("bob", "user");
    let held = [batch(&river, 60), batch(&river, 60)];
    until("the gateway has it", || river.memory() > 110 << 20);
    let mut third = batch(&river, 20);
    drop(third.stdin.take());
    let run = Run::from(third.wait_with_output().unwrap());
    assert_eq!(run.code, 75, "{run:?}");
    assert!(run.stderr.contains("alice: the gateway holds"), "{run:?}");
    let task = "-- true\n";
    bob.ssh_with("task submit --batch", task.as_bytes()).good();
    for mut child in held {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    until("it is free again", || {
        let mut again = batch(&river, 20);
        let mut input = again.stdin.take().unwrap();
        let _ = input.write_all(task.as_bytes());
        drop(input);
        again.wait_with_output().unwrap().status.success()
    });
    is_sound(&river);
}

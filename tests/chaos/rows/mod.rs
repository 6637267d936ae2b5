//! The rows of `docs/chaos.md`.

mod aimed;
mod clients;
mod copies;
mod disk;
mod ends;
mod engine;
mod floods;
mod memory;
mod net;
mod node_disk;
mod random;
mod runners;
mod stalls;

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Disks};
use crate::ledger::Ledger;
use crate::node::Engine;
use crate::residue;

/// One fault, and what must hold under it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) fault: &'static str,
    /// Part of `make test`.
    pub(crate) small: bool,
    /// What was seen, in words; a bar that is missed is a panic.
    row: fn(Play) -> String,
}

/// How a row is played.
#[derive(Clone, Copy)]
pub(crate) struct Play {
    pub(crate) seed: u64,
    pub(crate) small: bool,
}

impl Row {
    /// What this machine has not and the row needs.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        let disks = ["F13", "F14", "F14b", "F14c"].contains(&self.name);
        let loops = std::path::Path::new("/dev/loop-control").exists();
        (disks && !loops).then_some("this kernel has no loop devices")
    }

    pub(crate) fn play(&self, seed: u64, small: bool) -> String {
        (self.row)(Play { seed, small })
    }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "F1",
        fault: "kill -9 of the gateway at P1..P7, P15, P16",
        small: true,
        row: aimed::gateway,
    },
    Row {
        name: "F2",
        fault: "kill -9 of gateway, runner or all at any moment, under load",
        small: true,
        row: random::kills,
    },
    Row {
        name: "F3",
        fault: "kill -9 of a runner at P7..P18",
        small: true,
        row: runners::kills,
    },
    Row {
        name: "F4",
        fault: "kill -9 of both at once",
        small: true,
        row: aimed::both,
    },
    Row {
        name: "F5",
        fault: "reboot of nodes",
        small: true,
        row: engine::reboot,
    },
    Row {
        name: "F6",
        fault: "partition, both ways and one way",
        small: true,
        row: net::partition,
    },
    Row {
        name: "F6b",
        fault: "partition for longer than lost_after",
        small: false,
        row: net::given_up,
    },
    Row {
        name: "F7",
        fault: "a peer gone without a word",
        small: false,
        row: net::half_open,
    },
    Row {
        name: "F8",
        fault: "gateway, runners and links stand still",
        small: true,
        row: stalls::stand,
    },
    Row {
        name: "F9",
        fault: "dockerd killed while tasks write and end",
        small: true,
        row: engine::docker_killed,
    },
    Row {
        name: "F10",
        fault: "dockerd gone for good",
        small: false,
        row: engine::docker_gone,
    },
    Row {
        name: "F11",
        fault: "containerd killed, a shim killed",
        small: false,
        row: engine::containerd,
    },
    Row {
        name: "F12",
        fault: "docker rm, restart, kill, stop, pause behind our back",
        small: true,
        row: engine::meddled,
    },
    Row {
        name: "F13",
        fault: "the gateway's disk is full",
        small: true,
        row: disk::gateway_full,
    },
    Row {
        name: "F14",
        fault: "a node's disk is full, of bytes and of files",
        small: true,
        row: node_disk::full,
    },
    Row {
        name: "F14b",
        fault: "a node's disk breaks and is read-only",
        small: true,
        row: node_disk::read_only,
    },
    Row {
        name: "F14c",
        fault: "the disk of a node's Docker is full",
        small: true,
        row: node_disk::docker_full,
    },
    Row {
        name: "F15",
        fault: "fsync fails, at the gateway and at a runner",
        small: true,
        row: disk::sync_fails,
    },
    Row {
        name: "F17",
        fault: "a copy of the store put back under load",
        small: true,
        row: copies::restored,
    },
    Row {
        name: "F18",
        fault: "two gateways: on one folder, and on a copy",
        small: true,
        row: copies::gateways,
    },
    Row {
        name: "F19",
        fault: "the disk of a node on a second machine",
        small: true,
        row: copies::cloned,
    },
    Row {
        name: "F22",
        fault: "clients cut off at any byte of what they say",
        small: true,
        row: clients::cut,
    },
    Row {
        name: "F25",
        fault: "bursts of output, a line without end, bytes, many tasks",
        small: true,
        row: floods::output,
    },
    Row {
        name: "F26",
        fault: "out of memory: the program, a child of it",
        small: true,
        row: ends::memory,
    },
    Row {
        name: "F26b",
        fault: "a node out of memory: one task takes all that it has",
        small: true,
        row: memory::used_up,
    },
    Row {
        name: "F27",
        fault: "every kind of end, many at once",
        small: true,
        row: ends::races,
    },
    Row {
        name: "F28",
        fault: "cancelled at any moment, twice, by two",
        small: true,
        row: ends::cancelled,
    },
    Row {
        name: "F29",
        fault: "bombs of processes, files, memory",
        small: false,
        row: floods::bombs,
    },
    Row {
        name: "F35",
        fault: "gateway and runners ended in order and started again, under load",
        small: true,
        row: random::restarts,
    },
    Row {
        name: "F36",
        fault: "a disk that takes two seconds for each fsync",
        small: true,
        row: disk::slow,
    },
    Row {
        name: "F37",
        fault: "bits turned on the link",
        small: true,
        row: net::flips,
    },
];

/// A cluster that is looked at before and after.
pub(crate) fn with(
    engines: &[Engine],
    lines: &str,
    row: impl FnOnce(&mut Cluster, &mut Ledger) -> String,
) -> String {
    play(Cluster::new(engines, lines), row)
}

/// … of which the state folders have disks of their own.
pub(crate) fn on_disks(
    engines: &[Engine],
    disks: Disks,
    row: impl FnOnce(&mut Cluster, &mut Ledger) -> String,
) -> String {
    play(Cluster::on_disks(engines, "", disks), row)
}

fn play(mut cluster: Cluster, row: impl FnOnce(&mut Cluster, &mut Ledger) -> String) -> String {
    // Images and networks are made by the first task.
    for node in &cluster.nodes {
        let warm = format!("task run -t {} -- true", node.name());
        assert_eq!(cluster.river(&warm).code, 0);
    }
    let mut ledger = Ledger::new(&cluster);
    residue::until_clean(&cluster, &residue::idle(&cluster));
    let before = residue::look(&cluster);
    let files = residue::open_files(&cluster);
    let seen = row(&mut cluster, &mut ledger);
    residue::until_clean(&cluster, &before);
    residue::until_closed(&cluster, &files);
    let checked = cluster.gateway_command().arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "I8, I9: {said}");
    format!("{seen}; {}", cluster.memory())
}

/// For faults that last.
pub(crate) fn pause(milliseconds: u64) {
    harness::wait::rest(Duration::from_millis(milliseconds));
}

/// How long something took, in words; a bar in seconds, but in `make test`, where other work may be beside it.
pub(crate) fn within(play: Play, what: &str, begun: Instant, most: f32) -> String {
    held(play, what, begun.elapsed(), most)
}

/// As [`within`], of a time that was taken: the longest of many.
pub(crate) fn held(play: Play, what: &str, took: Duration, most: f32) -> String {
    let took = took.as_secs_f32();
    assert!(
        play.small || took <= most,
        "{what}: {took:.1} s, and may be {most} s"
    );
    format!("{what} {took:.1} s")
}

//! A node's disk is full, or breaks.

use std::time::Instant;

use harness::wait::until;

use super::disk::{ended, standing};
use super::net::{submit, until_running};
use super::{Play, on_disks, pause, within};
use crate::cluster::{Cluster, Disks};
use crate::disk::{Size, breaks, empty, fill, fill_with_files};
use crate::ledger::{Job, Ledger, statuses};
use crate::node::Engine;

const OF_A_NODE: Size = Size {
    mib: 64,
    files: 512,
};

/// Lines long enough that what is freed here and there is not room for them.
const FILLER: &str = "0123456789abcdefghijklmnopqrstuvwxyz.0123456789abcdefghijklmnopqrstuvwxyz.0123456789abcdefghijklmnopqrstuvwxyz.\
    0123456789abcdefghijklmnopqrstuvwxyz.0123456789abcdefghijklmnopqrstuvwxyz.0123456789abcdefghijklmnopqrstuvwxyz.";

/// A task that writes all the while, and its output with what was dropped of it.
struct Writer {
    id: u64,
    lines: u64,
}

impl Writer {
    fn start(cluster: &Cluster, node: &str, lines: u64) -> Self {
        let script = format!(
            "i=0; while [ $i -lt {lines} ]; do echo \"line $i {FILLER}\"; i=$((i+1)); \
             [ $((i % 50)) = 0 ] && sleep 0.1; done; exit 3"
        );
        let line = format!("task submit -q -c 0 -t {node} -- sh -c '{script}'");
        let id = cluster.river(&line).good().trim().to_owned();
        let id = id.trim_start_matches("task-").parse().unwrap();
        Self { id, lines }
    }

    /// Its code; and every byte, or a mark that tells how many are missing, in its place.
    fn check(&self, cluster: &Cluster) -> u64 {
        let run = cluster.river(&format!("task wait {}", self.id));
        assert_eq!(run.code, 3, "I3: {}", run.stderr);
        let whole: String = (0..self.lines)
            .map(|line| format!("line {line} {FILLER}\n"))
            .collect();
        let mut seen = String::new();
        until("its output is read to its end", || {
            let run = cluster.river(&format!("task logs {}", self.id));
            // It moves from the node to the gateway: again in a moment, as is said.
            assert!(matches!(run.code, 0 | 75), "I4: {}", run.stderr);
            seen = run.text();
            run.code == 0
        });
        let (mut at, mut dropped) = (0, 0);
        let mut rest = seen.as_str();
        while let Some((before, after)) = rest.split_once("\n[") {
            let (mark, after) = after.split_once("]\n").expect("a mark is cut");
            assert_eq!(
                before,
                &whole[at..at + before.len()],
                "I4: task-{}",
                self.id
            );
            let count = mark.strip_suffix(" bytes dropped: disk full").expect(mark);
            let count: usize = count.parse().unwrap();
            at += before.len() + count;
            dropped += count as u64;
            rest = after;
        }
        assert_eq!(rest, &whole[at..], "I4: task-{}", self.id);
        dropped
    }
}

/// Ends are told, what is written is kept or marked, orders are heard, and nothing new begins.
pub(super) fn full(play: Play) -> String {
    let disks = Disks {
        nodes: Some(OF_A_NODE),
        ..Disks::default()
    };
    on_disks(
        &[Engine::Docker, Engine::Process],
        disks,
        |cluster, ledger| {
            let bytes = full_of_bytes(play, cluster, ledger);
            let files = full_of_files(play, cluster, ledger);
            format!("{bytes}; {files}; {}", ledger.check(cluster))
        },
    )
}

fn fill_nodes(cluster: &Cluster) {
    for node in &cluster.nodes {
        fill(node.space.inside("sh"), &node.state(), 0);
    }
}

fn empty_nodes(cluster: &Cluster) {
    for node in &cluster.nodes {
        empty(node.space.inside("sh"), &node.state());
    }
}

fn full_of_bytes(play: Play, cluster: &mut Cluster, ledger: &mut Ledger) -> String {
    let job = Job {
        lines: 50,
        seconds: 6.0,
    };
    let nodes = ["n1", "n2"];
    // Some write until there is room again, some end before, some are killed.
    let through = nodes.map(|node| Writer::start(cluster, node, 30_000));
    let short = nodes.map(|node| Writer::start(cluster, node, 6000));
    let doomed = nodes.map(|node| Writer::start(cluster, node, 1_000_000));
    for some in [&through, &short, &doomed] {
        until_running(cluster, &ids(some));
    }
    let jobs = submit(cluster, ledger, "-c 0", job, 3);
    until_running(cluster, &jobs);
    fill_nodes(cluster);
    until("the nodes say so", || {
        standing(cluster, "ready (disk full)") == 2
    });
    let waits = cluster.river("task submit -q -t n1 -c 0 -- true").good();
    let waits = waits.trim();
    let why = cluster.river(&format!("task why {waits}")).good();
    assert!(why.contains("disk full"), "{why}");
    until("ends are told", || ended(cluster, &jobs));
    let begun = Instant::now();
    for writer in &doomed {
        cluster.river(&format!("task kill {}", writer.id)).good();
    }
    until("a kill is heard", || {
        let tasks = statuses(cluster, &ids(&doomed));
        tasks.iter().all(|(_, task)| task["state"] == "killed")
    });
    // By its guest, and not seven seconds later by its engine.
    let killed = within(play, "killed in", begun, 6.0);
    until("the short ones have ended", || {
        fill_nodes(cluster);
        ended(cluster, &ids(&short))
    });
    // Full for longer than a stream is held back, whatever ends made room for.
    for _ in 0..10 {
        fill_nodes(cluster);
        pause(1000);
    }
    assert_eq!(standing(cluster, "ready (disk full)"), 2);
    let why = cluster.river(&format!("task status {waits}")).text();
    assert!(why.contains("pending"), "{why}");
    empty_nodes(cluster);
    until("there is room again", || {
        standing(cluster, "disk full") == 0
    });
    assert_eq!(cluster.river(&format!("task wait {waits}")).code, 0);
    let dropped: Vec<u64> = through
        .iter()
        .chain(&short)
        .map(|writer| writer.check(cluster))
        .collect();
    assert!(
        dropped.iter().all(|count| *count > 0),
        "never full: {dropped:?}"
    );
    format!("{killed}, dropped and marked {dropped:?} bytes")
}

fn ids(writers: &[Writer]) -> Vec<u64> {
    writers.iter().map(|writer| writer.id).collect()
}

fn full_of_files(play: Play, cluster: &mut Cluster, ledger: &mut Ledger) -> String {
    let job = Job {
        lines: 50,
        seconds: 5.0,
    };
    let ids = submit(cluster, ledger, "-c 0", job, 3);
    until_running(cluster, &ids);
    for node in &cluster.nodes {
        fill_with_files(node.space.inside("sh"), &node.state());
    }
    let words = "ready (disk full of files)";
    until("the nodes say so", || standing(cluster, words) == 2);
    until("ends are told", || ended(cluster, &ids));
    empty_nodes(cluster);
    let back = Instant::now();
    until("there is room again", || standing(cluster, words) == 0);
    submit(cluster, ledger, "-c 0", Job::SHORT, 2);
    within(play, "new files, and new tasks after", back, 15.0)
}

/// Full of bytes is Docker's own disk, and not that of the state folder: what runs goes on, also what fills it, and
/// is told, with every byte; nothing new begins there, and another node takes it.
pub(super) fn docker_full(play: Play) -> String {
    let disks = Disks {
        docker: Some(Size {
            mib: 64,
            files: 4096,
        }),
        ..Disks::default()
    };
    let engines = [Engine::Docker, Engine::Docker];
    on_disks(&engines, disks, |cluster, ledger| {
        let job = Job {
            lines: 50,
            seconds: 6.0,
        };
        let node = &cluster.nodes[0];
        let jobs = submit(cluster, ledger, "-t n1 -c 0", job, 3);
        let greedy =
            "task submit -q -t n1 -c 0 -- sh -c 'cat /dev/zero > /tmp/all; echo full; sleep 1000'";
        let greedy = cluster.river(greedy).good().trim().to_owned();
        until_running(cluster, &jobs);
        until("it has taken all that there was", || {
            cluster
                .river(&format!("task logs {greedy}"))
                .text()
                .contains("full")
        });
        fill(node.space.inside("sh"), &node.docker_root(), 0);
        until("the node says so", || {
            standing(cluster, "ready (disk full)") == 1
        });
        let waits = cluster.river("task submit -q -t n1 -c 0 -- true").good();
        let waits = waits.trim();
        let why = cluster.river(&format!("task why {waits}")).good();
        assert!(why.contains("disk full"), "{why}");
        // Where it is not said which node, the other takes it.
        assert_eq!(cluster.river("task run -c 0 -- true").code, 0);
        until("ends are told", || ended(cluster, &jobs));
        let begun = Instant::now();
        cluster.river(&format!("task kill {greedy}")).good();
        assert_eq!(cluster.river(&format!("task wait {greedy}")).code, 137);
        let killed = within(play, "killed in", begun, 6.0);
        empty(node.space.inside("sh"), &node.docker_root());
        until("there is room again", || {
            standing(cluster, "disk full") == 0
        });
        assert_eq!(cluster.river(&format!("task wait {waits}")).code, 0);
        let more = submit(cluster, ledger, "-t n1 -c 0", Job::SHORT, 3);
        until("it works on", || ended(cluster, &more));
        format!("{killed}; {}", ledger.check(cluster))
    })
}

/// The end of what runs is told by its guest, to whoever listens.
pub(super) fn read_only(_: Play) -> String {
    let disks = Disks {
        nodes: Some(OF_A_NODE),
        ..Disks::default()
    };
    on_disks(
        &[Engine::Docker, Engine::Process],
        disks,
        |cluster, ledger| {
            let job = Job {
                lines: 50,
                seconds: 6.0,
            };
            let ids = submit(cluster, ledger, "-c 0", job, 3);
            until_running(cluster, &ids);
            for node in &cluster.nodes {
                if !breaks(node) {
                    return format!(
                        "NOT PLAYED: this kernel has no /sys/fs/ext4/*/trigger_fs_error; {}",
                        ledger.check(cluster)
                    );
                }
            }
            until("the nodes say so", || {
                standing(cluster, "(disk read-only)") == 2
            });
            until("ends are told", || ended(cluster, &ids));
            let waits = cluster.river("task submit -q -t n1 -c 0 -- true").good();
            let why = cluster.river(&format!("task why {}", waits.trim())).good();
            assert!(why.contains("disk read-only"), "{why}");
            let kept = |id: &u64| cluster.state().join(format!("output/{id}.1")).exists();
            until("their outputs are fetched", || ids.iter().all(kept));
            // Mended, as a disk is: the machine starts anew.
            for node in &mut cluster.nodes {
                node.crash();
                node.boot();
                node.start_runner();
            }
            until("they are mended", || {
                standing(cluster, "ready") == 2 && standing(cluster, "(disk") == 0
            });
            assert_eq!(
                cluster.river(&format!("task wait {}", waits.trim())).code,
                0
            );
            submit(cluster, ledger, "-c 0", Job::SHORT, 2);
            ledger.check(cluster)
        },
    )
}

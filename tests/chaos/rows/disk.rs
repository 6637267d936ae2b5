//! Disks that are full, broken or slow.

use std::process::Command;
use std::time::Instant;

use harness::Run;
use harness::wait::until;

use super::net::{submit, until_running};
use super::{Play, on_disks, pause, with, within};
use crate::cluster::{Cluster, Disks};
use crate::disk::{Ailing, Size, breaks, empty, fill, fill_with_files};
use crate::ledger::{Job, Ledger, statuses};
use crate::load::Load;
use crate::node::Engine;

const SMALL: Size = Size {
    mib: 24,
    files: 1024,
};
const OF_A_NODE: Size = Size {
    mib: 64,
    files: 512,
};

fn refused(run: &Run, sentence: &str) {
    assert_eq!(run.code, 75, "{} {}", run.text(), run.stderr);
    assert!(run.stdout.is_empty(), "an answer: {}", run.text());
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
}

fn ended(cluster: &Cluster, ids: &[u64]) -> bool {
    let tasks = statuses(cluster, ids);
    tasks.len() == ids.len() && tasks.iter().all(|(_, task)| task["ended"].is_string())
}

/// As the tasks themselves wrote it.
fn over(cluster: &Cluster, ids: &[u64]) -> bool {
    let text = std::fs::read_to_string(cluster.starts().join("log")).unwrap();
    ids.iter().all(|id| text.contains(&format!("{id}.1 end\n")))
}

/// Refusals with a sentence, no answer before its commit, running tasks that go on, and no restart for any of it.
pub(super) fn gateway_full(play: Play) -> String {
    let disks = Disks {
        gateway: Some(SMALL),
        nodes: None,
    };
    on_disks(&[Engine::Process], disks, |cluster, ledger| {
        let mut told = Vec::new();
        told.push(refusals(play, cluster, ledger));
        told.push(outputs_wait(play, cluster, ledger));
        let rounds = if play.small { 2 } else { 10 };
        for round in 0..rounds {
            let load = Load::start(cluster, 20, "-c 0", Job::SHORT);
            pause(500);
            fill(Command::new("sh"), &cluster.state(), 0);
            pause(2000);
            if round % 2 == 1 {
                // What was acknowledged is on the disk, also of a gateway that falls meanwhile.
                cluster.kill_gateway();
                empty(Command::new("sh"), &cluster.state());
                cluster.start_gateway("");
            } else {
                empty(Command::new("sh"), &cluster.state());
            }
            pause(1000);
            load.stop(ledger);
        }
        format!("{}; {}", told.join(", "), ledger.check(cluster))
    })
}

fn refusals(play: Play, cluster: &mut Cluster, ledger: &mut Ledger) -> String {
    let long = Job {
        lines: 50,
        seconds: 4.0,
    };
    let ids = submit(cluster, ledger, "-c 0", long, 4);
    until_running(cluster, &ids);
    fill(Command::new("sh"), &cluster.state(), 0);
    let full = "the disk of the gateway is full";
    // What is committed at once may still find room in the log that is there.
    until("changes are refused", || {
        let run = cluster.river("node drain n1");
        if run.code == 0 {
            cluster.river("node undrain n1");
        }
        run.code != 0
    });
    for _ in 0..3 {
        let line = format!(
            "task submit -c 0 {}",
            long.words(&cluster.starts(), Engine::Process)
        );
        refused(&cluster.river(&line), full);
        refused(&cluster.river("node drain n1"), full);
        let upload = "task submit -q -c 0 --stdin --backend process -- wc -c";
        let run = cluster.admin.run_with(&["-T"], upload, &[b'x'; 100_000]);
        refused(&run, full);
    }
    until("what runs has ended", || over(cluster, &ids));
    // What nodes say waits; who asks is answered all the same.
    let list = cluster.river("task list").good();
    assert!(list.contains(&format!("{}", ids[0])), "{list}");
    refused(&cluster.river("node drain n1"), full);
    empty(Command::new("sh"), &cluster.state());
    let back = Instant::now();
    until("their ends are known", || ended(cluster, &ids));
    let list = cluster.river("node list").good();
    assert!(!list.contains("draining"), "refused, and done: {list}");
    submit(cluster, ledger, "-c 0", Job::SHORT, 2);
    within(play, "after room came back, ends were known in", back, 10.0)
}

/// Outputs leave the last room to the database, and stay on their node until there is more.
fn outputs_wait(play: Play, cluster: &mut Cluster, ledger: &mut Ledger) -> String {
    // 5 % of it is the database's.
    fill(Command::new("sh"), &cluster.state(), 900);
    let job = Job {
        lines: 30_000,
        seconds: 0.0,
    };
    let ids = submit(cluster, ledger, "-c 0", job, 3);
    until("they have ended", || ended(cluster, &ids));
    pause(3000);
    let kept = |id: &u64| cluster.state().join(format!("output/{id}.1")).exists();
    assert!(!ids.iter().any(kept), "the database's room was taken");
    // It is to be had all the same.
    let seen = cluster.river(&format!("task logs {}", ids[0])).good();
    assert_eq!(seen.lines().count(), 30_000);
    submit(cluster, ledger, "-c 0", Job::SHORT, 2);
    empty(Command::new("sh"), &cluster.state());
    let back = Instant::now();
    until("the gateway has fetched it", || ids.iter().all(kept));
    within(play, "outputs that waited were fetched in", back, 15.0)
}

/// A task that writes all the while, and its output with what was dropped of it.
struct Writer {
    id: u64,
    lines: u64,
}

impl Writer {
    fn start(cluster: &Cluster, node: &str, lines: u64) -> Self {
        let script = format!(
            "i=0; while [ $i -lt {lines} ]; do echo \"line $i of a task that writes\"; i=$((i+1)); \
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
            .map(|line| format!("line {line} of a task that writes\n"))
            .collect();
        let seen = cluster.river(&format!("task logs {}", self.id)).good();
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

fn standing(cluster: &Cluster, words: &str) -> usize {
    cluster.river("node list").text().matches(words).count()
}

/// Ends are told, what is written is kept or marked, orders are heard, and nothing new begins.
pub(super) fn node_full(play: Play) -> String {
    let disks = Disks {
        gateway: None,
        nodes: Some(OF_A_NODE),
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
    let through = nodes.map(|node| Writer::start(cluster, node, 15_000));
    let short = nodes.map(|node| Writer::start(cluster, node, 6000));
    let doomed = nodes.map(|node| Writer::start(cluster, node, 1_000_000));
    let all = [&through[..], &short, &doomed].concat_ids();
    until_running(cluster, &all);
    let ids = submit(cluster, ledger, "-c 0", job, 3);
    until_running(cluster, &ids);
    fill_nodes(cluster);
    until("the nodes say so", || {
        standing(cluster, "ready (disk full)") == 2
    });
    let waits = cluster.river("task submit -q -t n1 -c 0 -- true").good();
    let waits = waits.trim();
    let why = cluster.river(&format!("task why {waits}")).good();
    assert!(why.contains("disk full"), "{why}");
    until("ends are told", || ended(cluster, &ids));
    let begun = Instant::now();
    for writer in &doomed {
        cluster.river(&format!("task kill {}", writer.id)).good();
    }
    until("a kill is heard", || {
        let tasks = statuses(cluster, &doomed.ids());
        tasks.iter().all(|(_, task)| task["state"] == "killed")
    });
    // By its guest, and not seven seconds later by its engine.
    let killed = within(play, "killed in", begun, 6.0);
    until("the short ones have ended", || ended(cluster, &short.ids()));
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

/// Ids of writers.
trait Ids {
    fn ids(&self) -> Vec<u64>;
}

impl Ids for [Writer] {
    fn ids(&self) -> Vec<u64> {
        self.iter().map(|writer| writer.id).collect()
    }
}

trait AllIds {
    fn concat_ids(&self) -> Vec<u64>;
}

impl AllIds for [&[Writer]] {
    fn concat_ids(&self) -> Vec<u64> {
        self.iter().flat_map(|some| some.ids()).collect()
    }
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

/// The end of what runs is told by its guest, to whoever listens.
pub(super) fn node_read_only(_: Play) -> String {
    let disks = Disks {
        gateway: None,
        nodes: Some(OF_A_NODE),
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

/// Whoever cannot know what the disk holds stops, by name, and says nothing more.
pub(super) fn sync_fails(play: Play) -> String {
    with(&[Engine::Docker, Engine::Process], "", |cluster, ledger| {
        let rounds = if play.small { 1 } else { 5 };
        let database = cluster.state().join("river.db");
        for _ in 0..rounds {
            // Of any file; and of the database alone, which is written when its log is taken in.
            for only in [None, Some(database.as_path())] {
                let load = Load::start(cluster, 40, "-c 0", Job::SHORT);
                pause(500);
                let ailing = Ailing::new(cluster.gateway_pid(), "error=EIO", only);
                let code = cluster.until_ended();
                drop(ailing);
                assert_eq!(code, Some(1), "I9: it stops by itself");
                let log = cluster.gateway_log();
                let last = log.lines().last().unwrap_or_default();
                assert!(last.contains("fails: look at the kernel's log"), "{last}");
                cluster.start_gateway("");
                cluster.until_ready();
                load.stop(ledger);
            }
        }
        for node in 0..2 {
            let ids = submit(
                cluster,
                ledger,
                "-c 0",
                Job {
                    lines: 50,
                    seconds: 6.0,
                },
                2,
            );
            until_running(cluster, &ids);
            let ailing = Ailing::new(cluster.nodes[node].runner_pid(), "error=EIO", None);
            until("the runner has ended", || {
                cluster.nodes[node].runner_ended()
            });
            drop(ailing);
            let log = cluster.nodes[node].runner_log();
            let last = log.lines().last().unwrap_or_default();
            assert!(last.contains("Input/output error"), "{last}");
            cluster.nodes[node].start_runner();
            cluster.until_ready();
        }
        ledger.check(cluster)
    })
}

/// Latency goes up, and nothing else.
pub(super) fn slow(play: Play) -> String {
    with(&[Engine::Docker, Engine::Process], "", |cluster, ledger| {
        let delay = "delay_enter=2000000";
        let gateway = Ailing::new(cluster.gateway_pid(), delay, None);
        let words = Job::SHORT.words(&cluster.starts(), Engine::Process);
        let line = format!("task submit -c 0 {words}");
        let count = if play.small { 3 } else { 20 };
        let mut reads = 0;
        for _ in 0..count {
            let mut waiting = cluster.admin.start(&[], &line);
            while waiting.try_wait().unwrap().is_none() {
                cluster.river("task list").good();
                cluster.river("node list").good();
                reads += 1;
            }
            let answer = waiting.wait_with_output().unwrap();
            let text = String::from_utf8(answer.stdout).unwrap();
            ledger.acknowledge(&text, Job::SHORT);
        }
        assert!(reads >= count, "nobody could read meanwhile");
        drop(gateway);
        let ailing: Vec<Ailing> = cluster
            .nodes
            .iter()
            .map(|node| Ailing::new(node.runner_pid(), delay, None))
            .collect();
        let ids = submit(cluster, ledger, "-c 0", Job::SHORT, 2);
        until("they have ended, slowly", || {
            assert_eq!(standing(cluster, "ready"), 2, "a slow node is there");
            ended(cluster, &ids)
        });
        drop(ailing);
        format!(
            "{reads} looks while {count} submits waited; {}",
            ledger.check(cluster)
        )
    })
}

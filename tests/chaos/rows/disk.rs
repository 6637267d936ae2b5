//! Disks that are full, broken or slow: the gateway's, and what is the same at nodes.

use std::process::Command;
use std::time::{Duration, Instant};

use harness::Run;
use harness::wait::{until, until_within};

use super::net::{submit, until_running};
use super::{Play, on_disks, pause, with, within};
use crate::cluster::{Cluster, Disks};
use crate::disk::{Ailing, Size, empty, fill};
use crate::ledger::{Job, Ledger, statuses};
use crate::load::Load;
use crate::node::Engine;

const SMALL: Size = Size {
    mib: 24,
    files: 1024,
};
const FULL: &str = "the disk of the gateway is full";

fn refused(run: &Run, sentence: &str) {
    assert_eq!(run.code, 75, "{} {}", run.text(), run.stderr);
    assert!(run.stdout.is_empty(), "an answer: {}", run.text());
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
}

pub(super) fn ended(cluster: &Cluster, ids: &[u64]) -> bool {
    let tasks = statuses(cluster, ids);
    tasks.len() == ids.len() && tasks.iter().all(|(_, task)| task["ended"].is_string())
}

/// As the tasks themselves wrote it.
fn over(cluster: &Cluster, ids: &[u64]) -> bool {
    let text = std::fs::read_to_string(cluster.starts().join("log")).unwrap();
    ids.iter().all(|id| text.contains(&format!("{id}.1 end\n")))
}

/// How often the list of nodes says so.
pub(super) fn standing(cluster: &Cluster, words: &str) -> usize {
    cluster.river("node list").text().matches(words).count()
}

/// Refusals with a sentence, no answer before its commit, running tasks that go on, and no restart for any of it.
pub(super) fn gateway_full(play: Play) -> String {
    let disks = Disks {
        gateway: Some(SMALL),
        ..Disks::default()
    };
    on_disks(&[Engine::Process], disks, |cluster, ledger| {
        let known = refusals(play, cluster, ledger);
        let fetched = outputs_wait(play, cluster, ledger);
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
        format!("{known}, {fetched}; {}", ledger.check(cluster))
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
    // What is small may still find room in what the log has of the disk: an answer is kept, a refusal changes nothing.
    let mut draining = false;
    let mut turn = |cluster: &Cluster| {
        let verb = if draining { "undrain" } else { "drain" };
        let run = cluster.river(&format!("node {verb} n1"));
        if run.code == 0 {
            draining = !draining;
        } else {
            refused(&run, FULL);
        }
        run.code != 0
    };
    until("changes are refused", || turn(cluster));
    let words = long.words(&cluster.starts(), Engine::Process);
    for _ in 0..3 {
        refused(&cluster.river(&format!("task submit -c 0 {words}")), FULL);
        turn(cluster);
        let upload = "task submit -q -c 0 --stdin --backend process -- wc -c";
        let run = cluster.admin.run_with(&["-T"], upload, &[b'x'; 100_000]);
        refused(&run, FULL);
    }
    until("what runs has ended", || over(cluster, &ids));
    // What nodes say waits; who asks is answered all the same.
    let list = cluster.river("task list").good();
    assert!(list.contains(&format!("{}", ids[0])), "{list}");
    empty(Command::new("sh"), &cluster.state());
    let back = Instant::now();
    until("their ends are known", || ended(cluster, &ids));
    assert_eq!(standing(cluster, "draining") == 1, draining, "as was said");
    cluster.river("node undrain n1").good();
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
        ledger.settle(cluster);
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
            let mut last = log.lines().rev().take(5);
            assert!(
                last.any(|line| line.contains("Input/output error")),
                "{log}"
            );
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
        let patience = Duration::from_secs(300);
        until_within("they have ended, slowly", patience, || {
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

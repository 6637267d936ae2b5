//! Kills of runners at each place along the life of a task, with a task beside that runs all the while.

use std::time::{Duration, Instant};

use harness::wait::until;

use super::aimed::{NODES, Submits, TRIES, all_over, rounds};
use super::net::{submit, until_running};
use super::{Play, held, with};
use crate::cluster::Cluster;
use crate::ledger::{Job, Ledger};
use crate::node::{Engine, Node};

/// Places that a runner passes (`docs/chaos.md`).
pub(super) const PLACES: [&str; 9] = ["P8", "P9", "P10", "P11", "P12", "P13", "P14", "P17", "P18"];
/// Without an end of its own.
const LONG: Job = Job {
    lines: 20,
    seconds: 90_000.0,
};

/// Is there such a place? A process is made and started at once.
fn has(engine: Engine, place: &str) -> bool {
    match engine {
        Engine::Docker => true,
        Engine::Process => place != "P9",
    }
}

pub(super) fn kills(play: Play) -> String {
    with(&NODES, "", |cluster, ledger| {
        let long = submit(cluster, ledger, "-c 0", LONG, 1);
        until_running(cluster, &long);
        let before = identities(cluster, &long);
        let mut told = Vec::new();
        let mut back = Duration::ZERO;
        for place in PLACES {
            let mut struck = [0; NODES.len()];
            for round in 0..rounds(play) + TRIES {
                let missed = |struck: [usize; NODES.len()]| {
                    let mut each = NODES.iter().zip(struck);
                    each.any(|(engine, count)| has(*engine, place) && count == 0)
                };
                if round >= rounds(play) && !missed(struck) {
                    break;
                }
                // The second pass of a place is as good a moment as the first.
                let pass = if round < rounds(play) {
                    round % 2 + 1
                } else {
                    1
                };
                let key = format!("{place}-{round}");
                let begun = kill_at(cluster, ledger, (place, pass), &key, &mut struck);
                cluster.until_ready();
                back = back.max(begun.elapsed());
                assert_eq!(identities(cluster, &long), before, "{place}: not the same");
            }
            for (engine, count) in NODES.iter().zip(struck) {
                assert!(
                    count > 0 || !has(*engine, place),
                    "{place} was never passed by {engine:?}: is it compiled in?"
                );
            }
            told.push(format!("{place} {struck:?}"));
        }
        ledger.killed.extend(&long);
        for id in &long {
            cluster.river(&format!("task kill {id}")).good();
        }
        let back = held(play, "back after", back, 3.0);
        format!(
            "kills: {}; {back}; long ones ran through; {}",
            told.join(", "),
            ledger.check(cluster)
        )
    })
}

/// One round, aimed at a place of every runner; counts at which it struck. When they began for the last time.
fn kill_at(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
    (place, pass): (&str, u32),
    key: &str,
    struck: &mut [usize],
) -> Instant {
    for node in &mut cluster.nodes {
        node.kill_runner();
        node.fault = format!("{place}@{pass}");
        node.start_runner();
    }
    cluster.until_ready();
    let mut submits = Submits::new(key);
    submits.send(cluster, ledger);
    assert!(submits.keys.is_empty(), "refused while a runner is away");
    // One may fall long after the other, or not at all. What is left then is not what the next round is aimed at: only
    // the long ones.
    until("all is over and nothing is left", || {
        for (node, struck) in cluster.nodes.iter_mut().zip(struck.iter_mut()) {
            if node.runner_ended() {
                *struck += 1;
                node.start_runner();
            }
        }
        let left = cluster.nodes.iter().any(|node| node.attempts() > 1);
        !left && all_over(cluster, ledger)
    });
    // Without a fault from here on.
    let begun = Instant::now();
    for node in &mut cluster.nodes {
        node.kill_runner();
        node.start_runner();
    }
    begun
}

/// Of each node's long task: which container or process it is, and since when.
fn identities(cluster: &Cluster, long: &[u64]) -> Vec<String> {
    let each = cluster.nodes.iter().zip(long);
    each.map(|(node, id)| identity(node, *id)).collect()
}

fn identity(node: &Node, id: u64) -> String {
    match node.engine {
        Engine::Docker => {
            let filter = format!("label=river.attempt={id}.1");
            let container = node.docker(&["ps", "-q", "--filter", &filter]).unwrap();
            let format = "{{.Id}} {{.State.StartedAt}} {{.State.Pid}}";
            node.docker(&["inspect", "-f", format, &container]).unwrap()
        }
        Engine::Process => {
            let mut ps = node.space.inside("ps");
            let listed = ps
                .args(["-C", "sleep", "-o", "pid=,lstart=,args="])
                .output();
            String::from_utf8(listed.unwrap().stdout).unwrap()
        }
    }
}

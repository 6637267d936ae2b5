//! Kills at each place along the life of a task.

use std::time::Instant;

use harness::wait::until;

use super::{Play, with, within};
use crate::cluster::Cluster;
use crate::ledger::{Job, Ledger};
use crate::node::Engine;

const NODES: [Engine; 2] = [Engine::Docker, Engine::Process];
/// Places that each program passes (`docs/chaos.md`).
const OF_GATEWAY: [&str; 9] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P15", "P16"];
const OF_RUNNER: [&str; 9] = ["P8", "P9", "P10", "P11", "P12", "P13", "P14", "P17", "P18"];
/// Tasks of one round: some on each node.
const TASKS: usize = 4;

/// Submits with keys, and again with the same keys until each is acknowledged: as a careful script does.
struct Submits {
    keys: Vec<String>,
    job: Job,
}

impl Submits {
    fn new(round: &str) -> Self {
        Self {
            keys: (0..TASKS)
                .map(|number| format!("{round}-{number}"))
                .collect(),
            job: Job::SHORT,
        }
    }

    /// Whoever is not answered stays.
    fn send(&mut self, cluster: &Cluster, ledger: &mut Ledger) {
        let job = self.job;
        self.keys.retain(|key| {
            // Half of them on each kind of node.
            let engine = NODES[usize::from(key.ends_with(['0', '2']))];
            let words = job.words(&cluster.starts(), engine);
            let line = format!("task submit --key {key} {words}");
            let run = cluster.river(&line);
            if run.code == 0 {
                ledger.acknowledge(&run.text(), job);
            }
            run.code != 0
        });
    }
}

/// Most rounds strike; a program without the places would end none.
fn kills(struck: usize, places: usize, play: Play) -> String {
    let rounds = places * counts(play).count();
    assert!(
        struck * 2 >= rounds,
        "{struck} kills in {rounds} rounds: are the places compiled in?"
    );
    format!("{struck} kills")
}

/// The second pass of a place is as good a moment as the first.
fn counts(play: Play) -> std::ops::RangeInclusive<u32> {
    if play.small { 1..=1 } else { 1..=20 }
}

pub(super) fn gateway(play: Play) -> String {
    with(&NODES, "", |cluster, ledger| {
        let mut struck = 0;
        for point in OF_GATEWAY {
            for count in counts(play) {
                cluster.kill_gateway();
                // A place that is passed four times in a round strikes at one of them.
                let pass = count.wrapping_add(u32::try_from(play.seed).unwrap_or(0)) % 4 + 1;
                cluster.start_gateway(&format!("{point}@{pass}"));
                let mut submits = Submits::new(&format!("{point}-{count}"));
                submits.send(cluster, ledger);
                // The gateway may pass it later, when the tasks end, or not at all.
                let before = ledger.acks.len();
                until("the fault strikes, or all is over", || {
                    cluster.gateway_ended()
                        || before == ledger.acks.len() && all_over(cluster, ledger)
                });
                if cluster.gateway_pid() == 0 {
                    struck += 1;
                    cluster.start_gateway("");
                }
                submits.send(cluster, ledger);
                assert!(
                    submits.keys.is_empty(),
                    "not taken again: {:?}",
                    submits.keys
                );
            }
        }
        let kills = kills(struck, OF_GATEWAY.len(), play);
        format!("{kills}, {}", ledger.check(cluster))
    })
}

fn all_over(cluster: &Cluster, ledger: &Ledger) -> bool {
    let ids: Vec<u64> = ledger.acks.keys().rev().take(TASKS).copied().collect();
    let states = crate::ledger::statuses(cluster, &ids);
    states.len() == ids.len() && states.iter().all(|(_, task)| task["ended"].is_string())
}

/// Runners that fell are started again, without a further fault. How many.
fn revive(cluster: &mut Cluster) -> usize {
    let mut fallen = 0;
    for node in &mut cluster.nodes {
        if node.runner_ended() {
            fallen += 1;
            node.start_runner();
        }
    }
    fallen
}

pub(super) fn runner(play: Play) -> String {
    with(&NODES, "", |cluster, ledger| {
        let mut struck = 0;
        for point in OF_RUNNER {
            for count in counts(play) {
                for node in &mut cluster.nodes {
                    node.kill_runner();
                    node.fault = format!("{point}@{}", count % 2 + 1);
                    node.start_runner();
                }
                cluster.until_ready();
                let mut submits = Submits::new(&format!("{point}-{count}"));
                submits.send(cluster, ledger);
                assert!(submits.keys.is_empty(), "refused while a runner is away");
                // One may fall long after the other, or not at all. What is left then is not what the next round
                // is aimed at.
                until("all is over and nothing is left", || {
                    struck += revive(cluster);
                    let left = cluster.nodes.iter().any(|node| node.attempts() > 0);
                    !left && all_over(cluster, ledger)
                });
            }
        }
        // Without a fault from here on.
        for node in &mut cluster.nodes {
            node.kill_runner();
            node.start_runner();
        }
        let begun = Instant::now();
        cluster.until_ready();
        let back = within(play, "back", begun, 3.0);
        let kills = kills(struck, OF_RUNNER.len(), play);
        format!("{kills}, {back}, {}", ledger.check(cluster))
    })
}

pub(super) fn both(play: Play) -> String {
    with(&NODES, "", |cluster, ledger| {
        let rounds = if play.small { 3 } else { 30 };
        for round in 0..rounds {
            let mut submits = Submits::new(&format!("both-{round}"));
            submits.job.seconds = 0.3;
            submits.send(cluster, ledger);
            cluster.kill_gateway();
            for node in &mut cluster.nodes {
                node.kill_runner();
            }
            cluster.start_gateway("");
            for node in &mut cluster.nodes {
                node.start_runner();
            }
            cluster.until_ready();
            submits.send(cluster, ledger);
            assert!(submits.keys.is_empty());
        }
        format!("{rounds} kills of all, {}", ledger.check(cluster))
    })
}

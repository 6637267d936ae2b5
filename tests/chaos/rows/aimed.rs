//! Kills of the gateway at each place along the life of a task; and of all programs at once.

use std::time::{Duration, Instant};

use harness::wait::until;

use super::{Play, held, with};
use crate::cluster::Cluster;
use crate::ledger::{Job, Ledger};
use crate::node::Engine;

pub(super) const NODES: [Engine; 2] = [Engine::Docker, Engine::Process];
/// Places that the gateway passes (`docs/chaos.md`).
const PLACES: [&str; 9] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P15", "P16"];
/// Tasks of one round: some on each node.
const TASKS: usize = 4;
/// Tasks that wait in the store all the while, in the long form.
const STORED: usize = 10_000;
/// Rounds that a place has beyond those that are asked for, until it was passed once.
pub(super) const TRIES: u32 = 5;

/// Submits with keys, and again with the same keys until each is acknowledged: as a careful script does.
pub(super) struct Submits {
    pub(super) keys: Vec<String>,
    job: Job,
}

impl Submits {
    pub(super) fn new(round: &str) -> Self {
        Self {
            keys: (0..TASKS)
                .map(|number| format!("{round}-{number}"))
                .collect(),
            job: Job::SHORT,
        }
    }

    /// Whoever is not answered stays.
    pub(super) fn send(&mut self, cluster: &Cluster, ledger: &mut Ledger) {
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

/// A place that is passed four times in a round strikes at one of them: the second is as good a moment as the first.
pub(super) fn rounds(play: Play) -> u32 {
    if play.small { 1 } else { 20 }
}

/// How long starts took at most: until the gateway listened, and until every node was there.
#[derive(Default)]
struct Starts {
    listened: Duration,
    ready: Duration,
}

impl Starts {
    fn gateway(&mut self, cluster: &mut Cluster, fault: &str) {
        let listened = cluster.start_gateway(fault);
        self.listened = self.listened.max(listened);
    }

    fn nodes(&mut self, cluster: &Cluster, begun: Instant) {
        cluster.until_ready();
        self.ready = self.ready.max(begun.elapsed());
    }

    fn told(&self, play: Play) -> String {
        let listened = held(play, "it listened after", self.listened, 2.0);
        let ready = held(play, "all nodes were there after", self.ready, 3.0);
        format!("{listened}, {ready}")
    }
}

pub(super) fn gateway(play: Play) -> String {
    let three = [Engine::Docker, Engine::Process, Engine::Process];
    let engines = if play.small { &NODES[..] } else { &three };
    with(engines, "", |cluster, ledger| {
        let stored = if play.small {
            Vec::new()
        } else {
            preload(cluster, ledger)
        };
        let mut starts = Starts::default();
        let mut told = Vec::new();
        for place in PLACES {
            let mut struck = 0;
            for round in 0..rounds(play) + TRIES {
                if round >= rounds(play) && struck > 0 {
                    break;
                }
                let seed = u32::try_from(play.seed).unwrap_or(0);
                let pass = match round.checked_sub(rounds(play)) {
                    Some(_) => 1,
                    None => round.wrapping_add(seed) % 4 + 1,
                };
                let key = format!("{place}-{round}");
                struck += kill_at(cluster, ledger, &mut starts, (place, pass), &key);
            }
            assert!(struck > 0, "{place} was never passed: is it compiled in?");
            told.push(format!("{place} {struck}"));
        }
        for some in stored.chunks(500) {
            let words: Vec<String> = some.iter().map(ToString::to_string).collect();
            let line = format!("task kill {}", words.join(" "));
            cluster.river(&line).good();
        }
        format!(
            "kills: {}; {}; {}",
            told.join(", "),
            starts.told(play),
            ledger.check(cluster)
        )
    })
}

/// One round, aimed at a place: did it strike?
fn kill_at(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
    starts: &mut Starts,
    (place, pass): (&str, u32),
    key: &str,
) -> u32 {
    cluster.kill_gateway();
    starts.gateway(cluster, &format!("{place}@{pass}"));
    let mut submits = Submits::new(key);
    submits.send(cluster, ledger);
    // The gateway may pass it later, when the tasks end, or not at all.
    let all = submits.keys.is_empty();
    until("the fault strikes, or all is over", || {
        cluster.gateway_ended() || all && all_over(cluster, ledger)
    });
    let struck = cluster.gateway_pid() == 0;
    if struck {
        let begun = Instant::now();
        starts.gateway(cluster, "");
        starts.nodes(cluster, begun);
    }
    submits.send(cluster, ledger);
    let keys = &submits.keys;
    assert!(keys.is_empty(), "not taken again: {keys:?}");
    u32::from(struck)
}

/// Tasks that wait for a node that takes nothing, so that the store is full of them.
fn preload(cluster: &Cluster, ledger: &mut Ledger) -> Vec<u64> {
    cluster.river("node drain n3").good();
    let line = "-t n3 --backend process -- true\n";
    let batch = line.repeat(STORED);
    let line = "task submit --batch";
    let said = cluster.admin.run_with(&["-T"], line, batch.as_bytes());
    let ids: Vec<u64> = said
        .good()
        .lines()
        .map(|line| ledger.acknowledge(line, Job::SHORT))
        .collect();
    assert_eq!(ids.len(), STORED);
    ledger.killed.extend(&ids);
    ids
}

pub(super) fn all_over(cluster: &Cluster, ledger: &Ledger) -> bool {
    let ids: Vec<u64> = ledger.acks.keys().rev().take(TASKS).copied().collect();
    let states = crate::ledger::statuses(cluster, &ids);
    states.len() == ids.len() && states.iter().all(|(_, task)| task["ended"].is_string())
}

pub(super) fn both(play: Play) -> String {
    with(&NODES, "", |cluster, ledger| {
        let rounds = if play.small { 3 } else { 30 };
        let mut starts = Starts::default();
        for round in 0..rounds {
            let mut submits = Submits::new(&format!("both-{round}"));
            submits.job.seconds = 0.3;
            submits.send(cluster, ledger);
            cluster.kill_gateway();
            for node in &mut cluster.nodes {
                node.kill_runner();
            }
            let begun = Instant::now();
            starts.gateway(cluster, "");
            for node in &mut cluster.nodes {
                node.start_runner();
            }
            starts.nodes(cluster, begun);
            submits.send(cluster, ledger);
            assert!(submits.keys.is_empty());
        }
        format!(
            "{rounds} kills of all; {}; {}",
            starts.told(play),
            ledger.check(cluster)
        )
    })
}

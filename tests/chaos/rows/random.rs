//! Kills at any moment, under load.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Play, pause, with};
use crate::cluster::Cluster;
use crate::ledger::Job;
use crate::load::Load;
use crate::node::Engine;

/// Bytes that the store's log may have in the end.
const LARGEST_LOG: u64 = 64 << 20;

pub(super) fn kills(play: Play) -> String {
    let engines = [Engine::Docker, Engine::Process, Engine::Process];
    with(&engines, "", |cluster, ledger| {
        let mut rng = StdRng::seed_from_u64(play.seed);
        let (kills, rate) = if play.small { (8, 20) } else { (500, 50) };
        let load = Load::start(cluster, rate, "-c 1", Job::SHORT);
        let begun = Instant::now();
        let mut struck = [0; 3];
        for _ in 0..kills {
            pause(rng.random_range(100..900));
            let which = rng.random_range(0..3);
            struck[which] += 1;
            strike(cluster, which, &mut rng);
        }
        let (unheard, _) = load.stop(ledger);
        let seconds = begun.elapsed().as_secs().max(1);
        cluster.until_ready();
        let log = std::fs::metadata(cluster.state().join("river.db-wal"));
        let log = log.map_or(0, |meta| meta.len());
        assert!(log <= LARGEST_LOG, "the store's log has {log} bytes");
        let [gateway, runner, both] = struck;
        format!(
            "kills: {gateway} gateway, {runner} runner, {both} all in {seconds} s, {rate} submits/s wished; {unheard} asked again; {}",
            ledger.check(cluster)
        )
    })
}

/// No submit fails that is asked a second time; nothing is lost, nothing twice.
pub(super) fn restarts(play: Play) -> String {
    with(&[Engine::Docker, Engine::Process], "", |cluster, ledger| {
        let mut rng = StdRng::seed_from_u64(play.seed);
        let rounds = if play.small { 4 } else { 40 };
        let load = Load::start(cluster, 20, "-c 1", Job::SHORT);
        for _ in 0..rounds {
            pause(rng.random_range(500..1500));
            cluster.end_gateway();
            cluster.start_gateway("");
            let node = rng.random_range(0..cluster.nodes.len());
            cluster.nodes[node].end_runner();
            cluster.nodes[node].start_runner();
        }
        let (again, twice) = load.stop(ledger);
        assert_eq!(twice, 0, "submits without an answer when asked again");
        cluster.until_ready();
        format!(
            "{rounds} restarts of both, {again} submits asked again, none failed; {}",
            ledger.check(cluster)
        )
    })
}

fn strike(cluster: &mut Cluster, which: usize, rng: &mut StdRng) {
    let node = rng.random_range(0..cluster.nodes.len());
    if which != 1 {
        cluster.kill_gateway();
    }
    if which == 1 {
        cluster.nodes[node].kill_runner();
    } else if which == 2 {
        for node in &mut cluster.nodes {
            node.kill_runner();
        }
    }
    pause(rng.random_range(0..200));
    if which != 1 {
        cluster.start_gateway("");
    }
    for node in &mut cluster.nodes {
        if node.runner_ended() {
            node.start_runner();
        }
    }
}

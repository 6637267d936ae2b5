//! Cables pulled, one way or both; programs that stand still; bits that turn.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::wait::{until, until_within};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Play, pause, with, within};
use crate::cluster::{Cluster, PORT};
use crate::ledger::{Job, Ledger, statuses};
use crate::node::Engine;
use crate::proxy::{Mishap, Proxy};
use crate::space::run;

/// Bytes of a link until it only says what is new, about.
const TALK: usize = 4000;
/// More than a silent peer may stay unnoticed, and then be given up.
const NOTICED: Duration = Duration::from_secs(150);
const NODES: [Engine; 2] = [Engine::Docker, Engine::Process];

/// Which way nothing goes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Both,
    /// The node speaks and is not heard.
    Deaf,
    /// The gateway speaks and is not heard.
    Mute,
}

impl Cut {
    fn make(self, cluster: &Cluster, node: usize, cut: bool) {
        let cable = cluster.nodes[node].space.cable();
        let rule = if cut { "-A" } else { "-D" };
        let (input, output) = match self {
            Self::Both => (true, true),
            Self::Deaf => (true, false),
            Self::Mute => (false, true),
        };
        if input {
            run(&["iptables", rule, "INPUT", "-i", &cable, "-j", "DROP"]);
        }
        if output {
            run(&["iptables", rule, "OUTPUT", "-o", &cable, "-j", "DROP"]);
        }
    }
}

/// Jobs that are acknowledged, `count` on each kind of node that there is.
pub(super) fn submit(
    cluster: &Cluster,
    ledger: &mut Ledger,
    options: &str,
    job: Job,
    count: usize,
) -> Vec<u64> {
    let engines: BTreeSet<Engine> = cluster.nodes.iter().map(|node| node.engine).collect();
    let mut ids = Vec::new();
    for engine in engines {
        let line = format!(
            "task submit {options} {}",
            job.words(&cluster.starts(), engine)
        );
        for _ in 0..count {
            ids.push(ledger.acknowledge(&cluster.river(&line).good(), job));
        }
    }
    ids
}

pub(super) fn until_running(cluster: &Cluster, ids: &[u64]) {
    until("they run", || {
        let states = statuses(cluster, ids);
        states.len() == ids.len() && states.iter().all(|(_, task)| task["state"] == "running")
    });
}

fn seen(cluster: &Cluster, node: usize) -> bool {
    let name = cluster.nodes[node].name();
    let list = cluster.river("node list --json").text();
    let value: serde_json::Value = serde_json::from_str(&list).unwrap();
    let nodes = value["nodes"].as_array().unwrap();
    nodes
        .iter()
        .any(|node| node["name"] == *name && node["state"] == "ready")
}

/// Short enough that nothing is given up.
pub(super) fn partition(play: Play) -> String {
    with(&NODES, "lost_after = 1200\n", |cluster, ledger| {
        let mut told = Vec::new();
        for (seconds, cuts) in partitions(play) {
            let long = Job {
                lines: 2000,
                seconds: 5.0,
            };
            let ids = submit(cluster, ledger, "-c 0", long, 3);
            until_running(cluster, &ids);
            for (node, cut) in cuts.iter().enumerate() {
                cut.make(cluster, node, true);
            }
            // Submits go on meanwhile.
            submit(cluster, ledger, "-c 0", Job::SHORT, 3);
            pause(seconds * 1000);
            for (node, cut) in cuts.iter().enumerate() {
                cut.make(cluster, node, false);
            }
            let healed = Instant::now();
            ledger.settle(cluster);
            let what = match cuts {
                [one, other] if one == other => format!("{seconds} s {one:?}"),
                [one, other] => format!("{seconds} s {one:?} and {other:?}"),
            };
            // A runner that dialled in vain for minutes dials every ten seconds only.
            let most = if seconds > 60 { 10.0 } else { 5.0 };
            told.push(within(play, &what, healed, most));
        }
        format!(
            "right again after: {}; {}",
            told.join(", "),
            ledger.check(cluster)
        )
    })
}

/// How long, and what befalls each of the two nodes.
fn partitions(play: Play) -> Vec<(u64, [Cut; 2])> {
    let all = [Cut::Both, Cut::Deaf, Cut::Mute];
    if play.small {
        return all.map(|cut| (3, [cut; 2])).into();
    }
    let short = [10, 60]
        .into_iter()
        .flat_map(|seconds| all.map(|cut| (seconds, [cut; 2])));
    short.chain([(600, [Cut::Both, Cut::Deaf])]).collect()
}

/// Longer than a node may be silent: given up, begun again where that was asked for, and what still runs is ended.
pub(super) fn given_up(play: Play) -> String {
    let engines = [Engine::Process; 3];
    with(&engines, "lost_after = 10\n", |cluster, ledger| {
        let rounds: &[Cut] = if play.small {
            &[Cut::Both]
        } else {
            &[Cut::Both, Cut::Deaf, Cut::Mute]
        };
        let mut retried = 0;
        for cut in rounds {
            let long = Job {
                lines: 10,
                seconds: 150.0,
            };
            let plain = submit(cluster, ledger, "-t n2", long, 2);
            let again = submit(cluster, ledger, "--retry-on-lost -c 2", long, 4);
            until_running(cluster, &plain);
            until_running(cluster, &again);
            let on_first: Vec<u64> = statuses(cluster, &again)
                .into_iter()
                .filter(|(_, task)| task["node"] == "n2")
                .map(|(id, _)| id)
                .collect();
            ledger.may_be_lost.extend(plain.iter().chain(&on_first));
            cut.make(cluster, 1, true);
            until_within("what cannot be begun again is lost", NOTICED, || {
                statuses(cluster, &plain)
                    .iter()
                    .all(|(_, task)| task["state"] == "lost")
            });
            until("the rest has a second attempt, elsewhere", || {
                statuses(cluster, &on_first)
                    .iter()
                    .all(|(_, task)| task["attempt"] == 2 && task["node"] != "n2")
            });
            retried += on_first.len();
            cut.make(cluster, 1, false);
            cluster.until_ready();
            until("what was given up is ended there", || {
                cluster.nodes[1].attempts() == 0
            });
        }
        // The first attempts wrote a begin and no end, or both: neither is believed twice.
        format!("{retried} begun again; {}", ledger.check(cluster))
    })
}

/// A peer that is gone without a word.
pub(super) fn half_open(play: Play) -> String {
    with(&NODES, "", |cluster, _| {
        assert!(seen(cluster, 0));
        let begun = Instant::now();
        Cut::Both.make(cluster, 0, true);
        until_within("the gateway notices", NOTICED, || !seen(cluster, 0));
        let gateway = within(play, "gateway", begun, 46.0);
        // Longer than either side waits, so that the old connection is dead for both.
        pause(if play.small { 100 } else { 50_000 });
        Cut::Both.make(cluster, 0, false);
        let begun = Instant::now();
        cluster.until_ready();
        format!(
            "noticed by the {gateway}; {}",
            within(play, "back", begun, 60.0)
        )
    })
}

/// From now on each runner reaches the gateway by this wire.
pub(super) fn by_proxy(cluster: &mut Cluster, proxy: &Proxy) {
    for node in &mut cluster.nodes {
        node.kill_runner();
        let text = std::fs::read_to_string(node.config()).unwrap();
        let by_proxy = text.replace(&format!(":{PORT}\""), &format!(":{}\"", proxy.port));
        std::fs::write(node.config(), by_proxy).unwrap();
        node.start_runner();
    }
    cluster.until_ready();
}

/// One bit of the link at an offset, either way: noticed, dialled again, nothing twice.
pub(super) fn flips(play: Play) -> String {
    with(&NODES, "", |cluster, ledger| {
        let proxy = Proxy::start(PORT);
        by_proxy(cluster, &proxy);
        let mut rng = StdRng::seed_from_u64(play.seed);
        let rounds = if play.small { 12 } else { 300 };
        for round in 0..rounds {
            // At length all along it, each way: a step, and anywhere in it.
            let step = TALK / (rounds / 2);
            let offset = round / 2 * step + rng.random_range(0..step);
            proxy.arm(match round % 2 {
                0 => Mishap::FlipUp(offset),
                _ => Mishap::FlipDown(offset),
            });
            // The next connections are those of a link that is dialled again.
            let node = rng.random_range(0..cluster.nodes.len());
            cluster.nodes[node].kill_runner();
            cluster.nodes[node].start_runner();
            if round % 4 == 0 {
                submit(cluster, ledger, "-c 0", Job::SHORT, 2);
            }
            cluster.until_ready();
        }
        assert!(proxy.struck() > 0, "no bit was ever turned");
        format!("{} bits turned; {}", proxy.struck(), ledger.check(cluster))
    })
}

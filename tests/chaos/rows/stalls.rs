//! Programs and links that stand still, and go on.

use std::time::Duration;

use super::net::{by_proxy, submit, until_running};
use super::{Play, pause, with};
use crate::cluster::{Cluster, PORT};
use crate::ledger::{Job, Ledger, statuses};
use crate::node::Engine;
use crate::proxy::{Mishap, Proxy};
use crate::space::run;

const NODES: [Engine; 2] = [Engine::Docker, Engine::Process];
/// A false loss would be a second start.
const OPTIONS: &str = "-c 0 --retry-on-lost";

/// What stands still.
#[derive(Clone, Copy, Debug)]
enum Who {
    Gateway,
    Runners,
    Links,
}

pub(super) fn stand(play: Play) -> String {
    let stand = if play.small { 4_000 } else { 30_000 };
    let short = with(&NODES, "lost_after = 60\n", |cluster, ledger| {
        let proxy = Proxy::start(PORT);
        by_proxy(cluster, &proxy);
        for who in [Who::Gateway, Who::Runners, Who::Links] {
            let long = Job {
                lines: 500,
                seconds: 6.0,
            };
            let ids = submit(cluster, ledger, OPTIONS, long, 3);
            until_running(cluster, &ids);
            still(cluster, ledger, who, &proxy, stand);
            ledger.settle(cluster);
            never_lost(cluster, ledger);
        }
        format!(
            "stood still {} s each; {}",
            stand / 1000,
            ledger.check(cluster)
        )
    });
    format!("{short}; {}", longer(play))
}

fn still(cluster: &Cluster, ledger: &mut Ledger, who: Who, proxy: &Proxy, stand: u64) {
    match who {
        Who::Gateway => {
            let pid = cluster.gateway_pid().to_string();
            run(&["kill", "-STOP", &pid]);
            pause(stand);
            run(&["kill", "-CONT", &pid]);
        }
        Who::Runners => {
            cluster.nodes.iter().for_each(|node| node.stop_runner(true));
            pause(stand);
            submit(cluster, ledger, OPTIONS, Job::SHORT, 3);
            cluster
                .nodes
                .iter()
                .for_each(|node| node.stop_runner(false));
        }
        Who::Links => {
            proxy.arm(Mishap::Stall(Duration::from_millis(stand)));
            submit(cluster, ledger, OPTIONS, Job::SHORT, 3);
            pause(stand);
        }
    }
}

/// The gateway, for longer than a node may be silent; at length, for twice as long. One node has its link all the while;
/// the other one's runner was away when the gateway stopped, and was back long before it went on: who was not listened to
/// was not silent.
fn longer(play: Play) -> String {
    const LOST_AFTER: u64 = 10;
    let stand = if play.small {
        LOST_AFTER + 2
    } else {
        2 * LOST_AFTER
    };
    let line = format!("lost_after = {LOST_AFTER}\n");
    with(&NODES, &line, |cluster, ledger| {
        let long = Job {
            lines: 500,
            seconds: if play.small { 14.0 } else { 25.0 },
        };
        let ids = submit(cluster, ledger, OPTIONS, long, 2);
        until_running(cluster, &ids);
        let pid = cluster.gateway_pid().to_string();
        cluster.nodes[1].kill_runner();
        // That is heard before the gateway stops.
        harness::wait::until("the runner's end is noticed", || {
            cluster.river("node list").text().contains("unreachable")
        });
        run(&["kill", "-STOP", &pid]);
        cluster.nodes[1].start_runner();
        pause(stand * 1000);
        run(&["kill", "-CONT", &pid]);
        cluster.until_ready();
        ledger.settle(cluster);
        never_lost(cluster, ledger);
        format!(
            "the gateway {stand} s, where nodes are lost after {LOST_AFTER} s; {}",
            ledger.check(cluster)
        )
    })
}

/// Nor begun again.
fn never_lost(cluster: &Cluster, ledger: &Ledger) {
    let ids: Vec<u64> = ledger.acks.keys().copied().collect();
    for (id, task) in statuses(cluster, &ids) {
        assert!(
            task["state"] != "lost" && task["attempt"] == 1,
            "I2: given up though nothing was silent: task-{id} {task}"
        );
    }
}

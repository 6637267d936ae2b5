//! Docker under the tasks: gone, gone for good, meddled with; and the machine under Docker.

use std::time::Instant;

use harness::wait::until;

use super::disk::ended;
use super::net::{submit, until_running};
use super::{Play, pause, with, within};
use crate::cluster::Cluster;
use crate::ledger::{Job, Ledger, statuses};
use crate::node::Engine;
use crate::residue;

fn health(cluster: &Cluster, words: &str) -> bool {
    cluster.river("node list").text().contains(words)
}

/// Tasks end, write and wait while there is no Docker.
pub(super) fn docker_killed(play: Play) -> String {
    with(&[Engine::Docker], "", |cluster, ledger| {
        let mut told = Vec::new();
        let away: &[u64] = if play.small { &[2] } else { &[5, 60] };
        for seconds in away {
            // One ends meanwhile, one writes all the while, one is submitted.
            let short = Job {
                lines: 3000,
                seconds: 4.0,
            };
            let mut ids = submit(cluster, ledger, "-c 0", short, 3);
            let long = Job {
                lines: 30_000,
                seconds: 8.0,
            };
            ids.extend(submit(cluster, ledger, "-c 0", long, 2));
            until_running(cluster, &ids);
            cluster.nodes[0].kill_docker();
            let begun = Instant::now();
            until("its loss is shown", || health(cluster, "engine down"));
            told.push(within(play, "shown after", begun, 3.0));
            submit(cluster, ledger, "-c 0", Job::SHORT, 2);
            pause(seconds * 1000);
            cluster.nodes[0].start_docker();
            let back = Instant::now();
            ledger.settle(cluster);
            told.push(within(
                play,
                &format!("right again after {seconds} s away:"),
                back,
                60.0,
            ));
        }
        told.push(renewed(cluster));
        format!("{}; {}", told.join(", "), ledger.check(cluster))
    })
}

/// Docker 20.10 keeps the network of a container that ends in the second in which Docker itself begins, until it
/// begins again ("Removing stale sandbox"): it does, here.
fn renewed(cluster: &mut Cluster) -> String {
    // What is on its way out is not left.
    pause(3000);
    let left = residue::look(cluster);
    let left = left.iter().filter(|line| line.contains(" link: veth"));
    let left = left.count();
    if left > 0 {
        cluster.nodes[0].kill_docker();
        cluster.nodes[0].start_docker();
        cluster.until_ready();
    }
    format!("{left} networks that Docker left until its next start")
}

/// Others take the work, and the cause is shown.
pub(super) fn docker_gone(_: Play) -> String {
    with(&[Engine::Docker, Engine::Docker], "", |cluster, ledger| {
        cluster.nodes[0].kill_docker();
        until("its loss is shown", || health(cluster, "engine down"));
        let status = cluster.river("node status n1").good();
        assert!(status.contains("docker"), "no cause: {status}");
        let ids = submit(cluster, ledger, "-c 1", Job::SHORT, 6);
        ledger.settle(cluster);
        let elsewhere = statuses(cluster, &ids);
        assert!(elsewhere.iter().all(|(_, task)| task["node"] == "n2"));
        let here = cluster.river("task submit -t n1 -- true").good();
        let id = here.split_whitespace().next().unwrap();
        let why = cluster.river(&format!("task why {id}")).good();
        assert!(why.contains("engine"), "{why}");
        cluster.river(&format!("task kill {id}")).good();
        cluster.nodes[0].start_docker();
        cluster.until_ready();
        ledger.check(cluster)
    })
}

/// Of one node, by its name in /proc, inside the node's own processes.
fn pids(cluster: &Cluster, name: &str) -> Vec<u32> {
    let listed = cluster.nodes[0]
        .space
        .inside("pgrep")
        .args(["-f", name])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines().filter_map(|pid| pid.parse().ok()).collect()
}

fn kill_inside(cluster: &Cluster, pids: &[u32]) {
    for pid in pids {
        let status = cluster.nodes[0]
            .space
            .inside("kill")
            .args(["-9", &pid.to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

/// The parts below Docker.
pub(super) fn containerd(play: Play) -> String {
    with(&[Engine::Docker], "", |cluster, ledger| {
        let job = Job {
            lines: 100,
            seconds: 5.0,
        };
        let ids = submit(cluster, ledger, "-c 0", job, 2);
        until_running(cluster, &ids);
        let parent = pids(cluster, "^containerd --config");
        assert_eq!(parent.len(), 1, "{parent:?}");
        kill_inside(cluster, &parent);
        let begun = Instant::now();
        ledger.settle(cluster);
        // Their own time, and what a containerd that begins again may take to notice an end.
        let late = within(play, "ends after it known in", begun, job.seconds + 20.0);
        // A shim takes its container along: no code, and no guess.
        let ids = submit(
            cluster,
            ledger,
            "-c 0",
            Job {
                seconds: 300.0,
                ..job
            },
            1,
        );
        until_running(cluster, &ids);
        ledger.may_be_lost.extend(&ids);
        kill_inside(cluster, &pids(cluster, "containerd-shim"));
        until("its end is noticed", || {
            statuses(cluster, &ids)
                .iter()
                .all(|(_, task)| task["ended"].is_string())
        });
        let (_, task) = statuses(cluster, &ids).remove(0);
        assert_eq!(task["state"], "lost", "{task}");
        assert!(
            !task["reason"]
                .as_str()
                .unwrap_or_default()
                .contains("memory"),
            "{task}"
        );
        format!(
            "{late}; a shim's end: {} ({}); {}",
            task["state"],
            task["reason"],
            ledger.check(cluster)
        )
    })
}

fn container(cluster: &Cluster, id: u64) -> String {
    let filter = format!("label=river.attempt={id}.1");
    let found = cluster.nodes[0].docker(&["ps", "-q", "--filter", &filter]);
    found.unwrap()
}

/// With Docker's own client, behind river's back.
pub(super) fn meddled(play: Play) -> String {
    with(&[Engine::Docker], "", |cluster, ledger| {
        let job = Job {
            lines: 100,
            seconds: 300.0,
        };
        let mut told = Vec::new();
        for words in [
            &["rm", "-f"][..],
            &["restart", "-t", "0"],
            &["kill"],
            &["stop", "-t", "0"],
        ] {
            let ids = submit(cluster, ledger, "-c 0", job, 1);
            until_running(cluster, &ids);
            ledger.may_be_lost.extend(&ids);
            ledger.killed.extend(&ids);
            let container = container(cluster, ids[0]);
            // A restart may find that river has removed it: it had ended.
            let done = cluster.nodes[0].docker(&[words, &[&container]].concat());
            assert!(done.is_ok() || words[0] == "restart", "{done:?}");
            let begun = Instant::now();
            until("the state follows", || {
                statuses(cluster, &ids)
                    .iter()
                    .all(|(_, task)| task["ended"].is_string())
            });
            let (_, task) = statuses(cluster, &ids).remove(0);
            // What is told of a stop is its TERM; of a kill, nothing.
            let state = task["state"].as_str().unwrap();
            assert!(matches!(state, "lost" | "killed"), "{words:?}: {task}");
            assert!(task["reason"].is_string(), "{words:?}: {task}");
            told.push(within(
                play,
                &format!("docker {}: {}", words[0], task["reason"]),
                begun,
                5.0,
            ));
        }
        // A pause is taken back: river wants it to run.
        let job = Job {
            seconds: 2.0,
            ..job
        };
        let ids = submit(cluster, ledger, "-c 0", job, 1);
        until_running(cluster, &ids);
        let container = container(cluster, ids[0]);
        cluster.nodes[0].docker(&["pause", &container]).unwrap();
        let begun = Instant::now();
        let log = "its box was paused, and not by river";
        until("it is said", || cluster.nodes[0].runner_log().contains(log));
        until("it goes on", || {
            let format = "{{.State.Paused}}";
            let paused = cluster.nodes[0].docker(&["inspect", "-f", format, &container]);
            // One that is over and removed went on.
            paused.is_ok_and(|paused| paused == "false") || ended(cluster, &ids)
        });
        told.push(within(play, "docker pause: taken back", begun, 5.0));
        ledger.settle(cluster);
        format!("{}; {}", told.join(", "), ledger.check(cluster))
    })
}

/// The power fails: every process of the node, its mounts, its Docker's memory of what ran.
pub(super) fn reboot(play: Play) -> String {
    let engines = [Engine::Docker, Engine::Process, Engine::Docker];
    with(&engines, "", |cluster, ledger| {
        let long = Job {
            lines: 50,
            seconds: 300.0,
        };
        cluster.river("vps create --name lab -t n1 -c 0").good();
        cluster.admin.ssh_as("lab", "echo kept > /root/data").good();
        let plain: Vec<u64> = ["n1", "n2"]
            .iter()
            .flat_map(|node| on(cluster, ledger, node, "", long))
            .collect();
        until_running(cluster, &plain);
        let short = Job {
            seconds: 6.0,
            ..long
        };
        let again = submit(cluster, ledger, "--retry-on-lost -c 1", short, 4);
        until_running(cluster, &again);
        ledger.may_be_lost.extend(plain.iter().chain(&again));
        for node in &mut cluster.nodes[..2] {
            node.crash();
        }
        let begun = Instant::now();
        for node in &mut cluster.nodes[..2] {
            node.boot();
            node.start_runner();
        }
        cluster.until_ready();
        until("what ran there is lost", || {
            statuses(cluster, &plain)
                .iter()
                .all(|(_, task)| task["ended"].is_string())
        });
        let back = within(play, "back", begun, 60.0);
        for (id, task) in statuses(cluster, &plain) {
            assert_eq!(task["state"], "lost", "I3: task-{id} {task}");
            assert!(
                task["reason"].as_str().unwrap().contains("rebooted"),
                "{task}"
            );
        }
        ledger.settle(cluster);
        let retried = statuses(cluster, &again);
        assert!(
            retried.iter().all(|(_, task)| task["state"] != "lost"),
            "{retried:?}"
        );
        // The box is there again, by itself, by its name and number, with its disk.
        until("the box is back", || {
            cluster.admin.ssh_as("lab", "true").code == 0
        });
        assert_eq!(
            cluster.admin.ssh_as("vps-4", "cat /root/data").good(),
            "kept\n"
        );
        cluster.river("vps delete lab").good();
        format!("{back}; {}", ledger.check(cluster))
    })
}

fn on(cluster: &Cluster, ledger: &mut Ledger, node: &str, options: &str, job: Job) -> Vec<u64> {
    let number: usize = node[1..].parse().unwrap();
    let engine = cluster.nodes[number - 1].engine;
    let words = job.words(&cluster.starts(), engine);
    let line = format!("task submit -t {node} {options} {words}");
    (0..2)
        .map(|_| ledger.acknowledge(&cluster.river(&line).good(), job))
        .collect()
}

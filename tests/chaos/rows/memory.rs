//! A node without memory: one task takes all that the node has.

use std::path::Path;

use harness::wait::until;

use super::net::{submit, until_running};
use super::{Play, with};
use crate::cluster::Cluster;
use crate::ledger::{Job, statuses};
use crate::node::{Engine, Node, PROGRAMS};

/// All that the node's programs, its Docker and its tasks may have together, in bytes.
const MEMORY: u64 = 400 << 20;
/// What `packaging/river-runner.service` asks for, `OOMScoreAdjust`.
const RUNNER: &str = "-900";

/// The kernel ends that task and nothing else: neighbours, runner and Docker go on.
pub(super) fn used_up(_: Play) -> String {
    with(&[Engine::Docker, Engine::Process], "", |cluster, ledger| {
        for node in &cluster.nodes {
            bound(node);
        }
        let score = cluster.nodes.last().unwrap().runner_pid();
        let score = std::fs::read_to_string(format!("/proc/{score}/oom_score_adj")).unwrap();
        let programs = |cluster: &Cluster| -> Vec<(u32, u32)> {
            let nodes = cluster.nodes.iter();
            nodes
                .map(|node| (node.runner_pid(), node.docker_pid()))
                .collect()
        };
        let before = programs(cluster);
        let job = Job {
            lines: 60,
            seconds: 6.0,
        };
        let neighbours = submit(cluster, ledger, "-c 0", job, 3);
        until_running(cluster, &neighbours);
        let mut told = Vec::new();
        for node in &cluster.nodes {
            let name = node.name();
            // tail(1) keeps what has no end of line.
            let line = format!("task submit -q -c 0 -t {name} -- tail /dev/zero");
            let id: u64 = cluster.river(&line).good().trim().parse().unwrap();
            assert_eq!(cluster.river(&format!("task wait {id}")).code, 137);
            let (_, status) = statuses(cluster, &[id]).remove(0);
            told.push(format!("{name}: {}", status["state"].as_str().unwrap()));
        }
        ledger.settle(cluster);
        cluster.until_ready();
        assert_eq!(programs(cluster), before);
        for (runner, docker) in before {
            for pid in [runner, docker].into_iter().filter(|pid| *pid != 0) {
                assert!(Path::new(&format!("/proc/{pid}")).exists(), "{pid} ended");
            }
        }
        let (told, score) = (told.join(", "), score.trim());
        format!(
            "{told}; runners, at {score}, and Docker went on; {}",
            ledger.check(cluster)
        )
    })
}

/// Gives a node no more than [`MEMORY`], of which its containers have what its programs leave.
fn bound(node: &Node) {
    let first = Path::new("/sys/fs/cgroup/memory");
    let (root, limit) = if first.is_dir() {
        (first, "memory.limit_in_bytes")
    } else {
        (Path::new("/sys/fs/cgroup"), "memory.max")
    };
    let group = root.join(node.cgroup().trim_start_matches('/'));
    // Of the second version only leaves have processes, and Docker's are below this group, too.
    let leaf = group.join(PROGRAMS);
    std::fs::create_dir_all(&leaf).unwrap();
    std::fs::write(group.join(limit), MEMORY.to_string()).unwrap();
    let score = format!("/proc/{}/oom_score_adj", node.runner_pid());
    // Where even root may not: then it is one among all, and the largest goes.
    let _ = std::fs::write(&score, RUNNER);
    for pid in [node.runner_pid(), node.docker_pid()] {
        for pid in below(pid) {
            let _ = std::fs::write(leaf.join("cgroup.procs"), pid.to_string());
        }
    }
    until("its programs are in the group", || {
        let inside = std::fs::read_to_string(leaf.join("cgroup.procs")).unwrap();
        inside
            .lines()
            .any(|line| line == node.runner_pid().to_string())
    });
}

/// A process and all that it began; none for 0.
fn below(pid: u32) -> Vec<u32> {
    if pid == 0 {
        return Vec::new();
    }
    let mut all = vec![pid];
    // Each thread has children of its own.
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    for thread in threads.into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(thread.path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            all.extend(below(child.parse().unwrap()));
        }
    }
    all
}

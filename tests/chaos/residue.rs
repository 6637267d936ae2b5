//! What is on the nodes, before and after: containers, processes, links, rules, mounts, folders, open doors.

use std::collections::BTreeSet;
use std::process::Command;

use harness::wait::until;

use crate::cluster::Cluster;
use crate::node::{Engine, Node};

/// One line for each thing.
pub(crate) type Residue = BTreeSet<String>;

pub(crate) fn look(cluster: &Cluster) -> Residue {
    cluster.nodes.iter().flat_map(of).collect()
}

fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(ToOwned::to_owned).collect()
}

fn of(node: &Node) -> Vec<String> {
    let name = node.name();
    let mut found = Vec::new();
    let mut add = |kind: &str, line: String| found.push(format!("{name} {kind}: {line}"));
    if node.engine == Engine::Docker {
        let listed = node.docker(&["ps", "-a", "--format", "{{.Names}} {{.Status}}"]);
        for line in listed.unwrap_or_default().lines() {
            // How long it is up is no difference.
            add(
                "container",
                line.split(" (")
                    .next()
                    .unwrap_or_default()
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    for line in lines(node.space.in_network("ip").args(["-o", "link"])) {
        let link = line.split(": ").nth(1).unwrap_or_default().to_owned();
        add("link", link);
    }
    for line in lines(&mut node.space.in_network("iptables-save")) {
        if line.starts_with("-A") {
            add("rule", line);
        }
    }
    for line in lines(node.space.in_network("ss").args(["-Hltn"])) {
        add(
            "door",
            line.split_whitespace()
                .nth(3)
                .unwrap_or_default()
                .to_owned(),
        );
    }
    let own = node.dir.display().to_string();
    for line in lines(node.space.inside("cat").arg("/proc/mounts")) {
        let place = line.split(' ').nth(1).unwrap_or_default();
        if place.starts_with(&own) {
            add("mount", place.to_owned());
        }
    }
    for line in lines(node.space.inside("ps").args(["-eo", "comm="])) {
        if !matches!(
            line.as_str(),
            "ps" | "river-chaos" | "river-runner" | "dockerd" | "containerd"
        ) {
            add("process", line);
        }
    }
    // As the node sees it: it may lie on a disk of its own.
    for line in lines(node.space.inside("ls").arg(node.state().join("a"))) {
        add("folder", line);
    }
    found
}

/// As it is without tasks, except for what a node has of its own.
pub(crate) fn idle(cluster: &Cluster) -> Residue {
    let tasks = |line: &String| {
        ["container", "process", "folder", "mount"]
            .iter()
            .any(|kind| line.contains(&format!(" {kind}: ")))
    };
    look(cluster)
        .into_iter()
        .filter(|line| {
            !tasks(line) || line.ends_with("/r/a") || line.ends_with("/r") || line.ends_with("/d")
        })
        .collect()
}

/// I5: what is there is what was there before.
pub(crate) fn until_clean(cluster: &Cluster, before: &Residue) {
    let mut more = Vec::new();
    let clean = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("nothing is left", || {
            more = look(cluster).difference(before).cloned().collect();
            more.is_empty()
        });
    }));
    assert!(clean.is_ok(), "I5: left behind: {more:#?}");
}

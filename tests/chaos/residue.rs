//! What is on the nodes and at the gateway, before and after: containers, processes, links, networks, rules, mounts,
//! groups, folders, half-written files, open doors, open files.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use harness::wait::until;

use crate::cluster::Cluster;
use crate::node::{Engine, Node, PROGRAMS, cgroups};

/// One line for each thing.
pub(crate) type Residue = BTreeSet<String>;

/// Files that a program may have open beside those of before: connections that are about to end, the store's own.
const SLACK: usize = 12;

pub(crate) fn look(cluster: &Cluster) -> Residue {
    let half = half_written(Command::new("find"), &cluster.state());
    let gateway = half.into_iter().map(|file| format!("gateway file: {file}"));
    cluster.nodes.iter().flat_map(of).chain(gateway).collect()
}

fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(ToOwned::to_owned).collect()
}

/// A column of each line; what it is counted from is 0.
fn column(lines: Vec<String>, number: usize) -> impl Iterator<Item = String> {
    lines.into_iter().map(move |line| {
        let word = line.split_whitespace().nth(number);
        nameless(word.unwrap_or_default())
    })
}

/// Ids that Docker makes up anew each time it begins are all the same; as is a name that the kernel gave, unix(7).
fn nameless(text: &str) -> String {
    if text.len() == 6 && text.starts_with('@') {
        return "@ID".to_owned();
    }
    let mut said = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let id = part.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        said.push_str(if id.len() >= 10 { "ID" } else { id });
        said.push_str(&part[id.len()..]);
    }
    said
}

/// What is written beside its place until it is whole.
fn half_written(mut find: Command, state: &Path) -> Vec<String> {
    find.arg(state)
        .args(["-name", "*.part*", "-o", "-name", "*.tmp*"]);
    lines(&mut find)
}

fn of(node: &Node) -> Vec<String> {
    let name = node.name();
    let mut found = Vec::new();
    let mut add = |kind: &str, line: String| found.push(format!("{name} {kind}: {line}"));
    if node.engine == Engine::Docker {
        let asked = |words: &[&str]| node.docker(words).unwrap_or_default();
        let containers = asked(&["ps", "-a", "--format", "{{.Names}}"]);
        containers
            .lines()
            .for_each(|line| add("container", line.to_owned()));
        let networks = asked(&["network", "ls", "--format", "{{.Name}}"]);
        networks
            .lines()
            .for_each(|line| add("network", line.to_owned()));
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
    // Of unix sockets the kind stands before the rest.
    for (kind, option, number) in [
        ("door", "-Hltn", 3),
        ("datagram door", "-Hlnu", 3),
        ("socket", "-Hlnx", 4),
    ] {
        let listed = lines(node.space.in_network("ss").arg(option));
        column(listed, number).for_each(|door| add(kind, door));
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
    for file in half_written(node.space.inside("find"), &node.state()) {
        add("file", file);
    }
    // The node's own is none, nor the one that its own programs are put into.
    for group in cgroups(&node.cgroup()) {
        let own = group.ends_with(node.cgroup().trim_start_matches('/'));
        if !own && !group.ends_with(PROGRAMS) {
            add("group", group.display().to_string());
        }
    }
    found
}

/// As it is without tasks, except for what a node has of its own.
pub(crate) fn idle(cluster: &Cluster) -> Residue {
    let tasks = |line: &String| {
        ["container", "process", "folder", "mount", "group", "file"]
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
    let clean = catch_unwind(AssertUnwindSafe(|| {
        until("nothing is left", || {
            more = look(cluster).difference(before).cloned().collect();
            more.is_empty()
        });
    }));
    assert!(clean.is_ok(), "I5: left behind: {more:#?}");
}

/// How many files a program has open.
fn open(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Those of the gateway and of each runner.
pub(crate) fn open_files(cluster: &Cluster) -> Vec<usize> {
    let runners = cluster.nodes.iter().map(Node::runner_pid);
    std::iter::once(cluster.gateway_pid())
        .chain(runners)
        .map(open)
        .collect()
}

/// I5: of the gateway and of each runner, too.
pub(crate) fn until_closed(cluster: &Cluster, before: &[usize]) {
    let mut now = Vec::new();
    let closed = catch_unwind(AssertUnwindSafe(|| {
        until("files are closed again", || {
            now = open_files(cluster);
            now.iter()
                .zip(before)
                .all(|(now, before)| *now <= before + SLACK)
        });
    }));
    assert!(
        closed.is_ok(),
        "I5: open files of the gateway and each runner: {now:?}, before {before:?}"
    );
}

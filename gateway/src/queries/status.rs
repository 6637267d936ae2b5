//! `status`: the cluster in numbers, the caller's part of it, and what is not well.

use cluster::{NodeState, Task, TaskState, Timestamp};
use keys::{Actor, Role};
use shell::render::units::span;
use shell::reply::{NodeRow, OwnCounts, Status, Wrong};

use crate::state::State;

pub(super) fn status(state: &State, actor: &Actor, now: Timestamp) -> Status {
    let nodes: Vec<NodeRow> = state.nodes().map(|node| state.node_row(node)).collect();
    let own = || {
        state
            .tasks()
            .filter(|task| task.owner == actor.account)
            .map(AsRef::as_ref)
    };
    // Not by looking at each task of a long queue.
    let all = counts(state.placed().map(AsRef::as_ref));
    let recent = state
        .tasks()
        .rev()
        .filter(|task| task.owner == actor.account);
    Status {
        version: state.settings().version.clone(),
        account: Some(actor.account.clone()),
        wrong: wrong(&nodes, actor, now),
        nodes,
        pending: state.queue_len(),
        running: all.running,
        paused: all.paused,
        boxes: all.boxes,
        own: counts(own()),
        recent: recent.take(5).map(|task| state.task_row(task)).collect(),
    }
}

fn counts<'a>(tasks: impl Iterator<Item = &'a Task>) -> OwnCounts {
    let mut counts = OwnCounts::default();
    for task in tasks {
        if task.state == TaskState::Pending {
            counts.pending += 1;
        }
        if !task.state.holds_resources() {
            continue;
        }
        match (task.is_vps(), task.state == TaskState::Paused) {
            (true, _) => counts.boxes += 1,
            (false, true) => counts.paused += 1,
            (false, false) => counts.running += 1,
        }
    }
    counts
}

/// Nodes that cannot do their work, worst first; what an operator is to look after, for operators.
fn wrong(nodes: &[NodeRow], actor: &Actor, now: Timestamp) -> Vec<Wrong> {
    let mut found: Vec<(u8, Wrong)> = Vec::new();
    let operates = actor.role >= Role::Operator;
    let mut say = |rank, what, next| found.push((rank, Wrong { what, next }));
    for row in nodes {
        let name = &row.node.name;
        let gone = row.gone(now);
        match row.state {
            NodeState::Lost => say(
                0,
                format!("{name} is lost: no connection {gone}, its tasks were given up"),
                format!("doctor {name}"),
            ),
            NodeState::Unreachable => say(
                1,
                format!("{name} is unreachable: no connection {gone}"),
                format!("doctor {name}"),
            ),
            NodeState::Joining if operates => say(
                4,
                format!("{name} has never connected"),
                format!("node bootstrap {name}"),
            ),
            NodeState::Joining | NodeState::Ready | NodeState::Draining => {}
        }
        if let Some(since) = row.engine_down_since {
            let down = span(now.since(since));
            say(
                2,
                format!("{name}: its engine is down for {down}"),
                format!("doctor {name}"),
            );
        }
        if let Some(disk) = &row.disk {
            say(
                2,
                format!("{name} begins nothing new: {}", disk.what),
                format!("doctor {name}"),
            );
        }
        let unknown = row.unknown.len() + row.strangers.len();
        if unknown > 0 && operates {
            let plural = if unknown == 1 { "thing" } else { "things" };
            say(
                3,
                format!("{name} has {unknown} {plural} that this gateway does not know"),
                format!("node status {name}"),
            );
        }
    }
    if nodes.is_empty() {
        let next = if operates {
            "node bootstrap NAME"
        } else {
            "node list"
        };
        say(4, "no node has joined yet".to_owned(), next.to_owned());
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, wrong)| wrong).collect()
}

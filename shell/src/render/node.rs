//! Rows and details of nodes, and the cluster in a few lines.

use cluster::{NodeState, Resources, Timestamp};
use keys::NodeName;

use super::table::{fields, table};
use super::units::{bytes, span, time};
use super::{View, task};
use crate::escape::safe;
use crate::reply::{NodeRow, Status, TaskRow};

/// Letters of what a node says of its disk, in a list.
const WORDS: usize = 24;

pub(super) fn list(rows: &[NodeRow], view: &View) -> (String, Option<String>) {
    if rows.is_empty() {
        let next = "next: node list, and an operator adds one by node invite NAME";
        return ("no nodes\n".to_owned(), Some(next.to_owned()));
    }
    let lines = rows.iter().map(|row| {
        let (cores, memory) = room(row);
        let engine = row.node.facts.as_ref().map(|f| f.engine.to_string());
        vec![
            row.node.name.to_string(),
            standing(row),
            engine.unwrap_or_else(|| "-".to_owned()),
            cores,
            memory,
            row.running.to_string(),
            seen(row, view),
        ]
    });
    let head = [
        "NAME", "STATE", "ENGINE", "CORES", "MEMORY", "TASKS", "SEEN",
    ];
    (table(&head, lines.collect(), view.width), None)
}

/// A node without its engine, or without room on its disk, is there and begins nothing.
fn standing(row: &NodeRow) -> String {
    match (&row.engine_error, &row.disk) {
        (Some(_), _) => format!("{} (engine down)", row.state),
        (None, Some(disk)) => {
            let what: String = disk.what.chars().take(WORDS).collect();
            format!("{} ({})", row.state, safe(&what))
        }
        (None, None) => row.state.to_string(),
    }
}

/// Used of offered: cores, memory.
fn room(row: &NodeRow) -> (String, String) {
    let Some(facts) = &row.node.facts else {
        return ("-".to_owned(), "-".to_owned());
    };
    let has = facts.resources();
    (
        format!("{}/{}", row.used.cores, has.cores),
        format!("{}/{}", bytes(row.used.memory), bytes(has.memory)),
    )
}

fn seen(row: &NodeRow, view: &View) -> String {
    match (row.state, row.node.seen) {
        (NodeState::Ready | NodeState::Draining, _) => "now".to_owned(),
        (_, Some(at)) => format!("{} ago", span(view.now.since(at))),
        (_, None) => "never".to_owned(),
    }
}

pub(super) fn details(row: &NodeRow, tasks: &[TaskRow], view: &View) -> String {
    let (cores, memory) = room(row);
    let facts = row.node.facts.as_ref();
    let mut text = fields(&[
        ("node", row.node.name.to_string()),
        ("state", row.state.to_string()),
        ("seen", seen(row, view)),
        ("joined", time(row.node.joined)),
        ("cores", format!("{cores} used")),
        ("memory", format!("{memory} used")),
        (
            "engine",
            facts
                .map(|f| format!("{} {}", f.engine, safe(&f.engine_version)))
                .unwrap_or_default(),
        ),
        (
            "engine down",
            row.engine_error.as_deref().map(safe).unwrap_or_default(),
        ),
        (
            "disk",
            row.disk
                .as_ref()
                .map(|disk| format!("{}: {}", safe(&disk.what), safe(&disk.detail)))
                .unwrap_or_default(),
        ),
        (
            "open to",
            facts.map(|f| format!("{}s", f.open_to)).unwrap_or_default(),
        ),
        (
            "kernel",
            facts
                .map(|f| format!("{} {}", safe(&f.kernel), safe(&f.arch)))
                .unwrap_or_default(),
        ),
        (
            "runner",
            facts.map(|f| safe(&f.runner_version)).unwrap_or_default(),
        ),
    ]);
    for stranger in &row.strangers {
        text.push_str(&format!(
            "unknown to this gateway, left alone: {}\n",
            safe(&stranger.name)
        ));
    }
    if !tasks.is_empty() {
        text.push('\n');
        text.push_str(&task::list(tasks, false, view).0);
    }
    text
}

pub(super) fn status(status: &Status, view: &View) -> String {
    let ready: Vec<&NodeRow> = status
        .nodes
        .iter()
        .filter(|row| row.state == NodeState::Ready)
        .collect();
    let total = ready.iter().filter_map(|row| row.node.facts.as_ref());
    let total = total.fold(Resources::default(), |sum, facts| {
        sum.plus(facts.resources())
    });
    let used = ready
        .iter()
        .fold(Resources::default(), |sum, row| sum.plus(row.used));
    let mut text = fields(&[
        ("river", safe(&status.version)),
        (
            "you",
            status
                .account
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        (
            "nodes",
            format!("{} ready of {}", ready.len(), status.nodes.len()),
        ),
        ("cores", format!("{} used of {}", used.cores, total.cores)),
        (
            "memory",
            format!("{} used of {}", bytes(used.memory), bytes(total.memory)),
        ),
        (
            "tasks",
            format!(
                "{} pending, {} running, {} paused",
                status.pending, status.running, status.paused
            ),
        ),
    ]);
    for row in status
        .nodes
        .iter()
        .filter(|row| row.state != NodeState::Ready)
    {
        text.push_str(&format!(
            "{} is {}, seen {}\n",
            row.node.name,
            row.state,
            seen(row, view)
        ));
    }
    for row in &status.nodes {
        if let Some(error) = &row.engine_error {
            text.push_str(&format!(
                "{}: its engine is down: {}\n",
                row.node.name,
                safe(error)
            ));
        }
    }
    text
}

pub(super) fn welcome(welcome: &Status, view: &View) -> String {
    let mut text = status(welcome, view);
    if !welcome.recent.is_empty() {
        text.push_str("\nyour latest tasks:\n");
        text.push_str(&task::list(&welcome.recent, false, view).0);
    }
    text.push_str(
        "\ntry:\n  ssh river task run -- echo hello\n  ssh river task submit -c 1 -- sleep 60\n  \
         ssh river task list\n  ssh river help\n",
    );
    text
}

pub(super) fn invited(
    node: &NodeName,
    token: &str,
    expires: Timestamp,
    view: &View,
) -> (String, Option<String>) {
    let text = format!("{token}\n");
    let left = span(expires.since(view.now));
    let next = format!(
        "one use, lasts {left}. On {node}: river-runner join --token-file FILE, then start river-runner"
    );
    (text, Some(next))
}

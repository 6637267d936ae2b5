//! Rows and details of nodes, and the cluster in a few lines.

use std::time::Duration;

use cluster::{AttemptId, NodeState, Resources, Timestamp};
use keys::NodeName;

use super::table::{fields, table};
use super::units::{bytes, span, time};
use super::{View, task};
use crate::escape::safe;
use crate::reply::{NodeRow, Status, TaskRow, Unknown, Wrong};

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

/// Seconds of silence on a link that are usual: a runner says something every 15.
const USUAL: u64 = 20;

/// A node without its engine, or without room on its disk, is there and begins nothing.
fn standing(row: &NodeRow) -> String {
    match (&row.engine_error, &row.disk, silent(row)) {
        (Some(_), ..) => format!("{} (engine down)", row.state),
        (None, Some(disk), _) => {
            let what: String = disk.what.chars().take(WORDS).collect();
            format!("{} ({})", row.state, safe(&what))
        }
        (None, None, Some(_)) => format!("{} (silent)", row.state),
        (None, None, None) => row.state.to_string(),
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

/// It has a link, and has not said a word for longer than is usual.
fn silent(row: &NodeRow) -> Option<Duration> {
    row.quiet.filter(|quiet| quiet.as_secs() > USUAL)
}

/// How old what is shown of it is.
fn seen(row: &NodeRow, view: &View) -> String {
    match (row.state, row.node.seen) {
        (NodeState::Ready | NodeState::Draining, _) => match silent(row) {
            Some(silent) => format!("{} ago", span(silent)),
            None => "now".to_owned(),
        },
        (_, Some(at)) => match row.missed {
            Some(began) => format!("over {} ago", span(view.now.since(began))),
            None => format!("{} ago", span(view.now.since(at))),
        },
        (_, None) => "never".to_owned(),
    }
}

impl NodeRow {
    /// `for 5m00s`, `since this gateway began, 3m05s ago`: no connection.
    #[must_use]
    pub fn gone(&self, now: Timestamp) -> String {
        match (self.missed, self.node.seen) {
            (Some(began), _) => format!("since this gateway began, {} ago", span(now.since(began))),
            (None, Some(at)) => format!("for {}", span(now.since(at))),
            (None, None) => "ever".to_owned(),
        }
    }
}

/// What it last said of itself is no news without a link.
fn since(row: &NodeRow, view: &View) -> String {
    let known = row.node.facts.is_some();
    match (row.since, row.node.seen) {
        (Some(since), _) => format!("for {}", span(view.now.since(since))),
        (None, Some(_)) if known && row.missed.is_some() => {
            "no; engine, kernel and runner are of before this gateway began".to_owned()
        }
        (None, Some(at)) if known => {
            let age = span(view.now.since(at));
            format!("no; engine, kernel and runner are as of {age} ago")
        }
        (None, _) => "no".to_owned(),
    }
}

/// Since when its engine is down, and what it said.
fn engine_down(row: &NodeRow, view: &View) -> String {
    let Some(error) = &row.engine_error else {
        return String::new();
    };
    let since = row.engine_down_since.map(|at| span(view.now.since(at)));
    let since = since.map_or_else(String::new, |since| format!("for {since}: "));
    format!("{since}{}", safe(error))
}

pub(super) fn details(row: &NodeRow, tasks: &[TaskRow], view: &View) -> String {
    let (cores, memory) = room(row);
    let facts = row.node.facts.as_ref();
    let mut text = fields(&[
        ("node", row.node.name.to_string()),
        ("state", row.state.to_string()),
        (
            "seen",
            match row.missed {
                Some(_) => format!("not {}", row.gone(view.now)),
                None => seen(row, view),
            },
        ),
        ("connected", since(row, view)),
        ("joined", time(row.node.joined)),
        ("cores", format!("{cores} used")),
        ("memory", format!("{memory} used")),
        (
            "engine",
            facts
                .map(|f| format!("{} {}", f.engine, safe(&f.engine_version)))
                .unwrap_or_default(),
        ),
        ("engine down", engine_down(row, view)),
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
    text.push_str(&unknown(row));
    if !tasks.is_empty() {
        text.push('\n');
        text.push_str(&task::list(tasks, false, view).0);
    }
    text
}

/// What nobody here knows, and how it is ended.
fn unknown(row: &NodeRow) -> String {
    let name = &row.node.name;
    let mut text = String::new();
    for Unknown {
        attempt,
        phase,
        ending,
    } in &row.unknown
    {
        let next = match ending {
            true => "on its way out".to_owned(),
            false => format!("`node forget {name} {attempt}` ends and removes it"),
        };
        let line = format!("unknown to this gateway, left alone: {attempt} ({phase}); {next}\n");
        text.push_str(&line);
    }
    for stranger in &row.strangers {
        let label = safe(&stranger.name);
        let line = format!("unknown to this gateway and to its runner, left alone: {label}\n");
        text.push_str(&line);
    }
    text
}

/// `2 ready, 1 lost`
fn by_state(nodes: &[NodeRow]) -> String {
    let all = [
        NodeState::Ready,
        NodeState::Draining,
        NodeState::Unreachable,
        NodeState::Lost,
        NodeState::Joining,
    ];
    let count = |state| nodes.iter().filter(|row| row.state == state).count();
    let counts = all.map(|state| (count(state), state));
    let some = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = some.map(|(n, state)| format!("{n} {state}")).collect();
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(", "),
    }
}

pub(super) fn status(status: &Status, view: &View) -> String {
    let ready = || {
        let rows = status.nodes.iter();
        rows.filter(|row| row.state == NodeState::Ready)
    };
    let total = ready().filter_map(|row| row.node.facts.as_ref());
    let total = total.fold(Resources::default(), |sum, facts| {
        sum.plus(facts.resources())
    });
    let used = ready().fold(Resources::default(), |sum, row| sum.plus(row.used));
    let counts = |pending, running, paused, boxes| {
        let plural = if boxes == 1 { "box" } else { "boxes" };
        format!("{pending} waiting, {running} running, {paused} paused; {boxes} {plural}")
    };
    let own = &status.own;
    let account = status.account.as_ref().map(ToString::to_string);
    let mut text = fields(&[
        ("river", safe(&status.version)),
        ("you", account.unwrap_or_default()),
        ("nodes", by_state(&status.nodes)),
        ("cores", format!("{} used of {}", used.cores, total.cores)),
        (
            "memory",
            format!("{} used of {}", bytes(used.memory), bytes(total.memory)),
        ),
        (
            "tasks",
            counts(status.pending, status.running, status.paused, status.boxes),
        ),
        (
            "yours",
            counts(own.pending, own.running, own.paused, own.boxes),
        ),
    ]);
    for wrong in &status.wrong {
        text.push_str(&wrong_line(wrong, view));
    }
    text
}

/// In one line where it has room, else in two.
fn wrong_line(Wrong { what, next }: &Wrong, view: &View) -> String {
    let line = format!("{}; look: {}", safe(what), safe(next));
    if line.chars().count() <= view.columns() {
        return format!("{line}\n");
    }
    format!("{}\n  look: {}\n", safe(what), safe(next))
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

pub(super) fn changed(verb: &str, node: &NodeName, running: usize) -> (String, Option<String>) {
    let tail = match running {
        0 => String::new(),
        1 => ", 1 task runs on".to_owned(),
        _ => format!(", {running} tasks run on"),
    };
    let next = format!("next: node status {node}");
    (format!("{node} {verb}{tail}\n"), Some(next))
}

pub(super) fn forgotten(node: &NodeName, attempt: AttemptId) -> (String, Option<String>) {
    let next = format!("next: node status {node}");
    let text = format!("{node} was told to end and remove {attempt}\n");
    (text, Some(next))
}

//! Rows and details of tasks.

use std::sync::Arc;

use cluster::{Image, StopReason, Task, TaskId, Wanted};

use super::table::{fields, table};
use super::units::{bytes, span, time};
use super::{View, by_line};
use crate::escape::safe;
use crate::reply::{SnapshotRow, TaskRow, Why};
use crate::words::quote;

pub(super) fn submitted(tasks: &[Arc<Task>], known: &[TaskId]) -> (String, Option<String>) {
    let line = |task: &Arc<Task>| {
        let again = known.contains(&task.id);
        let again = if again { " (known by its key)" } else { "" };
        format!("{} {}{again}\n", task.label(), task.name)
    };
    let lines = tasks.iter().map(line).collect();
    if let Some(vps) = tasks.first().filter(|task| task.is_vps()) {
        let (label, id) = (vps.label(), vps.id.0);
        let next = format!("next: ssh {label}@river (it opens once the box runs), vps status {id}");
        return (lines, Some(next));
    }
    let first = tasks.first().map_or(0, |task| task.id.0);
    (
        lines,
        Some(format!("next: task logs {first} -f, task status {first}")),
    )
}

pub(super) fn changed(verb: &str, found: &[Arc<Task>]) -> (String, Option<String>) {
    let lines = found
        .iter()
        .map(|task| format!("{} {verb}\n", task.label()));
    let next = match found.first() {
        Some(task) if !task.is_vps() => format!("next: task status {}", task.id.0),
        Some(_) | None => "next: vps list".to_owned(),
    };
    (lines.collect(), Some(next))
}

pub(super) fn opened(tasks: &[Arc<Task>], private: &str) -> (String, Option<String>) {
    let (lines, _) = submitted(tasks, &[]);
    let label = tasks.first().map(|task| task.label()).unwrap_or_default();
    let next =
        format!("{lines}next: keep the key in a file of mode 600, then ssh -i FILE {label}@river");
    (by_line(private), Some(next))
}

/// `running (node unreachable 40 s)`, `running (stopping)`.
pub(super) fn state(row: &TaskRow, view: &View) -> String {
    let task = &row.task;
    let name = task.state.name();
    if let Some(since) = row.unreachable_since {
        let silent = view.now.since(since).as_secs();
        return format!("{name} (node unreachable {silent} s)");
    }
    if let Some(since) = row.engine_down_since {
        let down = view.now.since(since).as_secs();
        return format!("{name} (engine down {down} s)");
    }
    if task.state.holds_resources() && task.wanted == Wanted::Stop(StopReason::Killed) {
        return format!("{name} (stopping)");
    }
    name.to_owned()
}

pub(super) fn list(rows: &[TaskRow], more: bool, view: &View) -> (String, Option<String>) {
    if rows.iter().any(|row| row.task.is_vps()) {
        return boxes(rows, more, view);
    }
    if rows.is_empty() {
        let next = "next: task run -- echo hello, or task list -a for ended ones";
        return ("no tasks\n".to_owned(), Some(next.to_owned()));
    }
    let lines = rows.iter().map(|row| {
        let task = &row.task;
        vec![
            task.id.0.to_string(),
            task.name.to_string(),
            task.owner.to_string(),
            state(row, view),
            node(task),
            task.spec.cores.to_string(),
            elapsed(task, view),
            short_command(task, 28),
        ]
    });
    let head = [
        "ID", "NAME", "OWNER", "STATE", "NODE", "CORES", "TIME", "COMMAND",
    ];
    let next = more.then(|| "more: task list -n 500".to_owned());
    (table(&head, lines.collect(), view.width), next)
}

pub(super) fn no_boxes() -> (String, Option<String>) {
    let next = "next: vps create --name NAME, or vps list -a for deleted ones";
    ("no boxes\n".to_owned(), Some(next.to_owned()))
}

fn boxes(rows: &[TaskRow], more: bool, view: &View) -> (String, Option<String>) {
    let lines = rows.iter().map(|row| {
        let task = &row.task;
        vec![
            task.id.0.to_string(),
            task.name.to_string(),
            task.owner.to_string(),
            state(row, view),
            node(task),
            task.spec.cores.to_string(),
            elapsed(task, view),
            format!("ssh {}@river", task.label()),
        ]
    });
    let head = [
        "ID", "NAME", "OWNER", "STATE", "NODE", "CORES", "TIME", "ENTER",
    ];
    let next = if more {
        "more: vps list -a"
    } else {
        "next: ssh config, for ~/.ssh/config and editors"
    };
    (
        table(&head, lines.collect(), view.width),
        Some(next.to_owned()),
    )
}

pub(super) fn snapshots(
    vps: TaskId,
    rows: &[SnapshotRow],
    view: &View,
) -> (String, Option<String>) {
    if rows.is_empty() {
        let next = format!("next: vps snapshot create {}", vps.0);
        return ("no snapshots\n".to_owned(), Some(next));
    }
    let lines = rows
        .iter()
        .map(|row| vec![row.name.to_string(), time(row.made), bytes(row.size)]);
    let next = format!(
        "next: vps stop {0}, vps snapshot restore {0} NAME, vps restart {0}",
        vps.0
    );
    (
        table(&["NAME", "MADE", "SIZE"], lines.collect(), view.width),
        Some(next),
    )
}

pub(super) fn details(rows: &[TaskRow], view: &View) -> String {
    let parts: Vec<String> = rows.iter().map(|row| detail(row, view)).collect();
    parts.join("\n")
}

fn detail(row: &TaskRow, view: &View) -> String {
    let task = &row.task;
    let spec = &task.spec;
    let image = match &spec.image {
        Image::Default => "the default environment".to_owned(),
        Image::Reference(image) | Image::Environment(image) => safe(image),
    };
    let memory = if spec.memory == 0 {
        "no memory limit".to_owned()
    } else {
        bytes(spec.memory)
    };
    let needs = format!("{}, {memory}", cores(task));
    let outcome = task.outcome.as_ref().map(|outcome| {
        let reason = outcome
            .reason
            .as_deref()
            .map(|reason| format!(", {}", safe(reason)));
        format!("code {}{}", outcome.code, reason.unwrap_or_default())
    });
    let limit = spec
        .time_limit_ms
        .map(|ms| span(std::time::Duration::from_millis(ms)));
    let output = format!(
        "{} stdout, {} stderr",
        bytes(task.output.stdout),
        bytes(task.output.stderr)
    );
    fields(&[
        (
            if task.is_vps() { "vps" } else { "task" },
            format!("{} {}", task.label(), task.name),
        ),
        ("state", state(row, view)),
        ("result", outcome.unwrap_or_default()),
        ("note", task.note.as_deref().map(safe).unwrap_or_default()),
        ("owner", task.owner.to_string()),
        ("command", short_command(task, 400)),
        ("node", node(task)),
        ("needs", needs),
        ("image", image),
        (
            "attempt",
            if task.attempt > 1 {
                task.attempt.to_string()
            } else {
                String::new()
            },
        ),
        ("limit", limit.unwrap_or_default()),
        ("submitted", time(task.submitted)),
        ("started", task.started.map(time).unwrap_or_default()),
        ("ended", task.ended.map(time).unwrap_or_default()),
        (
            "ran",
            if task.started.is_some() {
                elapsed(task, view)
            } else {
                String::new()
            },
        ),
        (
            "output",
            if task.state.is_final() {
                output
            } else {
                String::new()
            },
        ),
    ])
}

fn cores(task: &Task) -> String {
    match (&task.placement, task.spec.cores) {
        (_, 0) => "no core limit".to_owned(),
        (Some(placement), count) if !task.state.is_final() => {
            let numbers: Vec<String> = placement.cores.iter().map(ToString::to_string).collect();
            format!("{} ({})", amount(count), numbers.join(","))
        }
        (_, count) => amount(count),
    }
}

fn amount(cores: u32) -> String {
    let plural = if cores == 1 { "" } else { "s" };
    format!("{cores} core{plural}")
}

pub(super) fn why(why: &Why, view: &View) -> String {
    let mut text = format!("{} is {}\n", why.row.task.label(), state(&why.row, view));
    if let Some(position) = why.position {
        text.push_str(&format!("place {position} in the queue\n"));
    }
    for reason in &why.reasons {
        text.push_str(&format!("{}\n", safe(reason)));
    }
    for (node, reason) in &why.nodes {
        text.push_str(&format!("  {node}: {}\n", safe(reason)));
    }
    if let Some(at) = why.starts_by {
        text.push_str(&format!("starts by {} at the latest\n", time(at)));
    }
    text
}

fn node(task: &Task) -> String {
    let placed = task.placement.as_ref().map(|p| p.node.to_string());
    placed.unwrap_or_else(|| "-".to_owned())
}

/// How long it ran, or has waited.
fn elapsed(task: &Task, view: &View) -> String {
    let from = task.started.unwrap_or(task.submitted);
    span(task.ended.unwrap_or(view.now).since(from))
}

fn short_command(task: &Task, longest: usize) -> String {
    let words: Vec<String> = task
        .spec
        .command
        .iter()
        .take(64)
        .map(|word| quote(word))
        .collect();
    let line = safe(&words.join(" "));
    if line.chars().count() <= longest {
        return line;
    }
    let short: String = line.chars().take(longest - 1).collect();
    format!("{short}…")
}

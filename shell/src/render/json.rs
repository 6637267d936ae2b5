//! Replies for programs: one object, stable keys, RFC 3339 times, bytes and milliseconds as integers.

use std::sync::Arc;

use cluster::{Image, Task, Timestamp, Wanted};
use serde_json::{Value, json};

use super::units::time;
use crate::reply::{
    AccountRow, AuditRow, Hop, KeyRow, NodeRow, Status, TaskRow, Unknown, Verdict, Why,
};
use crate::{Failure, Reply};

pub(super) fn failure(failure: &Failure) -> Value {
    json!({ "error": { "code": failure.kind.code(), "message": failure.sentence, "hint": failure.hint } })
}

/// The answer to a line of a batch.
pub(super) fn line(number: u64, answer: &Result<Reply, Failure>) -> Value {
    let mut value = match answer {
        Ok(answer) => reply(answer),
        Err(refused) => failure(refused),
    };
    if let Value::Object(map) = &mut value {
        map.insert("line".to_owned(), json!(number));
    }
    value
}

pub(super) fn reply(reply: &Reply) -> Value {
    match reply {
        Reply::Text(text) => json!({ "text": text }),
        Reply::Version(version) => json!({ "version": version }),
        Reply::Welcome(it) | Reply::Status(it) | Reply::Summary(it) => status(it),
        Reply::Submitted { tasks, known } => {
            json!({ "tasks": list(tasks, fresh), "again": known.len() == tasks.len() })
        }
        Reply::Opened { tasks, private } => {
            json!({ "tasks": list(tasks, fresh), "again": false, "private_key": private })
        }
        Reply::NoBoxes => json!({ "tasks": [], "more": false }),
        Reply::Tasks { rows, more } => json!({ "tasks": list(rows, row), "more": more }),
        Reply::TaskDetails(rows) => json!({ "tasks": list(rows, row) }),
        Reply::Why(it) => why(it),
        Reply::Changed { verb, found } => changed(verb, found),
        Reply::Snapshots { vps, rows } => {
            let rows = rows
                .iter()
                .map(|row| json!({ "name": row.name, "made": time(row.made), "bytes": row.size }));
            json!({ "vps": vps.0, "snapshots": rows.collect::<Vec<_>>() })
        }
        Reply::Nodes(rows) => json!({ "nodes": list(rows, node) }),
        Reply::NodeDetails(it, tasks) => json!({ "node": node(it), "tasks": list(tasks, row) }),
        Reply::NodeInvited {
            node,
            token,
            expires,
        } => {
            json!({ "node": node, "token": token, "expires": time(*expires) })
        }
        Reply::Forgotten { node, attempt } => {
            json!({ "node": node, "attempt": attempt.to_string(), "done": "told to end and remove" })
        }
        Reply::NodeChanged {
            verb,
            node,
            running,
        } => {
            json!({ "node": node, "done": verb, "running": running })
        }
        Reply::Account(it, keys) => json!({ "account": account(it), "keys": list(keys, key) }),
        Reply::Accounts(rows) => json!({ "accounts": list(rows, account) }),
        Reply::AccountChanged(it) => json!({ "account": account(it) }),
        Reply::Keys(rows) => json!({ "keys": list(rows, key) }),
        Reply::KeyAdded(it) => json!({ "key": key(it) }),
        Reply::KeyRemoved { fingerprint } => json!({ "removed": fingerprint }),
        Reply::Invited {
            code,
            role,
            name,
            expires,
        } => json!({
            "code": code, "role": role, "name": name, "expires": time(*expires),
            "ssh_login": format!("invite-{code}"),
        }),
        Reply::Audit(rows) => json!({ "audit": list(rows, audit) }),
        Reply::Doctor(hops) => {
            let worst = hops.iter().map(|hop| hop.verdict).max();
            let worst = worst.map(Verdict::name);
            json!({ "verdict": worst, "hops": list(hops, hop) })
        }
    }
}

fn fresh(task: &Arc<Task>) -> Value {
    row(&TaskRow {
        task: Arc::clone(task),
        unreachable_since: None,
        engine_down_since: None,
    })
}

/// Numbers of tasks and of boxes apart: of each that there is.
fn changed(verb: &str, found: &[Arc<Task>]) -> Value {
    let of = |vps: bool| {
        let ids = found.iter().filter(|task| task.is_vps() == vps);
        ids.map(|task| task.id.0).collect::<Vec<_>>()
    };
    let (tasks, boxes) = (of(false), of(true));
    match (tasks.is_empty(), boxes.is_empty()) {
        (_, true) => json!({ "tasks": tasks, "done": verb }),
        (true, false) => json!({ "boxes": boxes, "done": verb }),
        (false, false) => json!({ "tasks": tasks, "boxes": boxes, "done": verb }),
    }
}

fn list<T>(rows: &[T], one: fn(&T) -> Value) -> Vec<Value> {
    rows.iter().map(one).collect()
}

fn at(moment: Option<Timestamp>) -> Option<String> {
    moment.map(time)
}

fn row(row: &TaskRow) -> Value {
    let task = &row.task;
    let spec = &task.spec;
    let image = match &spec.image {
        Image::Default => None,
        Image::Reference(image) | Image::Environment(image) => Some(image),
    };
    json!({
        "id": task.id.0,
        "kind": if task.is_vps() { "vps" } else { "task" },
        "ssh_dest": task.label(),
        "name": task.name,
        "owner": task.owner,
        "state": task.state,
        // What its node is to do with it, and may not have done yet.
        "wanted": task.state.holds_resources().then(|| wanted(task.wanted)),
        "command": spec.command,
        "node": task.placement.as_ref().map(|p| &p.node),
        "node_unreachable_since": at(row.unreachable_since),
        "engine_down_since": at(row.engine_down_since),
        "cores": spec.cores,
        "core_numbers": task.placement.as_ref().map(|p| &p.cores),
        "memory": spec.memory,
        "image": image,
        "priority": spec.priority,
        "time_limit_ms": spec.time_limit_ms,
        "attempt": task.attempt,
        "batch": task.batch.map(|id| id.0),
        "note": task.note,
        "submitted": time(task.submitted),
        "started": at(task.started),
        "ended": at(task.ended),
        "code": task.outcome.as_ref().map(|outcome| outcome.code),
        "reason": task.outcome.as_ref().and_then(|outcome| outcome.reason.as_ref()),
        "stdout_bytes": task.output.stdout,
        "stderr_bytes": task.output.stderr,
    })
}

fn why(why: &Why) -> Value {
    let nodes: Vec<Value> = why
        .nodes
        .iter()
        .map(|(node, reason)| json!({ "node": node, "reason": reason }))
        .collect();
    json!({
        "task": row(&why.row), "reasons": why.reasons, "nodes": nodes,
        "starts_by": at(why.starts_by), "position": why.position,
    })
}

const fn wanted(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Run => "run",
        Wanted::Pause => "pause",
        Wanted::Stop(_) | Wanted::Drop => "stop",
    }
}

fn node(row: &NodeRow) -> Value {
    let facts = row.node.facts.as_ref();
    let has = facts.map(cluster::NodeFacts::resources);
    json!({
        "name": row.node.name,
        "state": row.state,
        "engine": facts.map(|f| f.engine),
        "engine_version": facts.map(|f| &f.engine_version),
        "engine_error": row.engine_error,
        "engine_down_since": at(row.engine_down_since),
        "disk_error": row.disk.as_ref().map(|disk| format!("{}: {}", disk.what, disk.detail)),
        "open_to": facts.map(|f| f.open_to),
        "cores": has.map(|has| has.cores),
        "cores_used": row.used.cores,
        "memory": has.map(|has| has.memory),
        "memory_used": row.used.memory,
        "tasks": row.running,
        "joined": time(row.node.joined),
        "connected": at(row.since),
        "silent_ms": row.quiet.map(|quiet| u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX)),
        "seen": at(row.node.seen),
        "unknown": row.strangers.iter().map(|s| &s.name).collect::<Vec<_>>(),
        "unknown_attempts": row.unknown.iter().map(unknown).collect::<Vec<_>>(),
    })
}

fn unknown(unknown: &Unknown) -> Value {
    json!({
        "attempt": unknown.attempt.to_string(), "phase": unknown.phase, "ending": unknown.ending,
    })
}

fn hop(hop: &Hop) -> Value {
    json!({
        "place": hop.place, "what": hop.what, "verdict": hop.verdict.name(), "seen": hop.seen,
        "remedy": hop.remedy,
    })
}

fn status(status: &Status) -> Value {
    let own = &status.own;
    let wrong: Vec<Value> = status
        .wrong
        .iter()
        .map(|wrong| json!({ "what": wrong.what, "next": wrong.next }))
        .collect();
    json!({
        "boxes": status.boxes,
        "own": {
            "pending": own.pending, "running": own.running, "paused": own.paused, "boxes": own.boxes,
        },
        "wrong": wrong,
        "version": status.version,
        "account": status.account,
        "nodes": list(&status.nodes, node),
        "pending": status.pending,
        "running": status.running,
        "paused": status.paused,
        "recent": list(&status.recent, row),
    })
}

fn account(account: &AccountRow) -> Value {
    json!({
        "name": account.name, "role": account.role, "disabled": account.disabled,
        "keys": account.keys, "created": time(account.created),
    })
}

fn key(key: &KeyRow) -> Value {
    json!({
        "account": key.account, "fingerprint": key.fingerprint, "algorithm": key.algorithm,
        "comment": key.comment, "added": time(key.added),
    })
}

fn audit(row: &AuditRow) -> Value {
    json!({
        "at": time(row.at), "account": row.account, "action": row.action,
        "object": row.object, "verdict": row.verdict,
    })
}

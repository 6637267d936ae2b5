//! `task why`: what a task waits for, with the numbers, by the scheduler's own code.

use cluster::{TaskState, Timestamp};
use keys::{Action, Actor};
use shell::command::TaskRef;
use shell::render::units::bytes;
use shell::reply::Why;
use shell::{Failure, Reply};

use super::{History, task::find};
use crate::scheduler::{self, Pending};
use crate::state::State;

pub(super) fn why(
    state: &State,
    history: &dyn History,
    actor: &Actor,
    wanted: &TaskRef,
    now: Timestamp,
) -> Result<Reply, Failure> {
    let task = find(state, history, actor, Action::ReadTask, wanted)?;
    let row = state.task_row(&task);
    let mut why = Why {
        row,
        reasons: Vec::new(),
        nodes: Vec::new(),
        starts_by: None,
        position: None,
    };
    if task.state != TaskState::Pending {
        why.reasons.push(placed(&task, &why.row.unreachable_since));
        return Ok(Reply::Why(why));
    }
    let before = state.before(&task);
    why.position = Some(before + 1);
    let (may_pass, mut busy) = nodes(state, &task, before, now, &mut why);
    if why.nodes.is_empty() {
        why.reasons
            .push("no node has joined yet: an operator adds one by `node invite NAME`".to_owned());
    } else if !may_pass {
        why.reasons
            .push("no node can take it as things are".to_owned());
    }
    if let Some(held) = state.held_back(task.id) {
        (why.starts_by, busy) = (None, false);
        why.reasons.push(held);
    }
    if before > 0 {
        let plural = if before == 1 { "task is" } else { "tasks are" };
        why.reasons
            .push(format!("{before} {plural} before it in the queue"));
    }
    if may_pass {
        why.reasons.push(room(&task));
    }
    if busy && before == 0 && why.starts_by.is_none() {
        why.reasons
            .push("when is not known: what runs there has no --time-limit".to_owned());
    }
    Ok(Reply::Why(why))
}

/// What each node says to it: may any refusal pass, and is it room that is wanted?
fn nodes(
    state: &State,
    task: &cluster::Task,
    before: usize,
    now: Timestamp,
    why: &mut Why,
) -> (bool, bool) {
    let pending = Pending {
        id: task.id,
        spec: &task.spec,
        role: task.owner_role,
    };
    let views = state.node_views();
    let (mut may_pass, mut busy) = (false, false);
    for view in &views {
        let refusal = scheduler::refusal(&pending, view);
        let text = match &refusal {
            Some(refusal) => refusal.to_string(),
            None if before > 0 => "has room, kept for a task before it".to_owned(),
            None => "has room".to_owned(),
        };
        if refusal.as_ref().is_none_or(scheduler::Refusal::may_pass) {
            may_pass = true;
            let room = matches!(refusal, None | Some(scheduler::Refusal::Busy { .. }));
            busy |= room;
            if before == 0 && room {
                let starts = scheduler::starts_by(&task.spec, view, now);
                why.starts_by = [why.starts_by, starts].into_iter().flatten().min();
            }
        }
        why.nodes.push((view.name.clone(), text));
    }
    for node in state.nodes().filter(|node| node.facts.is_none()) {
        why.nodes
            .push((node.name.clone(), "has never connected".to_owned()));
    }
    (may_pass, busy)
}

/// What it needs of a node.
fn room(task: &cluster::Task) -> String {
    let (cores, memory) = (task.spec.cores, task.spec.memory);
    let plural = if cores == 1 { "" } else { "s" };
    let memory = match memory {
        0 => String::new(),
        count => format!(" and {} of memory", bytes(count)),
    };
    format!("it waits for {cores} free core{plural}{memory}")
}

fn placed(task: &cluster::Task, unreachable: &Option<Timestamp>) -> String {
    let node = task
        .placement
        .as_ref()
        .map(|p| p.node.to_string())
        .unwrap_or_default();
    match (task.state, unreachable) {
        (state, _) if state.is_final() => {
            let reason = task
                .outcome
                .as_ref()
                .and_then(|outcome| outcome.reason.clone());
            reason.map_or_else(
                || format!("it has ended: {state}"),
                |reason| format!("it has ended: {state}, {reason}"),
            )
        }
        (state, Some(_)) => format!("{state} on {node}, which is not connected now"),
        (TaskState::Assigning, None) => match &task.note {
            Some(note) => format!("on its way to {node}: {note}"),
            None => format!("on its way to {node}"),
        },
        (state, None) => format!("{state} on {node}"),
    }
}

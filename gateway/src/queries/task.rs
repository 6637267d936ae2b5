//! `task list` and `task status`.

use std::sync::Arc;

use cluster::{Task, TaskId};
use keys::{Action, Actor};
use shell::command::TaskRef;
use shell::{Failure, Query, Reply};

use super::{History, TaskFilter, unreadable};
use crate::permission;
use crate::state::State;

/// The task a person means, in memory or in the store, if they may do `action` to it.
///
/// # Errors
/// Not found, several begin so, or not theirs.
pub fn find(
    state: &State,
    history: &dyn History,
    actor: &Actor,
    action: Action,
    wanted: &TaskRef,
) -> Result<Arc<Task>, Failure> {
    let may_see = |task: &Task| permission::judge_read(actor, action, task).is_ok();
    let found = if action == Action::ReadTask {
        state.find(wanted, may_see)
    } else {
        state.resolve(wanted)
    };
    let task = match found {
        Ok(task) => task,
        Err(failure) => {
            let old = match wanted.text.parse::<TaskId>() {
                Ok(id) => history.task(id),
                Err(_) => history.by_name(&wanted.text),
            };
            old.map_err(|e| unreadable(&e))?.ok_or(failure)?
        }
    };
    permission::judge_read(actor, action, &task)?;
    Ok(task)
}

pub(super) fn status(
    state: &State,
    history: &dyn History,
    actor: &Actor,
    tasks: &[TaskRef],
) -> Result<Reply, Failure> {
    let rows: Result<Vec<_>, Failure> = tasks
        .iter()
        .map(|wanted| find(state, history, actor, Action::ReadTask, wanted))
        .map(|task| task.map(|task| state.task_row(&task)))
        .collect();
    Ok(Reply::TaskDetails(rows?))
}

pub(super) fn list(
    state: &State,
    history: &dyn History,
    actor: &Actor,
    query: &Query,
) -> Result<Reply, Failure> {
    let Query::TaskList {
        vps,
        all,
        ended,
        state: wanted,
        node,
        owner,
        name,
        limit,
    } = query
    else {
        return Err(Failure::usage("not a listing"));
    };
    let owner = match (owner, all) {
        (Some(owner), _) => Some(owner.clone()),
        (None, true) => None,
        (None, false) => Some(actor.account.clone()),
    };
    let filter = TaskFilter {
        owner,
        state: *wanted,
        node: node.clone(),
        name: name.clone(),
        vps: *vps,
        limit: *limit,
    };
    let limit = *limit as usize;
    let show_ended = *ended || wanted.is_some_and(|wanted| wanted.is_final());
    let matching =
        |task: &&Arc<Task>| filter.matches(task) && (show_ended || !task.state.is_final());
    let mut tasks: Vec<Arc<Task>> = state
        .tasks()
        .rev()
        .filter(matching)
        .take(limit + 1)
        .cloned()
        .collect();
    if show_ended && tasks.len() <= limit {
        let old = history.tasks(&TaskFilter {
            limit: filter.limit.saturating_add(1),
            ..filter.clone()
        });
        for task in old.map_err(|e| unreadable(&e))? {
            // What is in memory is newer than its row.
            if state.task(task.id).is_none() {
                tasks.push(task);
            }
        }
        tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
    }
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    let rows: Vec<_> = tasks.iter().map(|task| state.task_row(task)).collect();
    if *vps && rows.is_empty() {
        return Ok(Reply::NoBoxes);
    }
    Ok(Reply::Tasks { rows, more })
}

//! `node list` and `node status`.

use cluster::NodeState;
use keys::{Action, Actor, NodeName, Role};
use shell::command::NodeFilter;
use shell::{Failure, Reply};

use crate::permission;
use crate::state::State;

pub(super) fn list(state: &State, filter: Option<NodeFilter>) -> Reply {
    let rows = state.nodes().map(|node| state.node_row(node));
    let rows = rows.filter(|row| {
        let online = matches!(row.state, NodeState::Ready | NodeState::Draining);
        filter.is_none_or(|filter| online == (filter == NodeFilter::Online))
    });
    Reply::Nodes(rows.collect())
}

/// The node, and those of its tasks that the caller may see.
pub(super) fn status(state: &State, actor: &Actor, name: &NodeName) -> Result<Reply, Failure> {
    let node = state.node(name).ok_or_else(|| {
        Failure::not_found(format!("{name}: no such node")).hint(state.near_node(name.as_str()))
    })?;
    let here = state.tasks().filter(|task| {
        task.state.holds_resources() && task.placement.as_ref().is_some_and(|p| p.node == *name)
    });
    let seen = here.filter(|task| {
        actor.role >= Role::Operator
            || permission::judge_read(actor, Action::ReadTask, task).is_ok()
    });
    Ok(Reply::NodeDetails(
        Box::new(state.node_row(node)),
        seen.map(|task| state.task_row(task)).collect(),
    ))
}

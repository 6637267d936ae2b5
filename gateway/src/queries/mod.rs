//! Reads: a snapshot, the history, and a query make a reply. Changes nothing.

mod access;
mod node;
mod task;
pub mod vps;
mod why;

use std::sync::Arc;

use cluster::{Task, TaskId, TaskState, Timestamp};
use keys::{Actor, NodeName, UserName};
use shell::reply::{AuditRow, Status};
use shell::{Failure, Kind, Query, Reply};

use crate::permission;
use crate::state::State;

pub use task::find;

/// Ended tasks and the audit log, as the store remembers them.
pub trait History {
    /// # Errors
    /// When the store cannot be read; the same for all.
    fn task(&self, id: TaskId) -> anyhow::Result<Option<Arc<Task>>>;
    /// Newest first.
    ///
    /// # Errors
    /// As above.
    fn tasks(&self, filter: &TaskFilter) -> anyhow::Result<Vec<Arc<Task>>>;
    /// The newest with this name.
    ///
    /// # Errors
    /// As above.
    fn by_name(&self, name: &str) -> anyhow::Result<Option<Arc<Task>>>;
    /// The newest of this owner with this idempotency key.
    ///
    /// # Errors
    /// As above.
    fn by_key(&self, owner: &UserName, key: &str) -> anyhow::Result<Option<Arc<Task>>>;
    /// Newest first.
    ///
    /// # Errors
    /// As above.
    fn audit(&self, account: Option<&UserName>, limit: u32) -> anyhow::Result<Vec<AuditRow>>;
}

/// Which tasks a listing shows.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub owner: Option<UserName>,
    pub state: Option<TaskState>,
    pub node: Option<NodeName>,
    /// Beginning of the name.
    pub name: Option<String>,
    /// Boxes that stay, instead of tasks.
    pub vps: bool,
    pub limit: u32,
}

impl TaskFilter {
    /// All but the limit.
    #[must_use]
    pub fn matches(&self, task: &Task) -> bool {
        let placed = task.placement.as_ref().map(|p| &p.node);
        let node = placed.or(task.spec.target.as_ref());
        let owner = self.owner.as_ref();
        let name = self.name.as_ref();
        task.is_vps() == self.vps
            && owner.is_none_or(|owner| task.owner == *owner)
            && self.state.is_none_or(|state| task.state == state)
            && self.node.as_ref().is_none_or(|wanted| node == Some(wanted))
            && name.is_none_or(|name| task.name.as_str().starts_with(name.as_str()))
    }
}

/// # Errors
/// A refusal, something unknown, or a store that cannot be read.
pub fn answer(
    state: &State,
    history: &dyn History,
    actor: &Actor,
    query: &Query,
    now: Timestamp,
) -> Result<Reply, Failure> {
    permission::judge_query(actor, query)?;
    match query {
        Query::Welcome => Ok(Reply::Welcome(status(state, actor))),
        Query::Status => Ok(Reply::Status(status(state, actor))),
        Query::NodeSummary => Ok(Reply::Summary(status(state, actor))),
        Query::Text(text) => Ok(Reply::Text(text.clone())),
        Query::Version => Ok(Reply::Version(state.settings().version.clone())),
        Query::TaskList { .. } => task::list(state, history, actor, query),
        Query::SshConfig => Ok(Reply::Text(vps::ssh_config(state, actor))),
        Query::Forward {
            vps,
            port,
            local,
            transport,
        } => vps::forward(state, history, actor, vps, (*port, *local), *transport),
        Query::TaskStatus { tasks } => task::status(state, history, actor, tasks),
        Query::TaskWhy { task } => why::why(state, history, actor, task, now),
        Query::NodeList { status } => Ok(node::list(state, *status)),
        Query::NodeStatus { node } => node::status(state, actor, node),
        Query::AuthStatus => access::own(state, actor),
        Query::KeyList { account } => {
            access::keys(state, account.as_ref().unwrap_or(&actor.account))
        }
        Query::UserList => Ok(access::users(state)),
        Query::ConfigShow => Ok(Reply::Text(state.settings().config.clone())),
        Query::Audit { account, limit } => history
            .audit(account.as_ref(), *limit)
            .map(Reply::Audit)
            .map_err(|e| unreadable(&e)),
    }
}

/// The cluster in numbers, and the caller's latest tasks.
fn status(state: &State, actor: &Actor) -> Status {
    let count = |wanted: TaskState| state.placed().filter(|task| task.state == wanted).count();
    let own = state
        .tasks()
        .rev()
        .filter(|task| task.owner == actor.account);
    Status {
        version: state.settings().version.clone(),
        account: Some(actor.account.clone()),
        nodes: state.nodes().map(|node| state.node_row(node)).collect(),
        pending: state.queue_len(),
        running: count(TaskState::Running) + count(TaskState::Assigning),
        paused: count(TaskState::Paused),
        recent: own.take(5).map(|task| state.task_row(task)).collect(),
    }
}

pub(crate) fn unreadable(error: &anyhow::Error) -> Failure {
    Failure::new(Kind::Failed, format!("the store cannot be read: {error}"))
        .hint("the gateway's log says more")
}

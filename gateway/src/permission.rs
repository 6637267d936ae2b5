//! Each query, change and attach becomes the action and subject to judge. Exhaustive, so that a new
//! command cannot forget.

use cluster::{Image, Task, TaskSpec};
use keys::{Action, Actor, Denial, Role, Subject, judge};
use shell::command::{Disk, Submit, TaskRef};
use shell::{Attach, Change, Failure, Kind, Query};

use crate::doctor::verdict::Sight;
use crate::state::State;

/// May this actor make this change?
///
/// # Errors
/// A refusal (code 4) that names the object, or what [`State::resolve`] says of an unknown task.
pub fn judge_change(actor: &Actor, change: &Change, state: &State) -> Result<(), Failure> {
    let own = Subject::OwnedBy(&actor.account);
    match change {
        Change::Submit(submit) => judge_submit(actor, submit),
        Change::TaskKill { tasks } | Change::TaskPause { tasks } | Change::TaskResume { tasks } => {
            tasks
                .iter()
                .try_for_each(|task| judge_task(actor, Action::ControlTask, task, state))
        }
        Change::VpsStop { boxes } | Change::VpsRestart { boxes } | Change::VpsDelete { boxes } => {
            boxes
                .iter()
                .try_for_each(|vps| judge_task(actor, Action::ControlTask, vps, state))
        }
        Change::VpsRename { vps, .. } => judge_task(actor, Action::ControlTask, vps, state),
        Change::NodeInvite { node, .. }
        | Change::NodeDrain { node }
        | Change::NodeUndrain { node }
        | Change::NodeRemove { node }
        | Change::NodeForget { node, .. } => allow(
            actor,
            Action::OperateNodes,
            Subject::Cluster,
            format!("node {node}"),
        ),
        Change::Invite { role, .. } => allow(
            actor,
            Action::Invite(*role),
            Subject::Cluster,
            format!("an invitation as {role}"),
        ),
        Change::KeyAdd { account, .. } | Change::KeyRemove { account, .. } => match account {
            Some(account) => {
                let subject = Subject::OwnedBy(account);
                allow(
                    actor,
                    Action::EditKeys,
                    subject,
                    format!("the key list of {account}"),
                )
            }
            None => allow(actor, Action::EditKeys, own, "your keys"),
        },
        Change::UserRole { account, .. } | Change::UserDisable { account, .. } => allow(
            actor,
            Action::EditAccounts,
            Subject::Cluster,
            format!("account {account}"),
        ),
    }
}

/// A submit is judged by what its specs ask for.
///
/// # Errors
/// A refusal (code 4) that names what needs a right.
pub fn judge_submit(actor: &Actor, submit: &Submit) -> Result<(), Failure> {
    allow(actor, Action::SubmitTask, Subject::Cluster, "a task")?;
    for spec in &submit.specs {
        if spec.privileged {
            allow(
                actor,
                Action::SubmitPrivileged,
                Subject::Cluster,
                "--privileged",
            )?;
        }
        if let Some(mount) = spec.mounts.first() {
            let object = format!("--mount {}", mount.source);
            allow(actor, Action::SubmitMount, Subject::Cluster, object)?;
        }
        if spec.priority > 0 {
            allow(
                actor,
                Action::SubmitUrgent,
                Subject::Cluster,
                format!("--priority {}", spec.priority),
            )?;
        }
        match spec.image {
            // What an image or environment may be is its node's affair.
            Image::Default | Image::Reference(_) | Image::Environment(_) => {}
        }
    }
    Ok(())
}

/// May this actor read this?
///
/// # Errors
/// A refusal (code 4). Tasks are judged one by one by whoever looks them up, by [`judge_read`].
pub fn judge_query(actor: &Actor, query: &Query) -> Result<(), Failure> {
    let cluster = Subject::Cluster;
    match query {
        Query::Welcome
        | Query::Text(_)
        | Query::Version
        | Query::Status
        | Query::NodeList { .. }
        | Query::NodeStatus { .. }
        | Query::NodeSummary
        | Query::AuthStatus
        | Query::TaskStatus { .. }
        | Query::TaskWhy { .. } => allow(actor, Action::ReadCluster, cluster, "the cluster"),
        Query::SshConfig => allow(actor, Action::ReadCluster, cluster, "your boxes"),
        // Judged when the box is found.
        Query::Forward { .. } => allow(actor, Action::ReadCluster, cluster, "your boxes"),
        Query::TaskList {
            vps, all, owner, ..
        } => {
            let what = if *vps { "boxes" } else { "tasks" };
            let others = owner.as_ref().is_some_and(|owner| *owner != actor.account);
            if *all || others {
                allow(
                    actor,
                    Action::ReadTask,
                    cluster,
                    format!("{what} of others"),
                )
            } else {
                allow(actor, Action::ReadCluster, cluster, format!("your {what}"))
            }
        }
        Query::KeyList {
            account: Some(account),
        } => allow(
            actor,
            Action::EditKeys,
            Subject::OwnedBy(account),
            format!("the key list of {account}"),
        ),
        Query::KeyList { account: None } => allow(actor, Action::ReadCluster, cluster, "your keys"),
        Query::UserList => allow(actor, Action::ReadAudit, cluster, "the accounts"),
        Query::ConfigShow => allow(actor, Action::ReadAudit, cluster, "the configuration"),
        Query::Audit { .. } => allow(actor, Action::ReadAudit, cluster, "the audit log"),
    }
}

/// What an attach does to the tasks it names.
#[must_use]
pub fn attach_action(attach: &Attach) -> Action {
    match attach {
        Attach::Run(_) => Action::SubmitTask,
        Attach::Task(_) | Attach::Connect(_) | Attach::Datagrams(_) => Action::EnterTask,
        Attach::Bootstrap(_) => Action::OperateNodes,
        Attach::Doctor { .. } => Action::ReadCluster,
        Attach::Snapshot(wanted) if wanted.disk != Disk::List => Action::ControlTask,
        Attach::Snapshot(_) | Attach::Logs(_) | Attach::Wait { .. } | Attach::Watch { .. } => {
            Action::ReadTask
        }
    }
}

/// May this actor do this to this task?
///
/// # Errors
/// A refusal (code 4) that names the task and its owner.
pub fn judge_read(actor: &Actor, action: Action, task: &Task) -> Result<(), Failure> {
    allow(actor, action, Subject::OwnedBy(&task.owner), task.label())
}

/// May this actor make a machine that node?
///
/// # Errors
/// A refusal (code 4) that names the node.
pub fn judge_bootstrap(actor: &Actor, node: &keys::NodeName) -> Result<(), Failure> {
    let node = format!("node {node}");
    allow(actor, Action::OperateNodes, Subject::Cluster, node)
}

/// How much may this actor see of how gateway and nodes are?
///
/// # Errors
/// A refusal (code 4), where it is nothing.
pub fn judge_doctor(actor: &Actor) -> Result<Sight, Failure> {
    let cluster = Subject::Cluster;
    allow(actor, Action::ReadCluster, cluster, "the cluster")?;
    let more = [Action::OperateNodes, Action::ReadAudit];
    let all = more
        .into_iter()
        .all(|action| judge(actor, action, cluster).is_ok());
    Ok(if all { Sight::All } else { Sight::Own })
}

/// May whoever holds this key enter this box? An account that may, or one of the box's own keys.
///
/// # Errors
/// A refusal (code 4) that names the box.
pub fn judge_enter(state: &State, proof: &str, task: &Task) -> Result<(), Failure> {
    let own =
        |key: &String| keys::AccountKeyLine::parse(key).is_ok_and(|line| line.fingerprint == proof);
    let directory = state.directory();
    let listed = task
        .spec
        .vps
        .as_ref()
        .is_some_and(|vps| vps.keys.iter().any(own));
    // The box's own keys are its owner's gift: they open nothing for an account that is disabled.
    let open = directory
        .account(&task.owner)
        .is_some_and(|owner| !owner.disabled);
    if listed && open {
        return Ok(());
    }
    match directory.actor(proof) {
        Some(actor) => judge_read(&actor, Action::EnterTask, task),
        None => Err(Failure::new(
            Kind::Denied,
            format!("{}: this key does not open it", task.label()),
        )
        .hint("ask its owner")),
    }
}

fn judge_task(actor: &Actor, action: Action, task: &TaskRef, state: &State) -> Result<(), Failure> {
    judge_read(actor, action, &*state.resolve(task)?)
}

fn allow(
    actor: &Actor,
    action: Action,
    subject: Subject<'_>,
    object: impl std::fmt::Display,
) -> Result<(), Failure> {
    judge(actor, action, subject).map(|_| ()).map_err(|denial| {
        let hint = match &denial {
            Denial::NotYours { owner, needed } => format!("ask {owner}, or an {needed}"),
            Denial::NeedsRole {
                needed: Role::Operator,
                ..
            } => "ask an operator".to_owned(),
            Denial::NeedsRole { .. } => "ask an admin".to_owned(),
        };
        Failure::denied(object, &denial).hint(hint)
    })
}

/// Action and object of a change, for the audit log. No secret is in it.
#[must_use]
pub fn describe(change: &Change) -> (String, String) {
    let list = |tasks: &[TaskRef]| {
        tasks
            .iter()
            .map(|t| t.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let (action, object) = match change {
        Change::Submit(submit) => describe_submit(submit),
        Change::TaskKill { tasks } => ("task kill", list(tasks)),
        Change::TaskPause { tasks } if of_boxes(tasks) => ("vps pause", list(tasks)),
        Change::TaskPause { tasks } => ("task pause", list(tasks)),
        Change::TaskResume { tasks } if of_boxes(tasks) => ("vps resume", list(tasks)),
        Change::TaskResume { tasks } => ("task resume", list(tasks)),
        Change::VpsStop { boxes } => ("vps stop", list(boxes)),
        Change::VpsRestart { boxes } => ("vps restart", list(boxes)),
        Change::VpsDelete { boxes } => ("vps delete", list(boxes)),
        Change::VpsRename { vps, name } => ("vps rename", format!("{} {name}", vps.text)),
        Change::NodeInvite { node, .. } => ("node invite", node.to_string()),
        Change::NodeDrain { node } => ("node drain", node.to_string()),
        Change::NodeUndrain { node } => ("node undrain", node.to_string()),
        Change::NodeRemove { node } => ("node remove", node.to_string()),
        Change::NodeForget { node, attempt } => ("node forget", format!("{node} {attempt}")),
        Change::Invite { role, name, .. } => {
            let name = name
                .as_ref()
                .map(|name| format!(" {name}"))
                .unwrap_or_default();
            ("auth invite", format!("{role}{name}"))
        }
        Change::KeyAdd { account, .. } => ("auth key add", account_or_own(account.as_ref())),
        Change::KeyRemove { fingerprint, .. } => ("auth key remove", fingerprint.clone()),
        Change::UserRole { account, role } => ("auth user role", format!("{account} {role}")),
        Change::UserDisable { account, disabled } => match disabled {
            true => ("auth user disable", account.to_string()),
            false => ("auth user enable", account.to_string()),
        },
    };
    (action.to_owned(), object)
}

fn account_or_own(account: Option<&keys::UserName>) -> String {
    account.map_or_else(|| "own".to_owned(), ToString::to_string)
}

/// A command of boxes named them.
fn of_boxes(tasks: &[TaskRef]) -> bool {
    tasks.iter().all(|task| task.vps)
}

/// A box without a name has none until it is made.
fn describe_submit(submit: &Submit) -> (&'static str, String) {
    let is_vps = |spec: &TaskSpec| spec.vps.is_some();
    if let Some(spec) = submit.specs.first().filter(|spec| is_vps(spec)) {
        let name = spec.name.as_ref().map(ToString::to_string);
        return ("vps create", name.unwrap_or_default());
    }
    let first = submit.specs.first().and_then(|spec| spec.command.first());
    let command: String = first
        .map(|word| word.chars().take(80).collect())
        .unwrap_or_default();
    let object = match submit.specs.len() {
        1 => command,
        count => format!("{count} tasks: {command}"),
    };
    ("task submit", object)
}

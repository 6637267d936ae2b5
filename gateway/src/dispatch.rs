//! The one entrance for every command: reads are answered from the snapshot, changes go to the driver,
//! and all are judged.

use std::sync::Arc;

use cluster::Task;
use keys::{Action, Actor, NodeName};
use shell::command::{Submit, TaskRef};
use shell::reply::NodeRow;
use shell::{Change, Failure, Kind, Query, Reply};

use crate::doctor::verdict::Sight;
use crate::head::{Head, now};
use crate::permission;
use crate::queries::{self, History};
use crate::state::State;

/// The caller as the directory knows them now: a role may have changed, an account been disabled.
///
/// # Errors
/// Code 4 when the key signs nobody in any more.
pub fn refresh(head: &Head, actor: &Actor) -> Result<Actor, Failure> {
    known(&head.state(), actor)
}

/// # Errors
/// As [`refresh`].
pub fn known(state: &State, actor: &Actor) -> Result<Actor, Failure> {
    state.directory().actor(&actor.proof).ok_or_else(|| {
        Failure::new(
            Kind::Denied,
            format!("{}: this key signs in no more", actor.account),
        )
        .hint("ask an admin")
    })
}

/// # Errors
/// A refusal, which is in the audit log when this returns, or what the query says.
pub async fn query(head: &Arc<Head>, actor: &Actor, query: Query) -> Result<Reply, Failure> {
    query_as(head, actor, query, |reply| reply).await
}

/// As [`query`], made into something on the thread that reads: what is long keeps nobody else waiting.
///
/// # Errors
/// As there.
pub async fn query_as<T: Send + 'static>(
    head: &Arc<Head>,
    actor: &Actor,
    query: Query,
    make: impl FnOnce(Reply) -> T + Send + 'static,
) -> Result<T, Failure> {
    let actor = refresh(head, actor)?;
    let label = query_label(&query);
    let (reader, asked) = (Arc::clone(head), actor.clone());
    // History reads the disk.
    let answer = head.readers.read(&actor.account, move || {
        let answer = queries::answer(&reader.state(), &reader.history, &asked, &query, now());
        answer.map(|mut reply| {
            heard(&reader, &mut reply);
            make(reply)
        })
    });
    let answer = answer.await.unwrap_or_else(|| {
        Err(Failure::new(Kind::Failed, "the gateway failed to answer").hint("its log says more"))
    });
    audit_refusal(head, &actor, label, answer).await
}

/// # Errors
/// What [`crate::state::State`] says of the change; refusals are audited there, in the same commit.
pub async fn change(head: &Arc<Head>, actor: &Actor, mut change: Change) -> Result<Reply, Failure> {
    let actor = refresh(head, actor)?;
    if let Change::Submit(submit) = &mut change {
        submit.known = submitted_before(head, &actor, submit).await?;
    }
    head.change(&actor, change).await
}

/// What was submitted before with the keys of these specs, however long ago: memory has only the latest.
async fn submitted_before(
    head: &Arc<Head>,
    actor: &Actor,
    submit: &Submit,
) -> Result<Vec<Arc<Task>>, Failure> {
    let keys = submit.specs.iter().filter_map(|spec| spec.key.clone());
    let keys: Vec<String> = keys.collect();
    let found = keyed(head, actor, keys).await?;
    Ok(found.into_iter().flatten().collect())
}

/// For each of these keys, the newest task of this person that has it, in the store.
///
/// # Errors
/// When the store cannot be read.
pub async fn keyed(
    head: &Arc<Head>,
    actor: &Actor,
    keys: Vec<String>,
) -> Result<Vec<Option<Arc<Task>>>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (reader, owner) = (Arc::clone(head), actor.account.clone());
    let reading = head.readers.read(&actor.account, move || {
        let found = keys.iter().map(|key| reader.history.by_key(&owner, key));
        found.collect::<anyhow::Result<Vec<_>>>()
    });
    // Not read at all: the program ends.
    let read = reading.await.ok_or_else(|| {
        Failure::new(Kind::Busy, "the gateway ends").hint("try again in a moment")
    })?;
    read.map_err(|error| queries::unreadable(&error))
}

/// Before input is taken for a submit; the driver judges again.
///
/// # Errors
/// A refusal, which is in the audit log when this returns.
pub async fn may_submit(head: &Head, actor: &Actor, submit: &Submit) -> Result<(), Failure> {
    let actor = refresh(head, actor)?;
    let judged = permission::judge_submit(&actor, submit);
    audit_refusal(head, &actor, "task submit", judged).await
}

/// The task somebody wants to attach to, if they may. `label` is for the audit log, which has the
/// attach or the refusal when this returns.
///
/// # Errors
/// Not found, or a refusal.
pub async fn attach(
    head: &Arc<Head>,
    actor: &Actor,
    label: &'static str,
    action: Action,
    wanted: &TaskRef,
) -> Result<Arc<Task>, Failure> {
    let found = find(head, actor, label, action, wanted).await?;
    head.note(actor.account.as_str(), label, &found.label(), "done")
        .await?;
    Ok(found)
}

/// As [`attach`], of somebody who will not attach: a refusal alone is in the audit log.
///
/// # Errors
/// Not found, or a refusal.
pub async fn find(
    head: &Arc<Head>,
    actor: &Actor,
    label: &'static str,
    action: Action,
    wanted: &TaskRef,
) -> Result<Arc<Task>, Failure> {
    let actor = refresh(head, actor)?;
    let (reader, asked, wanted) = (Arc::clone(head), actor.clone(), wanted.clone());
    let found = head.readers.read(&actor.account, move || {
        queries::find(&reader.state(), &reader.history, &asked, action, &wanted)
    });
    let found = found.await.unwrap_or_else(|| {
        Err(Failure::new(Kind::Failed, "the gateway failed to answer").hint("its log says more"))
    });
    audit_refusal(head, &actor, label, found).await
}

/// Is somebody to be given a runner and a token for this node? It is in the audit log when this returns.
///
/// # Errors
/// A refusal.
pub async fn bootstrap(head: &Head, actor: &Actor, node: &NodeName) -> Result<(), Failure> {
    let (actor, label) = (refresh(head, actor)?, "node bootstrap");
    let judged = permission::judge_bootstrap(&actor, node);
    if judged.is_ok() {
        let (account, node) = (actor.account.as_str(), node.as_str());
        head.note(account, label, node, "done").await?;
    }
    audit_refusal(head, &actor, label, judged).await
}

/// How much may somebody see of how gateway and nodes are?
///
/// # Errors
/// A refusal, which is in the audit log when this returns.
pub async fn doctor(head: &Head, actor: &Actor) -> Result<(Actor, Sight), Failure> {
    let actor = refresh(head, actor)?;
    let judged = permission::judge_doctor(&actor);
    let sight = audit_refusal(head, &actor, "doctor", judged).await?;
    Ok((actor, sight))
}

/// What the state does not know: for how long nothing has come from a node that has a link.
fn heard(head: &Head, reply: &mut Reply) {
    let rows: &mut [NodeRow] = if let Reply::Nodes(rows) = reply {
        rows
    } else if let Reply::NodeDetails(row, _) = reply {
        std::slice::from_mut(row)
    } else {
        return;
    };
    for row in rows {
        row.quiet = head.links.quiet(&row.node.name);
    }
}

async fn audit_refusal<T>(
    head: &Head,
    actor: &Actor,
    label: &str,
    answer: Result<T, Failure>,
) -> Result<T, Failure> {
    if let Err(failure) = &answer
        && let Some(object) = refused_object(failure)
    {
        let noted = head.note(actor.account.as_str(), label, object, &failure.sentence);
        // Refused it is in any case.
        let _ = noted.await;
    }
    answer
}

/// What was refused, for the audit log; other failures of reads are no events.
#[must_use]
pub fn refused_object(failure: &Failure) -> Option<&str> {
    let denied = failure.kind == Kind::Denied;
    failure.sentence.split(':').next().filter(|_| denied)
}

/// What a read is called in the audit log.
#[must_use]
pub fn query_label(query: &Query) -> &'static str {
    match query {
        Query::Welcome | Query::Text(_) | Query::Version | Query::Status => "status",
        Query::SshConfig => "ssh config",
        Query::Forward { .. } => "forward",
        Query::TaskList { vps: true, .. } => "vps list",
        Query::TaskList { vps: false, .. } => "task list",
        Query::TaskStatus { tasks } if tasks.iter().all(|task| task.vps) => "vps status",
        Query::TaskStatus { .. } => "task status",
        Query::TaskWhy { .. } => "task why",
        Query::NodeList { .. } => "node list",
        Query::NodeStatus { .. } => "node status",
        Query::NodeSummary => "node summary",
        Query::AuthStatus => "auth status",
        Query::KeyList { .. } => "auth key list",
        Query::UserList => "auth user list",
        Query::ConfigShow => "config show",
        Query::Audit { .. } => "audit",
    }
}

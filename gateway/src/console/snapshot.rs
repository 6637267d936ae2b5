//! `vps snapshot …`: an errand for the box's node, and its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cluster::{StopReason, Task, TaskId, TaskName, TaskState, Wanted};
use keys::{Action, Actor};
use shell::command::{Disk, Snapshot};
use shell::reply::SnapshotRow;
use shell::{Failure, Kind, Reply};
use tunnel::wire::ChannelName;
use tunnel::wire::errand::{Answer, Errand};
use tunnel::wire::frame::{self, LARGEST_HOSTILE};

use super::restore;
use crate::dispatch;
use crate::head::Head;

/// How long a node may take to copy a disk.
const LIMIT: Duration = Duration::from_secs(600);

pub(super) async fn snapshot(
    head: &Arc<Head>,
    actor: &Actor,
    wanted: Snapshot,
) -> Result<Reply, Failure> {
    let (label, action, errand) = errand(wanted.disk);
    let task = dispatch::attach(head, actor, label, action, &wanted.vps).await?;
    if !task.is_vps() {
        return Err(
            Failure::usage(format!("{} is a task, not a VPS", task.label()))
                .hint("`vps list` shows yours"),
        );
    }
    let label = task.label();
    if never_began(&task) {
        let sentence = format!("{label} waits for its start");
        let hint = format!("`vps status {}` says for what", task.id.0);
        return Err(Failure::new(Kind::Busy, sentence).hint(hint));
    }
    if matches!(errand, Errand::Restore { .. }) && is_stopping(&task) && answers(head, &task) {
        restore::stopped(head, &task).await?;
    }
    let named = match &errand {
        Errand::Restore { name } | Errand::DropSnapshot { name } => Some(name.clone()),
        Errand::ListSnapshots | Errand::Snapshot { .. } => None,
    };
    let asked = tokio::time::timeout(LIMIT, ask(head, &task, errand)).await;
    if let (Ok(Ok(Answer::Failed(_))), Some(name)) = (&asked, named)
        && !has(head, &task, &name).await
    {
        return Err(none(&label, task.id, &name));
    }
    match asked {
        Ok(Ok(Answer::Snapshots(all))) => Ok(Reply::Snapshots {
            vps: task.id,
            rows: all
                .into_iter()
                .map(|one| SnapshotRow {
                    name: one.name,
                    made: one.made,
                    size: one.size,
                })
                .collect(),
        }),
        Ok(Ok(Answer::Failed(words))) => {
            let words: String = words.chars().take(300).collect();
            Err(
                Failure::new(Kind::Failed, format!("{label}: {words}")).hint(format!(
                    "`vps snapshot list {}` shows what there is",
                    task.id.0
                )),
            )
        }
        Ok(Err(error)) => {
            let sentence = format!("{label}: its node does not answer ({error})");
            Err(Failure::new(Kind::Busy, sentence).hint("try again when it is back: `node list`"))
        }
        Err(_) => Err(
            Failure::new(Kind::Busy, format!("{label}: its node is still at it"))
                .hint(format!("look again: `vps snapshot list {}`", task.id.0)),
        ),
    }
}

/// What it is called in the audit log, what it does to the box, and what the node is asked.
fn errand(disk: Disk) -> (&'static str, Action, Errand) {
    match disk {
        Disk::List => ("vps snapshot list", Action::ReadTask, Errand::ListSnapshots),
        Disk::Create { name } => (
            "vps snapshot create",
            Action::ControlTask,
            Errand::Snapshot { name },
        ),
        Disk::Restore { name } | Disk::Return { name } => (
            "vps snapshot restore",
            Action::ControlTask,
            Errand::Restore { name },
        ),
        Disk::Delete { name } => (
            "vps snapshot delete",
            Action::ControlTask,
            Errand::DropSnapshot { name },
        ),
    }
}

/// Also where its node does not tell.
async fn has(head: &Head, task: &Task, name: &TaskName) -> bool {
    let asked = tokio::time::timeout(LIMIT, ask(head, task, Errand::ListSnapshots)).await;
    match asked {
        Ok(Ok(Answer::Snapshots(all))) => all.iter().any(|one| one.name == *name),
        Ok(Ok(Answer::Failed(_)) | Err(_)) | Err(_) => true,
    }
}

/// A box has no such snapshot.
pub(super) fn none(label: &str, vps: TaskId, name: &TaskName) -> Failure {
    let hint = format!("`vps snapshot list {}` shows what there is", vps.0);
    Failure::not_found(format!("{label}: no snapshot {name}")).hint(hint)
}

/// No node has anything of it now.
fn never_began(task: &Task) -> bool {
    matches!(task.state, TaskState::Pending | TaskState::PendingApproval)
}

/// A stop answers at once, and ends its box a while later.
fn is_stopping(task: &Task) -> bool {
    task.wanted == Wanted::Stop(StopReason::Halted) && task.state.holds_resources()
}

fn answers(head: &Head, task: &Task) -> bool {
    let node = task.placement.as_ref().map(|placed| &placed.node);
    node.is_some_and(|node| head.links.quiet(node).is_some())
}

async fn ask(head: &Head, task: &Task, errand: Errand) -> io::Result<Answer> {
    let node = task.spec.target.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let name = ChannelName::Errand { vps: task.id };
    let mut stream = head.links.open_for(&task.owner, node, name).await?;
    stream
        .send(frame::encode(&errand).map_err(io::Error::other)?)
        .await?;
    let mut bytes = BytesMut::new();
    loop {
        if let Some(answer) =
            frame::decode(&mut bytes, LARGEST_HOSTILE).map_err(io::Error::other)?
        {
            return Ok(answer);
        }
        match stream.next().await? {
            Some(more) => bytes.extend_from_slice(&more),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

//! `vps restart --restore NAME`: stopped, given the disk of a snapshot, and started again.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Task, TaskName, TaskState};
use keys::{Action, Actor};
use shell::command::{Disk, Snapshot, TaskRef};
use shell::{Change, Failure, Kind, Reply};

use super::snapshot::{none, snapshot};
use crate::dispatch;
use crate::head::Head;

/// How long a box may take to stop: its grace, and the snapshot that a stop makes.
const STOP_LIMIT: Duration = Duration::from_secs(300);

pub(super) async fn restart(
    head: &Arc<Head>,
    actor: &Actor,
    vps: TaskRef,
    name: TaskName,
) -> Result<Reply, Failure> {
    let asked = |disk| {
        let vps = vps.clone();
        snapshot(head, actor, Snapshot { vps, disk })
    };
    let change = async |change: fn(Vec<TaskRef>) -> Change| {
        dispatch::change(head, actor, change(vec![vps.clone()])).await
    };
    // Nothing is stopped for a snapshot that is not there.
    let known = asked(Disk::List).await?;
    if let Reply::Snapshots { vps, rows } = &known
        && !rows.iter().any(|row| row.name == name)
    {
        return Err(none(&format!("vps-{}", vps.0), *vps, &name));
    }
    change(|boxes| Change::VpsStop { boxes }).await?;
    let task = dispatch::attach(head, actor, "vps restart", Action::ControlTask, &vps).await?;
    stopped(head, &task).await?;
    let restored = asked(Disk::Restore { name }).await;
    let started = change(|boxes| Change::VpsRestart { boxes }).await;
    restored.map_err(|failure| Failure {
        sentence: format!("{}; it starts with its disk as it was", failure.sentence),
        ..failure
    })?;
    started
}

/// Waits for the end of a box that is being stopped.
pub(super) async fn stopped(head: &Arc<Head>, task: &Task) -> Result<(), Failure> {
    let mut watch = head.watch();
    let stopping = async {
        loop {
            let state = Arc::clone(&watch.borrow_and_update());
            match state.task(task.id).map(|task| task.state) {
                Some(TaskState::Stopped) => return true,
                Some(state) if !state.is_final() => {}
                Some(_) | None => return false,
            }
            if watch.changed().await.is_err() {
                return false;
            }
        }
    };
    match tokio::time::timeout(STOP_LIMIT, stopping).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let sentence = format!("{} is gone", task.label());
            Err(Failure::not_found(sentence).hint("`vps list` shows yours"))
        }
        Err(_) => {
            let sentence = format!("{} does not stop", task.label());
            let hint = format!("`vps status {}` shows it", task.id.0);
            Err(Failure::new(Kind::Busy, sentence).hint(hint))
        }
    }
}

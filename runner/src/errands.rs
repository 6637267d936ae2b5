//! Errands of the gateway: snapshots of boxes. And those that a stop makes by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cluster::task::STOP_SNAPSHOT;
use cluster::{Assignment, AttemptId, TaskName};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};
use tunnel::ssh::Stream;
use tunnel::wire::errand::{Answer, Errand, Snapshot};
use tunnel::wire::frame::{self, LARGEST_HOSTILE};

use crate::agent::Event;
use crate::engine::{BoxPlan, BoxState, Engine, EngineError};
use crate::start::Starter;
use crate::turns::Turn;

/// Snapshots of one box in all; more are refused.
const MOST: usize = 32;
/// How long an ended box may take to be gone, and between two looks.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
const LEAVE_LOOK: Duration = Duration::from_millis(50);

/// One errand, to its answer. `ended`: nothing runs in the box, or its last life is about to be gone.
pub async fn serve<E: Engine>(
    (starter, events): (Arc<Starter<E>>, mpsc::Sender<Event>),
    plan: BoxPlan,
    ended: bool,
    mut stream: Stream,
) {
    let answer = match read(&mut stream).await {
        Ok(Some(errand)) => match run((&starter, &events), &plan, ended, errand).await {
            Ok(snapshots) => Answer::Snapshots(snapshots),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Ok(None) => return,
        Err(_) => Answer::Failed(format!(
            "this node's river-runner {} does not know this errand: upgrade it",
            env!("CARGO_PKG_VERSION")
        )),
    };
    if let Ok(bytes) = frame::encode(&answer) {
        let _ = stream.send(bytes).await;
        let _ = stream.finish().await;
        // The gateway closes it once it has the answer.
        let _ = stream.next().await;
    }
}

async fn read(stream: &mut Stream) -> anyhow::Result<Option<Errand>> {
    let mut bytes = BytesMut::new();
    while let Some(more) = stream.next().await? {
        bytes.extend_from_slice(&more);
        if let Some(errand) = frame::decode(&mut bytes, LARGEST_HOSTILE)? {
            return Ok(Some(errand));
        }
    }
    Ok(None)
}

async fn run<E: Engine>(
    (starter, events): (&Starter<E>, &mpsc::Sender<Event>),
    plan: &BoxPlan,
    ended: bool,
    errand: Errand,
) -> Result<Vec<Snapshot>, EngineError> {
    let held = plan.assignment.box_id();
    let engine = &*starter.engine;
    let _turn = match errand {
        // Who only looks waits for nobody.
        Errand::ListSnapshots => None,
        Errand::Snapshot { .. } | Errand::Restore { .. } | Errand::DropSnapshot { .. } => {
            Some(starter.turns.queue(held).await)
        }
    };
    match errand {
        Errand::ListSnapshots => {}
        Errand::Snapshot { name } => {
            let known = engine.snapshots(held).await?;
            if known.len() >= MOST {
                return Err(EngineError::Task(format!(
                    "this box has {MOST} snapshots already; delete some"
                )));
            }
            if let Some(name) = &name
                && known.iter().any(|snapshot| snapshot.name == *name)
            {
                return Err(EngineError::Task(format!(
                    "{name}: this box has a snapshot of that name already"
                )));
            }
            let name = name.or_else(|| free_name(&known)).ok_or_else(|| {
                EngineError::Task("no name for it; give one by --name".to_owned())
            })?;
            // Both are heard in order with every look at the engine, which freezes it for this.
            let _ = events.send(Event::Copying(held)).await;
            let made = engine.snapshot(held, &name).await;
            let seen = engine.list().await;
            let _ = events.send(Event::Copied(held, seen)).await;
            made?;
        }
        Errand::Restore { name } => {
            let by = Instant::now() + LEAVE_LIMIT;
            while runs(engine, held).await? {
                if !ended || Instant::now() >= by {
                    return Err(EngineError::Task("it runs: stop it first".to_owned()));
                }
                sleep(LEAVE_LOOK).await;
            }
            engine.restore(plan, &name).await?;
        }
        Errand::DropSnapshot { name } => engine.drop_snapshot(held, &name).await?,
    }
    engine.snapshots(held).await
}

async fn runs<E: Engine>(engine: &E, held: AttemptId) -> Result<bool, EngineError> {
    let boxes = engine.list().await?;
    Ok(boxes.iter().any(|seen| {
        seen.attempt == Some(held) && matches!(seen.state, BoxState::Running | BoxState::Paused)
    }))
}

fn free_name(known: &[Snapshot]) -> Option<TaskName> {
    let names = (1..=2 * MOST).filter_map(|number| format!("snap-{number}").parse().ok());
    let mut free = names.filter(|name: &TaskName| known.iter().all(|snap| snap.name != *name));
    free.next()
}

/// After a stop: the disk as it is.
pub async fn after_stop<E: Engine>(starter: &Starter<E>, assignment: &Assignment) {
    let attempt = assignment.attempt;
    let name = format!("{STOP_SNAPSHOT}{}", attempt.number).parse::<TaskName>();
    let (Ok(name), 1..) = (name, starter.keep_stops) else {
        return;
    };
    let made = starter.engine.snapshot(assignment.box_id(), &name).await;
    // An engine without disks has nothing to keep.
    if let Err(error @ (EngineError::Engine(_) | EngineError::Refused(_))) = made {
        warn!(%attempt, %error, "no snapshot of its stop");
    }
}

/// After a start: only so many of those that stops made. Not before: the box may have been stopped to get one of
/// them back.
pub async fn after_start<E: Engine>(starter: Arc<Starter<E>>, held: AttemptId, _turn: Turn) {
    let (engine, keep) = (&*starter.engine, starter.keep_stops);
    if keep == 0 {
        return;
    }
    for name in displaced(&engine.snapshots(held).await.unwrap_or_default(), keep) {
        // The one that the box stands on stays until it stands on another.
        if let Err(error) = engine.drop_snapshot(held, &name).await {
            debug!(vps = %held, %name, %error, "a snapshot stays for now");
        }
    }
}

/// Those of stops beside the newest `keep`, and none that a person made.
fn displaced(known: &[Snapshot], keep: usize) -> Vec<TaskName> {
    let number = |name: &TaskName| {
        name.as_str()
            .strip_prefix(STOP_SNAPSHOT)?
            .parse::<u32>()
            .ok()
    };
    let names = known.iter().map(|snapshot| &snapshot.name);
    let mut own: Vec<_> = names
        .filter_map(|name| Some((number(name)?, name)))
        .collect();
    own.sort_unstable_by(|one, other| other.cmp(one));
    let old = own.into_iter().skip(keep);
    old.map(|(_, name)| name.clone()).collect()
}

/// A box that stayed, with its snapshots.
///
/// # Errors
/// When the engine is away: it is to be tried again.
pub async fn remove<E: Engine>(engine: &E, held: AttemptId) -> Result<(), EngineError> {
    engine.remove(held).await?;
    // Not before: a container's own image cannot go.
    let kept = match engine.snapshots(held).await {
        Err(EngineError::Task(_)) => Vec::new(),
        kept => kept?,
    };
    for snapshot in kept {
        match engine.drop_snapshot(held, &snapshot.name).await {
            Err(error @ EngineError::Engine(_)) => return Err(error),
            Err(error) => warn!(vps = %held, %error, "a snapshot stays"),
            Ok(()) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cluster::Timestamp;

    use super::*;

    fn snapshot(name: &str) -> Snapshot {
        Snapshot {
            name: name.parse().unwrap(),
            made: Timestamp(0),
            size: 0,
        }
    }

    #[test]
    fn only_the_oldest_of_stops_are_displaced_and_nothing_that_a_person_named() {
        let known = [
            "stop-9",
            "stop-10",
            "stop-before-upgrade",
            "stop-8",
            "snap-1",
        ]
        .map(snapshot);
        let names = |keep| {
            let old = displaced(&known, keep);
            old.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["stop-9", "stop-8"]);
        assert_eq!(names(2), ["stop-8"]);
        assert!(names(3).is_empty());
    }

    #[test]
    fn a_snapshot_without_a_name_gets_a_free_one() {
        assert_eq!(free_name(&[]).unwrap().as_str(), "snap-1");
        let known = [snapshot("snap-1"), snapshot("stop-4"), snapshot("snap-3")];
        assert_eq!(free_name(&known).unwrap().as_str(), "snap-2");
    }
}

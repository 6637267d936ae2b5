//! How an attempt ended: its record, and the engine's word where that matters.

use std::path::Path;
use std::time::Duration;

use cluster::{Assignment, AttemptId};
use tracing::warn;
use tunnel::wire::guest::GuestEnd;

use super::act::{AGAIN, started};
use super::now;
use crate::engine::{BoxState, Engine};
use crate::output;
use crate::workloads::{Attempt, Facts};

/// How long the engine may take to notice that a box has ended, when that matters.
const NOTICE: (u32, Duration) = (50, Duration::from_millis(100));

/// What the attempt itself tells of its end.
pub(super) fn known(attempt: &Attempt, out: &Path) -> Facts {
    let started = started(&attempt.step);
    let limit = attempt.assignment.spec.time_limit_ms;
    let overdue = started
        .zip(limit)
        .is_some_and(|(at, limit)| now().0 >= at.0.saturating_add(limit));
    Facts {
        record: attempt.told.clone(),
        oom: false,
        stopping: attempt.stopping.is_some(),
        overdue,
        overfull: attempt.overfull,
        started,
        output: output::size(out),
        now: now(),
    }
}

/// Reads the record; asks the engine only where the memory limit may have played a part, where there is no
/// record, or where the box is to stay. `None`: no record, and the box runs on; whoever thought that it had ended
/// was told of an earlier moment.
pub(super) async fn finish<E: Engine>(
    engine: &E,
    assignment: &Assignment,
    out: &Path,
    known: Facts,
) -> Option<Facts> {
    let (id, held) = (assignment.attempt, assignment.box_id());
    let written = match output::record(out, id) {
        Ok(record) => record,
        Err(error) => {
            warn!(attempt = %id, %error, "its last word cannot be believed");
            None
        }
    };
    // What it said and could not write down.
    let record = written.or_else(|| known.record.clone());
    let killed = record.as_ref().is_none_or(|record| {
        matches!(
            record.end,
            GuestEnd::Signaled { signal: 9 } | GuestEnd::Exited { code: 137 }
        )
    });
    let stays = assignment.spec.vps.is_some();
    let state = if killed || stays {
        how_it_stands(engine, held).await
    } else {
        None
    };
    let oom = killed && matches!(state, Some(BoxState::Exited { oom: true }));
    match state {
        Some(BoxState::Created | BoxState::Running | BoxState::Paused) if record.is_none() => {
            return None;
        }
        // Any other is removed. Whoever is root in this one may say its last word and go on.
        Some(BoxState::Running | BoxState::Paused) if stays => {
            warn!(vps = %held, "it said that it has ended, and runs on: it is killed");
            end(engine, held).await;
        }
        Some(_) | None => {}
    }
    // Read late: the guest may have written its last word while the engine was asked.
    let record = record.or_else(|| output::record(out, id).ok().flatten());
    Some(Facts {
        record,
        oom,
        output: output::size(out),
        now: now(),
        ..known
    })
}

/// Until nothing of it runs: its cores and its memory are somebody else's after this.
pub(super) async fn end<E: Engine>(engine: &E, held: AttemptId) {
    loop {
        if engine.kill(held).await.is_err() {
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        let state = how_it_stands(engine, held).await;
        if !matches!(state, Some(BoxState::Running | BoxState::Paused)) {
            return;
        }
    }
}

/// The box as the engine sees it, once it has noticed the end, or after a while. An engine that is away
/// is waited for: its silence is no end.
async fn how_it_stands<E: Engine>(engine: &E, id: AttemptId) -> Option<BoxState> {
    let mut looks = 0;
    loop {
        let Ok(boxes) = engine.list().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let state = boxes.iter().find(|seen| seen.attempt == Some(id))?.state;
        looks += 1;
        if matches!(state, BoxState::Exited { .. }) || looks == NOTICE.0 {
            return Some(state);
        }
        tokio::time::sleep(NOTICE.1).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use cluster::{OutputSize, TaskId, TaskSpec, Vps, Wanted};
    use nix::unistd::Pid;
    use tunnel::wire::guest::{ExitRecord, Unwritten};

    use super::*;
    use crate::engine::{BoxPlan, BoxSeen, EngineError, Prepared};

    /// An engine of one box, which ends only by a kill; it is away at the first.
    struct Stubborn {
        held: AttemptId,
        state: Mutex<BoxState>,
        away: AtomicBool,
    }

    fn never<T>() -> Result<T, EngineError> {
        Err(EngineError::Engine("not asked for".to_owned()))
    }

    impl Engine for Stubborn {
        async fn prepare(&self, _: &BoxPlan) -> Result<Prepared, EngineError> {
            never()
        }
        async fn start(&self, _: &BoxPlan) -> Result<(), EngineError> {
            never()
        }
        async fn freeze(&self, _: AttemptId, _: bool) -> Result<bool, EngineError> {
            never()
        }
        async fn kill(&self, _: AttemptId) -> Result<(), EngineError> {
            if self.away.swap(false, Ordering::Relaxed) {
                return never();
            }
            *self.state.lock().unwrap() = BoxState::Exited { oom: false };
            Ok(())
        }
        async fn remove(&self, _: AttemptId) -> Result<(), EngineError> {
            never()
        }
        async fn holds(&self, _: AttemptId, _: Pid) -> Result<bool, EngineError> {
            never()
        }
        async fn list(&self) -> Result<Vec<BoxSeen>, EngineError> {
            Ok(vec![BoxSeen {
                attempt: Some(self.held),
                name: String::new(),
                state: *self.state.lock().unwrap(),
            }])
        }
        async fn guests(&self) -> Result<Vec<std::path::PathBuf>, EngineError> {
            never()
        }
        async fn changed(&self) {}
        async fn version(&self) -> Result<String, EngineError> {
            never()
        }
    }

    #[tokio::test]
    async fn a_box_that_says_its_last_word_and_runs_on_is_ended_before_that_is_told() {
        let attempt = AttemptId {
            task: TaskId(7),
            number: 2,
        };
        let assignment = Assignment {
            attempt,
            owner: "alice".parse().unwrap(),
            spec: Arc::new(TaskSpec {
                vps: Some(Vps::default()),
                ..TaskSpec::of(vec!["true".into()])
            }),
            cores: Vec::new(),
            spooled: None,
            wanted: Wanted::Run,
            keeps_box: true,
        };
        let engine = Stubborn {
            held: assignment.box_id(),
            state: Mutex::new(BoxState::Running),
            away: AtomicBool::new(true),
        };
        let record = ExitRecord {
            attempt,
            started: Some(1),
            ended: 2,
            end: GuestEnd::Stopped,
            output: OutputSize::default(),
            unwritten: Unwritten::default(),
        };
        let known = |record| Facts {
            record,
            oom: false,
            stopping: true,
            overdue: false,
            overfull: false,
            started: None,
            output: OutputSize::default(),
            now: now(),
        };
        let out = tempfile::tempdir().unwrap();
        // Without a last word it has not ended.
        let none = finish(&engine, &assignment, out.path(), known(None)).await;
        assert!(none.is_none());
        assert_eq!(*engine.state.lock().unwrap(), BoxState::Running);
        let facts = finish(&engine, &assignment, out.path(), known(Some(record))).await;
        assert!(facts.unwrap().record.is_some());
        assert_eq!(
            *engine.state.lock().unwrap(),
            BoxState::Exited { oom: false }
        );
    }
}

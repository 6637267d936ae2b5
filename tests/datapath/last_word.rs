//! A box that said its last word, and an engine that says otherwise.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};

use cluster::{Assignment, AttemptId, TaskId, TaskSpec, Vps, Wanted};
use nix::unistd::Pid;
use runner::engine::{BoxPlan, BoxSeen, BoxState, Engine, EngineError, Prepared};
use runner::guest::Guests;
use runner::start::Starter;
use tokio::sync::mpsc;
use tunnel::wire::guest::GuestUser;

/// Has one box, of task 7; it runs until it is killed.
#[derive(Default)]
struct OneBox {
    running: AtomicBool,
    starts: AtomicU32,
    kills: AtomicU32,
}

const BOX: AttemptId = AttemptId {
    task: TaskId(7),
    number: 0,
};

impl Engine for OneBox {
    async fn prepare(&self, _: &BoxPlan) -> Result<Prepared, EngineError> {
        Ok(Prepared {
            env: BTreeMap::new(),
            workdir: None,
            user: GuestUser::Same,
            affinity: false,
        })
    }

    async fn start(&self, _: &BoxPlan) -> Result<(), EngineError> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn freeze(&self, _: AttemptId, _: bool) -> Result<bool, EngineError> {
        Ok(true)
    }

    async fn kill(&self, attempt: AttemptId) -> Result<(), EngineError> {
        assert_eq!(attempt, BOX);
        self.kills.fetch_add(1, Ordering::Relaxed);
        self.running.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn remove(&self, _: AttemptId) -> Result<(), EngineError> {
        Ok(())
    }

    async fn holds(&self, _: AttemptId, _: Pid) -> Result<bool, EngineError> {
        Ok(true)
    }

    async fn list(&self) -> Result<Vec<BoxSeen>, EngineError> {
        let state = match self.running.load(Ordering::Relaxed) {
            true => BoxState::Running,
            false => BoxState::Exited { oom: false },
        };
        Ok(vec![BoxSeen {
            attempt: Some(BOX),
            name: "box".to_owned(),
            state,
        }])
    }

    async fn guests(&self) -> Result<Vec<PathBuf>, EngineError> {
        Ok(Vec::new())
    }

    async fn changed(&self) {
        std::future::pending().await
    }

    async fn version(&self) -> Result<String, EngineError> {
        Ok(String::new())
    }
}

fn life(number: u32) -> Assignment {
    let spec = TaskSpec {
        vps: Some(Vps::default()),
        ..TaskSpec::of(Vec::new())
    };
    Assignment {
        attempt: AttemptId { number, ..BOX },
        owner: "alice".parse().unwrap(),
        spec: Arc::new(spec),
        cores: Vec::new(),
        spooled: None,
        wanted: Wanted::Run,
        keeps_box: true,
    }
}

/// Root in a box can write its last word and hang up: what it goes on with is ended, but no later life of the box.
#[tokio::test(start_paused = true)]
async fn what_runs_on_after_the_last_word_is_ended_and_a_later_life_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(OneBox::default());
    let (from_guests, _told) = mpsc::channel(4);
    let starter = Starter {
        guests: Guests::new(from_guests, Arc::clone(&engine) as _),
        engine: Arc::clone(&engine),
        link: Arc::new(RwLock::new(None)),
        guest: "/bin/true".into(),
        output_cap: 1 << 20,
        grace_ms: 1000,
        keep_stops: 0,
        turns: Default::default(),
    };
    let folder = || dir.path().join("7.0");
    let kills = || engine.kills.load(Ordering::Relaxed);
    starter.start(&life(1), folder()).await.unwrap();
    starter.see_out(&life(1), folder()).await.unwrap();
    assert_eq!(
        (kills(), engine.running.load(Ordering::Relaxed)),
        (1, false)
    );
    // Its end comes late: the box lives again already.
    starter.start(&life(2), folder()).await.unwrap();
    starter.see_out(&life(1), folder()).await.unwrap();
    assert_eq!((kills(), engine.running.load(Ordering::Relaxed)), (1, true));
    assert_eq!(engine.starts.load(Ordering::Relaxed), 2);
}

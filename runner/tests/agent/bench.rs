//! What the agent's tests stand on: an engine that fails and stalls as it is told, and a runner around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use cluster::{
    Assignment, Assignments, AttemptId, Observation, Phase, TaskId, TaskSpec, Vps, Wanted,
};
use nix::unistd::Pid;
use runner::agent::{Agent, Event};
use runner::engine::{BoxPlan, BoxSeen, BoxState, Engine, EngineError, Prepared};
use runner::guest::Guests;
use runner::start::Starter;
use runner::turns::Turns;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tunnel::wire::ToRunner;
use tunnel::wire::guest::GuestUser;

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the engine has, and what befalls it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) boxes: BTreeMap<AttemptId, BoxState>,
    /// Boxes that began, each time.
    pub(crate) begun: Vec<AttemptId>,
    /// Images do not come.
    pub(crate) stalled: bool,
    /// Starts that wait for their image.
    pub(crate) waiting: u32,
    /// It starts boxes, and its answer is lost.
    pub(crate) cut: bool,
    /// It removes nothing.
    pub(crate) stuck: bool,
    /// Who dials a box's socket has ended before anybody looks.
    pub(crate) late: bool,
    /// Removals that failed.
    pub(crate) refused: u32,
}

#[derive(Default)]
pub(crate) struct Scripted(Mutex<State>);

impl Scripted {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn away() -> EngineError {
    EngineError::Engine("it is away".to_owned())
}

impl Engine for Scripted {
    async fn prepare(&self, _: &BoxPlan) -> Result<Prepared, EngineError> {
        if self.state().stalled {
            self.state().waiting += 1;
            let () = std::future::pending().await;
        }
        Ok(Prepared {
            env: BTreeMap::new(),
            workdir: None,
            user: GuestUser::Same,
            affinity: false,
        })
    }

    async fn start(&self, plan: &BoxPlan) -> Result<(), EngineError> {
        let held = plan.assignment.box_id();
        let mut state = self.state();
        if state.boxes.insert(held, BoxState::Running) != Some(BoxState::Running) {
            state.begun.push(held);
        }
        if state.cut { Err(away()) } else { Ok(()) }
    }

    /// Its guest does it.
    async fn freeze(&self, _: AttemptId, _: bool) -> Result<bool, EngineError> {
        Ok(false)
    }

    async fn kill(&self, attempt: AttemptId) -> Result<(), EngineError> {
        if let Some(state) = self.state().boxes.get_mut(&attempt) {
            *state = BoxState::Exited { oom: false };
        }
        Ok(())
    }

    async fn remove(&self, attempt: AttemptId) -> Result<(), EngineError> {
        let mut state = self.state();
        if state.stuck {
            state.refused += 1;
            return Err(away());
        }
        state.boxes.remove(&attempt);
        Ok(())
    }

    async fn holds(&self, _: AttemptId, process: Pid) -> Result<bool, EngineError> {
        let late = self.state().late;
        let process = format!("/proc/{process}");
        let ended = || !late || !Path::new(&process).exists();
        until("the peer has ended", ended).await;
        Ok(!late)
    }

    async fn list(&self) -> Result<Vec<BoxSeen>, EngineError> {
        let state = self.state();
        let seen = |(attempt, state): (&AttemptId, &BoxState)| BoxSeen {
            attempt: Some(*attempt),
            name: attempt.to_string(),
            state: *state,
        };
        Ok(state.boxes.iter().map(seen).collect())
    }

    async fn guests(&self) -> Result<Vec<PathBuf>, EngineError> {
        Ok(Vec::new())
    }

    async fn changed(&self) {}

    async fn version(&self) -> Result<String, EngineError> {
        Ok("scripted".to_owned())
    }
}

/// One life of a runner.
pub(crate) struct Life {
    events: mpsc::Sender<Event>,
    told: watch::Receiver<Option<Observation>>,
    /// All that it began ends with it.
    threads: Runtime,
}

impl Life {
    pub(crate) async fn begin(dir: &Path, engine: &Arc<Scripted>, boot: &'static str) -> Self {
        let (events, receiver) = mpsc::channel(64);
        let (from_guests, mut said) = mpsc::channel(64);
        let starter = Arc::new(Starter {
            engine: Arc::clone(engine),
            guests: Guests::new(from_guests, Arc::clone(engine) as _),
            link: Arc::new(RwLock::new(None)),
            guest: PathBuf::from("/bin/true"),
            output_cap: 1 << 20,
            grace_ms: 1000,
            keep_stops: 0,
            turns: Turns::default(),
        });
        let (observations, told) = watch::channel(None);
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let threads = threads.worker_threads(2).enable_all().build().unwrap();
        let heard = events.clone();
        threads.spawn(async move {
            while let Some(event) = said.recv().await {
                let _ = heard.send(Event::Guest(event)).await;
            }
        });
        let (dir, own) = (dir.to_owned(), events.clone());
        threads.spawn(async move {
            let agent = Agent::adopt(&dir, boot, starter, own, observations);
            agent.await.unwrap().run(receiver).await
        });
        let life = Self {
            events,
            told,
            threads,
        };
        until("it has begun", || life.told.borrow().is_some()).await;
        life
    }

    /// As by `kill -9`.
    pub(crate) fn end(self) {
        self.threads.shutdown_background();
    }

    /// The engine is looked at.
    pub(crate) async fn look(&self, engine: &Scripted) {
        let listed = engine.list().await;
        self.events.send(Event::Listed(listed)).await.unwrap();
    }

    pub(crate) async fn hear(&self, version: u64, list: Vec<Assignment>) {
        let list = Assignments {
            epoch: 1,
            version,
            list,
            unread: Vec::new(),
        };
        let said = ToRunner::Assignments(list);
        self.events.send(Event::Said(said)).await.unwrap();
    }

    /// The newest that the gateway would hear of it. `None`: it is not told of.
    pub(crate) fn phase(&self, attempt: AttemptId) -> Option<Phase> {
        let told = self.told.borrow();
        let mut told = told.as_ref()?.attempts.iter();
        let report = told.find(|report| report.attempt == attempt);
        report.map(|report| report.phase.clone())
    }

    /// This list was taken, and what follows from it at once was begun.
    pub(crate) async fn taken(&self, version: u64) {
        let taken = || {
            let told = self.told.borrow();
            told.as_ref().is_some_and(|told| told.version >= version)
        };
        until("the list is taken", taken).await;
    }
}

/// Task 17's first attempt.
pub(crate) fn task(wanted: Wanted) -> Assignment {
    Assignment {
        attempt: AttemptId {
            task: TaskId(17),
            number: 1,
        },
        owner: "alice".parse().unwrap(),
        spec: Arc::new(TaskSpec::of(vec!["true".to_owned()])),
        cores: Vec::new(),
        spooled: None,
        wanted,
        keeps_box: false,
    }
}

/// The same of a box that stays.
pub(crate) fn vps(wanted: Wanted, keeps_box: bool) -> Assignment {
    let spec = TaskSpec {
        vps: Some(Vps::default()),
        ..TaskSpec::of(vec!["true".to_owned()])
    };
    Assignment {
        spec: Arc::new(spec),
        keeps_box,
        ..task(wanted)
    }
}

/// The only place here that sleeps.
pub(crate) async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let start = Instant::now();
    while !look() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

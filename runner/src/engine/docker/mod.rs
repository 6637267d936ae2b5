//! Containers by Docker's API (bollard). The version is negotiated: Debian 12 has 1.41.

mod create;
mod default_image;
mod image;
mod reference;
mod removing;
mod snapshot;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::errors::Error;
use bollard::models::{
    ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum as Summary,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, ListContainersOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker as Client};
use cluster::{AttemptId, TaskName};
use futures_util::StreamExt;
use nix::unistd::Pid;
use sha2::Digest;

use tunnel::fault::{self, Point};
use tunnel::wire::errand::Snapshot;
use tunnel::wire::guest::GUEST_PATH;

use super::{BoxPlan, BoxSeen, BoxState, Engine, EngineError, Prepared, proc};
use crate::mounts;

/// On every container of ours: the node's machine id, and the attempt.
pub(super) const LABEL_NODE: &str = "river.node";
pub(super) const LABEL_ATTEMPT: &str = "river.attempt";
/// Seconds that one request may take; a start on a busy disk is slow.
const TIMEOUT: u64 = 120;
/// Between two looks while no event comes.
const LOOK: Duration = Duration::from_secs(10);
/// After an event that its list may not have yet.
const ONCE_MORE: Duration = Duration::from_millis(500);

/// What an operator configured.
#[derive(Clone, Debug)]
pub struct Settings {
    pub socket: PathBuf,
    /// Labels containers, so that two runners on one engine do not meddle.
    pub machine_id: String,
    pub default_image: Option<String>,
    pub busybox: PathBuf,
    pub network: String,
    pub mounts: Vec<PathBuf>,
    /// The runner's own folders.
    pub own: Vec<PathBuf>,
}

pub struct Docker {
    client: tokio::sync::OnceCell<Client>,
    settings: Settings,
    /// What images bring along, by reference.
    images: Mutex<BTreeMap<String, Prepared>>,
    /// The containers' own ids: guests come back while Docker is away.
    ids: Mutex<HashMap<AttemptId, String>>,
    /// Events from here on are news, in nanoseconds since the epoch: Docker tells again what happened
    /// while nobody listened.
    heard: Mutex<i64>,
    /// The last of them was a pause: Docker says so before its own list does.
    early: AtomicBool,
}

/// Nanoseconds.
const SECOND: i64 = 1_000_000_000;

impl Docker {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            client: tokio::sync::OnceCell::new(),
            settings,
            images: Mutex::default(),
            ids: Mutex::default(),
            heard: Mutex::new(i64::try_from(now.as_nanos()).unwrap_or_default()),
            early: AtomicBool::new(false),
        }
    }

    async fn client(&self) -> Result<&Client, EngineError> {
        self.client
            .get_or_try_init(|| async {
                let path = self.settings.socket.display().to_string();
                let client = Client::connect_with_unix(&path, TIMEOUT, API_DEFAULT_VERSION)
                    .map_err(|e| away(&e))?;
                client.negotiate_version().await.map_err(|e| away(&e))
            })
            .await
    }

    /// Of this node's box alone: whole machine ids differ, their beginnings need not.
    fn name(&self, attempt: AttemptId) -> String {
        let digest = sha2::Sha256::digest(self.settings.machine_id.as_bytes());
        let node: String = digest[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("river-{node}-{}-{}", attempt.task.0, attempt.number)
    }

    /// Was the container of this name made and never started?
    async fn is_new(&self, name: &str) -> Result<bool, EngineError> {
        let seen = self.client().await?.inspect_container(name, None).await;
        let seen = seen.map_err(|error| away(&error))?;
        let status = seen.state.and_then(|state| state.status);
        Ok(status == Some(ContainerStateStatusEnum::CREATED))
    }

    async fn id(&self, attempt: AttemptId) -> Result<String, EngineError> {
        if let Some(id) = self.ids().get(&attempt) {
            return Ok(id.clone());
        }
        let (client, name) = (self.client().await?, self.name(attempt));
        let seen = client.inspect_container(&name, None).await;
        let id = seen.map_err(|error| away(&error))?.id.unwrap_or_default();
        self.ids().insert(attempt, id.clone());
        Ok(id)
    }

    /// All of this node, stopped ones too.
    async fn containers(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        let label = format!("{LABEL_NODE}={}", self.settings.machine_id);
        let filters: HashMap<&str, Vec<&str>> = HashMap::from([("label", vec![label.as_str()])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let found = self.client().await?.list_containers(Some(options)).await;
        found.map_err(|error| away(&error))
    }

    fn ids(&self) -> MutexGuard<'_, HashMap<AttemptId, String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mounts(&self, plan: &BoxPlan) -> Result<Vec<(PathBuf, String, bool)>, EngineError> {
        let own: Vec<&Path> = self
            .settings
            .own
            .iter()
            .map(PathBuf::as_path)
            .chain([self.settings.socket.as_path()])
            .collect();
        let allow = |mount: &cluster::Mount| {
            let real =
                mounts::allow(mount, &self.settings.mounts, &own).map_err(EngineError::Task)?;
            Ok((real, mount.target.clone(), mount.read_only))
        };
        plan.assignment.spec.mounts.iter().map(allow).collect()
    }
}

fn away(error: &Error) -> EngineError {
    EngineError::Engine(format!("docker: {error}"))
}

/// Docker's own words for a wrong request are the task's fault; what it cannot do may be a passing trouble of the
/// node's; all else is of a Docker that is away.
fn refused(error: &Error) -> EngineError {
    let Error::DockerResponseServerError {
        status_code,
        message,
    } = error
    else {
        return away(error);
    };
    match status_code {
        400 | 404 => EngineError::Task(message.clone()),
        _ => EngineError::Refused(message.clone()),
    }
}

fn is_status(error: &Error, wanted: &[u16]) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if wanted.contains(status_code))
}

impl Engine for Docker {
    async fn prepare(&self, plan: &BoxPlan) -> Result<Prepared, EngineError> {
        self.mounts(plan)?;
        self.image(plan).await
    }

    async fn start(&self, plan: &BoxPlan) -> Result<(), EngineError> {
        let client = self.client().await?;
        let name = self.name(plan.assignment.box_id());
        let mounts = self.mounts(plan)?;
        let image = self.reference(plan)?;
        let body = create::body(plan, &self.settings, &image, &mounts);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        if plan.assignment.spec.vps.is_some() {
            self.settle(plan.assignment.box_id()).await?;
        }
        match client.create_container(Some(options), body).await {
            Ok(made) => drop(self.ids().insert(plan.assignment.box_id(), made.id)),
            // The name is taken: this attempt was made before, by us. That is the latch. One that ran is
            // not started again; a box that stays is, and one that runs already is left alone.
            Err(error) if is_status(&error, &[409]) => {
                self.ids().remove(&plan.assignment.box_id());
                if plan.assignment.spec.vps.is_none() && !self.is_new(&name).await? {
                    return Ok(());
                }
                // Other cores than at its making may be its own now.
                let limits = create::limits(plan);
                let set = client.update_container(&name, limits).await;
                set.map_err(|error| refused(&error))?;
            }
            // Somebody removed the image from the node since it was looked at.
            Err(error) if is_status(&error, &[404]) => {
                self.images().remove(&image);
                return Err(EngineError::Refused(format!(
                    "{image}: gone from this node; it is looked for again"
                )));
            }
            Err(error) => return Err(refused(&error)),
        }
        fault::pass(Point::P9);
        match client.start_container(&name, None).await {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, &[304]) => Ok(()),
            Err(error) => Err(refused(&error)),
        }
    }

    async fn freeze(&self, attempt: AttemptId, frozen: bool) -> Result<bool, EngineError> {
        let (client, name) = (self.client().await?, self.name(attempt));
        let done = if frozen {
            client.pause_container(&name).await
        } else {
            client.unpause_container(&name).await
        };
        match done {
            Ok(()) => Ok(true),
            // It is so already, or has ended.
            Err(error) if is_status(&error, &[304, 404, 409, 500]) => Ok(true),
            Err(error) => Err(away(&error)),
        }
    }

    async fn kill(&self, attempt: AttemptId) -> Result<(), EngineError> {
        let (client, name) = (self.client().await?, self.name(attempt));
        // A frozen container takes no signal.
        let _ = client.unpause_container(&name).await;
        match client.kill_container(&name, None).await {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, &[404, 409]) => Ok(()),
            Err(error) => Err(away(&error)),
        }
    }

    async fn remove(&self, attempt: AttemptId) -> Result<(), EngineError> {
        self.take_away(attempt).await
    }

    async fn holds(&self, attempt: AttemptId, process: Pid) -> Result<bool, EngineError> {
        let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup"));
        // It has ended already.
        let Ok(groups) = groups else {
            return Ok(false);
        };
        Ok(proc::in_container(&groups, &self.id(attempt).await?))
    }

    async fn snapshot(&self, held: AttemptId, name: &TaskName) -> Result<(), EngineError> {
        self.take(held, name).await
    }

    async fn snapshots(&self, held: AttemptId) -> Result<Vec<Snapshot>, EngineError> {
        self.taken(held).await
    }

    async fn restore(&self, plan: &BoxPlan, name: &TaskName) -> Result<(), EngineError> {
        self.put_back(plan, name).await
    }

    async fn drop_snapshot(&self, held: AttemptId, name: &TaskName) -> Result<(), EngineError> {
        self.forget(held, name).await
    }

    async fn list(&self) -> Result<Vec<BoxSeen>, EngineError> {
        let client = self.client().await?;
        let found = self.containers().await?;
        let mut seen = Vec::new();
        for container in found {
            let name = container
                .names
                .unwrap_or_default()
                .first()
                .map(|n| n.trim_start_matches('/').to_owned());
            let name = name.unwrap_or_default();
            let labels = container.labels.unwrap_or_default();
            let attempt = labels
                .get(LABEL_ATTEMPT)
                .and_then(|text| super::box_id(text));
            let state = match container.state {
                Some(Summary::CREATED) => BoxState::Created,
                Some(Summary::PAUSED) => BoxState::Paused,
                Some(Summary::EXITED | Summary::DEAD | Summary::REMOVING) => BoxState::Exited {
                    oom: oom(client, &name).await,
                },
                Some(_) | None => BoxState::Running,
            };
            seen.push(BoxSeen {
                attempt,
                name,
                state,
            });
        }
        Ok(seen)
    }

    async fn guests(&self) -> Result<Vec<PathBuf>, EngineError> {
        let found = self.containers().await?;
        let mounts = found.into_iter().flat_map(|one| one.mounts);
        let guests = mounts
            .flatten()
            .filter(|mount| mount.destination.as_deref() == Some(GUEST_PATH));
        Ok(guests
            .filter_map(|mount| mount.source.map(PathBuf::from))
            .collect())
    }

    async fn changed(&self) {
        let Ok(client) = self.client().await else {
            return tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let label = format!("{LABEL_NODE}={}", self.settings.machine_id);
        let filters: HashMap<&str, Vec<&str>> = HashMap::from([
            ("label", vec![label.as_str()]),
            ("event", vec!["die", "pause", "unpause"]),
        ]);
        let since = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let options = EventsOptionsBuilder::new()
            .filters(&filters)
            .since(&format!("{}.{:09}", since / SECOND, since % SECOND))
            .build();
        let mut events = Box::pin(client.events(Some(options)));
        let early = self.early.swap(false, Ordering::Relaxed);
        let next_look = if early { ONCE_MORE } else { LOOK };
        tokio::select! {
            event = events.next() => match event.and_then(Result::ok) {
                Some(event) => {
                    let next = event.time_nano.map_or(since, |at| at.saturating_add(1));
                    *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = next;
                    let early = event.action.as_deref() != Some("die");
                    self.early.store(early, Ordering::Relaxed);
                }
                // The engine went away: not faster than this.
                None => tokio::time::sleep(Duration::from_secs(1)).await,
            },
            () = tokio::time::sleep(next_look) => {}
        }
    }

    async fn folder(&self) -> Option<PathBuf> {
        let info = self.client().await.ok()?.info().await.ok()?;
        info.docker_root_dir.map(PathBuf::from)
    }

    async fn version(&self) -> Result<String, EngineError> {
        let version = self.client().await?.version().await.map_err(|e| away(&e))?;
        Ok(version.version.unwrap_or_default())
    }
}

/// Only an ended container is asked: it costs a request.
async fn oom(client: &Client, name: &str) -> bool {
    let seen = client.inspect_container(name, None).await;
    seen.ok()
        .and_then(|seen| seen.state)
        .and_then(|state| state.oom_killed)
        .unwrap_or(false)
}

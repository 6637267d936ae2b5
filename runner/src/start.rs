//! From an assignment to a running box: input, image, specification, socket, start.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use cluster::{Assignment, Stdin, TaskSpec};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tunnel::ssh::RunnerLink;
use tunnel::wire::guest::{GuestRights, GuestSpec, GuestStdin, GuestUser, INPUT, SPEC};
use tunnel::wire::{ChannelName, PROTOCOL};

use crate::engine::{BoxPlan, BoxSeen, BoxState, Engine, EngineError, Prepared};
use crate::facts::real_cores;
use crate::guest::Guests;
use crate::removal;
use crate::turns::Turns;

/// In the folder of a box that stays: it had a disk once, so an empty one is not taken for it.
const MADE: &str = "made";
/// How long an earlier life of a box may take to be gone after its end, and between two looks.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
const LEAVE_LOOK: Duration = Duration::from_millis(20);

/// The link of the moment, for whoever needs the gateway.
pub type SharedLink = Arc<RwLock<Option<Arc<RunnerLink>>>>;

/// What starting needs beside the assignment.
pub struct Starter<E> {
    pub engine: Arc<E>,
    pub guests: Guests,
    pub link: SharedLink,
    pub guest: PathBuf,
    pub output_cap: u64,
    pub grace_ms: u64,
    /// Snapshots kept of a box's stops; 0: none is made.
    pub keep_stops: usize,
    pub turns: Turns,
}

impl<E: Engine> Starter<E> {
    #[must_use]
    pub fn plan(&self, assignment: &Assignment, folder: &Path) -> BoxPlan {
        BoxPlan {
            assignment: assignment.clone(),
            guest: self.guest.clone(),
            run: folder.join("run"),
            out: folder.join("out"),
        }
    }

    /// `false`: it was withdrawn, and nothing of it was begun by this.
    ///
    /// # Errors
    /// The task's fault, which ends it, or the engine's, which is tried again.
    pub async fn start(
        &self,
        assignment: &Assignment,
        folder: PathBuf,
        withdrawn: &CancellationToken,
    ) -> Result<bool, EngineError> {
        let plan = self.plan(assignment, &folder);
        if assignment.spec.vps.is_some() {
            self.clean(&plan).await?;
        }
        // A registry or a gateway that stands still holds up no kill.
        let prepared = withdrawn.run_until_cancelled(self.get_ready(&plan)).await;
        let Some(prepared) = prepared.transpose()? else {
            return Ok(false);
        };
        write_spec(&plan, self.spec(assignment, prepared)).map_err(disk)?;
        self.guests
            .listen(assignment.attempt, assignment.box_id(), &plan.run)
            .map_err(|error| disk(error.into()))?;
        if withdrawn.is_cancelled() {
            return Ok(false);
        }
        self.engine.start(&plan).await?;
        if assignment.spec.vps.is_some() {
            let made = plan.run.with_file_name(MADE);
            File::create(made).map_err(|error| disk(error.into()))?;
        }
        Ok(true)
    }

    /// Input and image: what may take long.
    async fn get_ready(&self, plan: &BoxPlan) -> Result<Prepared, EngineError> {
        if let Some(length) = plan.assignment.spooled {
            self.fetch(plan, length).await?;
        }
        self.engine.prepare(plan).await
    }

    /// A box that stays is used again: marks of its earlier life go, unless it runs already.
    async fn clean(&self, plan: &BoxPlan) -> Result<(), EngineError> {
        let id = plan.assignment.box_id();
        let runs = |boxes: Vec<BoxSeen>| {
            boxes.into_iter().any(|seen| {
                seen.attempt == Some(id)
                    && matches!(seen.state, BoxState::Running | BoxState::Paused)
            })
        };
        let by = Instant::now() + LEAVE_LIMIT;
        while runs(self.engine.list().await?) {
            if is_of(plan) {
                return Ok(());
            }
            // An earlier life has said its last word and is about to be gone.
            if Instant::now() >= by {
                self.engine.kill(id).await?;
            }
            sleep(LEAVE_LOOK).await;
        }
        let made = plan.run.with_file_name(MADE);
        if made.exists()
            && !self
                .engine
                .list()
                .await?
                .iter()
                .any(|seen| seen.attempt == Some(id))
        {
            return Err(EngineError::Task(
                "its disk is gone from the node: restore a snapshot, or delete it".to_owned(),
            ));
        }
        for dir in [&plan.run, &plan.out] {
            std::fs::create_dir_all(dir).map_err(|error| disk(error.into()))?;
        }
        // Whatever else lies there is of whoever was root in the box, and as much as they liked.
        let out = plan.out.clone();
        let emptied = tokio::task::spawn_blocking(move || removal::empty(&out)).await;
        emptied
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|error| disk(error.into()))
    }

    fn spec(&self, assignment: &Assignment, prepared: Prepared) -> GuestSpec {
        let spec = &assignment.spec;
        let mut env = prepared.env;
        env.insert(
            "RIVER_TASK".to_owned(),
            assignment.attempt.task.0.to_string(),
        );
        env.insert(
            "RIVER_ATTEMPT".to_owned(),
            assignment.attempt.number.to_string(),
        );
        env.extend(
            spec.env
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        GuestSpec {
            protocol: PROTOCOL,
            attempt: assignment.attempt,
            argv: spec.command.clone(),
            env,
            workdir: spec.workdir.clone().or(prepared.workdir),
            rights: rights(spec, &prepared.user),
            user: prepared.user,
            stdin: match spec.stdin {
                Stdin::Empty => GuestStdin::Empty,
                Stdin::Spooled => GuestStdin::File,
                Stdin::Live => GuestStdin::Live,
                Stdin::Typed => GuestStdin::Typed,
            },
            time_limit_ms: spec.time_limit_ms,
            grace_ms: self.grace_ms,
            output_cap: self.output_cap,
            affinity: if prepared.affinity {
                real_cores(&assignment.cores)
                    .iter()
                    .map(|core| *core as usize)
                    .collect()
            } else {
                Vec::new()
            },
        }
    }

    /// The spooled input, whole, before the start.
    async fn fetch(&self, plan: &BoxPlan, length: u64) -> Result<(), EngineError> {
        let path = plan.run.join(INPUT);
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == length) {
            return Ok(());
        }
        let link = self.link.read().ok().and_then(|link| link.clone());
        let link =
            link.ok_or_else(|| EngineError::Engine("waits for the gateway's input".to_owned()))?;
        let cut =
            |error: std::io::Error| EngineError::Engine(format!("its input was cut: {error}"));
        let name = ChannelName::Spool {
            task: plan.assignment.attempt.task,
        };
        let mut stream = link.open(name).await.map_err(cut)?;
        let part = path.with_extension("part");
        let mut file = tokio::fs::File::create(&part).await.map_err(cut)?;
        let mut got = 0;
        while let Some(bytes) = stream.next().await.map_err(cut)? {
            got += bytes.len() as u64;
            if got > length {
                return Err(EngineError::Engine(
                    "its input is longer than was said".to_owned(),
                ));
            }
            file.write_all(&bytes).await.map_err(cut)?;
        }
        if got != length {
            return Err(EngineError::Engine(
                "its input is shorter than was said".to_owned(),
            ));
        }
        file.sync_all().await.map_err(cut)?;
        // Read through a read-only mount by whatever user the task is.
        tokio::fs::rename(&part, &path).await.map_err(cut)?;
        stream.finish().await.map_err(cut)
    }
}

/// Is what runs there this attempt already, begun before the runner was started anew?
fn is_of(plan: &BoxPlan) -> bool {
    let spec = std::fs::read(plan.run.join(SPEC)).ok();
    let spec = spec.and_then(|text| serde_json::from_slice::<GuestSpec>(&text).ok());
    spec.is_some_and(|spec| spec.attempt == plan.assignment.attempt)
}

/// Capabilities are for whom an operator gave the whole box; a process that is as the runner isolates
/// nothing anyway.
fn rights(spec: &TaskSpec, user: &GuestUser) -> GuestRights {
    if spec.privileged || spec.vps.is_some() || *user == GuestUser::Same {
        GuestRights::Box
    } else {
        GuestRights::None
    }
}

fn write_spec(plan: &BoxPlan, spec: GuestSpec) -> anyhow::Result<()> {
    let part = plan.run.join("spec.part");
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec(&spec)?)?;
    std::fs::rename(part, plan.run.join(SPEC))?;
    Ok(())
}

fn disk(error: anyhow::Error) -> EngineError {
    EngineError::Engine(format!("the node's disk: {error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_privileged_command_keeps_what_its_box_has() {
        let plain = TaskSpec::of(vec!["true".into()]);
        let privileged = TaskSpec {
            privileged: true,
            ..plain.clone()
        };
        let root = GuestUser::Image(String::new());
        assert_eq!(rights(&plain, &root), GuestRights::None);
        assert_eq!(rights(&privileged, &root), GuestRights::Box);
        assert_eq!(rights(&plain, &GuestUser::Same), GuestRights::Box);
    }
}

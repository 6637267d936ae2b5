//! What `doctor` asks of a node: its clock, disks, engine and versions, as they are now. Nothing here is remembered,
//! and nothing waits longer than the limit: what does not answer by then stands still.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, statvfs};
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use tunnel::ssh::{Frames, Stream};
use tunnel::wire::examine::{EngineSeen, Health, LIMIT_MS, Question, Room, Told};

use crate::agent::now;
use crate::engine::Engine;

const LIMIT: Duration = Duration::from_millis(LIMIT_MS);
/// Bytes of one word of an answer.
const LONGEST: usize = 1024;

/// What there is to look at.
pub struct Patient<E> {
    pub engine: Arc<E>,
    pub state_dir: PathBuf,
    /// The program of new boxes.
    pub guest: PathBuf,
}

/// Answers until the gateway has no more questions.
pub async fn serve<E: Engine>(patient: Patient<E>, stream: Stream) {
    let mut frames = Frames::hostile(stream);
    while let Ok(Some(question)) = frames.recv_bytes().await {
        let told = match serde_json::from_slice(&question) {
            Ok(Question::Clock) => Told::Clock(now()),
            Ok(Question::Health) => Told::Health(Box::new(health(&patient).await)),
            Err(_) => Told::Failed(format!(
                "this node's river-runner {} does not know this question: upgrade it",
                env!("CARGO_PKG_VERSION")
            )),
        };
        if frames.send(&told).await.is_err() {
            return;
        }
    }
}

/// All that a node tells of itself.
pub async fn health<E: Engine>(patient: &Patient<E>) -> Health {
    let (state, engine, guest_version) = tokio::join!(
        room(patient.state_dir.clone(), LIMIT),
        engine(&*patient.engine),
        guest_version(&patient.guest),
    );
    Health {
        runner_version: env!("CARGO_PKG_VERSION").to_owned(),
        guest_version,
        state,
        engine,
    }
}

/// The disk that this folder lies on; `None`: it is not there, or does not answer.
async fn room(path: PathBuf, limit: Duration) -> Option<Room> {
    // A disk that hangs holds a thread, not the runner.
    let looking = tokio::task::spawn_blocking(move || look(&path));
    timeout(limit, looking).await.ok()?.ok()?
}

fn look(path: &Path) -> Option<Room> {
    let seen = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(seen.fragment_size());
    Some(Room {
        path: path.display().to_string(),
        size: bytes(seen.blocks()),
        free: bytes(seen.blocks_available()),
        files_free: (seen.files() > 0).then(|| seen.files_available()),
        read_only: seen.flags().contains(FsFlags::ST_RDONLY),
    })
}

async fn engine<E: Engine>(engine: &E) -> EngineSeen {
    let begun = Instant::now();
    let version = match timeout(LIMIT, engine.version()).await {
        Ok(Ok(version)) => version,
        Ok(Err(error)) => {
            let error = error.to_string().chars().take(LONGEST).collect();
            return EngineSeen::Down { error };
        }
        Err(_) => {
            let error = format!("it does not answer within {LIMIT_MS} ms");
            return EngineSeen::Down { error };
        }
    };
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let left = || LIMIT.saturating_sub(begun.elapsed());
    let room = match timeout(left(), engine.folder()).await {
        Ok(Some(path)) => room(path, left()).await,
        Ok(None) | Err(_) => None,
    };
    EngineSeen::Up {
        version,
        took_ms,
        room,
    }
}

async fn guest_version(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let said = timeout(LIMIT, command.output()).await.ok()?.ok()?;
    // `river-guest 0.1.0`, beside what a guest prints for its box.
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    let version = text.trim().strip_prefix("river-guest ")?;
    Some(version.chars().take(64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::process::Process;

    #[tokio::test]
    async fn a_node_tells_of_its_disk_and_engine_and_of_what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let guest = dir.path().join("guest");
        std::fs::write(&guest, "#!/bin/sh\necho river-guest 9.8.7 >&2\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&guest, mode).unwrap();
        let mut patient = Patient {
            engine: Arc::new(Process::new(dir.path().join("a"), 0)),
            state_dir: dir.path().to_owned(),
            guest,
        };
        let seen = health(&patient).await;
        let state = seen.state.unwrap();
        assert!(state.size >= state.free && state.size > 0, "{state:?}");
        assert_eq!(state.path, dir.path().display().to_string());
        assert_eq!(seen.guest_version.as_deref(), Some("9.8.7"));
        assert!(matches!(seen.engine, EngineSeen::Up { room: None, .. }));
        patient.state_dir = "/nowhere/at/all".into();
        patient.guest = "/nowhere/guest".into();
        let seen = health(&patient).await;
        assert_eq!((seen.state, seen.guest_version), (None, None));
    }
}

//! Who dialled a box's socket. The kernel says it (SO_PEERCRED, unix(7)); nothing is read before.

use cluster::AttemptId;
use futures_util::future::BoxFuture;
use nix::unistd::Pid;
use tokio::net::UnixStream;

use crate::engine::{self, Engine, EngineError};

/// The question that sockets have for an [`Engine`], for any of them.
pub trait Boxes: Send + Sync {
    /// See [`Engine::holds`].
    fn holds(&self, attempt: AttemptId, process: Pid) -> BoxFuture<'_, Result<bool, EngineError>>;
}

impl<E: Engine> Boxes for E {
    fn holds(&self, attempt: AttemptId, process: Pid) -> BoxFuture<'_, Result<bool, EngineError>> {
        Box::pin(Engine::holds(self, attempt, process))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Member,
    /// It has ended meanwhile: a guest whose program was quick has said all in its files.
    Ended,
}

/// # Errors
/// When the peer is not in the box, or when that cannot be known now: a guest dials again.
pub(crate) async fn check(
    boxes: &dyn Boxes,
    attempt: AttemptId,
    socket: &UnixStream,
) -> anyhow::Result<Peer> {
    // 0: it is in a pid namespace that we cannot see.
    let pid = socket.peer_cred()?.pid().unwrap_or_default();
    let process = Pid::from_raw(pid);
    if pid > 0 && boxes.holds(attempt, process).await? {
        return Ok(Peer::Member);
    }
    if pid > 0 && engine::has_ended(process) {
        return Ok(Peer::Ended);
    }
    tracing::warn!(%attempt, pid, "a process outside of the box dialled its socket");
    anyhow::bail!("refused: process {pid} is not in the box")
}

//! The end of a life of the gateway, in order: nobody new, a word to everybody who is there, goodbye.
//!
//! What was asked before is answered before: a change that was committed is told, so that nobody asks twice.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::head::Head;

/// Told to nodes and people whose connection is ended.
pub const WHY: &str = "the gateway restarts";

/// How long what was asked may take to be answered.
const ANSWERS: Duration = Duration::from_secs(3);
/// How long a last word may take to leave, where the client reads.
const WORDS: Duration = Duration::from_secs(1);
/// How long clients have to hang up by themselves, as most do once they have their exit code. One that is told
/// goodbye before that would take it for its exit code.
const HANG_UP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Who only waits, looks on, or is in a box leaves now.
    Leaving,
    /// Who is not done leaves too.
    Closing,
    /// Connections end.
    Goodbye,
}

/// How far the end has come. There is one of it.
pub struct Ending {
    stage: watch::Sender<Stage>,
    sessions: TaskTracker,
    connections: TaskTracker,
}

impl Default for Ending {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Serving),
            sessions: TaskTracker::new(),
            connections: TaskTracker::new(),
        }
    }
}

impl Ending {
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        *self.stage.borrow() >= Stage::Leaving
    }

    /// Resolves when whoever can come back should leave.
    pub async fn leaving(&self) {
        self.reached(Stage::Leaving).await;
    }

    /// Resolves when nothing more will be answered.
    pub async fn closing(&self) {
        self.reached(Stage::Closing).await;
    }

    /// Resolves when connections are ended.
    pub async fn goodbye(&self) {
        self.reached(Stage::Goodbye).await;
    }

    /// Work for somebody, which is waited for.
    pub fn session(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.sessions.spawn(work);
    }

    /// As [`Ending::session`], for a connection as a whole.
    pub fn connection(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.connections.spawn(work);
    }

    async fn reached(&self, stage: Stage) {
        let mut watch = self.stage.subscribe();
        // The sender is ours: it cannot be gone.
        let _ = watch.wait_for(|now| *now >= stage).await;
    }
}

/// To be called once nobody is let in any more; returns within seconds, when everybody has left or was left.
pub async fn end(head: &Head) {
    let Ending {
        stage,
        sessions,
        connections,
    } = &head.ending;
    sessions.close();
    connections.close();
    info!(
        sessions = sessions.len(),
        "ends: what was asked is answered"
    );
    stage.send_replace(Stage::Leaving);
    let answered = tokio::time::timeout(ANSWERS, sessions.wait()).await;
    stage.send_replace(Stage::Closing);
    if answered.is_err() {
        let _ = tokio::time::timeout(WORDS, sessions.wait()).await;
    }
    head.links.close_all(WHY);
    if tokio::time::timeout(HANG_UP, connections.wait())
        .await
        .is_err()
    {
        info!(connections = connections.len(), "says goodbye");
        stage.send_replace(Stage::Goodbye);
        let _ = tokio::time::timeout(HANG_UP, connections.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_come_in_order_and_are_not_missed() {
        let ending = Ending::default();
        assert!(!ending.is_leaving());
        ending.stage.send_replace(Stage::Closing);
        // Also for who asks later.
        ending.leaving().await;
        ending.closing().await;
        assert!(ending.is_leaving());
        let waits = tokio::time::timeout(Duration::ZERO, ending.goodbye()).await;
        assert!(waits.is_err());
    }
}

//! What is left of an ended box goes.

use std::time::Duration;

use bollard::Docker as Client;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder};
use cluster::AttemptId;
use futures_util::StreamExt;

use super::{Docker, EngineError, away, is_status};

/// How long Docker may take to notice the end of a container that is to be removed.
const OVER_LIMIT: Duration = Duration::from_secs(10);

impl Docker {
    pub(super) async fn take_away(&self, attempt: AttemptId) -> Result<(), EngineError> {
        self.ids().remove(&attempt);
        let client = self.client().await?;
        let mut names = vec![self.name(attempt)];
        if attempt.number == 0 {
            // What an interrupted restore left of a box that stays.
            names.push(self.next_name(attempt));
        }
        for name in names {
            self.until_over(client, &name).await;
            // 409: somebody else is at it.
            self.force(&name, &[404, 409]).await?;
        }
        Ok(())
    }

    /// `fine`: answers that are as good as done.
    pub(super) async fn force(&self, name: &str, fine: &[u16]) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let client = self.client().await?;
        match client.remove_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, fine) => Ok(()),
            Err(error) => Err(away(&error)),
        }
    }

    /// Docker itself has noticed the end of its process, or a while has passed. One that is removed by force before
    /// that, just after Docker came back, leaves its network behind (seen with 20.10.24).
    async fn until_over(&self, client: &Client, name: &str) {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let mut over = Box::pin(client.wait_container(name, Some(options)));
        // Its code, or that it is not there: the removal says more.
        let _ = tokio::time::timeout(OVER_LIMIT, over.next()).await;
    }
}

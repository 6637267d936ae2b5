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
            let options = RemoveContainerOptionsBuilder::new()
                .force(true)
                .v(true)
                .build();
            match client.remove_container(&name, Some(options)).await {
                Err(error) if !is_status(&error, &[404, 409]) => return Err(away(&error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
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

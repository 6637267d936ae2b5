//! A box's disk as it was: images that only river names, `river-snapshots/NODE-TASK:NAME`.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ContainerConfig;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, ListImagesOptionsBuilder,
    RemoveImageOptionsBuilder, RenameContainerOptionsBuilder,
};
use cluster::{AttemptId, TaskName, Timestamp};
use tunnel::wire::errand::Snapshot;

use super::reference::SNAPSHOTS;
use super::{BoxPlan, Docker, EngineError, away, create, is_status, refused};

/// How long a copy of a disk may take: as long as a gateway waits for it.
const COPY_LIMIT: Duration = Duration::from_secs(600);

impl Docker {
    fn repository(&self, held: AttemptId) -> String {
        let name = self.name(held);
        let name = name.trim_start_matches("river-").trim_end_matches("-0");
        format!("{SNAPSHOTS}/{name}")
    }

    fn image_of(&self, held: AttemptId, name: &TaskName) -> String {
        format!("{}:{name}", self.repository(held))
    }

    pub(super) async fn take(&self, held: AttemptId, name: &TaskName) -> Result<(), EngineError> {
        let options = CommitContainerOptionsBuilder::new()
            .container(&self.name(held))
            .repo(&self.repository(held))
            .tag(name.as_str())
            // It stands still meanwhile; what its programs have not written is not there, as after a loss of power.
            .pause(true)
            .build();
        let client = self.client().await?.clone().with_timeout(COPY_LIMIT);
        let made = client
            .commit_container(options, ContainerConfig::default())
            .await;
        match made {
            Ok(_) => Ok(()),
            Err(error) if is_status(&error, &[404]) => {
                Err(EngineError::Task("this box has no disk yet".to_owned()))
            }
            Err(error) => Err(refused(&error)),
        }
    }

    pub(super) async fn taken(&self, held: AttemptId) -> Result<Vec<Snapshot>, EngineError> {
        let repository = self.repository(held);
        let filters: HashMap<&str, Vec<&str>> =
            HashMap::from([("reference", vec![repository.as_str()])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = self.client().await?.list_images(Some(options)).await;
        let mut found = Vec::new();
        for image in images.map_err(|error| away(&error))? {
            for tag in &image.repo_tags {
                let name = tag
                    .strip_prefix(&repository)
                    .and_then(|rest| rest.strip_prefix(':'));
                let Some(name) = name.and_then(|name| name.parse().ok()) else {
                    continue;
                };
                found.push(Snapshot {
                    name,
                    made: Timestamp(u64::try_from(image.created).unwrap_or_default() * 1000),
                    size: u64::try_from(image.size).unwrap_or_default(),
                });
            }
        }
        found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.made));
        Ok(found)
    }

    /// A new container of the snapshot takes the place of the old one. Whatever is interrupted here, either
    /// the old one or the new one is there in the end.
    pub(super) async fn put_back(
        &self,
        plan: &BoxPlan,
        name: &TaskName,
    ) -> Result<(), EngineError> {
        let held = plan.assignment.box_id();
        let (own, next) = (self.name(held), self.next_name(held));
        let client = self.client().await?;
        let image = self.image_of(held, name);
        let mounts = self.mounts(plan)?;
        let body = create::body(plan, &self.settings, &image, &mounts);
        self.force(&next, &[404]).await?;
        let options = CreateContainerOptionsBuilder::new().name(&next).build();
        let made = client.create_container(Some(options), body).await;
        made.map_err(|error| {
            if is_status(&error, &[404]) {
                return EngineError::Task(format!("{name}: no such snapshot of this box"));
            }
            refused(&error)
        })?;
        self.force(&own, &[404]).await?;
        self.settle(held).await?;
        // As it is there now, not as it was made: what was interrupted may have been ended by others.
        self.ids().remove(&held);
        self.id(held).await.map(drop)
    }

    /// Ends a restore that was interrupted after the old container was removed.
    pub(super) async fn settle(&self, held: AttemptId) -> Result<(), EngineError> {
        let options = RenameContainerOptionsBuilder::new()
            .name(&self.name(held))
            .build();
        let client = self.client().await?;
        match client
            .rename_container(&self.next_name(held), options)
            .await
        {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, &[404]) => Ok(()),
            // The old one is still there, and is the box: another of its label would be taken for it.
            Err(error) if is_status(&error, &[409]) => {
                self.force(&self.next_name(held), &[404]).await
            }
            Err(error) => Err(away(&error)),
        }
    }

    pub(super) fn next_name(&self, held: AttemptId) -> String {
        format!("{}-next", self.name(held))
    }

    pub(super) async fn forget(&self, held: AttemptId, name: &TaskName) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::new().build();
        let image = self.image_of(held, name);
        let client = self.client().await?;
        match client.remove_image(&image, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(error) if is_status(&error, &[404]) => Err(EngineError::Task(format!(
                "{name}: no such snapshot of this box"
            ))),
            // By force only its name would go, and its layers be nobody's.
            Err(error) if is_status(&error, &[409]) => Err(EngineError::Task(format!(
                "{name}: the box's disk was made from it: it can go once another is restored, and goes with the box"
            ))),
            Err(error) => Err(refused(&error)),
        }
    }
}

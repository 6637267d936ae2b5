//! The image of a task: found, pulled where that is allowed, or made.

use std::sync::PoisonError;

use bollard::query_parameters::CreateImageOptionsBuilder;
use cluster::Image;
use futures_util::StreamExt;
use tunnel::wire::guest::GuestUser;

use super::{BoxPlan, Docker, EngineError, Prepared, away, default_image, is_status, refused};

impl Docker {
    /// What Docker calls the image.
    pub(super) fn reference(&self, plan: &BoxPlan) -> String {
        match &plan.assignment.spec.image {
            Image::Reference(image) | Image::Environment(image) => image.clone(),
            Image::Default => self
                .settings
                .default_image
                .clone()
                .unwrap_or_else(|| default_image::NAME.to_owned()),
        }
    }

    pub(super) async fn image(&self, plan: &BoxPlan) -> Result<(String, Prepared), EngineError> {
        let name = self.reference(plan);
        let known = self
            .images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&name)
            .cloned();
        if let Some(prepared) = known {
            return Ok((name, prepared));
        }
        let prepared = match self.inspect(&name).await? {
            Some(prepared) => prepared,
            None => {
                self.fetch(plan, &name).await?;
                let found = self.inspect(&name).await?;
                found.ok_or_else(|| {
                    EngineError::Task(format!("{name}: no such image on this node"))
                })?
            }
        };
        // A tag can move; what an image brings is asked again after a restart of the runner.
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone(), prepared.clone());
        Ok((name, prepared))
    }

    async fn inspect(&self, name: &str) -> Result<Option<Prepared>, EngineError> {
        let image = match self.client().await?.inspect_image(name).await {
            Ok(image) => image,
            Err(error) if is_status(&error, &[404]) => return Ok(None),
            Err(error) => return Err(refused(&error)),
        };
        let config = image.config.unwrap_or_default();
        let env = config.env.unwrap_or_default();
        let env = env.iter().filter_map(|line| line.split_once('='));
        Ok(Some(Prepared {
            env: env
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            workdir: config.working_dir.filter(|dir| !dir.is_empty()),
            user: GuestUser::Image(config.user.unwrap_or_default()),
            affinity: false,
        }))
    }

    async fn fetch(&self, plan: &BoxPlan, name: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        match &plan.assignment.spec.image {
            Image::Default if self.settings.default_image.is_none() => {
                default_image::make(client, &self.settings.busybox).await
            }
            Image::Environment(_) => Err(EngineError::Task(format!(
                "{name}: this node has no such environment; --image pulls one from a registry"
            ))),
            Image::Reference(_) | Image::Default => {
                let whole = if name
                    .rsplit('/')
                    .next()
                    .is_some_and(|last| last.contains([':', '@']))
                {
                    name.to_owned()
                } else {
                    format!("{name}:latest")
                };
                let options = CreateImageOptionsBuilder::new().from_image(&whole).build();
                let mut pull = Box::pin(client.create_image(Some(options), None, None));
                while let Some(step) = pull.next().await {
                    step.map_err(|error| {
                        EngineError::Task(format!(
                            "{name}: this node has no such image, and cannot pull it: {error}"
                        ))
                    })?;
                }
                Ok(())
            }
        }
    }
}

pub(super) fn engine(error: &bollard::errors::Error) -> EngineError {
    away(error)
}

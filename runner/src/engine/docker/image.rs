//! The image of a task: found, pulled where that is allowed, or made.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use bollard::query_parameters::CreateImageOptionsBuilder;
use cluster::Image;
use futures_util::StreamExt;
use tunnel::wire::guest::GuestUser;

use super::reference::Name;
use super::{BoxPlan, Docker, EngineError, Prepared, away, default_image, is_status, refused};

impl Docker {
    /// What Docker calls the image; of a tenant's word, what it means as a name.
    ///
    /// # Errors
    /// The task's, for what is no name that a tenant may have: in the words for one that is not there.
    pub(super) fn reference(&self, plan: &BoxPlan) -> Result<String, EngineError> {
        match &plan.assignment.spec.image {
            asked @ (Image::Reference(text) | Image::Environment(text)) => Name::of(text)
                .filter(Name::may_be_used)
                .map(|name| name.to_string())
                .ok_or_else(|| missing(asked, text)),
            Image::Default => Ok(self
                .settings
                .default_image
                .clone()
                .unwrap_or_else(|| default_image::NAME.to_owned())),
        }
    }

    pub(super) async fn image(&self, plan: &BoxPlan) -> Result<Prepared, EngineError> {
        let name = self.reference(plan)?;
        if let Some(prepared) = self.images().get(&name).cloned() {
            return Ok(prepared);
        }
        let asked = &plan.assignment.spec.image;
        let prepared = match self.inspect(asked, &name).await? {
            Some(prepared) => prepared,
            None => {
                self.fetch(asked, &name).await?;
                let found = self.inspect(asked, &name).await?;
                found.ok_or_else(|| missing(&Image::Reference(name.clone()), &name))?
            }
        };
        // A tag can move; what an image brings is asked again after a restart of the runner.
        self.images().insert(name, prepared.clone());
        Ok(prepared)
    }

    pub(super) fn images(&self) -> MutexGuard<'_, BTreeMap<String, Prepared>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn inspect(&self, asked: &Image, name: &str) -> Result<Option<Prepared>, EngineError> {
        let image = match self.client().await?.inspect_image(name).await {
            Ok(image) => image,
            Err(error) if is_status(&error, &[404]) => return Ok(None),
            Err(error) => return Err(refused(&error)),
        };
        let names = [&image.repo_tags, &image.repo_digests];
        let mut names = names.into_iter().flatten().flatten();
        // Docker finds images by their ids too, and so disks of boxes. What the node itself names is trusted.
        if *asked != Image::Default
            && !Name::of(name).is_some_and(|name| name.is_among(names.by_ref()))
        {
            return Ok(None);
        }
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

    async fn fetch(&self, asked: &Image, name: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        let named = Name::of(name);
        match asked {
            Image::Default if self.settings.default_image.is_none() => {
                return default_image::make(client, &self.settings.busybox).await;
            }
            Image::Environment(text) => return Err(missing(asked, text)),
            Image::Reference(text) if !named.as_ref().is_some_and(Name::may_be_pulled) => {
                return Err(missing(asked, text));
            }
            Image::Reference(_) | Image::Default => {}
        }
        let whole = named.map_or_else(|| name.to_owned(), |named| named.to_string());
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

/// Of an image that the node has not, and does not fetch.
fn missing(asked: &Image, name: &str) -> EngineError {
    EngineError::Task(match asked {
        Image::Environment(_) => {
            format!("{name}: this node has no such environment; --image pulls one from a registry")
        }
        Image::Reference(_) | Image::Default => {
            format!("{name}: no such image on this node; name one of a registry, as in debian:12")
        }
    })
}

pub(super) fn engine(error: &bollard::errors::Error) -> EngineError {
    away(error)
}

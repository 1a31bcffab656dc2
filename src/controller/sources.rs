//! Watching the sources, and writing what follows from them: their status, and the objects that they make.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
    core::Request,
    runtime::watcher,
};
use serde::{Serialize, de::IgnoredAny};
use tracing::{debug, info, warn};

use super::{
    listing::Listing,
    watch::{HoldsUpNothing, config, logged},
    watch_log::WatchLog,
    wire::{PartialSource, PartialTask},
    writer::{ApiError, Version, Writer, bounded},
};
use crate::{
    api::ScaleOutTask,
    rules::{ObjectKey, Source, SourcePatch},
    scheduler::{Creation, CreationResult, Input, SourceInput, SourceWrite, WriteResult},
};

/// Watches the sources of a namespace, or all. `id` is the number of the watch of its objects.
pub fn watch(
    id: usize,
    api: Api<PartialSource>,
    selector: &str,
    log: WatchLog,
) -> impl Stream<Item = Result<Input, HoldsUpNothing>> + Send + use<> {
    logged(Listing::watch(api, config(selector)), log)
        .map(move |event| Ok(Input::Source(input_of(id, event?))))
}

fn input_of(watch: usize, event: watcher::Event<PartialSource>) -> SourceInput {
    match event {
        watcher::Event::Init => SourceInput::Relisting(watch),
        watcher::Event::InitDone => SourceInput::ListingDone(watch),
        watcher::Event::InitApply(source) => {
            read(source, |source| SourceInput::Listed(watch, source))
        }
        watcher::Event::Apply(source) => read(source, |source| SourceInput::Applied(watch, source)),
        watcher::Event::Delete(source) => SourceInput::Gone(source.key()),
    }
}

/// A source that can't be read is left alone until it can.
fn read(source: PartialSource, input: impl FnOnce(Box<Source>) -> SourceInput) -> SourceInput {
    let key = source.key();
    match source.source {
        Ok(source) => input(source),
        Err(error) => {
            let ObjectKey { namespace, name } = &key;
            warn!(
                %namespace,
                %name,
                error,
                "the source can't be read and is left alone: is the CRD of another version?"
            );
            SourceInput::Gone(key)
        }
    }
}

/// The body of a patch of a source's status.
#[derive(Debug, Serialize)]
struct Body<'a> {
    metadata: Version,
    status: SourcePatch<'a>,
}

impl Writer {
    /// Writes a source's status in one patch, which the API server refuses if the source has changed since.
    pub async fn write_source(self, write: SourceWrite) -> Input {
        let (outcome, result) = match self.patch_source(&write).await {
            Ok(source) => ("written", WriteResult::Written(source)),
            // The watch brings what it is now.
            Err(ApiError::Conflict) => ("conflict", WriteResult::Failed),
            Err(ApiError::Gone) => ("gone", WriteResult::Gone),
            Err(ApiError::Refused(error)) => {
                tell(&write, &error);
                ("refused", WriteResult::Refused)
            }
            Err(ApiError::Other(error)) => {
                tell(&write, &error);
                ("failed", WriteResult::Failed)
            }
        };
        self.metrics.wrote(outcome);
        Input::Source(SourceInput::WriteEnded(write.id, result))
    }

    async fn patch_source(&self, write: &SourceWrite) -> Result<Box<Source>, ApiError> {
        let ObjectKey { namespace, name } = &write.source.key;
        let api: Api<PartialSource> = Api::namespaced(self.client.clone(), namespace);
        let patch = Patch::Merge(Body {
            metadata: Version::of(&write.source.resource_version),
            status: SourcePatch {
                from: &write.source.status,
                to: &write.status,
            },
        });
        let params = PatchParams {
            field_manager: Some(self.manager.to_string()),
            ..PatchParams::default()
        };
        let request = bounded(api.patch_status(name, &params, &patch));
        let written = self.fence.guard(request).await.unwrap_or_else(|| {
            let error = "this replica doesn't lead any more";
            Err(ApiError::Other(error.to_owned()))
        })?;
        written.source.map_err(ApiError::Other)
    }

    /// Creates the object of a found task.
    pub async fn create(self, creation: Creation) -> Input {
        let result = match self.fence.guard(self.try_create(&creation)).await {
            Some(result) => result,
            None => CreationResult::Failed,
        };
        Input::Source(SourceInput::CreationEnded(creation.id, result))
    }

    async fn try_create(&self, creation: &Creation) -> CreationResult {
        let ObjectKey { namespace, name } = &creation.key;
        let task_id = &*creation.object.spec.task_id;
        match post(&self.client, creation, &self.manager).await {
            Ok(()) => {
                info!(%namespace, %name, task_id, "made the object of a task that its source found");
                CreationResult::Created
            }
            Err(ApiError::Conflict) => self.existing(&creation.key).await,
            Err(ApiError::Refused(error)) => {
                if creation.attempts == 0 {
                    warn!(%namespace, %name, task_id, error, "the API server refuses the object; retrying");
                }
                CreationResult::Refused(error)
            }
            // Of a namespace that is gone.
            Err(ApiError::Gone) => CreationResult::Failed,
            Err(ApiError::Other(error)) => {
                if creation.attempts == 0 {
                    warn!(%namespace, %name, task_id, error, "can't create the object; retrying");
                } else {
                    debug!(error, "still can't create the object");
                }
                CreationResult::Failed
            }
        }
    }

    /// What has that name already.
    async fn existing(&self, key: &ObjectKey) -> CreationResult {
        let api: Api<PartialTask> = Api::namespaced(self.client.clone(), &key.namespace);
        match bounded(api.get(&key.name)).await.map(|found| found.object) {
            Ok(Ok(object)) => CreationResult::Exists(object),
            Ok(Err(error)) => {
                let name = &key.name;
                CreationResult::Refused(format!(
                    "{name} is there and can't be read ({error}): is the CRD of another version?"
                ))
            }
            // It was deleted meanwhile, or the API server is in trouble.
            Err(_) => CreationResult::Failed,
        }
    }
}

/// Sends it. The answer is the object again, which the watch brings too.
async fn post(client: &Client, creation: &Creation, manager: &Arc<str>) -> Result<(), ApiError> {
    let other = |error: &dyn std::error::Error| ApiError::Other(error.to_string());
    let url = ScaleOutTask::url_path(&(), Some(&creation.key.namespace));
    let body = serde_json::to_vec(&creation.object).map_err(|error| other(&error))?;
    let params = PostParams {
        field_manager: Some(manager.to_string()),
        ..PostParams::default()
    };
    let request = Request::new(url).create(&params, body);
    let request = request.map_err(|error| other(&error))?;
    bounded(client.request::<IgnoredAny>(request))
        .await
        .map(drop)
}

/// Logged once, not at every attempt.
fn tell(write: &SourceWrite, error: &str) {
    let ObjectKey { namespace, name } = &write.source.key;
    if write.attempts == 0 {
        warn!(%namespace, %name, error, "can't write the source's status; retrying");
    } else {
        debug!(error, "still can't write the source's status");
    }
}

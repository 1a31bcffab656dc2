//! Writing status, and deleting objects whose time is over: nothing once the fence is closed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde::Serialize;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{fence::Fence, wire::PartialTask};
use crate::{
    metrics::Metrics,
    rules::{Object, ObjectKey, ResourceVersion, StatusPatch},
    scheduler::{Deletion, DeletionResult, Input, Write, WriteResult},
};

/// How long one request to the API server may take.
const API_TIMEOUT: Duration = Duration::from_secs(10);

/// How a request to the API server failed.
pub enum ApiError {
    Conflict,
    Gone,
    Refused(String),
    Other(String),
}

/// What writes are made with. Clones share it.
#[derive(Clone)]
pub struct Writer {
    /// The API server.
    pub client: Client,
    /// Closed where this replica may not write.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whom the API server notes as the writer of statuses.
    pub manager: Arc<str>,
}

impl Writer {
    /// Writes the status in one patch, which the API server refuses if the object has changed
    /// since. `since` is when the call or the change began that led to it.
    pub async fn write(self, write: Write, since: Instant) -> Input {
        let result = self.patch(&write).await;
        let outcome = label(&result);
        self.metrics.wrote(outcome);
        self.metrics.reconciled(outcome, since.elapsed());
        Input::WriteEnded(write.id, result)
    }

    /// Deletes exactly the object that was decided on.
    pub async fn delete(self, deletion: Deletion) -> Input {
        let request = delete(&self.client, &deletion);
        let result = match self.fence.guard(request).await {
            Some(Ok(())) => DeletionResult::Deleted,
            Some(Err(ApiError::Refused(_))) => DeletionResult::Refused,
            _ => DeletionResult::Failed,
        };
        Input::DeletionEnded(deletion.object, result)
    }

    async fn patch(&self, write: &Write) -> WriteResult {
        let api = api_of(&self.client, &write.object.key);
        let patch = Patch::Merge(Body::of(write));
        let params = PatchParams {
            field_manager: Some(self.manager.to_string()),
            ..PatchParams::default()
        };
        let request = read(api.patch_status(&write.object.key.name, &params, &patch));
        let Some(written) = self.fence.guard(request).await else {
            return WriteResult::Failed;
        };
        match written {
            Ok(object) => WriteResult::Written(object),
            Err(ApiError::Conflict) => reread(&api, write).await,
            Err(ApiError::Gone) => WriteResult::Gone,
            Err(ApiError::Refused(error)) => failed(write, &error, WriteResult::Refused),
            Err(ApiError::Other(error)) => failed(write, &error, WriteResult::Failed),
        }
    }
}

async fn delete(client: &Client, deletion: &Deletion) -> Result<(), ApiError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(deletion.uid.to_string()),
            resource_version: Some(deletion.resource_version.to_string()),
        }),
        ..DeleteParams::default()
    };
    let ObjectKey { namespace, name } = &deletion.key;
    match bounded(api_of(client, &deletion.key).delete(name, &params)).await {
        Ok(_) => info!(%namespace, %name, "deleted, ttlSecondsAfterFinished after it finished"),
        Err(ApiError::Gone) => {}
        Err(failure) => {
            // Logged once, not at every attempt. A conflict needs no attention.
            if let (0, ApiError::Refused(error) | ApiError::Other(error)) =
                (deletion.attempts, &failure)
            {
                warn!(%namespace, %name, error, "can't delete the object; retrying");
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// The body of a patch.
#[derive(Debug, Serialize)]
struct Body<'a> {
    metadata: Version,
    status: StatusPatch<'a>,
}

/// The version that a write was decided on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    resource_version: String,
}

impl Version {
    pub fn of(version: &ResourceVersion) -> Self {
        Self {
            resource_version: version.to_string(),
        }
    }
}

impl<'a> Body<'a> {
    fn of(write: &'a Write) -> Self {
        Self {
            metadata: Version::of(&write.object.resource_version),
            status: StatusPatch {
                from: &write.object.status,
                to: &write.status,
                task: &write.task,
            },
        }
    }
}

/// Somebody changed the object: what it is now decides what to write.
async fn reread(api: &Api<PartialTask>, write: &Write) -> WriteResult {
    debug!("the object changed before its status was written; deciding again");
    match read(api.get(&write.object.key.name)).await {
        Ok(now) if now.uid == write.object.uid => WriteResult::Conflict(now),
        Ok(_) | Err(ApiError::Gone) => WriteResult::Gone,
        Err(ApiError::Conflict) => WriteResult::Failed,
        Err(ApiError::Refused(error) | ApiError::Other(error)) => {
            failed(write, &error, WriteResult::Failed)
        }
    }
}

/// Logged once, not at every attempt.
fn failed(write: &Write, error: &str, result: WriteResult) -> WriteResult {
    if write.attempts == 0 {
        let ObjectKey { namespace, name } = &write.object.key;
        let task_id = &*write.object.spec.task_id;
        warn!(%namespace, %name, task_id, error, "can't write the status; retrying");
    } else {
        let attempts = write.attempts;
        debug!(error, attempts, "still can't write the status");
    }
    result
}

/// The object that the API server answers with.
async fn read(
    request: impl Future<Output = kube::Result<PartialTask>>,
) -> Result<Box<Object>, ApiError> {
    bounded(request).await?.object.map_err(ApiError::Other)
}

/// Waits for an answer, but not for ever.
pub async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match timeout(API_TIMEOUT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            409 => ApiError::Conflict,
            404 => ApiError::Gone,
            // What the API server refuses now, it refuses until somebody mends something.
            400 | 403 | 405..=422 => ApiError::Refused(status.message),
            _ if is_too_large(&status.message) => ApiError::Refused(status.message),
            _ => ApiError::Other(status.to_string()),
        }),
        Ok(Err(error)) => Err(ApiError::Other(error.to_string())),
        Err(_) => Err(ApiError::Other(format!("no answer within {API_TIMEOUT:?}"))),
    }
}

/// What etcd doesn't take for its size comes as a 500, and will again until the object is smaller.
fn is_too_large(message: &str) -> bool {
    message.contains("request is too large") || message.contains("message larger than max")
}

fn api_of(client: &Client, key: &ObjectKey) -> Api<PartialTask> {
    Api::namespaced(client.clone(), &key.namespace)
}

fn label(result: &WriteResult) -> &'static str {
    match result {
        WriteResult::Written(_) => "written",
        WriteResult::Conflict(_) => "conflict",
        WriteResult::Gone => "gone",
        WriteResult::Refused => "refused",
        WriteResult::Failed => "failed",
    }
}

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
use serde_json::{Map, Value};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{
    activity::Activity, fence::Fence, notices::NoticeSender, patch::merge_patch, watched::Watched,
};
use crate::{
    core::{Deletion, Event, Notice, Object, ObjectKey, Severity, Write, WriteResult},
    metrics::Metrics,
};

/// How long one request to the API server may take.
const API_TIMEOUT: Duration = Duration::from_secs(10);

/// How a request to the API server failed.
enum Failure {
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
    /// Where Events go.
    pub notices: NoticeSender,
    /// Told of each write.
    pub activity: Activity,
}

impl Writer {
    /// Writes the status in one patch, which the API server refuses if the object has changed
    /// since. `began` is when that began which led to it.
    pub async fn write(self, write: Write, began: Instant) -> Event {
        self.activity.happens();
        let result = self.patch(&write).await;
        self.activity.happens();
        let outcome = label(&result);
        self.metrics.wrote(outcome);
        self.metrics.reconciled(outcome, began.elapsed());
        if let (WriteResult::Written(_), Some(notice)) = (&result, write.notice) {
            self.tell(&write.object, notice);
        }
        Event::WriteEnded(write.entry, result)
    }

    /// Deletes exactly the object that was decided on. The watch tells of success.
    pub async fn delete(self, deletion: Deletion) -> Event {
        let request = delete(&self.client, &deletion);
        let refused = match self.fence.guard(request).await {
            Some(Ok(())) => return Event::Tick,
            Some(Err(Failure::Refused(_))) => true,
            _ => false,
        };
        let entry = deletion.entry;
        Event::DeleteFailed { entry, refused }
    }

    /// One log line, one count and one Event for a change of reason.
    pub fn tell(&self, object: &Object, notice: Notice) {
        if notice.reason.is_final() {
            self.metrics.finished(notice.reason);
        }
        let ObjectKey { namespace, name } = &object.key;
        let (task_id, reason) = (&object.spec.task_id, notice.reason.as_str());
        match notice.severity {
            Severity::Normal => info!(namespace, name, task_id, reason, message = notice.message),
            Severity::Warning => warn!(namespace, name, task_id, reason, message = notice.message),
        }
        self.notices.send(notice, object);
    }

    async fn patch(&self, write: &Write) -> WriteResult {
        let object = &write.object;
        let api = api_of(&self.client, &object.key);
        let patch = match status_patch(write) {
            Ok(patch) => Patch::Merge(patch),
            Err(error) => return failed(write, &error.to_string(), WriteResult::Refused),
        };
        let params = PatchParams::default();
        let request = read(api.patch_status(&object.key.name, &params, &patch));
        let Some(written) = self.fence.guard(request).await else {
            return WriteResult::Failed;
        };
        match written {
            Ok(object) => WriteResult::Written(object),
            Err(Failure::Conflict) => reread(&api, write).await,
            Err(Failure::Gone) => WriteResult::Gone,
            Err(Failure::Refused(error)) => failed(write, &error, WriteResult::Refused),
            Err(Failure::Other(error)) => failed(write, &error, WriteResult::Failed),
        }
    }
}

async fn delete(client: &Client, deletion: &Deletion) -> Result<(), Failure> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(deletion.uid.clone()),
            resource_version: Some(deletion.resource_version.clone()),
        }),
        ..DeleteParams::default()
    };
    let key = &*deletion.key;
    let ObjectKey { namespace, name } = key;
    match bounded(api_of(client, key).delete(name, &params)).await {
        Ok(_) => info!(
            namespace,
            name, "deleted, ttlSecondsAfterFinished after it finished"
        ),
        Err(Failure::Gone) => {}
        Err(failure) => {
            // Told once, not at every attempt. A conflict is nobody's trouble.
            if let (0, Failure::Refused(error) | Failure::Other(error)) =
                (deletion.attempts, &failure)
            {
                warn!(
                    namespace,
                    name, error, "can't delete the object; trying again"
                );
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// Serialized once, at the end.
#[derive(Debug, Serialize)]
struct StatusPatch<'a> {
    metadata: Version<'a>,
    status: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    resource_version: &'a str,
}

fn status_patch(write: &Write) -> serde_json::Result<StatusPatch<'_>> {
    let from = serde_json::to_value(&write.object.status)?;
    let to = serde_json::to_value(&write.status)?;
    let metadata = Version {
        resource_version: &write.object.resource_version,
    };
    // No difference must not become null: that would take the whole status away.
    let status = merge_patch(from, to).unwrap_or_else(|| Map::new().into());
    Ok(StatusPatch { metadata, status })
}

/// Somebody changed the object: what it is now decides what to write.
async fn reread(api: &Api<Watched>, write: &Write) -> WriteResult {
    let ObjectKey { namespace, name } = &write.object.key;
    debug!(
        namespace,
        name, "the object changed before its status was written; deciding again"
    );
    match read(api.get(name)).await {
        Ok(now) if now.uid == write.object.uid => WriteResult::Conflict(now),
        Ok(_) | Err(Failure::Gone) => WriteResult::Gone,
        Err(Failure::Conflict) => WriteResult::Failed,
        Err(Failure::Refused(error) | Failure::Other(error)) => {
            failed(write, &error, WriteResult::Failed)
        }
    }
}

/// Told once, not at every attempt.
fn failed(write: &Write, error: &str, result: WriteResult) -> WriteResult {
    let ObjectKey { namespace, name } = &write.object.key;
    if write.attempts == 0 {
        warn!(
            namespace,
            name, error, "can't write the status; trying again"
        );
    } else {
        debug!(
            namespace,
            name,
            error,
            attempts = write.attempts,
            "still can't write the status"
        );
    }
    result
}

/// The object that the API server answers with.
async fn read(
    request: impl Future<Output = kube::Result<Watched>>,
) -> Result<Box<Object>, Failure> {
    bounded(request).await?.object.map_err(Failure::Other)
}

async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(API_TIMEOUT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Failure::Conflict),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Failure::Gone),
        // What the API server refuses now, it refuses until somebody mends something.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 403 | 405..=422) => {
            Err(Failure::Refused(status.message))
        }
        Ok(Err(error)) => Err(Failure::Other(error.to_string())),
        Err(_) => Err(Failure::Other(format!("no answer within {API_TIMEOUT:?}"))),
    }
}

fn api_of(client: &Client, key: &ObjectKey) -> Api<Watched> {
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

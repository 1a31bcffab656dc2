//! Writing status, and deleting objects whose time is over.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::patch::merge_patch;
use crate::{
    api::ScaleOutTask,
    core::{Object, ObjectKey, Write, WriteResult},
};

/// How long one request to the API server may take.
const API_TIMEOUT: Duration = Duration::from_secs(10);

/// How a request to the API server failed.
enum Failure {
    Conflict,
    Gone,
    Other(String),
}

/// Writes the status in one patch, which the API server refuses if the object has changed since.
pub async fn write(client: &Client, write: &Write) -> WriteResult {
    let object = &write.object;
    let api = api_of(client, &object.key);
    let patch = match status_patch(write) {
        Ok(patch) => patch,
        Err(error) => return failed(write, &error.to_string()),
    };
    let params = PatchParams::default();
    let patch = Patch::Merge(patch);
    match bounded(api.patch_status(&object.key.name, &params, &patch)).await {
        Ok(task) => WriteResult::Written(Box::new(Object::from(task))),
        Err(Failure::Conflict) => reread(&api, write).await,
        Err(Failure::Gone) => WriteResult::Gone,
        Err(Failure::Other(error)) => failed(write, &error),
    }
}

/// Deletes exactly the object that was decided on. False where that failed.
pub async fn delete(
    client: &Client,
    key: &ObjectKey,
    uid: String,
    resource_version: String,
) -> bool {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid),
            resource_version: Some(resource_version),
        }),
        ..DeleteParams::default()
    };
    let ObjectKey { namespace, name } = key;
    match bounded(api_of(client, key).delete(name, &params)).await {
        Ok(_) => {
            info!(
                namespace,
                name, "deleted, ttlSecondsAfterFinished after it finished"
            );
            true
        }
        Err(Failure::Gone) => true,
        Err(Failure::Conflict) => false,
        Err(Failure::Other(error)) => {
            warn!(
                namespace,
                name, error, "can't delete the object; trying again"
            );
            false
        }
    }
}

fn status_patch(write: &Write) -> serde_json::Result<Value> {
    let from = serde_json::to_value(&write.object.status)?;
    let to = serde_json::to_value(&write.status)?;
    Ok(json!({
        "metadata": { "resourceVersion": write.object.resource_version },
        // No difference must not become null: that would take the whole status away.
        "status": merge_patch(&from, &to).unwrap_or_else(|| json!({})),
    }))
}

/// Somebody changed the object: what it is now decides what to write.
async fn reread(api: &Api<ScaleOutTask>, write: &Write) -> WriteResult {
    let ObjectKey { namespace, name } = &write.object.key;
    debug!(
        namespace,
        name, "the object changed before its status was written; deciding again"
    );
    match bounded(api.get(name)).await.map(Object::from) {
        Ok(now) if now.uid == write.object.uid => WriteResult::Conflict(Box::new(now)),
        Ok(_) | Err(Failure::Gone) => WriteResult::Gone,
        Err(Failure::Conflict) => failed(write, "conflict on read"),
        Err(Failure::Other(error)) => failed(write, &error),
    }
}

/// Told once, not at every attempt.
fn failed(write: &Write, error: &str) -> WriteResult {
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
    WriteResult::Failed
}

async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(API_TIMEOUT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Failure::Conflict),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Failure::Gone),
        Ok(Err(error)) => Err(Failure::Other(error.to_string())),
        Err(_) => Err(Failure::Other(format!("no answer within {API_TIMEOUT:?}"))),
    }
}

fn api_of(client: &Client, key: &ObjectKey) -> Api<ScaleOutTask> {
    Api::namespaced(client.clone(), &key.namespace)
}

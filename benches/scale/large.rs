//! Objects as large as etcd lets them be.

use std::{path::Path, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Patch, PatchParams, Request};
use kube::{Api, Resource};
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use tokio::time::sleep;

use testbed::harness::{Cluster, Controller, Result};

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{Fleet, spec},
    steady::{self, Promise},
};

const OBJECTS: usize = 60;
const INTERVAL: Duration = Duration::from_secs(5);
/// How many objects are made large at the same time.
const AT_ONCE: usize = 4;
const KIB: usize = 1024;
/// What each is at least, as the API server hands it out, and at most: etcd takes 1.5 MiB.
const SIZE: std::ops::Range<usize> = 1400 * KIB..1500 * KIB;
/// MiB at most.
const PEAK: f64 = 96.0;

pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let fleet = Fleet::created(cluster, "large", OBJECTS, INTERVAL).await?;
    let api = cluster.objects(&fleet.namespace);
    each(&api, &in_metadata(), None).await?;
    let size = size(&api).await?;

    let mut controller = Controller::start(cluster, &fleet.launch(program)).await?;
    fleet.until_all(cluster, &mut controller, "running").await?;
    sleep(INTERVAL * 2).await;
    fleet.end_all();
    fleet.until_all(cluster, &mut controller, "success").await?;
    let title = format!("{OBJECTS} objects of {size:.1} MiB, from first status to end");
    let peak = controller.usage()?.peak;
    let line = Line::new(&title, "memory at most", peak).unit(Unit::Mebibytes);
    figures.add(line.at_most(Some(PEAK)));
    controller.stop()?;

    each(&api, &without_owner(), Some(&in_status())).await?;
    let size = self::size(&api).await?;
    let title = format!("restart, {OBJECTS} finished objects of {size:.1} MiB");
    let promise = Promise {
        peak: Some(PEAK),
        ..Promise::default()
    };
    steady::restart(cluster, program, &fleet, &title, &promise, figures).await?;
    cluster.delete_all(&fleet.namespace).await
}

/// What whoever may create an object can make it of: annotations of nearly the 256 KiB that the
/// API server takes, and an owner of a long name.
fn in_metadata() -> Value {
    let owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "uid": "00000000-0000-0000-0000-000000000000",
        "name": "n".repeat(1180 * KIB),
    });
    let note = "a".repeat(240 * KIB);
    json!({ "metadata": { "annotations": { "note": note }, "ownerReferences": [owner] } })
}

fn without_owner() -> Value {
    json!({ "metadata": { "ownerReferences": null } })
}

/// What whoever may write statuses can: each of its parts beyond what the controller writes.
fn in_status() -> Value {
    let result = |number: usize| {
        let data = format!("i-{number:04}{}", "d".repeat(KIB / 2));
        json!({ "data": data, "status": "success" })
    };
    let condition = |type_: &str, reason: &str, message: String| {
        json!({
            "type": type_, "status": "True", "reason": reason, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "message": message,
        })
    };
    let results: Vec<Value> = (0..1000).map(result).collect();
    json!({ "status": {
        "error": { "code": "Long", "message": "e".repeat(320 * KIB) },
        "taskResult": results,
        "conditions": [
            condition("Finished", "TaskSucceeded", "The task succeeded".to_owned()),
            condition("Note", "Long", "c".repeat(320 * KIB)),
            condition("Ready", "TaskSucceeded", "The task succeeded".to_owned()),
        ],
    } })
}

/// Patches each object, and its status too if that is given.
async fn each(api: &Api<ScaleOutTask>, patch: &Value, status: Option<&Value>) -> Result<()> {
    let params = PatchParams::default();
    let params = &params;
    let one = |number| async move {
        let (name, _) = spec(number);
        api.patch_metadata(&name, params, &Patch::Merge(patch))
            .await?;
        if let Some(status) = status {
            let patch = Patch::Merge(status);
            api.patch_status(&name, params, &patch).await?;
        }
        kube::Result::<()>::Ok(())
    };
    stream::iter((0..OBJECTS).map(one))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(())
}

/// MiB of the first object, which all others are like.
async fn size(api: &Api<ScaleOutTask>) -> Result<f64> {
    let namespace = api.namespace().unwrap_or_default();
    let path = ScaleOutTask::url_path(&(), Some(namespace));
    let request = Request::new(path).get(&spec(0).0, &kube::api::GetParams::default())?;
    let text = api.clone().into_client().request_text(request).await?;
    if SIZE.contains(&text.len()) {
        return Ok(testbed::harness::number(text.len() / KIB) / 1024.0);
    }
    Err(format!("an object has {} bytes, not one of {SIZE:?}", text.len()).into())
}

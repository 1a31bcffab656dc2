//! Objects created as fast as the API server takes them, each of which needs its first status.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::json;
use testbed::harness::{Cluster, Controller, Result, number, own_usage, percentile};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    figures::{Figures, Line, Unit},
    fleet::Fleet,
};

const OBJECTS: usize = 2000;
/// The bare loop and the controller take turns, so many each.
const ROUNDS: usize = 3;
/// How many objects are created, and by the bare loop patched, at the same time.
const AT_ONCE: usize = 16;
const INTERVAL: Duration = Duration::from_mins(10);
const PATIENCE: Duration = Duration::from_mins(2);
/// Events may come later than the statuses that they tell of.
const EVENTS: Duration = Duration::from_secs(10);

/// Times of the bare loop that are promised at most.
const RATIO: f64 = 1.15;
/// The same of its processor time. The bare loop makes two requests an object, and the controller three.
const CPU_RATIO: f64 = 1.25;

/// What a round took.
struct Round {
    /// Seconds until all had a status.
    took: f64,
    /// Microseconds of processor time an object.
    cpu: f64,
}

pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bare.push(bare_round(cluster, round).await?);
        ours.push(controller_round(cluster, program, round).await?);
    }
    let median = |rounds: &[Round], of: fn(&Round) -> f64| {
        let figures: Vec<f64> = rounds.iter().map(of).collect();
        percentile(&figures, 50)
    };
    let title = format!("burst, {OBJECTS} objects");
    let took = |round: &Round| round.took;
    let line = Line::new(&title, "until all have a status", median(&ours, took));
    figures.add(
        line.unit(Unit::Seconds)
            .bare(median(&bare, took), Some(RATIO)),
    );
    let cpu = |round: &Round| round.cpu;
    let line = Line::new(&title, "processor time an object", median(&ours, cpu));
    figures.add(
        line.unit(Unit::Micros)
            .bare(median(&bare, cpu), Some(CPU_RATIO)),
    );
    Ok(())
}

/// Each object created and patched once by a loop that does nothing else.
async fn bare_round(cluster: &Cluster, round: usize) -> Result<Round> {
    let fleet = Fleet::new(cluster, &format!("burst-bare-{round}"), OBJECTS, INTERVAL)?;
    let api = cluster.objects(&fleet.namespace);
    let watched = watch(&api).await?;
    let (begin, before) = (Instant::now(), own_usage()?.cpu);
    each(&fleet, |object| {
        let api = api.clone();
        async move {
            let created = api.create(&PostParams::default(), &object).await?;
            patch(&api, &created).await
        }
    })
    .await?;
    let took = finished(watched, begin).await?;
    let used = own_usage()?.cpu - before;
    cluster.delete_all(&fleet.namespace).await?;
    Ok(round_of(took, used))
}

/// Each object created, and patched by the controller. Its processor time includes the Events.
async fn controller_round(cluster: &Cluster, program: &Path, round: usize) -> Result<Round> {
    let fleet = Fleet::new(cluster, &format!("burst-{round}"), OBJECTS, INTERVAL)?;
    let api = cluster.objects(&fleet.namespace);
    let controller = Controller::start(cluster, &fleet.launch(program)).await?;
    let watched = watch(&api).await?;
    let (begin, before) = (Instant::now(), controller.usage()?.cpu);
    each(&fleet, |object| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &object).await.map(drop) }
    })
    .await?;
    let took = finished(watched, begin).await?;
    tokio::time::sleep(EVENTS).await;
    let used = controller.usage()?.cpu - before;
    controller.stop()?;
    cluster.delete_all(&fleet.namespace).await?;
    Ok(round_of(took, used))
}

/// `used`: seconds of processor time for all objects.
fn round_of(took: f64, used: f64) -> Round {
    let cpu = used / number(OBJECTS) * 1e6;
    Round { took, cpu }
}

async fn each<F: Future<Output = kube::Result<()>>>(
    fleet: &Fleet,
    act: impl Fn(ScaleOutTask) -> F,
) -> Result<()> {
    let objects = fleet.specs().into_iter();
    stream::iter(objects.map(|(name, spec)| act(ScaleOutTask::new(&name, spec))))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(())
}

/// As large a status as the controller's first one.
async fn patch(api: &Api<ScaleOutTask>, object: &ScaleOutTask) -> kube::Result<()> {
    let at = "2026-01-01T00:00:00Z";
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "TaskRunning", "observedGeneration": 1,
            "lastTransitionTime": at,
            "message": "The task is running: 0 of 3 instances succeeded",
        })
    };
    let result = |number: usize| {
        let data = format!("i-bp1dfrc9mqyv4w0x{number:04}");
        json!({ "data": data, "status": "initial" })
    };
    let status = json!({
        "metadata": { "resourceVersion": object.meta().resource_version },
        "status": {
            "observedGeneration": 1, "clusterId": "c3fb96524f9274b4495df0f12a6b50000",
            "taskType": "cluster_scaleout", "currentStage": "start", "state": "running",
            "created": at, "updated": at, "taskResult": [result(0), result(1), result(2)],
            "instances": { "total": 3, "succeeded": 0, "failed": 0, "pending": 3 },
            "progress": "0/3",
            "conditions": [condition("Ready", "False"), condition("Reconciling", "True")],
        },
    });
    let params = PatchParams::default();
    let name = object.name_any();
    let patch = Patch::Merge(status);
    api.patch_status(&name, &params, &patch).await.map(drop)
}

/// Watches until all objects have a status; when that was.
async fn watch(api: &Api<ScaleOutTask>) -> Result<JoinHandle<Result<Instant>>> {
    let list = api.list_metadata(&kube::api::ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let events = api.watch(&WatchParams::default(), &version).await?;
    Ok(tokio::spawn(async move {
        let mut events = events.boxed();
        let mut shown = HashSet::new();
        while let Some(event) = events.next().await {
            if let WatchEvent::Modified(object) = event?
                && object
                    .status
                    .as_ref()
                    .is_some_and(|status| status.state.is_some())
            {
                shown.insert(object.name_any());
            }
            if shown.len() == OBJECTS {
                return Ok(Instant::now());
            }
        }
        Err("the watch ended early".into())
    }))
}

async fn finished(watched: JoinHandle<Result<Instant>>, begin: Instant) -> Result<f64> {
    let end = timeout(PATIENCE, watched).await???;
    Ok(end.duration_since(begin).as_secs_f64())
}

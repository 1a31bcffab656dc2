//! From a Node that becomes Ready to its object, and the same by a bare client.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use testbed::harness::{Cluster, Result, percentile};
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{Fleet, spec},
    watch::Watch,
};

use super::registered::{Registered, name};

/// Between two Nodes: all is idle again by then.
const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);
/// Where no controller is.
const BARE: &str = "nodes-bare";

/// Milliseconds more than the bare client takes.
const LATER: f64 = 50.0;

/// When each object became Ready, by name.
type Seen = JoinHandle<Result<HashMap<String, Instant>>>;

/// Makes Nodes Ready, in turn one that the controller's object waits for, and one that the bare client follows.
pub async fn run(
    cluster: &Cluster,
    fleet: &Fleet,
    nodes: &Registered,
    title: &str,
    figures: &mut Figures,
) -> Result<()> {
    cluster.create_namespace(BARE)?;
    cluster.create(BARE, fleet.specs()).await?;
    let seen = seen(cluster.objects(&fleet.namespace), fleet.size).await?;
    let seen_bare = self::seen(cluster.objects(BARE), fleet.size).await?;
    let bare = follow(nodes.api.clone(), cluster.objects(BARE), fleet.size).await?;

    let (mut at, mut at_bare) = (HashMap::new(), HashMap::new());
    for number in 0..fleet.size {
        for (node, at) in [(number, &mut at), (fleet.size + number, &mut at_bare)] {
            at.insert(spec(number).0, Instant::now());
            nodes.make_ready(node).await?;
            sleep(PAUSE).await;
        }
    }
    let took = took(&at, seen).await?;
    let took_bare = self::took(&at_bare, seen_bare).await?;
    bare.abort();

    for (what, percent, later) in [("p50", 50, None), ("p99", 99, Some(LATER))] {
        let bare = percentile(&took_bare, percent);
        let what = format!("Node Ready to object Ready, {what}");
        let line = Line::new(title, &what, percentile(&took, percent)).unit(Unit::Millis);
        figures.add(
            line.at_most(later.map(|later| bare + later))
                .bare(bare, None),
        );
    }
    cluster.delete_all(BARE).await
}

/// Milliseconds from each Node to its object.
async fn took(at: &HashMap<String, Instant>, seen: Seen) -> Result<Vec<f64>> {
    let seen = timeout(PATIENCE, seen).await???;
    let took = at.iter().filter_map(|(name, at)| {
        let took = seen.get(name)?.saturating_duration_since(*at);
        Some(took.as_secs_f64() * 1e3)
    });
    Ok(took.collect())
}

/// Watches until all objects are Ready.
async fn seen(api: Api<ScaleOutTask>, count: usize) -> Result<Seen> {
    let mut watch = Watch::begin(&api).await?;
    Ok(tokio::spawn(async move {
        let mut seen = HashMap::new();
        while seen.len() < count {
            let object = watch.modified().await?;
            let status = object.status.as_ref();
            if status.is_some_and(|status| status.finished_at.is_some()) {
                seen.entry(object.name_any()).or_insert_with(Instant::now);
            }
        }
        Ok(seen)
    }))
}

/// The least that can be: a watch of the Nodes, and one patch of a status for each that becomes Ready.
async fn follow(nodes: Api<Node>, objects: Api<ScaleOutTask>, count: usize) -> Result<AbortHandle> {
    let mut watch = Watch::begin(&nodes).await?;
    let names = (0..count).map(|number| (name(count + number), spec(number).0));
    let names: HashMap<String, String> = names.collect();
    let following = tokio::spawn(async move {
        while let Ok(node) = watch.modified().await {
            let Some(object) = names.get(&node.name_any()) else {
                continue;
            };
            let patch = Patch::Merge(status(&node.name_any()));
            let patched = objects
                .patch_status(object, &PatchParams::default(), &patch)
                .await;
            if let Err(error) = patched {
                eprintln!("the bare client can't patch: {error}");
            }
        }
    });
    Ok(following.abort_handle())
}

/// As large as what the controller writes.
fn status(node: &str) -> Value {
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "NodesReady", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "message": "The task succeeded; its node is Ready",
        })
    };
    let result = json!({ "data": "i", "status": "success", "node": node, "nodeReady": true });
    json!({ "status": {
        "conditions": [condition("Ready"), condition("Finished")],
        "finishedAt": "2026-01-01T00:00:00Z", "nodes": "1/1", "taskResult": [result],
    } })
}

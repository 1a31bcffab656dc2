//! A test fails if it sees a status that breaks what is promised to GitOps tools.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kube::api::{Patch, PatchParams};
use serde_json::json;
use testbed::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_tools_take_for_healthy_too_early_fails_the_test() {
    let world = World::new("promises").await;
    world.create("one", json!({ "taskId": "T-1" })).await;
    let api = world.api();
    let write = |status: &str| {
        let ready = json!({
            "type": "Ready", "status": status, "reason": "TaskRunning", "message": "it runs",
            "lastTransitionTime": "2026-01-15T08:03:06Z",
        });
        let status = json!({ "status": { "observedGeneration": 1, "conditions": [ready] } });
        let api = api.clone();
        async move {
            let params = PatchParams::default();
            let patch = Patch::Merge(status);
            api.patch_status("one", &params, &patch).await.unwrap();
        }
    };
    write("True").await;
    // One bad version is enough, even if a good one follows.
    write("False").await;
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(world))).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(message.contains("healthy without a success"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_tools_take_for_healthy_though_it_does_not_list_fails_the_test() {
    let world = World::new("promises").await;
    let spec = json!({ "clusterId": "c-1", "suspend": true });
    world.create_source("one", spec).await;
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "Suspended", "message": "it doesn't list",
        "lastTransitionTime": "2026-01-15T08:03:06Z",
    });
    let status = json!({ "status": { "observedGeneration": 1, "conditions": [ready] } });
    let (patch, params) = (Patch::Merge(status), PatchParams::default());
    let sources = world.sources();
    sources.patch_status("one", &params, &patch).await.unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(world))).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(message.contains("healthy without a success"), "{message}");
}

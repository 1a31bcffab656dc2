//! The objects belong to their source. No garbage collector runs here: what it reads must be right, and what it does
//! is done by hand.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::world::{World, eventually};

use super::{
    assert_not_polled, create, creates, names, objects, running, until_listed, until_names, world,
};

/// A source with two objects of tasks under way, which aren't polled in their turn.
async fn with_objects(name: &str) -> World {
    let world = world(name).await;
    world.simulator.set_tasks(["T-1", "T-2"].map(running));
    create(&world).await;
    for name in ["t-1", "t-2"] {
        world.until_reason(name, "TaskRunning").await;
    }
    world
        .until_source("src", |status| status.made == Some(2))
        .await;
    until_listed(&world).await;
    assert_not_polled(&world, ["T-1", "T-2"]).await;
    world
}

/// Waits until each object is polled in its turn.
async fn until_polled(world: &World) {
    for task in ["T-1", "T-2"] {
        let calls = world.simulator.requests(task);
        eventually("four polls", || async {
            world.simulator.requests(task) >= calls + 4
        })
        .await;
    }
}

async fn source_is_gone(world: &World) -> bool {
    world.sources().get_opt("src").await.unwrap().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_of_a_source_that_is_deleted_are_polled_until_they_go_with_it() {
    let world = with_objects("gone").await;
    let source = world.sources().get("src").await.unwrap();
    let owner = OwnerReference {
        api_version: "scaleout.dev/v1alpha1".to_owned(),
        kind: "ScaleOutTaskSource".to_owned(),
        name: "src".to_owned(),
        uid: source.uid().unwrap(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    };
    for object in objects(&world).await {
        assert_eq!(object.owner_references(), std::slice::from_ref(&owner));
        assert!(object.finalizers().is_empty());
    }
    assert!(source.finalizers().is_empty());
    let params = DeleteParams::background();
    world.sources().delete("src", &params).await.unwrap();
    assert!(source_is_gone(&world).await, "nothing holds it up");
    let lists = world.simulator.total_list_calls();
    until_polled(&world).await;
    assert_eq!(names(&world).await, ["t-1", "t-2"]);
    assert!(world.simulator.total_list_calls() <= lists + 2);
    for name in ["t-1", "t-2"] {
        super::delete(&world, name).await;
    }
    until_names(&world, &[]).await;
    assert_eq!(creates(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_of_a_source_that_is_deleted_without_them_stay_and_are_polled() {
    let world = with_objects("orphans").await;
    let params = DeleteParams::orphan();
    world.sources().delete("src", &params).await.unwrap();
    // It waits for the garbage collector, and lists no more.
    let source = world.sources().get("src").await.unwrap();
    assert!(source.metadata.deletion_timestamp.is_some());
    until_polled(&world).await;
    let lists = world.simulator.total_list_calls();
    for name in ["t-1", "t-2"] {
        let patch = json!({ "metadata": { "ownerReferences": null } });
        world.patch(name, patch).await.unwrap();
    }
    until_polled(&world).await;
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let params = PatchParams::default();
    world.sources().patch("src", &params, &patch).await.unwrap();
    eventually("the source is gone", || source_is_gone(&world)).await;
    until_polled(&world).await;
    assert_eq!(world.simulator.total_list_calls(), lists);
    for object in objects(&world).await {
        assert!(object.owner_references().is_empty());
        assert_eq!(object.status.unwrap().state.as_deref(), Some("running"));
    }
    // They go their own way to the end, and another source takes them.
    create(&world).await;
    let status = world
        .until_source("src", |status| status.recent.len() == 2)
        .await;
    assert_eq!(status.made, Some(0));
    assert_eq!(creates(&world), 2);
}

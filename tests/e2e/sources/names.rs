//! What the objects are called, and which are taken for a task's that were there.

use std::time::Duration;

use kube::ResourceExt;
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::json;
use testbed::world::World;

use super::{
    create, create_with, creates, delete, ended, objects, running, shown, until_count,
    until_listed, until_names, world,
};

/// Task and name of each object, sorted by task.
async fn pairs(world: &World) -> Vec<(String, String)> {
    let pair = |object: &ScaleOutTask| (object.spec.task_id.clone(), object.name_any());
    let mut pairs: Vec<_> = objects(world).await.iter().map(pair).collect();
    pairs.sort();
    pairs
}

#[tokio::test(flavor = "multi_thread")]
async fn each_id_that_a_task_can_have_has_an_object_of_its_own() {
    let world = world("names").await;
    let longest = "L".repeat(128);
    let mut wanted = vec![
        // The digits are those of sha256sum. The older of two has the usual name.
        ("T-a".to_owned(), "t-a".to_owned()),
        ("t-A".to_owned(), "t-a-947568c6".to_owned()),
        ("T-UPPER".to_owned(), "t-upper".to_owned()),
        ("a.b-c".to_owned(), "a.b-c".to_owned()),
        ("A_b".to_owned(), "ab-08eb65ad".to_owned()),
        ("a..b".to_owned(), "a.b-f62b4241".to_owned()),
        ("0".to_owned(), "0".to_owned()),
        (longest.clone(), longest.to_lowercase()),
    ];
    for (number, (id, _)) in wanted.iter().enumerate() {
        let age = Duration::from_secs(100 - number as u64);
        world.simulator.set_task(ended(id).aged(age));
    }
    create(&world).await;
    until_count(&world, wanted.len()).await;
    wanted.sort();
    assert_eq!(pairs(&world).await, wanted);
    let is_made = |status: &scaleouttask_controller::api::ScaleOutTaskSourceStatus| {
        status.made == Some(8) && status.unmakeable.is_none()
    };
    world.until_source("src", is_made).await;
    // Each shows its own task.
    for (_, name) in &wanted {
        world.until_reason(name, "TaskSucceeded").await;
    }
    // The API server is asked once more where a name is taken, and never again.
    let asked = creates(&world);
    until_listed(&world).await;
    assert_eq!(creates(&world), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_no_object_can_have_is_counted_and_holds_up_nothing() {
    let world = world("unmakeable").await;
    let too_long = "a".repeat(129);
    for id in ["-1", "a b", "ä", "../x", &too_long, "T-1"] {
        world.simulator.set_task(ended(id));
    }
    create(&world).await;
    until_names(&world, &["t-1"]).await;
    let status = world
        .until_source("src", |status| status.unmakeable == Some(5))
        .await;
    assert_eq!(status.made, Some(1));
    let (ready, beside, message) = shown(&world, "src").await;
    assert_eq!((ready.as_str(), beside.as_str()), ("True", ""));
    assert!(
        message.contains("5 of them can't become objects"),
        "{message}"
    );
    for id in ["-1", "a b", "ä", "../x", &too_long] {
        world.simulator.remove_task(id);
    }
    let is_none = |status: &scaleouttask_controller::api::ScaleOutTaskSourceStatus| {
        status.unmakeable.is_none()
    };
    world.until_source("src", is_none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_the_same_task_is_taken_whoever_made_it() {
    let world = world("taken").await;
    world.create("t-1", json!({ "taskId": "T-1" })).await;
    world.until_reason("t-1", "TaskNotFound").await;
    world.simulator.set_task(running("T-1"));
    create(&world).await;
    let status = world
        .until_source("src", |status| status.recent == ["T-1"])
        .await;
    assert_eq!((status.made, status.last_made), (Some(0), None));
    let taken = &objects(&world).await[0];
    assert!(taken.owner_references().is_empty() && taken.labels().is_empty());
    delete(&world, "t-1").await;
    until_listed(&world).await;
    assert!(objects(&world).await.is_empty());
    assert_eq!(creates(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_task_has_is_left_to_it() {
    let world = world("others").await;
    let other = json!({ "taskId": "T-other", "suspend": true });
    world.create("t-2", other.clone()).await;
    // Both names of that one.
    world.create("t-3", other.clone()).await;
    world.create("t-3-ad567e4e", other).await;
    world
        .simulator
        .set_tasks(["T-2", "T-3", "T-4"].map(running));
    create_with(&world, json!({})).await;
    world.until_reason("t-2-4ed39c7b", "TaskRunning").await;
    world.until_reason("t-4", "TaskRunning").await;
    let status = world.until_source_reason("src", "RequestRejected").await;
    assert_eq!(status.made, Some(2));
    let (ready, beside, message) = shown(&world, "src").await;
    assert_eq!((ready.as_str(), beside.as_str()), ("False", "Stalled"));
    assert!(
        message.contains("objects of other tasks have its names"),
        "{message}"
    );
    assert!(message.contains("t-3-ad567e4e"), "{message}");
    delete(&world, "t-3-ad567e4e").await;
    world.until_reason("t-3-ad567e4e", "TaskRunning").await;
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!(status.recent.len(), 3);
    for name in ["t-2", "t-3"] {
        assert_eq!(world.get(name).await.spec.task_id, "T-other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_name_of_a_source_is_cut_in_the_label_and_whole_in_the_owner() {
    let world = world("long").await;
    world.simulator.set_task(running("T-1"));
    let name = format!("{}.b", "a".repeat(100));
    world.create_source(&name, super::with(json!({}))).await;
    world.until_reason("t-1", "TaskRunning").await;
    let object = &objects(&world).await[0];
    let label = &object.labels()["scaleout.dev/source"];
    assert!(
        label.len() <= 63 && label.starts_with(&"a".repeat(50)),
        "{label}"
    );
    assert_eq!(object.owner_references()[0].name, name);
}

//! One list stands for the polls of a source's objects.

use std::time::{Duration, Instant};

use serde_json::json;
use simulator::{Fault, ListCall, Listed, Task};
use testbed::world::{World, eventually};

use super::{
    assert_not_polled, calls_in_a_list, create, create_with, edit, running, until_listed, world,
};

/// A world with a source that has listed these tasks, which run, and whose objects have settled.
async fn listing(name: &str, ids: &[&str]) -> World {
    let world = world(name).await;
    world.simulator.set_tasks(ids.iter().map(|id| running(id)));
    create(&world).await;
    settle(&world, ids).await;
    world
}

async fn settle(world: &World, ids: &[&str]) {
    for id in ids {
        world.until_reason(&id.to_lowercase(), "TaskRunning").await;
    }
    world
        .until_source("src", |status| status.recent.len() == ids.len())
        .await;
    until_listed(world).await;
}

/// Waits until the object is polled each second.
async fn until_polled(world: &World, id: &str) {
    let calls = world.simulator.requests(id);
    eventually("polls in its turn", || async {
        world.simulator.requests(id) >= calls + 8
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_source_that_lists_are_not_polled_in_their_turn() {
    let mut world = listing("listed", &["T-1", "T-2", "T-3"]).await;
    world.create("own", json!({ "taskId": "T-own" })).await;
    world.simulator.set_task(Task::in_state("T-own", "running"));
    world.until_reason("own", "TaskRunning").await;
    for _ in 0..2 {
        let (own, calls) = (
            world.simulator.requests("T-own"),
            world.simulator.total_requests(),
        );
        until_listed(&world).await;
        let own = world.simulator.requests("T-own") - own;
        let all = world.simulator.total_requests() - calls;
        // A look of each at most.
        assert!(own >= 4, "the other object has {own} polls");
        assert!(
            all - own <= 3,
            "{all} calls, {own} of them for the other object"
        );
    }
    // After a restart each is asked about once.
    let calls = ["T-1", "T-2", "T-3"].map(|id| world.simulator.requests(id));
    world.stop();
    world.start_with(&super::ARGS, &[]);
    until_listed(&world).await;
    until_listed(&world).await;
    for (id, before) in ["T-1", "T-2", "T-3"].iter().zip(calls) {
        let more = world.simulator.requests(id) - before;
        assert!(more <= 2, "{id}: {more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_list_shows_is_there_within_an_interval() {
    let world = listing("changed", &["T-1", "T-2"]).await;
    let mut tries = 0;
    loop {
        tries += 1;
        let stage = format!("stage-{tries}");
        let changed_at = std::time::Instant::now();
        // Nothing but `updated` shows it in the list.
        let steps = format!("{{id: x, duration: 1h, stages: [{{name: {stage}}}]}}");
        let stages = steps.parse::<Task>().unwrap().stages;
        let change = |task: &mut Task| {
            task.stages.clone_from(&stages);
            task.duration = Some(Duration::from_hours(1));
        };
        world.simulator.change_task("T-1", change);
        let is_so =
            |object: &testbed::WholeObject| object.status.current_stage.as_deref() == Some(&*stage);
        world.until("t-1", is_so).await;
        let took = changed_at.elapsed();
        println!("`updated` was followed after {took:?}");
        if took < Duration::from_secs(6) {
            break;
        }
        assert!(tries < 3, "{took:?}");
    }
    let calls = world.simulator.requests("T-2");
    world.simulator.change_task("T-1", |task| {
        task.outcome = "success".to_owned();
        task.duration = Some(Duration::ZERO);
    });
    world.until_reason("t-1", "TaskSucceeded").await;
    assert!(
        world.simulator.requests("T-2") <= calls + 1,
        "the other has not changed"
    );
    assert_eq!(calls_in_a_list(&world, ["T-1"]).await, [0], "it has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_the_time_of_the_last_change_leads_to_a_call_each_time() {
    let world = listing("timeless", &["T-1", "T-2"]).await;
    let listed = Listed {
        omit: vec!["updated".to_owned()],
        ..Listed::default()
    };
    world
        .simulator
        .change_task("T-1", |task| task.listed.clone_from(&listed));
    until_listed(&world).await;
    for _ in 0..2 {
        let [calls] = calls_in_a_list(&world, ["T-1"]).await;
        assert!((1..=3).contains(&calls), "{calls}");
    }
    let listed = Listed {
        updated: Some("just now".to_owned()),
        ..Listed::default()
    };
    world
        .simulator
        .change_task("T-1", |task| task.listed.clone_from(&listed));
    until_listed(&world).await;
    let [calls] = calls_in_a_list(&world, ["T-1"]).await;
    assert!((1..=3).contains(&calls), "{calls}");
    assert_not_polled(&world, ["T-2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_list_no_longer_shows_is_asked_about() {
    let world = listing("hidden", &["T-1", "T-2"]).await;
    let hidden = Listed {
        until: Some(Duration::ZERO),
        ..Listed::default()
    };
    world
        .simulator
        .change_task("T-1", |task| task.listed.clone_from(&hidden));
    until_listed(&world).await;
    let [calls] = calls_in_a_list(&world, ["T-1"]).await;
    assert!((1..=3).contains(&calls), "{calls}");
    assert_not_polled(&world, ["T-2"]).await;
    world.simulator.remove_task("T-1");
    world.until_reason("t-1", "TaskNotFound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_request_is_heard_although_the_list_stands_for_polls() {
    let world = listing("asked", &["T-1"]).await;
    let calls = world.simulator.requests("T-1");
    let annotation = json!({ "scaleout.dev/poll-requested-at": "now" });
    let patch = json!({ "metadata": { "annotations": annotation } });
    world.patch("t-1", patch).await.unwrap();
    let is_handled = |object: &testbed::WholeObject| {
        object.status.last_handled_poll_request.as_deref() == Some("now")
    };
    world.until("t-1", is_handled).await;
    assert!(world.simulator.requests("T-1") > calls);
    until_listed(&world).await;
    assert_not_polled(&world, ["T-1"]).await;
}

/// When the last row of lists that failed began.
fn first_failure(world: &World) -> Instant {
    let log = world.simulator.list_log();
    let is_good = |call: &ListCall| call.answered == Some(200) && call.tasks.is_some();
    let failures = log.iter().rev().take_while(|call| !is_good(call));
    failures.last().unwrap().at
}

/// How long after that time both objects were polled.
fn polls_after(world: &World, time: Instant) -> Duration {
    let log = world.simulator.request_log();
    let first = |id: &str| {
        let mut polls = log
            .iter()
            .filter(|call| call.task_id == id && call.at > time);
        polls.next().unwrap().at
    };
    first("T-1").max(first("T-2")) - time
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_polled_again_while_their_source_cannot_list() {
    let world = listing("blind", &["T-1", "T-2"]).await;
    let faults = [
        "{status: 403, code: Forbidden.RAM}",
        "{status: 500}",
        "{body: rubbish}",
    ];
    for (round, fault) in faults.iter().enumerate() {
        world
            .simulator
            .set_list_fault(super::CLUSTER, fault.parse().unwrap());
        for id in ["T-1", "T-2"] {
            until_polled(&world, id).await;
        }
        let (failed, polled) = (
            first_failure(&world),
            polls_after(&world, first_failure(&world)),
        );
        println!("{fault}: polled {polled:?} after the list failed");
        // An interval is five seconds.
        assert!(
            polled < Duration::from_secs(5),
            "{polled:?} after {failed:?}"
        );
        world.simulator.clear_faults();
        edit(
            &world,
            "src",
            json!({ "interval": format!("{}s", 6 + round % 2) }),
        )
        .await;
        world.until_source_reason("src", "Listing").await;
        until_listed(&world).await;
        assert_not_polled(&world, ["T-1"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_edited_to_be_of_another_cluster_is_polled_as_any_other() {
    let mut world = World::new("edited").await;
    let ids = ["T-cluster", "T-secret", "T-none", "T-same"];
    world.simulator.set_tasks(ids.map(running));
    let args = [&super::ARGS[..], &["--secret-credentials"]].concat();
    testbed::secrets::grant_secrets(&world).await;
    world.start_with(&args, &[]);
    create(&world).await;
    settle(&world, &ids).await;
    let edits = [
        (
            "t-cluster",
            json!({ "clusterId": "c-2" }),
            "ClusterMismatch",
        ),
        (
            "t-secret",
            json!({ "credentialsSecretRef": { "name": "none" } }),
            "CredentialsInvalid",
        ),
        ("t-none", json!({ "clusterId": null }), "TaskRunning"),
        ("t-same", json!({ "timeout": "1h" }), "TaskRunning"),
    ];
    for (name, spec, reason) in edits {
        world.patch(name, json!({ "spec": spec })).await.unwrap();
        world.until_reason(name, reason).await;
    }
    until_polled(&world, "T-none").await;
    until_listed(&world).await;
    assert_not_polled(&world, ["T-same"]).await;
    // Edited back, the list stands for its polls again.
    world
        .patch("t-none", json!({ "spec": { "clusterId": "c-1" } }))
        .await
        .unwrap();
    until_listed(&world).await;
    until_listed(&world).await;
    assert_not_polled(&world, ["T-none"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_region_than_its_source_is_not_taken_as_listed() {
    let world = world("region").await;
    world.simulator.set_tasks(["T-1", "T-2"].map(running));
    create_with(&world, json!({ "region": "cn-hangzhou" })).await;
    settle(&world, &["T-1", "T-2"]).await;
    let uid = world.sources().get("src").await.unwrap().metadata.uid;
    // Region is immutable: an object that says it is the source's, but for another region.
    let owner = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTaskSource", "name": "src",
        "uid": uid, "controller": true, "blockOwnerDeletion": false,
    });
    let object = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": "elsewhere", "ownerReferences": [owner] },
        "spec": { "taskId": "T-2", "clusterId": "c-1", "region": "cn-beijing" },
    });
    world.create_any("scaleouttasks", &object).await.unwrap();
    world.until_reason("elsewhere", "TaskRunning").await;
    until_polled(&world, "T-2").await;
    assert_not_polled(&world, ["T-1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_trouble_is_asked_about_in_its_own_time() {
    let world = listing("trouble", &["T-1"]).await;
    world.simulator.set_fault("T-1", Fault::status(500));
    world
        .simulator
        .change_task("T-1", |task| task.outcome = "paused".to_owned());
    world.until_reason("t-1", "TaskApiUnavailable").await;
    let [calls] = calls_in_a_list(&world, ["T-1"]).await;
    assert!(calls <= 20, "{calls}");
    world.simulator.clear_faults();
    world.until_reason("t-1", "TaskPaused").await;
    until_listed(&world).await;
    assert_not_polled(&world, ["T-1"]).await;
}

//! Sources: tasks that are found by themselves, on a real API server and a simulated task API.

use serde_json::json;
use simulator::Task;
use testbed::world::{World, eventually};

const ARGS: [&str; 3] = ["--credentials", "none", "--sources"];

/// A task of the cluster `c-1` that runs for ever, but that it has an outcome after that many seconds.
fn task(id: &str, seconds: Option<u64>) -> Task {
    let mut task = json!({ "id": id, "taskType": "nodepool_scaleout", "clusterId": "c-1" });
    let seconds = seconds.unwrap_or(100_000);
    task["duration"] = format!("{seconds}s").into();
    task.to_string().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_of_a_cluster_becomes_an_object_that_is_tracked_to_its_end() {
    let mut world = World::new("found").await;
    world
        .simulator
        .set_tasks([task("T-1", None), task("T-2", Some(0))]);
    world.start_with(&ARGS, &[]);
    world
        .create_source("src", json!({ "clusterId": "c-1", "interval": "5s" }))
        .await;
    world.until_reason("t-2", "TaskSucceeded").await;
    world.until_reason("t-1", "TaskRunning").await;
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!((status.made, status.recent.len()), (Some(2), 2));
    world.simulator.change_task("T-1", |task| {
        task.duration = Some(std::time::Duration::ZERO);
    });
    world.until_reason("t-1", "TaskSucceeded").await;
    eventually("the Event", || async {
        world.events("src").await == [("Normal".to_owned(), "Listing".to_owned())]
    })
    .await;
}

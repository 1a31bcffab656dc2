//! What a source writes.

use serde_json::{Value, json};
use simulator::{List, Task};
use testbed::world::World;

use super::{
    CLUSTER, create, ended, running, source_writes, spec_of, until_count, until_listed,
    until_listed_of, world,
};

/// All writes of the source's status: their codes and bodies.
fn codes(world: &World, name: &str) -> Vec<(String, u64)> {
    let writes = world.audited("scaleouttasksources", name);
    let write = |event: &Value| {
        let verb = event["verb"].as_str().unwrap().to_owned();
        assert_eq!(event["objectRef"]["subresource"], "status");
        (verb, event["responseStatus"]["code"].as_u64().unwrap())
    };
    writes.iter().map(write).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_finds_nothing_new_writes_nothing() {
    let world = world("quiet").await;
    world.simulator.set_tasks(["T-1", "T-2"].map(running));
    world.simulator.set_list(List::of("empty"));
    create(&world).await;
    world.create_source("empty", spec_of("empty")).await;
    world
        .until_source("src", |status| status.made == Some(2))
        .await;
    world.until_source_reason("empty", "Listing").await;
    until_listed(&world).await;
    let versions = || async {
        let version = async |name| {
            let source = world.sources().get(name).await.unwrap();
            source.metadata.resource_version
        };
        [version("src").await, version("empty").await]
    };
    let before = versions().await;
    let objects = ["t-1", "t-2"].map(|name| world.writes(name).len());
    for _ in 0..2 {
        until_listed(&world).await;
        until_listed_of(&world, "empty").await;
    }
    assert_eq!(versions().await, before);
    for name in ["src", "empty"] {
        assert_eq!(codes(&world, name), [("patch".to_owned(), 200)], "{name}");
    }
    assert_eq!(["t-1", "t-2"].map(|name| world.writes(name).len()), objects);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_list_of_which_objects_are_made_is_one_write() {
    let world = world("write").await;
    world.simulator.set_list(List::of(CLUSTER));
    create(&world).await;
    world.until_source_reason("src", "Listing").await;
    let mut made = 0;
    for round in 1..=3 {
        let writes = source_writes(&world, "src");
        let tasks = (0..round * 10).map(|number| ended(&format!("T-{round}-{number}")));
        // All at once, so that one list shows them.
        let tasks: Vec<Task> = tasks.collect();
        made += tasks.len();
        world.simulator.set_tasks(tasks);
        until_count(&world, made).await;
        let is_so = |status: &scaleouttask_controller::api::ScaleOutTaskSourceStatus| {
            status.recent.len() == made && status.made == i64::try_from(made).ok()
        };
        let status = world.until_source("src", is_so).await;
        let last = status.last_made.unwrap();
        assert!(last.task_id.starts_with(&format!("T-{round}-")), "{last:?}");
        until_listed(&world).await;
        assert_eq!(source_writes(&world, "src"), writes + 1, "round {round}");
    }
    assert!(codes(&world, "src").iter().all(|(_, code)| *code == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_beside_an_edit_loses_neither() {
    let world = world("beside").await;
    world.simulator.set_list(List::of(CLUSTER));
    create(&world).await;
    world.until_source_reason("src", "Listing").await;
    for round in 0..10 {
        world.simulator.set_task(running(&format!("T-{round}")));
        let spec = json!({ "lookback": format!("{}m", 60 + round) });
        super::edit(&world, "src", spec).await;
    }
    let is_so = |status: &scaleouttask_controller::api::ScaleOutTaskSourceStatus| {
        status.made == Some(10) && status.observed_generation == Some(11)
    };
    world.until_source("src", is_so).await;
    assert_eq!(super::creates(&world), 10);
    let source = world.sources().get("src").await.unwrap();
    assert_eq!(source.spec.lookback.as_deref(), Some("69m"));
}

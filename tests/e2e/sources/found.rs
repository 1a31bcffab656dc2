//! Which tasks of a list become objects.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use simulator::{List, Listed, Order, Task};
use testbed::world::World;

use super::{
    create_with, creates, ended, lists_begun, names, objects, running, spec_of, until_listed,
    until_names, world,
};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_found_wherever_they_stand_in_a_list() {
    let world = world("orders").await;
    let orders = [
        ("newest", Order::NewestFirst),
        ("oldest", Order::OldestFirst),
        ("none", Order::None),
    ];
    let places = [0, 90, 101, 180, 249];
    for (cluster, order) in orders {
        world.simulator.set_list(List {
            order,
            ..List::of(cluster)
        });
        let tasks = (0..250_u32).map(|place| {
            let wanted = places.contains(&place);
            Task {
                task_type: if wanted { "cluster_scaleout" } else { "other" }.to_owned(),
                ..Task::new(&format!("{cluster}-{place}"))
                    .in_cluster(cluster)
                    .aged(Duration::from_secs(u64::from(place)))
            }
        });
        world.simulator.set_tasks(tasks);
        world.create_source(cluster, spec_of(cluster)).await;
    }
    let mut wanted: Vec<String> = orders
        .iter()
        .flat_map(|(cluster, _)| places.map(|place| format!("{cluster}-{place}")))
        .collect();
    wanted.sort();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    until_names(&world, &wanted).await;
    for (cluster, _) in orders {
        let made = |status: &scaleouttask_controller::api::ScaleOutTaskSourceStatus| {
            status.made == Some(5)
        };
        world.until_source(cluster, made).await;
    }
    assert_eq!(creates(&world), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_those_that_are_asked_for() {
    let world = world("types").await;
    let asked = [
        ("usual", Value::Null),
        ("named", json!(["cluster_upgrade"])),
        ("all", json!(["*"])),
    ];
    for (cluster, task_types) in asked {
        let types = ["cluster_scaleout", "nodepool_scaleout", "cluster_upgrade"];
        for task_type in types {
            let id = format!("{cluster}-{task_type}");
            let task_type = task_type.to_owned();
            world.simulator.set_task(Task {
                task_type,
                ..Task::new(&id).in_cluster(cluster)
            });
        }
        let without = Task::new(&format!("{cluster}-without")).in_cluster(cluster);
        world.simulator.set_task(without.listed(Listed {
            omit: vec!["task_type".to_owned()],
            ..Listed::default()
        }));
        let mut spec = spec_of(cluster);
        if !task_types.is_null() {
            spec["taskTypes"] = task_types;
        }
        world.create_source(cluster, spec).await;
    }
    let wanted = [
        "all-clusterscaleout-f0f8d96b",
        "all-clusterupgrade-94c06980",
        "all-nodepoolscaleout-cd22475f",
        "all-without",
        "named-clusterupgrade-cfa6fc96",
        "usual-clusterscaleout-f485e548",
        "usual-nodepoolscaleout-00f769a4",
    ];
    until_names(&world, &wanted).await;
    let label = |object: &scaleouttask_controller::api::ScaleOutTask| {
        object.labels().get("scaleout.dev/task-type").cloned()
    };
    let labels: Vec<_> = objects(&world).await.iter().map(label).collect();
    assert_eq!(labels[1].as_deref(), Some("cluster_upgrade"));
    assert_eq!(labels[3], None, "the API says none");
    assert_eq!(creates(&world), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_may_be_older_than_their_source_by_its_lookback() {
    let world = world("lookback").await;
    let asked = [
        ("usual", Value::Null),
        ("hours", json!("2h")),
        ("zero", json!("0s")),
        ("day", json!("24h")),
    ];
    let ages = [0, 1, 59, 61, 119, 121, 23 * 60, 25 * 60];
    for (cluster, lookback) in asked.clone() {
        for minutes in ages {
            let task = Task::new(&format!("{cluster}-{minutes}")).in_cluster(cluster);
            world.simulator.set_task(task.aged(minutes * MINUTE));
        }
        let mut spec = spec_of(cluster);
        if !lookback.is_null() {
            spec["lookback"] = lookback;
        }
        world.create_source(cluster, spec).await;
    }
    let wanted = [
        "day-0",
        "day-1",
        "day-119",
        "day-121",
        "day-1380",
        "day-59",
        "day-61",
        "hours-0",
        "hours-1",
        "hours-119",
        "hours-59",
        "hours-61",
        "usual-0",
        "usual-1",
        "usual-59",
        "zero-0",
    ];
    until_names(&world, &wanted).await;
    super::until_all_listed(&world, &asked.map(|(cluster, _)| cluster)).await;
    assert_eq!(names(&world).await, wanted);
}

/// IDs of the API begin with the second of their creation, in hexadecimal digits.
fn id_of(age: Duration, rest: &str) -> String {
    let second = Timestamp::now() - age;
    format!("T-{:08x}{rest}", second.as_second())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_say_when_it_was_created_is_as_old_as_its_id_or_last_change_says() {
    let world = world("unborn").await;
    let omitting = |fields: &[&str]| Listed {
        omit: fields.iter().map(|field| (*field).to_owned()).collect(),
        ..Listed::default()
    };
    let set = |id: &str, age: Duration, listed: Listed| {
        world.simulator.set_task(ended(id).aged(age).listed(listed));
    };
    let (young, old) = (
        id_of(MINUTE, "e846d01310006b1"),
        id_of(120 * MINUTE, "e846d01310006b2"),
    );
    let (young, old) = (format!("{young}a"), format!("{old}a"));
    set(&young, MINUTE, omitting(&["created", "updated"]));
    set(&old, 120 * MINUTE, omitting(&["created", "updated"]));
    set("changed-now", MINUTE, omitting(&["created"]));
    set("changed-long-ago", 120 * MINUTE, omitting(&["created"]));
    set(
        "knows-nothing",
        120 * MINUTE,
        omitting(&["created", "updated"]),
    );
    let unreadable = Listed {
        created: Some("yesterday".to_owned()),
        ..omitting(&["updated"])
    };
    set("says-rubbish", 120 * MINUTE, unreadable);
    create_with(&world, json!({})).await;
    let young = young.to_lowercase();
    let mut wanted = vec!["changed-now", "knows-nothing", "says-rubbish", &young];
    wanted.sort_unstable();
    until_names(&world, &wanted).await;
    until_listed(&world).await;
    assert_eq!(names(&world).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_task_has_its_object_within_an_interval() {
    let world = world("new").await;
    world.simulator.set_list(List::of(super::CLUSTER));
    create_with(&world, json!({})).await;
    world.until_source_reason("src", "Listing").await;
    let mut tries = 0;
    loop {
        tries += 1;
        let id = format!("T-{tries}");
        let set_at = std::time::Instant::now();
        world.simulator.set_task(running(&id));
        world.until_reason(&id.to_lowercase(), "TaskRunning").await;
        let took = set_at.elapsed();
        println!("tracked after {took:?}");
        // Something else may keep the machine busy for a while.
        if took < Duration::from_secs(6) {
            break;
        }
        assert!(tries < 3, "{took:?}");
    }
    assert!(lists_begun(&world, super::CLUSTER) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_template_says_is_in_each_object() {
    let world = world("template").await;
    world.simulator.set_task(running("T-1"));
    let template = json!({
        "metadata": { "labels": { "team": "web" }, "annotations": { "note": "made: by a source" } },
        "spec": { "pollInterval": "2s", "timeout": "1h", "ttlSecondsAfterFinished": 60, "waitForNodes": false },
    });
    create_with(
        &world,
        json!({ "template": template, "region": "cn-hangzhou" }),
    )
    .await;
    let object = world.until_reason("t-1", "TaskRunning").await;
    let spec = json!({
        "taskId": "T-1", "clusterId": "c-1", "region": "cn-hangzhou", "pollInterval": "2s",
        "timeout": "1h", "ttlSecondsAfterFinished": 60, "waitForNodes": false,
    });
    assert_eq!(serde_json::to_value(&object.spec).unwrap(), spec);
    let stored = &objects(&world).await[0];
    let label = |key: &str| stored.labels().get(key).map(String::as_str);
    assert_eq!(label("team"), Some("web"));
    assert_eq!(label("scaleout.dev/source"), Some("src"));
    assert_eq!(label("scaleout.dev/task-type"), Some("cluster_scaleout"));
    assert_eq!(stored.annotations()["note"], "made: by a source");
    // What changes later is for later objects.
    let change = json!({ "template": { "metadata": { "labels": { "team": "data" } } } });
    super::edit(&world, "src", change).await;
    world.simulator.set_task(running("T-2"));
    world.until_reason("t-2", "TaskRunning").await;
    let teams = objects(&world).await;
    let teams: Vec<_> = teams
        .iter()
        .map(|one| one.labels()["team"].as_str())
        .collect();
    assert_eq!(teams, ["web", "data"]);
    assert_eq!(
        world.audited("scaleouttasks", "t-1").len(),
        world.writes("t-1").len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_sources_stay_as_they_are() {
    let mut world = World::new("off").await;
    world.simulator.set_task(running("T-1"));
    world.start();
    create_with(&world, json!({})).await;
    world.create("own", json!({ "taskId": "T-1" })).await;
    world.until_reason("own", "TaskRunning").await;
    assert_eq!(names(&world).await, ["own"]);
    let status = world.sources().get("src").await.unwrap().status.unwrap();
    assert_eq!((status.observed_generation, status.made), (Some(-1), None));
    assert_eq!(world.simulator.total_list_calls(), 0);
    assert!(world.audited_verbs("scaleouttasksources").is_empty());
}

//! What a tenant may try with sources.

use std::time::Duration;

use kube::ResourceExt;
use scaleouttask_controller::api::ScaleOutTaskSourceSpec;
use serde_json::json;
use simulator::{List, Listed, Order, Task};
use testbed::{
    polls::{ROUNDS, Window},
    world::{PATIENCE, World, eventually, eventually_within},
};

use super::{
    ARGS, CLUSTER, TURN, assert_not_polled, create, creates, objects, running, spec_of,
    until_listed, until_names, world,
};

/// How often the victim's objects are polled.
const INTERVAL: Duration = Duration::from_secs(4);
const VICTIMS: usize = 20;

/// Starts a controller, and creates objects in another namespace that want a fourth of the calls that there may be.
async fn with_victims(name: &str) -> (World, String) {
    let mut world = World::new(name).await;
    let victim = world.add_namespace("victim").await;
    let args = ["--namespace", &victim, "--requests-per-second", "20"];
    world.start_with(&[&ARGS[..], &args].concat(), &[]);
    world.fill(&victim, "victim", VICTIMS, "4s").await;
    eventually("the victim's objects are polled", || async {
        (0..VICTIMS).all(|number| world.simulator.requests(&format!("victim-{number}")) > 0)
    })
    .await;
    (world, victim)
}

/// Checks that the victim's objects are polled in time.
async fn check(world: &World) {
    // Something else may keep the machine busy for a while, so a longer interval counts where it is there each time.
    for _ in 1..=ROUNDS {
        let lists = world.simulator.total_list_calls();
        let window = Window::pass(Duration::from_secs(12)).await;
        let log = world.simulator.request_log();
        let intervals = window.intervals(&log, "victim-");
        assert_eq!(intervals.len(), VICTIMS);
        let longest = *intervals.values().flatten().max().unwrap();
        let lists = world.simulator.total_list_calls() - lists;
        println!("the longest interval of the victim: {longest:?}, beside {lists} calls for lists");
        assert!(lists > 60, "the attack is weak: {lists}");
        if longest <= INTERVAL.mul_f64(1.25) {
            return;
        }
    }
    panic!("the victim waited too long each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sources_of_one_cluster_make_each_object_once_and_delay_no_other_namespace() {
    const SOURCES: usize = 200;
    let _turn = TURN.lock().await;
    let (world, _) = with_victims("crowd").await;
    world
        .simulator
        .set_tasks((1..=3).map(|number| running(&format!("T-{number}"))));
    let spec: ScaleOutTaskSourceSpec = serde_json::from_value(spec_of(CLUSTER)).unwrap();
    for number in 0..SOURCES {
        let name = format!("src-{number}");
        let source = scaleouttask_controller::api::ScaleOutTaskSource::new(&name, spec.clone());
        let params = kube::api::PostParams::default();
        world.sources().create(&params, &source).await.unwrap();
    }
    eventually_within(2 * PATIENCE, "all of them list", || async {
        let all = world
            .sources()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let knows = all.iter().filter(|source| {
            source
                .status
                .as_ref()
                .is_some_and(|status| status.recent.len() == 3)
        });
        knows.count() == SOURCES
    })
    .await;
    check(&world).await;
    let all = world
        .sources()
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    let made = all
        .iter()
        .filter_map(|source| source.status.as_ref()?.made)
        .sum::<i64>();
    assert_eq!((made, objects(&world).await.len()), (3, 3));
    // Who was slower was told so by the API server, once at most.
    assert!(creates(&world) <= 3 * SOURCES);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_with_the_longest_lists_as_often_as_can_be_delay_no_other_namespace() {
    let _turn = TURN.lock().await;
    let (world, victim) = with_victims("long").await;
    for number in 0..10 {
        let cluster = format!("long-{number}");
        world.simulator.set_list(List {
            order: Order::OldestFirst,
            ..List::of(&cluster)
        });
        let tasks = (0..2000).map(|task| Task {
            task_type: "other".to_owned(),
            ..Task::new(&format!("{cluster}-{task}")).in_cluster(&cluster)
        });
        world.simulator.set_tasks(tasks);
        world.create_source(&cluster, spec_of(&cluster)).await;
    }
    eventually("they list", || async {
        world.simulator.total_list_calls() > 40
    })
    .await;
    check(&world).await;
    // A source of the victim finds a task meanwhile.
    let task = Task::in_state("found", "running").in_cluster("c-victim");
    world.simulator.set_task(task);
    let source = scaleouttask_controller::api::ScaleOutTaskSource::new(
        "src",
        serde_json::from_value(spec_of("c-victim")).unwrap(),
    );
    let sources: kube::Api<scaleouttask_controller::api::ScaleOutTaskSource> =
        kube::Api::namespaced(world.client.clone(), &victim);
    let began = std::time::Instant::now();
    let params = kube::api::PostParams::default();
    sources.create(&params, &source).await.unwrap();
    let api = world.api_in(&victim);
    eventually("it is made", || async {
        api.get_opt("found").await.unwrap().is_some()
    })
    .await;
    println!("found after {:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_claims_a_source_is_polled_unless_the_source_lists_its_task() {
    let mut world = World::new("forged").await;
    let other = world.add_namespace("other").await;
    world.simulator.set_tasks(["T-1", "T-2"].map(running));
    let elsewhere = Task::in_state("T-c2", "running").in_cluster("c-2");
    world.simulator.set_tasks([elsewhere]);
    world.start_with(&[&ARGS[..], &["--namespace", &other]].concat(), &[]);
    create(&world).await;
    world
        .until_source("src", |status| status.made == Some(2))
        .await;
    let uid = world.sources().get("src").await.unwrap().uid();
    let forged = |namespace: &str, name: &str, task: &str, cluster: &str| {
        json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
            "metadata": {
                "name": name, "namespace": namespace,
                "ownerReferences": [{
                    "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTaskSource",
                    "name": "src", "uid": uid, "controller": true,
                }],
            },
            "spec": { "taskId": task, "clusterId": cluster },
        })
    };
    let forgeries = [
        // Of another cluster; and in another namespace.
        (world.namespace.clone(), "cluster", "T-c2", "c-2"),
        (other.clone(), "namespace", "T-2", "c-1"),
    ];
    for (namespace, name, task, cluster) in forgeries {
        let object = serde_json::from_value(forged(&namespace, name, task, cluster)).unwrap();
        let params = kube::api::PostParams::default();
        world
            .api_in(&namespace)
            .create(&params, &object)
            .await
            .unwrap();
    }
    for task in ["T-c2", "T-2"] {
        let calls = world.simulator.requests(task);
        eventually("polls in its turn", || async {
            world.simulator.requests(task) >= calls + 8
        })
        .await;
    }
    // Nothing is made of them, and nothing of what the source has made is forgotten.
    until_listed(&world).await;
    assert_not_polled(&world, ["T-1"]).await;
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!((status.made, status.recent.len()), (Some(2), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_another_clusters_task_shows_nothing_of_it() {
    let world = world("elsewhere").await;
    let foreign = "{id: T-1, clusterId: c-2, duration: 1h, instances: [{id: i-secret}], listed: {clusterId: c-1}}";
    world.simulator.set_task(foreign.parse().unwrap());
    create(&world).await;
    let object = world.until_reason("t-1", "ClusterMismatch").await;
    let status = object.status;
    assert_eq!(
        (status.state, status.cluster_id, status.task_result),
        (None, None, None)
    );
    assert!(!world.log().contains("i-secret"));
    // It isn't asked about with each list.
    until_listed(&world).await;
    assert!(
        world.simulator.requests("T-1") <= 2,
        "{}",
        world.simulator.requests("T-1")
    );
}

/// What a list says of a task may be anything.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_hostile_list_is_shown_or_logged() {
    let world = world("hostile").await;
    let hostile = "LEAK\u{1b}[31m\u{0}\u{202e}\r\nlevel=ERROR LEAK";
    let huge = format!("LEAK{}", "x".repeat(100_000));
    for (number, text) in [hostile, &huge].into_iter().enumerate() {
        for field in ["task_id", "task_type", "state", "created", "updated"] {
            let id = format!("T-{}-{number}", field.replace('_', "-"));
            let extra = [(field.to_owned(), json!(text))];
            let listed = Listed {
                extra: extra.into(),
                ..Listed::default()
            };
            world.simulator.set_task(running(&id).listed(listed));
        }
    }
    world.simulator.set_task(running("T-good"));
    let mut spec = spec_of(CLUSTER);
    spec["taskTypes"] = json!(["*"]);
    world.create_source("src", spec).await;
    let wanted = [
        "t-created-0",
        "t-created-1",
        "t-good",
        "t-state-0",
        "t-state-1",
        "t-task-type-0",
        "t-task-type-1",
        "t-updated-0",
        "t-updated-1",
    ];
    until_names(&world, &wanted).await;
    let status = world
        .until_source("src", |status| status.unmakeable == Some(2))
        .await;
    assert_eq!(status.made, Some(9));
    for name in wanted {
        world.until_reason(name, "TaskRunning").await;
    }
    until_listed(&world).await;
    // A whole page of a megabyte can't be used.
    let whole = format!("LEAK{}", "y".repeat(1 << 20));
    let extra = [("task_type".to_owned(), json!(whole))];
    let listed = Listed {
        extra: extra.into(),
        ..Listed::default()
    };
    world
        .simulator
        .set_task(running("T-megabyte").listed(listed));
    world.until_source_reason("src", "InvalidResponse").await;
    world.simulator.remove_task("T-megabyte");
    world.until_source_reason("src", "Listing").await;

    let source = world.sources().get("src").await.unwrap();
    let events = world.kubectl_text(&["get", "events", "-o", "yaml"]);
    let mut texts = vec![serde_json::to_string(&source).unwrap(), events, world.log()];
    for object in objects(&world).await {
        let label = object.labels().get("scaleout.dev/task-type");
        assert!(label.is_none_or(|label| label.len() <= 63), "{label:?}");
        texts.push(serde_json::to_string(&object.status).unwrap());
        texts.push(object.spec.task_id);
    }
    for text in texts {
        assert!(!text.contains("LEAK"), "{text}");
    }
}

//! The watch of Nodes: off, without permission, in pages, over restarts, and of another cluster.

use controlplane::{ControlPlane, Options};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec};
use serde_json::{Value, json};
use simulator::{Script, Simulator, Task};
use testbed::{
    WholeObject,
    controller::Controller,
    world::{GROUP, USER, World, client_of, eventually, install, ready},
};

use crate::mistakes::bind;

use super::{ARGS, create, end, message, node::Nodes, set_task, start, until_nodes, world};

const YES: bool = true;

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_without_nodes_says_the_mend_and_makes_no_call() {
    let mut world = World::new("off").await;
    let nodes = Nodes::of(&world);
    world.start();
    nodes.join("a", YES).await;
    set_task(&world, "T-1", "success", &["a"]);
    create(&world, "T-1", json!({})).await;
    let object = world.until_reason("t-1", "NodesNotWatched").await;
    assert_eq!(ready(&object), ("NodesNotWatched", "False", "Stalled"));
    let text = message(&world, "t-1").await;
    assert!(
        text.contains("--nodes") && text.contains("nodes.enabled=true"),
        "{text}"
    );
    assert_eq!(world.simulator.total_requests(), 0);
    // One that doesn't wait is tracked as ever.
    world.create("plain", json!({ "taskId": "T-1" })).await;
    world.until_reason("plain", "TaskSucceeded").await;
    world.stop();
    start(&mut world).await;
    assert_eq!(end(&world, "t-1").await, "NodesReady");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_shows_no_less_and_sees_what_happened_meanwhile() {
    let (mut world, nodes) = world("restart").await;
    nodes.join("a", YES).await;
    set_task(&world, "T-1", "success", &["a", "b"]);
    create(&world, "T-1", json!({})).await;
    until_nodes(&world, "t-1", "1/2").await;
    let before = world.get("t-1").await;
    world.stop();
    start(&mut world).await;
    // It was looked at again once another object is through.
    set_task(&world, "T-2", "success", &["a"]);
    create(&world, "T-2", json!({})).await;
    assert_eq!(end(&world, "t-2").await, "NodesReady");
    let after = world.get("t-1").await;
    assert_eq!(before.resource_version, after.resource_version);
    assert_eq!(world.simulator.requests("T-1"), 1, "no call for it");

    world.stop();
    nodes.join("b", YES).await;
    start(&mut world).await;
    assert_eq!(end(&world, "t-1").await, "NodesReady");
    assert_eq!(world.simulator.requests("T-1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_it_says_so_and_tracks_the_rest() {
    let world = World::new("denied").await;
    // Of no group: what it may is granted by name.
    let user = "nodes-denied";
    bind(&world, user).await;
    let kubeconfig = world.plane.user(user, None).unwrap();
    let mut command = Controller::command();
    command
        .args(["--region", "cn-hangzhou", "--poll-interval", "1s"])
        .args(["--namespace", &world.namespace])
        .args(["--endpoint", &world.simulator.url()])
        .args(ARGS)
        .env("KUBECONFIG", kubeconfig);
    let log = world.plane.directory().join("nodes-denied.log");
    let controller = Controller::spawn(command, &log);
    set_task(&world, "T-1", "success", &["a"]);
    create(&world, "T-1", json!({})).await;
    world.create("plain", json!({ "taskId": "T-1" })).await;
    world.until_reason("plain", "TaskSucceeded").await;
    world.until_reason("t-1", "WaitingForNodes").await;
    let text = message(&world, "t-1").await;
    assert!(
        text.contains("nodes aren't known yet"),
        "it doesn't say that they are missing: {text}"
    );
    eventually("the log and the metric tell", || async {
        let metrics = controller.admin("/metrics").await.1;
        controller.log().contains("can't watch nodes")
            && metrics.contains("scaleouttask_nodes_watch_up{} 0\n")
    })
    .await;
    let log = controller.log();
    assert!(log.contains("grant list and watch on nodes"), "{log}");
    assert_eq!(controller.admin("/readyz").await.0, 200);
}

/// A cluster of its own, for labels count in all of it, whose API server streams no list.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_another_cluster_are_told_by_their_label() {
    let options = Options::default().feature_gate("WatchList", false);
    let start = move || ControlPlane::start(&options).unwrap();
    let plane = tokio::task::spawn_blocking(start).await.unwrap();
    let client = client_of(&plane).await;
    install(&client).await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
    let node = |name: &str, cluster: &str| {
        let node = json!({
            "metadata": { "name": name, "labels": { "ack.aliyun.com": cluster } },
            "spec": { "providerID": format!("cn-hangzhou.i-{name}") },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        serde_json::from_value(node).unwrap()
    };
    let params = PostParams::default();
    nodes.create(&params, &node("a", "c-1")).await.unwrap();

    let simulator = Simulator::start(Script::default()).unwrap();
    for cluster in ["c-1", "c-2"] {
        let task = json!({ "id": format!("T-{cluster}"), "clusterId": cluster, "duration": "0s",
            "instances": [{ "id": "i-a" }] });
        simulator.set_task(task.to_string().parse::<Task>().unwrap());
    }
    let api: Api<ScaleOutTask> = Api::default_namespaced(client);
    for cluster in ["c-1", "c-2"] {
        let spec = ScaleOutTaskSpec {
            task_id: format!("T-{cluster}"),
            wait_for_nodes: Some(true),
            ..ScaleOutTaskSpec::default()
        };
        let object = ScaleOutTask::new(cluster, spec);
        api.create(&params, &object).await.unwrap();
    }
    let mut command = Controller::command();
    command
        .args(ARGS)
        .args(["--region", "cn-hangzhou", "--endpoint", &simulator.url()])
        .env("KUBECONFIG", plane.user(USER, Some(GROUP)).unwrap());
    let controller = Controller::spawn(command, &plane.directory().join("elsewhere.log"));
    let reason = async |name: &str| {
        let object = WholeObject::from(api.get(name).await.unwrap());
        object.ready().map(|ready| ready.reason.clone())
    };
    let shows = async |name: &str, wanted: &str| {
        eventually(&format!("{name}: {wanted}"), || async {
            reason(name).await.as_deref() == Some(wanted)
        })
        .await;
    };
    shows("c-1", "NodesReady").await;
    shows("c-2", "NodesElsewhere").await;
    // The line comes when the write is known to have landed.
    eventually("the log says so", || async {
        controller.log().contains("reason=\"NodesElsewhere\"")
    })
    .await;
    // Different labels: none is compared. The object is looked at again at once, not five minutes later.
    nodes.create(&params, &node("b", "c-3")).await.unwrap();
    shows("c-2", "NodesReady").await;
    nodes.delete("a", &DeleteParams::default()).await.unwrap();
    let unchanged: Value = serde_json::to_value(api.get("c-2").await.unwrap()).unwrap();
    assert_eq!(unchanged["status"]["nodes"], "1/1");
}

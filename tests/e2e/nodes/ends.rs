//! How waits end.

use scaleouttask_controller::rules::Reason;
use serde_json::json;
use testbed::world::{World, eventually};

use super::{create, end, instance, message, set_task, shown, until_nodes, world};

const YES: bool = true;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_come_before_during_and_after_the_end_are_one_write_a_change() {
    let (world, nodes) = world("join").await;
    nodes.join("before", YES).await;
    set_task(&world, "T-1", "running", &["before", "during", "after"]);
    create(&world, "T-1", json!({})).await;
    world.until_reason("t-1", "TaskRunning").await;
    nodes.register("during").await;
    set_task(&world, "T-1", "success", &["before", "during", "after"]);
    world.until_reason("t-1", "WaitingForNodes").await;
    until_nodes(&world, "t-1", "1/3").await;
    assert!(
        world
            .kubectl_text(&["get", "sot", "t-1", "-o", "wide"])
            .contains(" 1/3 "),
        "the column"
    );

    // Its provider ID comes late, in the older form.
    let id = format!("alicloud://{}", nodes.provider_id("cn-hangzhou", "during"));
    nodes.identify("during", &id).await;
    let during = nodes.name("during");
    world
        .until("t-1", |object| {
            let results = object.status.task_result.as_deref().unwrap_or_default();
            results[1].node.as_ref() == Some(&during)
        })
        .await;
    let text = message(&world, "t-1").await;
    let expected = format!(
        "The task succeeded; 1 of 3 nodes are Ready, missing: {} (not Ready) and {} (no Node)",
        instance(&world, "during"),
        instance(&world, "after")
    );
    assert_eq!(text, expected);
    // Ready, NotReady, Ready again; a heartbeat each.
    for (status, count) in [("True", "2/3"), ("False", "1/3"), ("True", "2/3")] {
        nodes.beat("during", status, "2026-01-01T00:00:10Z").await;
        until_nodes(&world, "t-1", count).await;
        nodes.beat("during", status, "2026-01-01T00:00:20Z").await;
    }
    nodes.join("after", false).await;
    world
        .until("t-1", |object| {
            let results = object.status.task_result.as_deref().unwrap_or_default();
            results[2].node.is_some()
        })
        .await;
    nodes.set_ready("after", YES).await;
    assert_eq!(end(&world, "t-1").await, "NodesReady");
    assert_eq!(
        message(&world, "t-1").await,
        "The task succeeded; all 3 nodes are Ready"
    );
    // The first answer, the success, the provider ID, three of its readiness, the third's name, the end.
    world.until_writes("t-1", 8).await;

    // Whatever becomes of them later.
    let before = world.get("t-1").await;
    nodes.beat("before", "True", "2026-01-01T00:01:00Z").await;
    nodes.set_ready("during", false).await;
    nodes.delete("after").await;
    a_later_change_was_seen(&world, &nodes).await;
    let after = world.get("t-1").await;
    assert_eq!(before.resource_version, after.resource_version);
    assert_eq!(world.writes("t-1"), [200; 8]);
    let events = world.events("t-1").await;
    let reasons: Vec<_> = events.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["TaskRunning", "WaitingForNodes", "NodesReady"]);
    assert!(events.iter().all(|(kind, _)| kind == "Normal"));
}

/// Another object of its own ends by a Node that comes now: all that came before it was seen.
async fn a_later_change_was_seen(world: &World, nodes: &super::Nodes) {
    set_task(world, "T-later", "success", &["later"]);
    create(world, "T-later", json!({})).await;
    world.until_reason("t-later", "WaitingForNodes").await;
    nodes.join("later", YES).await;
    assert_eq!(end(world, "t-later").await, "NodesReady");
}

/// A Node registers, gets its provider ID, is Ready, and the task ends: in each order that can be.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_the_end_come_in_any_order() {
    let (world, nodes) = world("orders").await;
    let orders = [
        "ripy", "riyp", "rpiy", "rpyi", "ryip", "rypi", "irpy", "iryp",
    ];
    for order in orders {
        set_task(&world, &format!("T-{order}"), "running", &[order]);
        create(&world, &format!("T-{order}"), json!({})).await;
    }
    for order in orders {
        world
            .until_reason(&format!("t-{order}"), "TaskRunning")
            .await;
    }
    let one = async |order: &'static str| {
        let (id, name) = (format!("T-{order}"), format!("t-{order}"));
        for (position, step) in order.chars().enumerate() {
            match step {
                'r' => nodes.register(order).await,
                'i' => {
                    set_task(&world, &id, "success", &[order]);
                    world
                        .until(&name, |object| object.reason() != Some(Reason::TaskRunning))
                        .await;
                }
                'p' => {
                    let id = nodes.provider_id("cn-hangzhou", order);
                    nodes.identify(order, &id).await;
                }
                _ => nodes.set_ready(order, YES).await,
            }
            if position < 3 {
                assert!(!world.get(&name).await.is_finished(), "{order}: {step}");
            }
        }
        assert_eq!(end(&world, &name).await, "NodesReady", "{order}");
    };
    futures::future::join_all(orders.map(one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_instance_decides_which_node_it_is() {
    let (world, nodes) = world("which").await;
    // An old node of another instance, with the address and the name that the new one gets.
    nodes
        .join_with("a", &nodes.provider_id("cn-hangzhou", "old"), YES)
        .await;
    // Of another region; registered, edge and virtual ones.
    nodes
        .join_with("b", &nodes.provider_id("cn-beijing", "a"), YES)
        .await;
    let hybrid = format!("ack-hybrid://{}", nodes.provider_id("cn-hangzhou", "a"));
    nodes.join_with("c", &hybrid, YES).await;
    nodes.join_with("d", "e01-0123456789", YES).await;
    nodes.register("e").await;
    nodes.set_ready("e", YES).await;
    // A node whose name is that of the instance.
    nodes.join_with("i", "vk://i", YES).await;

    set_task(&world, "T-1", "success", &["a"]);
    create(&world, "T-1", json!({ "region": "cn-hangzhou" })).await;
    world.until_reason("t-1", "WaitingForNodes").await;
    assert_eq!(shown(&world, "t-1").await, [(None, Some(false))]);
    nodes.delete("a").await;
    nodes.register("a").await;
    nodes.set_ready("a", YES).await;
    assert_eq!(
        world.get("t-1").await.status.nodes.as_deref(),
        Some("0/1"),
        "not before it has its provider ID"
    );
    nodes
        .identify("a", &nodes.provider_id("cn-hangzhou", "a"))
        .await;
    assert_eq!(end(&world, "t-1").await, "NodesReady");
    assert_eq!(
        shown(&world, "t-1").await,
        [(Some(nodes.name("a")), Some(true))]
    );
    world.until_writes("t-1", 2).await;
    assert_eq!(
        world.writes("t-1"),
        [200, 200],
        "no other node cost a write"
    );

    // Where the object names no region, the instance decides alone.
    nodes
        .join_with("f", &nodes.provider_id("cn-beijing", "f"), YES)
        .await;
    set_task(&world, "T-2", "success", &["f"]);
    create(&world, "T-2", json!({})).await;
    assert_eq!(end(&world, "t-2").await, "NodesReady");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_deleted_before_all_were_ready_is_missing_again() {
    let (world, nodes) = world("deleted").await;
    set_task(&world, "T-1", "success", &["a", "b"]);
    create(&world, "T-1", json!({})).await;
    world.until_reason("t-1", "WaitingForNodes").await;
    nodes.join("a", YES).await;
    until_nodes(&world, "t-1", "1/2").await;
    nodes.delete("a").await;
    until_nodes(&world, "t-1", "0/2").await;
    assert_eq!(shown(&world, "t-1").await, vec![(None, Some(false)); 2]);
    nodes.join("b", YES).await;
    until_nodes(&world, "t-1", "1/2").await;
    nodes.join("a", YES).await;
    assert_eq!(end(&world, "t-1").await, "NodesReady");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_names_the_instances() {
    let (world, nodes) = world("late").await;
    nodes.join("a", YES).await;
    set_task(&world, "T-1", "success", &["a", "b"]);
    create(&world, "T-1", json!({ "timeout": "5s" })).await;
    world.until_reason("t-1", "WaitingForNodes").await;
    assert_eq!(end(&world, "t-1").await, "TimedOut");
    let text = message(&world, "t-1").await;
    let named = format!(
        "1 of 2 nodes are Ready, missing: {} (no Node)",
        instance(&world, "b")
    );
    assert!(text.contains(&named), "{text}");
    let calls = world.simulator.requests("T-1");
    // The end costs nothing, and more time lets it go on.
    nodes.join("b", YES).await;
    world
        .patch("t-1", json!({ "spec": { "timeout": "1h" } }))
        .await
        .unwrap();
    world.until_reason("t-1", "NodesReady").await;
    assert_eq!(
        (calls, world.simulator.requests("T-1")),
        (1, 2),
        "no node cost a call"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_end_waits_for_no_node() {
    let (world, _) = world("bad").await;
    world.add_task(
        "{id: T-1, duration: 0s, instances: [{id: i-bad-1}, {id: i-bad-2, status: failed}]}",
    );
    create(&world, "T-1", json!({})).await;
    assert_eq!(end(&world, "t-1").await, "InstancesFailed");
    world.add_task("{id: T-2, duration: 0s, outcome: fail, instances: [{id: i-bad-3}]}");
    create(&world, "T-2", json!({})).await;
    assert_eq!(end(&world, "t-2").await, "TaskFailed");
    // Nor does one without instances.
    world.add_task("{id: T-3, duration: 0s}");
    create(&world, "T-3", json!({})).await;
    assert_eq!(end(&world, "t-3").await, "NodesReady");
    eventually("their Events", || async {
        world.events("t-3").await.len() == 1
    })
    .await;
}

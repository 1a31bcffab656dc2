//! Shards: each controller tracks the objects with certain labels and has its own Lease.

use serde_json::json;
use simulator::{Script, Simulator};
use testbed::world::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn each_shard_tracks_only_the_objects_with_its_labels() {
    let world = World::new("shards").await;
    let clouds = [0, 1].map(|_| Simulator::start(Script::default()).unwrap());
    for cloud in &clouds {
        cloud.set_task("{id: T-1, duration: 10h}".parse().unwrap());
    }
    let shard = |user: &str, selector: &str, cloud: &Simulator| {
        let args = [
            "--credentials",
            "none",
            "--selector",
            selector,
            "--leader-elect",
            "--lease-namespace",
            &world.namespace,
        ];
        world.controller(user, cloud, &args, &[])
    };
    let web = shard("web", "team=web", &clouds[0]);
    let rest = shard("rest", "team notin (web)", &clouds[1]);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskRunning").await;
    assert_eq!(clouds[0].total_requests(), 0);

    // With another label, the other shard tracks it.
    let label = json!({ "metadata": { "labels": { "team": "web" } } });
    world.patch("one", label).await.unwrap();
    eventually("polled by the other shard", || async {
        clouds[0].total_requests() > 1
    })
    .await;
    let left = clouds[1].total_requests();
    let seen = clouds[0].total_requests();
    eventually("further polls", || async {
        clouds[0].total_requests() > seen + 2
    })
    .await;
    assert!(clouds[1].total_requests() <= left + 1);
    for (shard, count) in [(&web, 1), (&rest, 0)] {
        let line = format!("scaleouttask_tasks{{state=\"running\"}} {count}\n");
        let metrics = shard.admin("/metrics").await.1;
        assert!(metrics.contains(&line), "{metrics}");
        assert!(
            metrics
                .lines()
                .any(|line| line.starts_with("scaleouttask_leader{") && line.ends_with(" 1"))
        );
    }
}

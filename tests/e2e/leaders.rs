//! Several replicas with one Lease: one works, the others stand by, and no write is stale.

use std::time::{Duration, Instant};

use controlplane::Signal;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use simulator::{Script, Simulator, Task};
use testbed::{
    controller::Controller,
    world::{World, eventually},
};

const LEASE: &str = "scaleouttask-controller";
/// A task that runs longer than any test.
const ENDLESS: &str = "{id: T-1, duration: 10h}";

/// A replica with its own task API, so that its calls can be counted.
struct Replica {
    name: &'static str,
    controller: Controller,
    cloud: Simulator,
}

impl Replica {
    fn start(world: &World, name: &'static str, task: &str) -> Self {
        let cloud = Simulator::start(Script::default()).unwrap();
        cloud.set_task(task.parse::<Task>().unwrap());
        let args = [
            "--credentials",
            "none",
            "--leader-elect",
            "--lease-name",
            LEASE,
            "--lease-namespace",
            &world.namespace,
            // A late answer must not become a timeout.
            "--request-timeout",
            "1m",
        ];
        Self {
            name,
            controller: world.controller(name, &cloud, &args, &[]),
            cloud,
        }
    }

    async fn leads(&self) -> bool {
        let metrics = self.controller.admin("/metrics").await.1;
        metrics
            .lines()
            .any(|line| line.starts_with("scaleouttask_leader{") && line.ends_with(" 1"))
    }

    async fn until_leading(&self) {
        eventually("the replica leads", || self.leads()).await;
    }

    async fn until_ready(&self) {
        eventually("the replica is ready", || async {
            self.controller.admin("/readyz").await.0 == 200
        })
        .await;
    }

    async fn until_polling(&self) {
        let before = self.cloud.total_requests();
        eventually("the replica polls", || async {
            self.cloud.total_requests() > before
        })
        .await;
    }
}

/// A leader that polls the object `one`, and a standby.
async fn pair(world: &World, task: &str) -> (Replica, Replica) {
    let leader = Replica::start(world, "first", task);
    leader.until_leading().await;
    let standby = Replica::start(world, "second", task);
    standby.until_ready().await;
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskRunning").await;
    (leader, standby)
}

async fn holder(world: &World) -> String {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let lease = leases.get(LEASE).await.unwrap();
    lease.spec.unwrap().holder_identity.unwrap_or_default()
}

/// The writes of the object's status: the user and the response code, in the API server's order.
fn writers(world: &World) -> Vec<(String, u64)> {
    let writer = |write: Value| {
        let user = write["user"]["username"].as_str().unwrap().to_owned();
        (user, write["responseStatus"]["code"].as_u64().unwrap())
    };
    let audited = world.audited("scaleouttasks", "one");
    audited.into_iter().map(writer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_works_and_all_are_ready() {
    let world = World::new("replicas").await;
    let (leader, standby) = pair(&world, ENDLESS).await;
    let third = Replica::start(&world, "third", ENDLESS);
    third.until_ready().await;
    leader.until_polling().await;
    leader.until_polling().await;
    for replica in [&standby, &third] {
        assert!(!replica.leads().await, "{}", replica.name);
        assert_eq!(replica.cloud.total_requests(), 0, "{}", replica.name);
        assert_eq!(replica.controller.admin("/livez").await.0, 200);
        let metrics = replica.controller.admin("/metrics").await.1;
        assert!(
            !metrics.contains(r#"tasks{state="running"} 1"#),
            "{metrics}"
        );
    }
    assert_eq!(writers(&world), [("first".to_owned(), 200)]);
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let spec = leases.get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(spec.lease_duration_seconds, Some(15));
    assert!(spec.renew_time >= spec.acquire_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_within_twenty_seconds() {
    let world = World::new("killed").await;
    let (mut leader, standby) = pair(&world, ENDLESS).await;
    leader.controller.signal(Signal::Kill);
    let killed = Instant::now();
    standby.until_polling().await;
    let took = killed.elapsed();
    println!("polled again {took:?} after the leader was killed");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_is_replaced_within_two_seconds() {
    let world = World::new("handover").await;
    let (mut leader, mut standby) = pair(&world, ENDLESS).await;
    // A busy machine makes a handover slower, so one that is quick enough is enough.
    let mut quickest = Duration::MAX;
    for next in ["third", "fourth", "fifth"] {
        quickest = quickest.min(handover(leader, &standby).await);
        if quickest < Duration::from_secs(2) {
            break;
        }
        (leader, standby) = (standby, Replica::start(&world, next, ENDLESS));
        standby.until_ready().await;
    }
    assert!(quickest < Duration::from_secs(2), "{quickest:?}");
}

/// Stops `leader`, and returns how long no replica polled.
async fn handover(leader: Replica, standby: &Replica) -> Duration {
    let stopped = Instant::now();
    let log = leader.controller.log();
    let (code, took) = tokio::task::block_in_place(|| leader.controller.stop());
    assert_eq!(code, 0, "{log}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    standby.until_polling().await;
    let took = stopped.elapsed();
    println!("polled again {took:?} after the leader was stopped");
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_stands_by_again_and_writes_nothing_stale() {
    let world = World::new("frozen").await;
    let (mut frozen, standby) = pair(&world, ENDLESS).await;
    // The next answer says that the task failed. It is in flight when the leader freezes.
    let late = "{id: T-1, outcome: fail, faults: [{delay: 2s}]}";
    frozen.cloud.set_task(late.parse().unwrap());
    eventually("a call in flight", || async {
        frozen.cloud.in_flight() == 1
    })
    .await;
    frozen.controller.signal(Signal::Stop);
    standby.until_polling().await;
    // The new leader sees a success instead, so that a stale write would be noticed.
    standby.cloud.set_task("{id: T-1}".parse().unwrap());
    world.until_reason("one", "TaskSucceeded").await;
    let polled = frozen.cloud.total_requests();

    frozen.controller.signal(Signal::Continue);
    eventually("the frozen leader stands by", || async {
        frozen.controller.log().contains("standing by") && !frozen.leads().await
    })
    .await;
    frozen.until_ready().await;
    assert!(frozen.controller.is_running());
    // It still watches objects, and can lead again.
    world.create("two", json!({ "taskId": "T-1" })).await;
    world.until_reason("two", "TaskSucceeded").await;
    // Its only write is the first one.
    world.until_writes("one", 2).await;
    let (of_frozen, others): (Vec<_>, Vec<_>) = writers(&world)
        .into_iter()
        .partition(|(user, _)| user == "first");
    assert_eq!(of_frozen.len(), 1, "{}", frozen.controller.log());
    assert!(others.iter().all(|(_, code)| *code == 200), "{others:?}");
    assert_eq!(
        frozen.cloud.total_requests(),
        polled,
        "the frozen replica polled"
    );
    assert!(standby.leads().await);
    drop(standby);
    frozen.until_leading().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_loses_the_lease_stands_by_and_does_not_exit() {
    let world = World::new("stolen").await;
    let mut only = Replica::start(&world, "first", ENDLESS);
    only.until_leading().await;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let other_holder =
        json!({ "spec": { "holderIdentity": "somebody", "leaseDurationSeconds": 4 } });
    let params = PatchParams::default();
    leases
        .patch(LEASE, &params, &Patch::Merge(other_holder))
        .await
        .unwrap();
    eventually("the replica stands by", || async { !only.leads().await }).await;
    assert_eq!(only.controller.admin("/readyz").await.0, 200);
    assert!(only.controller.is_running());
    // The new holder never renews it, so it expires and is acquired again.
    only.until_leading().await;
    assert!(holder(&world).await != "somebody");
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskRunning").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_lease_is_created_again() {
    let world = World::new("deleted").await;
    let only = Replica::start(&world, "first", ENDLESS);
    only.until_leading().await;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    leases
        .delete(LEASE, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    eventually("the lease is back", || async {
        leases.get_opt(LEASE).await.unwrap().is_some()
    })
    .await;
    only.until_leading().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_lease_namespace_is_logged_and_waited_for() {
    let world = World::new("nowhere").await;
    let cloud = Simulator::start(Script::default()).unwrap();
    let args = [
        "--credentials",
        "none",
        "--leader-elect",
        "--lease-namespace",
        "no-such-namespace",
    ];
    let mut controller = world.controller("first", &cloud, &args, &[]);
    eventually("the controller logs it", || async {
        controller.log().contains("check --lease-namespace")
    })
    .await;
    assert!(controller.is_running());
    eventually("the controller is ready", || async {
        controller.admin("/readyz").await.0 == 200
    })
    .await;
}

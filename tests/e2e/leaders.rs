//! Several replicas under one Lease: one works, the others wait, and no write is stale.

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
/// Runs for as long as any test does.
const ENDLESS: &str = "{id: T-1, duration: 10h}";

/// A replica with a task API of its own, so that each one's calls can be told apart.
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
            "--lease-namespace",
            &world.namespace,
            // A late answer is to be an answer.
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
        metrics.contains("\nscaleouttask_leader 1\n")
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

/// Who wrote the object's status, with the answers' codes, in the API server's order.
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
async fn a_killed_leader_is_followed_within_twenty_seconds() {
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
async fn a_stopped_leader_is_followed_within_two_seconds() {
    let world = World::new("handover").await;
    let (mut leader, mut standby) = pair(&world, ENDLESS).await;
    // What else the machine does can only draw a hand-over out: one in time shows that it can be.
    let mut quickest = Duration::MAX;
    for next in ["third", "fourth", "fifth"] {
        quickest = quickest.min(hand_over(leader, &standby).await);
        if quickest < Duration::from_secs(2) {
            break;
        }
        (leader, standby) = (standby, Replica::start(&world, next, ENDLESS));
        standby.until_ready().await;
    }
    assert!(quickest < Duration::from_secs(2), "{quickest:?}");
}

/// How long nobody polls after `leader` is told to stop.
async fn hand_over(leader: Replica, standby: &Replica) -> Duration {
    let stopped = Instant::now();
    let log = leader.controller.log();
    let (code, took) = tokio::task::block_in_place(|| leader.controller.stop());
    assert_eq!(code, 0, "{log}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    standby.until_polling().await;
    let took = stopped.elapsed();
    println!("polled again {took:?} after the leader was told to stop");
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_stands_by_again_and_writes_nothing_stale() {
    let world = World::new("frozen").await;
    let (mut frozen, standby) = pair(&world, ENDLESS).await;
    // The next answer says that the task has failed, and is on its way when the leader freezes.
    let late = "{id: T-1, outcome: fail, faults: [{delay: 2s}]}";
    frozen.cloud.set_task(late.parse().unwrap());
    eventually("a call under way", || async {
        frozen.cloud.in_flight() == 1
    })
    .await;
    frozen.controller.signal(Signal::Stop);
    standby.until_polling().await;
    // What the new leader sees is another end, so that a stale write would show.
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
    // It still follows what happens: it is ready to lead again.
    world.create("two", json!({ "taskId": "T-1" })).await;
    world.until_reason("two", "TaskSucceeded").await;
    // Its only write is that of the beginning.
    world.until_writes("one", 2).await;
    let (of_frozen, others): (Vec<_>, Vec<_>) = writers(&world)
        .into_iter()
        .partition(|(user, _)| user == "first");
    assert_eq!(of_frozen.len(), 1, "{}", frozen.controller.log());
    assert!(others.iter().all(|(_, code)| *code == 200), "{others:?}");
    assert_eq!(frozen.cloud.total_requests(), polled, "it polled");
    assert!(standby.leads().await);
    drop(standby);
    frozen.until_leading().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_taken_away_means_standing_by_not_exiting() {
    let world = World::new("stolen").await;
    let mut only = Replica::start(&world, "first", ENDLESS);
    only.until_leading().await;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let theft = json!({ "spec": { "holderIdentity": "somebody", "leaseDurationSeconds": 4 } });
    let params = PatchParams::default();
    leases
        .patch(LEASE, &params, &Patch::Merge(theft))
        .await
        .unwrap();
    eventually("it stands by", || async { !only.leads().await }).await;
    assert_eq!(only.controller.admin("/readyz").await.0, 200);
    assert!(only.controller.is_running());
    // Nobody renews it: it runs out, and is taken again.
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
async fn a_lease_namespace_that_is_missing_is_said_and_waited_for() {
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
    eventually("it says so", || async {
        controller.log().contains("check --lease-namespace")
    })
    .await;
    assert!(controller.is_running());
    eventually("it is ready", || async {
        controller.admin("/readyz").await.0 == 200
    })
    .await;
}

//! Of each task one object is made, whatever becomes of that.

use controlplane::Signal;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::world::{World, eventually, eventually_within};

use super::{
    ARGS, assert_not_polled, create, create_with, creates, delete, ended, names, objects, running,
    until_listed, until_names, world,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_by_hand_is_not_made_again() {
    let mut world = world("deleted").await;
    let tasks = ["T-1", "T-2", "T-3"].map(running);
    world.simulator.set_tasks(tasks);
    create(&world).await;
    until_names(&world, &["t-1", "t-2", "t-3"]).await;
    world
        .until_source("src", |status| status.made == Some(3))
        .await;
    // While the controller runs, and while it doesn't.
    delete(&world, "t-1").await;
    until_listed(&world).await;
    assert_eq!(world.stop().0, 0);
    delete(&world, "t-2").await;
    world.simulator.set_task(running("T-4"));
    world.start_with(&ARGS, &[]);
    until_names(&world, &["t-3", "t-4"]).await;
    until_listed(&world).await;
    assert_eq!(names(&world).await, ["t-3", "t-4"]);
    assert_eq!(creates(&world), 4);
    let status = world
        .until_source("src", |status| status.made == Some(4))
        .await;
    let mut recent = status.recent;
    recent.sort();
    assert_eq!(recent, ["T-1", "T-2", "T-3", "T-4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_as_soon_as_it_ended_is_not_made_again() {
    let mut world = world("ttl").await;
    let ids: Vec<String> = (1..=20).map(|number| format!("T-{number}")).collect();
    world.simulator.set_tasks(ids.iter().map(|id| ended(id)));
    let template = json!({ "spec": { "ttlSecondsAfterFinished": 0 } });
    create_with(&world, json!({ "template": template })).await;
    let status = world
        .until_source("src", |status| status.made == Some(20))
        .await;
    assert_eq!(status.recent.len(), 20);
    eventually("all are deleted", || async {
        objects(&world).await.is_empty()
    })
    .await;
    until_listed(&world).await;
    world.stop();
    world.start_with(&ARGS, &[]);
    until_listed(&world).await;
    assert_eq!(creates(&world), 20);
    let deletions = world.audited_verbs("scaleouttasks");
    let deletions = deletions.iter().filter(|verb| *verb == "delete").count();
    assert_eq!(deletions, 20, "each was deleted by the controller");
    assert!(objects(&world).await.is_empty());
}

const MANY: usize = 120;

fn set_many(world: &World) {
    let tasks = (0..MANY).map(|number| ended(&format!("T-{number}")));
    world.simulator.set_tasks(tasks);
}

async fn until_some(world: &World) {
    eventually("the first objects", || async {
        let limit = ListParams::default().limit(1);
        !world.api().list(&limit).await.unwrap().items.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_killed_while_it_makes_objects_makes_the_others_later() {
    let world = World::new("killed").await;
    set_many(&world);
    let mut first = world.controller("first", &world.simulator, &ARGS, &[]);
    create(&world).await;
    until_some(&world).await;
    first.signal(Signal::Kill);
    first.wait();
    let before = objects(&world).await.len();
    println!("killed after {before} of {MANY}");
    let second = world.controller("second", &world.simulator, &ARGS, &[]);
    let status = world
        .until_source("src", |status| status.recent.len() == MANY)
        .await;
    assert_eq!(status.made, Some(120), "those of before count too");
    assert_eq!(objects(&world).await.len(), MANY);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_over_makes_only_what_is_missing() {
    let world = World::new("taken-over").await;
    set_many(&world);
    let namespace = world.namespace.clone();
    let lease = ["--leader-elect", "--lease-namespace", &namespace];
    let args = [&ARGS[..], &lease].concat();
    let replica = |user: &str| world.controller(user, &world.simulator, &args, &[]);
    let mut leader = replica("first");
    create(&world).await;
    until_some(&world).await;
    let standby = replica("second");
    leader.signal(Signal::Kill);
    leader.wait();
    let limit = 2 * testbed::world::PATIENCE;
    eventually_within(limit, "all are made", || async {
        objects(&world).await.len() == MANY
    })
    .await;
    let status = world
        .until_source("src", |status| status.recent.len() == MANY)
        .await;
    assert_eq!(status.made, Some(120));
    // One that is deleted from now on, before another replica leads.
    delete(&world, "t-7").await;
    let third = replica("third");
    eventually("it is ready", || async {
        third.admin("/readyz").await.0 == 200
    })
    .await;
    tokio::task::block_in_place(|| standby.stop());
    until_listed(&world).await;
    assert_eq!(objects(&world).await.len(), MANY - 1);
}

/// Another holder, which never renews, takes the Lease.
async fn steal_lease(world: &World, name: &str) {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let holder = json!({ "spec": { "holderIdentity": "somebody", "leaseDurationSeconds": 3 } });
    let params = PatchParams::default();
    leases
        .patch(name, &params, &Patch::Merge(holder))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_loses_the_lead_and_leads_again_goes_on_where_it_was() {
    const LEASE: &str = "own";
    let mut world = World::new("again").await;
    world
        .simulator
        .set_tasks(["T-1", "T-2", "T-3"].map(running));
    let namespace = world.namespace.clone();
    let lease = [
        "--leader-elect",
        "--lease-name",
        LEASE,
        "--lease-namespace",
        &namespace,
    ];
    world.start_with(&[&ARGS[..], &lease].concat(), &[]);
    create(&world).await;
    until_names(&world, &["t-1", "t-2", "t-3"]).await;
    steal_lease(&world, LEASE).await;
    eventually("it stands by", || async {
        world.log().contains("standing by")
    })
    .await;
    // One is deleted, and one comes, while nobody leads.
    delete(&world, "t-1").await;
    world.simulator.set_task(running("T-4"));
    until_names(&world, &["t-2", "t-3", "t-4"]).await;
    let status = world
        .until_source("src", |status| status.made == Some(4))
        .await;
    assert_eq!(status.recent.len(), 4);
    world.until_reason("t-4", "TaskRunning").await;
    until_listed(&world).await;
    assert_eq!(creates(&world), 4);
    // The list stands for polls as before.
    assert_not_polled(&world, ["T-2", "T-3", "T-4"]).await;
}

/// More tasks than a status remembers, all of which come at once.
#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_than_a_source_remembers_are_made_once_each() {
    const TASKS: usize = 1100;
    let _turn = super::TURN.lock().await;
    let mut world = World::new("thousands").await;
    let tasks = (0..TASKS).map(|number| {
        let age = std::time::Duration::from_secs(number as u64);
        ended(&format!("T-{number}")).aged(age)
    });
    world.simulator.set_tasks(tasks);
    let fast = ["--requests-per-second", "1000"];
    let args = [&ARGS[..], &fast].concat();
    world.start_with(&args, &[]);
    create(&world).await;
    let status = world
        .until_source("src", |status| status.made == Some(1100))
        .await;
    assert_eq!(status.recent.len(), 1000);
    until_listed(&world).await;
    super::until_source_writes(&world, "src", 1).await;
    // The youngest are remembered, of whom the oldest is 999.
    let deleted = [0, 500, 990, 998, 999, 1000, 1001, 1010, 1099];
    for age in deleted {
        delete(&world, &format!("t-{age}")).await;
    }
    until_listed(&world).await;
    world.stop();
    world.start_with(&args, &[]);
    until_listed(&world).await;
    assert_eq!(objects(&world).await.len(), TASKS - deleted.len());
    assert_eq!(creates(&world), TASKS);
    assert_eq!(super::source_writes(&world, "src"), 1, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_made_anew_takes_the_objects_that_are_there() {
    let world = world("anew").await;
    world.simulator.set_tasks(["T-1", "T-2"].map(running));
    create(&world).await;
    world
        .until_source("src", |status| status.made == Some(2))
        .await;
    let params = kube::api::DeleteParams::default();
    world.sources().delete("src", &params).await.unwrap();
    world.simulator.set_task(running("T-3"));
    create(&world).await;
    let status = world
        .until_source("src", |status| status.recent.len() == 3)
        .await;
    assert_eq!(status.made, Some(1), "two of them were there");
    assert_eq!(creates(&world), 3);
    assert_eq!(names(&world).await, ["t-1", "t-2", "t-3"]);
}

//! Sources: tasks that are found by themselves, on a real API server and a simulated task API.

mod attacks;
mod calls;
mod found;
mod installed;
mod list;
mod many;
mod names;
mod once;
mod owners;
mod refused;
mod surroundings;
mod trouble;
mod writes;

use kube::{ResourceExt, api::ListParams};
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use simulator::Task;
use testbed::world::{World, eventually};
use tokio::sync::Mutex;

const ARGS: [&str; 3] = ["--credentials", "none", "--sources"];
/// Those tests that keep the machine busy run one at a time.
static TURN: Mutex<()> = Mutex::const_new(());
/// The cluster of most tests.
const CLUSTER: &str = "c-1";

/// A world whose controller watches sources.
async fn world(name: &str) -> World {
    let mut world = World::new(name).await;
    world.start_with(&ARGS, &[]);
    world
}

/// A task of the cluster that runs for ever.
fn running(id: &str) -> Task {
    let task = Task::in_state(id, "running");
    task.in_cluster(CLUSTER)
}

/// A task of the cluster that succeeded.
fn ended(id: &str) -> Task {
    Task::new(id).in_cluster(CLUSTER)
}

/// What a source of that cluster asks for, as often as it may.
fn spec_of(cluster: &str) -> Value {
    json!({ "clusterId": cluster, "interval": "5s" })
}

/// Creates the source `src` of the cluster.
async fn create(world: &World) {
    create_with(world, json!({})).await;
}

/// The same with further fields.
async fn create_with(world: &World, more: Value) {
    world.create_source("src", with(more)).await;
}

/// The spec of `src` with further fields.
fn with(more: Value) -> Value {
    let mut spec = spec_of(CLUSTER);
    let (Value::Object(fields), Value::Object(more)) = (&mut spec, more) else {
        panic!("not objects");
    };
    fields.extend(more);
    spec
}

/// How often the list of a cluster was begun.
fn lists_begun(world: &World, cluster: &str) -> usize {
    let log = world.simulator.list_log();
    let firsts = log
        .iter()
        .filter(|call| call.cluster_id == cluster && call.page_number == Some(1));
    firsts.count()
}

/// Waits until one whole list more was read, with all that follows from it: the next but one has begun.
async fn until_listed(world: &World) {
    until_listed_of(world, CLUSTER).await;
}

async fn until_listed_of(world: &World, cluster: &str) {
    until_all_listed(world, &[cluster]).await;
}

async fn until_all_listed(world: &World, clusters: &[&str]) {
    let begun = |cluster: &&str| lists_begun(world, cluster);
    let before: Vec<usize> = clusters.iter().map(begun).collect();
    eventually("two lists more", || async {
        let mut each = clusters.iter().zip(&before);
        each.all(|(cluster, before)| lists_begun(world, cluster) >= before + 2)
    })
    .await;
}

/// How many calls come for each of these tasks until a list more was read.
async fn calls_in_a_list<const N: usize>(world: &World, ids: [&str; N]) -> [usize; N] {
    let calls = || ids.map(|id| world.simulator.requests(id));
    let before = calls();
    until_listed(world).await;
    let after = calls();
    std::array::from_fn(|one| after[one] - before[one])
}

/// Asserts that the list stands for the polls of these tasks' objects. One call of each may be the look that comes
/// each five minutes, when in them its UID says.
async fn assert_not_polled<const N: usize>(world: &World, ids: [&str; N]) {
    let calls = calls_in_a_list(world, ids).await;
    assert!(
        calls.iter().all(|calls| *calls <= 1),
        "{ids:?}: {calls:?} calls"
    );
}

async fn objects(world: &World) -> Vec<ScaleOutTask> {
    world
        .api()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
}

/// The names of all objects, sorted.
async fn names(world: &World) -> Vec<String> {
    let mut names: Vec<String> = objects(world)
        .await
        .iter()
        .map(ScaleOutTask::name_any)
        .collect();
    names.sort();
    names
}

async fn until_names(world: &World, wanted: &[&str]) {
    let what = format!("the objects are {wanted:?}");
    eventually(&what, || async { names(world).await == wanted }).await;
}

async fn until_count(world: &World, count: usize) {
    let what = format!("{count} objects");
    eventually(&what, || async { objects(world).await.len() == count }).await;
}

/// How many requests there were to create an object, whether they were granted or not.
fn creates(world: &World) -> usize {
    let verbs = world.audited_verbs("scaleouttasks");
    verbs.iter().filter(|verb| *verb == "create").count()
}

/// Waits until so many writes of the source's status are in the audit log, which is all that there are.
async fn until_source_writes(world: &World, name: &str, count: usize) {
    let what = format!("{count} writes of {name}");
    eventually(&what, || async { source_writes(world, name) >= count }).await;
    assert_eq!(source_writes(world, name), count);
}

/// How often a status of the source was written, or tried to.
fn source_writes(world: &World, name: &str) -> usize {
    world.audited("scaleouttasksources", name).len()
}

/// Status of `Ready`, the condition beside it, and the message.
async fn shown(world: &World, name: &str) -> (String, String, String) {
    let source = world.sources().get(name).await.unwrap();
    let conditions = source.status.unwrap_or_default().conditions;
    let beside = conditions.iter().find(|one| one.type_ != "Ready");
    let beside = beside.map_or(String::new(), |one| one.type_.clone());
    let ready = conditions.iter().find(|one| one.type_ == "Ready").unwrap();
    (ready.status.clone(), beside, ready.message.clone())
}

/// Edits a source.
async fn edit(world: &World, name: &str, spec: Value) {
    let patch = kube::api::Patch::Merge(json!({ "spec": spec }));
    let params = kube::api::PatchParams::default();
    world.sources().patch(name, &params, &patch).await.unwrap();
}

/// Deletes an object.
async fn delete(world: &World, name: &str) {
    let params = kube::api::DeleteParams::default();
    world.api().delete(name, &params).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_of_a_cluster_becomes_an_object_that_is_tracked_to_its_end() {
    let mut world = World::new("found").await;
    world.simulator.set_tasks([running("T-1"), ended("T-2")]);
    world.start_with(&ARGS, &[]);
    create(&world).await;
    world.until_reason("t-2", "TaskSucceeded").await;
    world.until_reason("t-1", "TaskRunning").await;
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!((status.made, status.recent.len()), (Some(2), 2));
    world.simulator.set_task(ended("T-1"));
    world.until_reason("t-1", "TaskSucceeded").await;
    eventually("the Event", || async {
        world.events("src").await == [("Normal".to_owned(), "Listing".to_owned())]
    })
    .await;
}

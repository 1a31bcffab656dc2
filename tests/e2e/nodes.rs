//! Objects that wait for their nodes: on Nodes of a real API server, as they come in a cluster.

mod ends;
mod node;
mod watch;

use serde_json::{Value, json};
use testbed::world::{World, eventually, ready};

use self::node::Nodes;

const ARGS: [&str; 3] = ["--credentials", "none", "--nodes"];

/// A world whose controller watches nodes.
async fn world(name: &str) -> (World, Nodes) {
    let mut world = World::new(name).await;
    let nodes = Nodes::of(&world);
    start(&mut world).await;
    (world, nodes)
}

/// Starts the controller, and waits until it knows all Nodes: before, a success costs one call more.
async fn start(world: &mut World) {
    world.start_with(&ARGS, &[]);
    eventually("all lists are done", || async {
        world.admin("/readyz").await.0 == 200
    })
    .await;
}

/// Sets a task in that state with instances of the nodes of these names.
fn set_task(world: &World, id: &str, state: &str, nodes: &[&str]) {
    let instance = |name: &&str| json!({ "data": instance(world, name), "status": "success" });
    let results: Vec<Value> = nodes.iter().map(instance).collect();
    let body = json!({ "task_id": id, "state": state, "task_result": results }).to_string();
    world.add_task(&json!({ "id": id, "body": body }).to_string());
}

/// The ID of the instance behind a node, which no other test has.
fn instance(world: &World, name: &str) -> String {
    format!("i-{}-{name}", world.namespace)
}

/// Creates an object that waits for the nodes of that task.
async fn create(world: &World, id: &str, more: Value) {
    let mut spec = json!({ "taskId": id, "waitForNodes": true });
    let (Value::Object(spec_fields), Value::Object(more)) = (&mut spec, more) else {
        panic!("not objects");
    };
    spec_fields.extend(more);
    world.create(&id.to_lowercase(), spec).await;
}

/// Waits until so many nodes are Ready.
async fn until_nodes(world: &World, name: &str, nodes: &str) {
    let is_so = |object: &testbed::WholeObject| object.status.nodes.as_deref() == Some(nodes);
    world.until(name, is_so).await;
}

/// Name and readiness of each instance's Node.
async fn shown(world: &World, name: &str) -> Vec<(Option<String>, Option<bool>)> {
    let object = world.get(name).await;
    let results = object.status.task_result.unwrap_or_default();
    let shown = results.into_iter().map(|one| (one.node, one.node_ready));
    shown.collect()
}

async fn message(world: &World, name: &str) -> String {
    world.get(name).await.ready().unwrap().message.clone()
}

/// Waits for the end, and returns its reason.
async fn end(world: &World, name: &str) -> String {
    let object = world.until(name, testbed::WholeObject::is_finished).await;
    ready(&object).0.to_owned()
}

//! The example script for pipelines: it waits for a task and has an exit code for each result.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::PostParams};
use scaleouttask_controller::rules::Reason;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::world::World;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/gitops/pipeline/scale-out.sh"
);

/// Runs the script. Returns its exit code, standard output and standard error.
fn scale_out(world: &World, name: &str, task: &str, seconds: &str) -> (i32, String, String) {
    let spec = json!({ "taskId": task });
    scale_out_as(world.plane.kubeconfig(), world, name, &spec, seconds)
}

/// The same for that spec, as the user of that kubeconfig.
fn scale_out_as(
    kubeconfig: &Path,
    world: &World,
    name: &str,
    spec: &Value,
    seconds: &str,
) -> (i32, String, String) {
    scale_out_with(&[], kubeconfig, world, name, spec, seconds)
}

/// The same with these options.
fn scale_out_with(
    options: &[&str],
    kubeconfig: &Path,
    world: &World,
    name: &str,
    spec: &Value,
    seconds: &str,
) -> (i32, String, String) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("object.json");
    let object = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": name, "namespace": world.namespace }, "spec": spec,
    });
    fs::write(&file, object.to_string()).unwrap();
    let mut path = OsString::from(world.plane.binaries().directory());
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    let mut script = Command::new("sh");
    script
        .arg(SCRIPT)
        .args(options)
        .args([file, PathBuf::from(seconds)])
        .envs([("PATH", path), ("KUBECONFIG", kubeconfig.into())]);
    let output = tokio::task::block_in_place(|| script.output().unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_differs_for_success_failure_and_untracked_tasks() {
    let mut world = World::new("pipeline").await;
    world.add_task("{id: T-1, duration: 3s, instances: [{id: i-1}]}");
    world.add_task(
        "{id: T-2, duration: 3s, outcome: fail, instances: [{id: i-1}, {id: i-2, status: failed}]}",
    );
    world.add_task("{id: T-3, faults: [{status: 403, code: Forbidden.RAM}]}");
    world.add_task("{id: T-4, duration: 10h}");
    world.start();

    let (code, stdout, _) = scale_out(&world, "succeeds", "T-1", "60");
    assert_eq!(code, 0, "{stdout}");
    let succeeded = "scaleouttask/succeeds: The task succeeded: 1 of 1 instances succeeded\n";
    assert_eq!(stdout, succeeded);

    let (code, stdout, stderr) = scale_out(&world, "fails", "T-2", "60");
    assert_eq!((code, stderr.as_str()), (1, "failed: i-2\n"), "{stdout}");

    let (code, stdout, _) = scale_out(&world, "denied", "T-3", "60");
    assert_eq!(code, 2, "{stdout}");
    assert!(stdout.contains("cs:DescribeTaskInfo"), "{stdout}");

    let (code, stdout, _) = scale_out(&world, "goes-on", "T-4", "4");
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("The task is running"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_reports_that_no_controller_runs() {
    let world = World::new("nobody").await;
    let (code, stdout, stderr) = scale_out(&world, "alone", "T-1", "4");
    assert_eq!(code, 3, "{stdout}");
    assert!(stderr.contains("does it run?"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_told_of_an_object_that_is_deleted_at_once() {
    let mut world = World::new("pipelinettl").await;
    world.add_task("{id: T-1, instances: [{id: i-1}]}");
    world.add_task("{id: T-2, duration: 3s, outcome: fail}");
    world.start();
    let administrator = world.plane.kubeconfig();
    for ttl in [0, 1] {
        for (task, code, message) in [
            ("T-1", 0, "The task succeeded: 1 of 1 instances succeeded"),
            ("T-2", 1, "The task failed"),
        ] {
            let name = format!("after-{ttl}-{}", task.to_lowercase());
            let spec = json!({ "taskId": task, "ttlSecondsAfterFinished": ttl });
            let (ended, stdout, stderr) = scale_out_as(administrator, &world, &name, &spec, "60");
            assert_eq!(ended, code, "{name}: {stdout}{stderr}");
            let message = format!("scaleouttask/{name}: {message}");
            assert!(stdout.starts_with(&message), "{name}: {stdout}{stderr}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_says_where_nothing_tells_how_a_deleted_object_ended() {
    let mut world = World::new("pipelinegone").await;
    world.add_task("{id: T-1}");
    world.add_task("{id: T-2, duration: 10h}");
    world.start();
    let deleted = thread::scope(|threads| {
        let script = threads.spawn(|| scale_out(&world, "deleted", "T-2", "60"));
        for moment in ["create", "jsonpath={.status.state}=running"] {
            let moment = format!("--for={moment}");
            world.kubectl_text(&["wait", "sot/deleted", &moment, "--timeout=60s"]);
        }
        world.kubectl_text(&["delete", "sot/deleted"]);
        script.join().unwrap()
    });
    // Who may not list Events isn't told either.
    let resource = "--resource=scaleouttasks.scaleout.dev";
    let verbs = "--verb=get,list,watch,create,patch";
    world.kubectl_text(&["create", "role", "pipeline", verbs, resource]);
    world.kubectl_text(&[
        "create",
        "rolebinding",
        "pipeline",
        "--role=pipeline",
        "--user=pipeline",
    ]);
    let user = world.plane.user("pipeline", None).unwrap();
    let at_once = json!({ "taskId": "T-1", "ttlSecondsAfterFinished": 0 });
    let forbidden = scale_out_as(&user, &world, "forbidden", &at_once, "60");
    assert!(
        forbidden.2.contains("cannot list resource \"events\""),
        "{forbidden:?}"
    );
    for (code, stdout, stderr) in [deleted, forbidden] {
        assert_eq!(code, 4, "{stdout}{stderr}");
        assert!(
            stderr.contains("no Event says how its task ended"),
            "{stderr}"
        );
    }
}

/// Creates the Node of an instance, named after it.
async fn add_node(world: &World, instance: &str, ready: &str) {
    let node = json!({
        "metadata": { "name": instance },
        "spec": { "providerID": format!("cn-hangzhou.{instance}") },
        "status": { "conditions": [{ "type": "Ready", "status": ready }] },
    });
    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_waits_for_nodes_and_lists_those_that_do_not_come() {
    let mut world = World::new("pipelinenodes").await;
    world.add_task("{id: T-1, instances: [{id: i-pipeline-1}, {id: i-pipeline-2}]}");
    world.add_task("{id: T-2, instances: [{id: i-pipeline-1}, {id: i-pipeline-3}]}");
    world.start_with(&["--credentials", "none", "--nodes"], &[]);
    add_node(&world, "i-pipeline-1", "True").await;
    add_node(&world, "i-pipeline-2", "False").await;
    let run = |name: &str, spec: &Value| {
        let administrator = world.plane.kubeconfig();
        scale_out_with(
            &["--wait-for-nodes"],
            administrator,
            &world,
            name,
            spec,
            "60",
        )
    };

    let (code, stdout, stderr) = thread::scope(|threads| {
        let script = threads.spawn(|| run("joins", &json!({ "taskId": "T-1" })));
        for moment in ["create", "jsonpath={.status.nodes}=1/2"] {
            let moment = format!("--for={moment}");
            world.kubectl_text(&["wait", "sot/joins", &moment, "--timeout=60s"]);
        }
        assert!(!script.is_finished());
        let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        let patch = ["--subresource=status", "--patch", &ready.to_string()];
        world.kubectl_text(&[&["patch", "node/i-pipeline-2"], patch.as_slice()].concat());
        script.join().unwrap()
    });
    assert_eq!(code, 0, "{stdout}{stderr}");
    let joined = "scaleouttask/joins: The task succeeded; all 2 nodes are Ready\n";
    assert_eq!(stdout, joined);

    // The object is gone at once, and its Events tell.
    let at_once = json!({ "taskId": "T-1", "ttlSecondsAfterFinished": 0 });
    let (code, stdout, stderr) = run("goes", &at_once);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("all 2 nodes are Ready"), "{stdout}");

    let impatient = json!({ "taskId": "T-2", "timeout": "3s" });
    let (code, stdout, stderr) = run("never", &impatient);
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert_eq!(stderr, "no Ready node: i-pipeline-3\n", "{stdout}");

    // It had ended before it was told to wait: nobody looked at its nodes.
    world.create("ended", json!({ "taskId": "T-2" })).await;
    world.until_reason("ended", "TaskSucceeded").await;
    let (code, stdout, stderr) = run("ended", &json!({ "taskId": "T-2" }));
    assert_eq!(code, 2, "{stdout}{stderr}");
    assert!(stderr.contains("before it was told to wait"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_says_where_the_controller_watches_no_nodes() {
    let mut world = World::new("pipelinenonodes").await;
    world.add_task("{id: T-1, instances: [{id: i-1}]}");
    world.start();
    let spec = json!({ "taskId": "T-1", "waitForNodes": true });
    let administrator = world.plane.kubeconfig();
    let (code, stdout, stderr) = scale_out_as(administrator, &world, "waits", &spec, "60");
    assert_eq!(code, 2, "{stdout}{stderr}");
    assert!(stdout.contains("nodes.enabled=true"), "{stdout}");
}

#[test]
fn the_script_knows_each_reason_that_is_an_end() {
    let script = fs::read_to_string(SCRIPT).unwrap();
    let known = script.split_once("grep -E '^(").unwrap().1;
    let known: Vec<&str> = known.split_once(')').unwrap().0.split('|').collect();
    let ends = Reason::ALL.iter().filter(|reason| reason.is_final());
    let ends: Vec<&str> = ends.map(|reason| reason.as_str()).collect();
    assert_eq!(known, ends);
}

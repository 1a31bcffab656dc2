//! Helm waits for what it installs with kstatus, the library that Flux uses too.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;
use testbed::{
    render::{helm, text},
    world::World,
};

/// Installs a chart with a single object, and waits for it.
fn install(world: &World, name: &str, task: &str) -> Result<String, String> {
    let chart = tempfile::tempdir().unwrap();
    let object = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": name }, "spec": { "taskId": task },
    });
    let about = json!({ "apiVersion": "v2", "name": name, "version": "0.1.0" });
    fs::create_dir(chart.path().join("templates")).unwrap();
    fs::write(chart.path().join("Chart.yaml"), about.to_string()).unwrap();
    fs::write(
        chart.path().join("templates/object.yaml"),
        object.to_string(),
    )
    .unwrap();
    let mut command = helm();
    command
        .env("KUBECONFIG", world.plane.kubeconfig())
        .args([
            "install",
            name,
            "--namespace",
            &world.namespace,
            "--wait",
            "--timeout",
            "50s",
        ])
        .arg(chart.path());
    text(&command.output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn kstatus_waits_for_success_and_notices_failure() {
    let mut world = World::new("kstatus").await;
    world.add_task("{id: T-1, duration: 6s, instances: [{id: i-1}]}");
    world
        .add_task("{id: T-2, duration: 6s, outcome: fail, instances: [{id: i-1, status: failed}]}");
    world.start();

    let began = Instant::now();
    let installed = tokio::task::block_in_place(|| install(&world, "succeeds", "T-1"));
    let took = began.elapsed();
    installed.unwrap();
    assert!(took > Duration::from_secs(5), "it didn't wait: {took:?}");
    assert_eq!(
        world.get("succeeds").await.reason().unwrap().as_str(),
        "TaskSucceeded"
    );

    let began = Instant::now();
    let installed = tokio::task::block_in_place(|| install(&world, "fails", "T-2"));
    let took = began.elapsed();
    let error = installed.unwrap_err();
    println!("{took:?}: {error}");
    assert!(
        took < Duration::from_secs(40),
        "it waited until its timeout: {took:?}"
    );
    assert_eq!(
        world.get("fails").await.reason().unwrap().as_str(),
        "TaskFailed"
    );
}

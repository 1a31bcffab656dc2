//! The example of a pipeline that waits: one exit code for each way in which a task can go on.

use std::{env, ffi::OsString, fs, path::PathBuf, process::Command};

use serde_json::json;
use tempfile::TempDir;
use testbed::world::World;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/gitops/pipeline/scale-out.sh"
);

/// The script's exit code, and what it wrote to standard output and standard error.
fn scale_out(world: &World, name: &str, task: &str, seconds: &str) -> (i32, String, String) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("object.json");
    let object = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": name, "namespace": world.namespace }, "spec": { "taskId": task },
    });
    fs::write(&file, object.to_string()).unwrap();
    let mut path = OsString::from(world.plane.binaries().directory());
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    let mut script = Command::new("sh");
    script
        .args([PathBuf::from(SCRIPT), file, PathBuf::from(seconds)])
        .envs([
            ("PATH", path),
            ("KUBECONFIG", world.plane.kubeconfig().into()),
        ]);
    let output = tokio::task::block_in_place(|| script.output().unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_tells_success_failure_and_what_cannot_be_tracked_apart() {
    let mut world = World::new("pipeline").await;
    world.add_task("{id: T-1, duration: 3s, instances: [{id: i-1}]}");
    world.add_task(
        "{id: T-2, duration: 3s, outcome: fail, instances: [{id: i-1}, {id: i-2, status: failed}]}",
    );
    world.add_task("{id: T-3, faults: [{status: 403, code: Forbidden.RAM}]}");
    world.add_task("{id: T-4, duration: 10h}");
    world.start();

    let (code, said, _) = scale_out(&world, "succeeds", "T-1", "60");
    assert_eq!(code, 0, "{said}");
    let succeeded = "scaleouttask/succeeds: The task succeeded: 1 of 1 instances succeeded\n";
    assert_eq!(said, succeeded);

    let (code, said, failed) = scale_out(&world, "fails", "T-2", "60");
    assert_eq!((code, failed.as_str()), (1, "failed: i-2\n"), "{said}");

    let (code, said, _) = scale_out(&world, "denied", "T-3", "60");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("cs:DescribeTaskInfo"), "{said}");

    let (code, said, _) = scale_out(&world, "goes-on", "T-4", "4");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("The task is running"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_says_so_where_no_controller_runs() {
    let world = World::new("nobody").await;
    let (code, said, why) = scale_out(&world, "alone", "T-1", "4");
    assert_eq!(code, 3, "{said}");
    assert!(why.contains("does it run?"), "{why}");
}

//! The example script for pipelines: it waits for a task and has an exit code for each result.

use std::{env, ffi::OsString, fs, path::PathBuf, process::Command};

use serde_json::json;
use tempfile::TempDir;
use testbed::world::World;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/gitops/pipeline/scale-out.sh"
);

/// Runs the script. Returns its exit code, standard output and standard error.
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

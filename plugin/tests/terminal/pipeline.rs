//! The script for pipelines: an exit code for each end of the task whose call's answer it reads.

use std::{
    env,
    ffi::OsString,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use testbed::world::World;

use crate::stage::{PROGRAM, Ran, add_node, set_node_ready};

/// Runs the script in a namespace with these options, for the task of that ID.
fn scale_out(world: &World, task: &str, options: &[&str], wait: &str) -> Ran {
    let kubectl = world.plane.binaries().directory();
    let plugin = Path::new(PROGRAM).parent().unwrap();
    let mut path = OsString::from(plugin);
    for more in [kubectl, Path::new(&env::var_os("PATH").unwrap())] {
        path.push(":");
        path.push(more);
    }
    let script = testbed::repository().join("docs/gitops/pipeline/scale-out.sh");
    let mut command = Command::new("sh");
    command
        .arg(script)
        .args(options)
        .args(["--namespace", &world.namespace])
        .env("PATH", path)
        .env("KUBECONFIG", world.plane.kubeconfig())
        .env("WAIT_TIMEOUT", wait)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let answer = json!({ "cluster_id": "c1", "task_id": task }).to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(answer.as_bytes())
        .unwrap();
    tokio::task::block_in_place(|| child.wait_with_output().unwrap()).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_the_script_differs_for_success_failure_and_untracked_tasks() {
    let mut world = World::new("pipeline").await;
    world.add_task("{id: T-1, duration: 3s, instances: [{id: i-1}]}");
    world.add_task(
        "{id: T-2, duration: 3s, outcome: fail, instances: [{id: i-1}, {id: i-2, status: failed}]}",
    );
    world.add_task("{id: T-3, faults: [{status: 403, code: Forbidden.RAM}]}");
    world.add_task("{id: T-4, duration: 10h}");
    world.start();
    for (task, options, wait, code, said) in [
        (
            "T-1",
            &[] as &[&str],
            "1m",
            0,
            "The task succeeded: 1 of 1 instances succeeded",
        ),
        ("T-2", &[], "1m", 1, "t-2: failed: i-2"),
        ("T-3", &[], "1m", 2, "cs:DescribeTaskInfo"),
        ("T-4", &[], "8s", 3, "The task is running"),
    ] {
        let ran = scale_out(&world, task, options, wait);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(
            ran.stdout.contains(said) || ran.stderr.contains(said),
            "{ran:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_waits_for_nodes_and_names_those_that_do_not_come() {
    let mut world = World::new("pipelinenodes").await;
    world.add_task("{id: T-1, instances: [{id: i-pipeline-1}, {id: i-pipeline-2}]}");
    world.add_task("{id: T-2, instances: [{id: i-pipeline-1}, {id: i-pipeline-3}]}");
    world.start_with(&["--credentials", "none", "--nodes"], &[]);
    add_node(&world, "i-pipeline-1", "True").await;
    add_node(&world, "i-pipeline-2", "False").await;
    let ran = std::thread::scope(|threads| {
        let script = threads.spawn(|| scale_out(&world, "T-1", &["--wait-for-nodes"], "1m"));
        for moment in ["create", "jsonpath={.status.nodes}=1/2"] {
            let moment = format!("--for={moment}");
            world.kubectl_text(&["wait", "sot/t-1", &moment, "--timeout=60s"]);
        }
        assert!(!script.is_finished());
        set_node_ready(&world, "i-pipeline-2");
        script.join().unwrap()
    });
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains("The task succeeded; all 2 nodes are Ready"),
        "{ran:?}"
    );
    let ran = scale_out(
        &world,
        "T-2",
        &["--wait-for-nodes", "--timeout", "3s"],
        "1m",
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("t-2: no Ready node: i-pipeline-3"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_says_where_the_controller_watches_no_nodes() {
    let mut world = World::new("pipelinenonodes").await;
    world.add_task("{id: T-1, instances: [{id: i-1}]}");
    world.start();
    let ran = scale_out(&world, "T-1", &["--wait-for-nodes"], "1m");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains("nodes.enabled=true"), "{ran:?}");
}

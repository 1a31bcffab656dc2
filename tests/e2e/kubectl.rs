//! What a user types and sees with kubectl.

use std::time::Instant;

use serde_json::json;
use testbed::world::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_wait_returns_when_the_task_succeeds() {
    let mut world = World::new("wait").await;
    world.add_task("{id: T-1, duration: 4s, instances: [{id: i-1, after: 2s}]}");
    world.start();
    world.create("one", json!({ "taskId": "T-1" })).await;
    let began = Instant::now();
    let output = world.kubectl_text(&["wait", "sot/one", "--for=condition=Ready", "--timeout=60s"]);
    assert!(output.contains("condition met"), "{output}");
    assert!(
        began.elapsed().as_secs() >= 2,
        "it returned before the task ended"
    );
    assert_eq!(
        world.get("one").await.status.state.as_deref(),
        Some("success")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_wait_for_finished_returns_at_each_end_good_or_bad() {
    let mut world = World::new("waitend").await;
    world.add_task("{id: T-success, duration: 3s}");
    world.add_task("{id: T-partly, instances: [{id: i-1}, {id: i-2, status: failed}]}");
    world.add_task("{id: T-fail, duration: 3s, outcome: fail}");
    world.add_task("{id: T-timeout, outcome: timeout}");
    world.add_task("{id: T-canceled, outcome: canceled}");
    world.add_task("{id: T-endless, duration: 10h}");
    world.start();
    let ends = [
        ("success", "TaskSucceeded"),
        ("partly", "InstancesFailed"),
        ("fail", "TaskFailed"),
        ("timeout", "TaskFailed"),
        ("canceled", "TaskCanceled"),
        ("endless", "TimedOut"),
    ];
    for (name, _) in ends {
        let mut spec = json!({ "taskId": format!("T-{name}") });
        if name == "endless" {
            spec["timeout"] = "5s".into();
        }
        world.create(name, spec).await;
    }
    for (name, reason) in ends {
        let object = format!("sot/{name}");
        let arguments = ["wait", &object, "--for=condition=Finished", "--timeout=60s"];
        let output = world.kubectl_text(&arguments);
        assert!(output.contains("condition met"), "{output}");
        let object = world.get(name).await;
        assert_eq!(object.ready().unwrap().reason, reason, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_get_shows_the_columns() {
    let mut world = World::new("columns").await;
    world.add_task("{id: T-1, clusterId: c-1, instances: [{id: i-1}, {id: i-2}]}");
    world.add_task("{id: T-2, duration: 1h, clusterId: c-1, stages: [{name: joining}], instances: [{id: i-1}]}");
    world.start();
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.create("two", json!({ "taskId": "T-2" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    world.until_reason("two", "TaskRunning").await;

    let table = world.kubectl_text(&["get", "sot"]);
    let rows = cells(&table);
    assert_eq!(
        rows[0],
        ["NAME", "STATE", "PROGRESS", "READY", "REASON", "AGE"]
    );
    assert_eq!(
        rows[1][..5],
        ["one", "success", "2/2", "True", "TaskSucceeded"]
    );
    assert_eq!(
        rows[2][..5],
        ["two", "running", "0/1", "False", "TaskRunning"]
    );
    assert_eq!(
        world.kubectl_text(&["get", "scaleout"]).lines().count(),
        3,
        "by category"
    );

    let wide = world.kubectl_text(&["get", "scaleouttasks", "-o", "wide"]);
    let rows = cells(&wide);
    assert_eq!(
        rows[0][5..],
        [
            "AGE", "TASK", "TYPE", "TARGET", "CLUSTER", "STAGE", "NODES", "UPDATED", "MESSAGE"
        ]
    );
    assert_eq!(
        rows[2][6..10],
        ["T-2", "cluster_scaleout", "c-1", "joining"]
    );
    assert!(
        wide.contains("The task succeeded: 2 of 2 instances succeeded"),
        "{wide}"
    );

    let found = world.kubectl_text(&[
        "get",
        "sot",
        "--field-selector",
        "spec.taskId=T-2",
        "-o",
        "name",
    ]);
    assert_eq!(found.trim(), "scaleouttask.scaleout.dev/two");
}

/// The cells of a table. kubectl separates them by at least three spaces.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| {
            line.split("   ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explain_describes_every_field() {
    let world = World::new("explain").await;
    let fields = [
        ("taskId", "ID of the task to track"),
        ("region", "Region of the task"),
        ("clusterId", "Cluster the task is expected to belong to"),
        ("credentialsSecretRef", "Secret in the same namespace"),
        ("pollInterval", "How often to poll the task"),
        ("timeout", "Stop tracking this long after"),
        ("suspend", "the task is not polled"),
        (
            "ttlSecondsAfterFinished",
            "Delete this object this many seconds after it finished",
        ),
    ];
    let mut spec = String::new();
    // The API server publishes the schema of a new CRD a moment after it serves the kind.
    eventually("the schema to be published", || {
        let output = world.kubectl(&["explain", "scaleouttask.spec"]);
        spec = String::from_utf8(output.stdout).unwrap();
        let published = output.status.success();
        async move { published }
    })
    .await;
    for (field, description) in fields {
        assert!(
            spec.contains(field) && spec.contains(description),
            "{field}: {spec}"
        );
    }
    let status = world.kubectl_text(&["explain", "scaleouttask.status"]);
    assert!(
        status.contains("When the controller saw that the task finished"),
        "{status}"
    );
}

//! An object from its creation to the end of its task, and after.

use std::time::Duration;

use serde_json::json;
use testbed::WholeObject;
use testbed::world::{World, ready};

const SAMPLE_ID: &str = "T-5faa48fb31b6b8078d000006";

#[tokio::test(flavor = "multi_thread")]
async fn both_sample_bodies_give_the_same_status() {
    let mut world = World::new("samples").await;
    world.start();
    let bodies = [
        (
            "json",
            include_str!("../fixtures/running.json"),
            "application/json",
        ),
        (
            "xml",
            include_str!("../fixtures/running.xml"),
            "application/xml",
        ),
    ];
    let mut statuses = Vec::new();
    for (name, body, content_type) in bodies {
        let mut task = simulator::Task::new(SAMPLE_ID);
        task.body = Some(body.to_owned());
        task.content_type = Some(content_type.to_owned());
        world.simulator.set_task(task);
        world.create(name, json!({ "taskId": SAMPLE_ID })).await;
        let mut status = world.until_reason(name, "TaskRunning").await.status;
        for condition in &mut status.conditions {
            condition.last_transition_time.0 = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
        }
        statuses.push(serde_json::to_value(status).unwrap());
    }
    assert_eq!(statuses[0], statuses[1]);
    let mut status = statuses.remove(0);
    status.as_object_mut().unwrap().remove("conditions");
    let expected = json!({
        "observedGeneration": 1,
        "clusterId": "c78592bfe92244365b3c3ad47f1de****",
        "taskType": "cluster_scaleout",
        "state": "running",
        "created": "2020-11-10T08:02:04Z",
        "updated": "2020-11-10T08:03:06Z",
        "taskResult": [{ "data": "i-xxx", "status": "success" }],
        "instances": { "total": 1, "succeeded": 1, "failed": 0, "pending": 0 },
        "progress": "1/1",
    });
    assert_eq!(status, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_one_write_and_nothing_follows_the_end() {
    let mut world = World::new("lifecycle").await;
    // Steps follow the number of requests, so that a busy machine skips none.
    world.add_task(
        "{id: T-1, created: '2026-01-01T00:00:00Z', updated: '2026-01-01T00:00:01Z', steps: [
            {state: running, taskResult: [{data: i-1, status: initail}, {data: i-2, status: initail}]},
            {afterRequests: 2, taskResult: [{data: i-1, status: success}, {data: i-2, status: initail}]},
            {afterRequests: 4, taskResult: [{data: i-1, status: success}, {data: i-2, status: success}]},
            {afterRequests: 6, state: success}]}",
    );
    world.start();
    let history = world.history("one");
    world.create("one", json!({ "taskId": "T-1" })).await;
    let finished = world.until_reason("one", "TaskSucceeded").await;
    assert_eq!(ready(&finished), ("TaskSucceeded", "True", ""));
    assert!(finished.status.finished_at.is_some());
    assert_eq!(finished.status.progress.as_deref(), Some("2/2"));

    testbed::world::eventually("the watch sees the end", || async {
        history.statuses().last() == Some(&finished.status)
    })
    .await;

    // The watch saw the new object, and then each change once.
    let seen: Vec<_> = history
        .statuses()
        .into_iter()
        .map(|status| {
            (
                status.state.unwrap_or_default(),
                status.progress.unwrap_or_default(),
            )
        })
        .collect();
    let row = |state: &str, progress: &str| (state.to_owned(), progress.to_owned());
    let running = |progress| row("running", progress);
    let expected = [
        row("", ""),
        running("0/2"),
        running("1/2"),
        running("2/2"),
        row("success", "2/2"),
    ];
    assert_eq!(seen, expected);

    check_idle(&world, &finished).await;
    assert_eq!(world.writes("one"), vec![200; expected.len() - 1]);
    assert_eq!(world.stop().0, 0);
    world.start();
    testbed::world::eventually("ready again", || async {
        world.admin("/readyz").await.0 == 200
    })
    .await;
    check_idle(&world, &finished).await;
}

/// Checks that there is no call and no write in the time of ten polls.
async fn check_idle(world: &World, finished: &WholeObject) {
    let task_id = &finished.spec.task_id;
    let calls = world.simulator.requests(task_id);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.simulator.requests(task_id), calls);
    let now = world.get(&finished.name).await;
    assert_eq!(now.resource_version, finished.resource_version);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tasks_stall_with_the_cause_in_the_message() {
    let mut world = World::new("badly").await;
    world.add_task(
        "{id: T-fails, duration: 2s, outcome: failed, error: {code: QuotaExceeded, message: no more instances}}",
    );
    world.add_task(
        "{id: T-partly, duration: 2s, instances: [{id: i-1}, {id: i-2, status: failed}]}",
    );
    world.add_task("{id: T-canceled, duration: 1s, outcome: canceled}");
    world.start();
    let rows = [
        ("fails", "T-fails", "TaskFailed", "fail"),
        ("partly", "T-partly", "InstancesFailed", "success"),
        ("canceled", "T-canceled", "TaskCanceled", "canceled"),
    ];
    for (name, task_id, ..) in rows {
        world.create(name, json!({ "taskId": task_id })).await;
    }
    for (name, _, reason, state) in rows {
        let object = world.until_reason(name, reason).await;
        assert_eq!(ready(&object), (reason, "False", "Stalled"));
        assert_eq!(object.status.state.as_deref(), Some(state));
        assert!(object.status.finished_at.is_some());
    }
    let failed = world.get("fails").await;
    let error = failed.status.error.clone().unwrap();
    assert_eq!(error.code.as_deref(), Some("QuotaExceeded"));
    let message = &failed.ready().unwrap().message;
    assert!(
        message.contains("QuotaExceeded: no more instances"),
        "{message}"
    );

    let warning = ("Warning".to_owned(), "TaskFailed".to_owned());
    testbed::world::eventually("the Event of the failure", || async {
        world.events("fails").await.contains(&warning)
    })
    .await;
    assert_eq!(
        world.events("fails").await.first().unwrap().1,
        "TaskRunning"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_shown_and_pass_while_the_last_known_state_stays() {
    let mut world = World::new("trouble").await;
    world.add_task("{id: T-1, duration: 1h, instances: [{id: i-1, after: 1s}, {id: i-2}]}");
    world.start();
    world.create("one", json!({ "taskId": "T-1" })).await;
    world
        .until("one", |object| {
            object.status.progress.as_deref() == Some("1/2")
        })
        .await;
    let rows = [
        (
            "{status: 503}",
            ("TaskApiUnavailable", "False", "Reconciling"),
        ),
        (
            "{status: 403, code: Forbidden.RAM}",
            ("AccessDenied", "False", "Stalled"),
        ),
    ];
    for (fault, expected) in rows {
        world.simulator.set_fault("T-1", fault.parse().unwrap());
        let object = world.until_reason("one", expected.0).await;
        assert_eq!(ready(&object), expected);
        assert_eq!(object.status.progress.as_deref(), Some("1/2"));
    }
    world.simulator.clear_faults();
    let request =
        json!({ "metadata": { "annotations": { "scaleout.dev/poll-requested-at": "now" } } });
    world.patch("one", request).await.unwrap();
    let object = world.until_reason("one", "TaskRunning").await;
    assert_eq!(
        object.status.last_handled_poll_request.as_deref(),
        Some("now")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_an_answer_is_pending_first() {
    let mut world = World::new("pending").await;
    world.add_task("{id: T-1, duration: 1h, faults: [{requests: 1, kind: hang}]}");
    world.start_with(&["--credentials", "none", "--request-timeout", "5s"], &[]);
    let created = world.create("one", json!({ "taskId": "T-1" })).await;
    assert_eq!(created.status.observed_generation, Some(-1));
    let object = world.until_reason("one", "Pending").await;
    assert_eq!(ready(&object), ("Pending", "Unknown", "Reconciling"));
    world.until_reason("one", "TaskRunning").await;
    world.until_writes("one", 2).await;
    assert_eq!(world.writes("one"), [200, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_timeout_and_ttl_do_what_they_say() {
    let mut world = World::new("knobs").await;
    world.add_task("{id: T-endless, duration: 1h}");
    world.add_task("{id: T-quick}");
    world.start();
    let endless = |rest: serde_json::Value| {
        let mut spec = json!({ "taskId": "T-endless" });
        spec.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        spec
    };
    world
        .create("held", endless(json!({ "suspend": true })))
        .await;
    world
        .create("late", endless(json!({ "timeout": "3s" })))
        .await;
    world
        .create(
            "brief",
            json!({ "taskId": "T-quick", "ttlSecondsAfterFinished": 1 }),
        )
        .await;

    let held = world.until_reason("held", "Suspended").await;
    assert_eq!(ready(&held), ("Suspended", "Unknown", ""));
    world
        .patch("held", json!({ "spec": { "suspend": false } }))
        .await
        .unwrap();
    world.until_reason("held", "TaskRunning").await;

    let late = world.until_reason("late", "TimedOut").await;
    assert_eq!(ready(&late), ("TimedOut", "False", "Stalled"));
    world
        .patch("late", json!({ "spec": { "timeout": null } }))
        .await
        .unwrap();
    world.until_reason("late", "TaskRunning").await;

    testbed::world::eventually("deletion after the TTL", || async {
        world.api().get_opt("brief").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_another_cluster_is_not_shown() {
    let mut world = World::new("cluster").await;
    world.add_task("{id: T-1, duration: 1h, clusterId: c-theirs, instances: [{id: i-secret}]}");
    world.start();
    world
        .create("one", json!({ "taskId": "T-1", "clusterId": "c-ours" }))
        .await;
    let object = world.until_reason("one", "ClusterMismatch").await;
    let shown = serde_json::to_string(&object.status).unwrap();
    assert!(
        !shown.contains("c-theirs") && !shown.contains("i-secret"),
        "{shown}"
    );
}

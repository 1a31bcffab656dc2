//! Every kind of bad response: the status is the one in the contract, no text of the response leaks,
//! and the object recovers.

mod answers;
mod leaks;
mod row;
mod stage;
mod transport;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleouttask_controller::api::ScaleOutTaskStatus;
use serde_json::json;
use testbed::{WholeObject, alias::Alias};

use self::{
    row::Row,
    stage::{Stage, leaks_of, sign_and_trace},
};
use crate::raw_server::{RawServer, Wire};
use testbed::world::{World, ready};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_answer_has_the_status_of_the_contract_and_leaks_nothing() {
    let canary = RawServer::start(Wire::Close);
    let rows = answers::rows(canary.url());
    play("answers", rows, "text").await;
    assert_eq!(canary.connections(), 0, "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_on_the_wire_has_the_status_of_the_contract_and_leaks_nothing() {
    play("transport", transport::rows(), "json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_with_a_missing_part_is_not_classified_by_its_status() {
    play("broken", transport::broken_errors(), "json").await;
}

async fn play(name: &str, rows: Vec<Row>, log_format: &str) {
    let mut stage = Stage::set(name, rows, log_format).await;
    stage.until_all_statuses_as_expected().await;
    stage.until_all_have_an_event().await;
    stage.check_messages().await;
    stage.check_metrics().await;
    let mut leaks = stage.leaks().await;
    stage.heal();
    stage.until_all_recovered().await;
    leaks.extend(stage.leaks().await);
    assert!(leaks.is_empty(), "{}", leaks.join("\n\n"));
    stage.end();
}

/// Each reason of a failing call, the condition that it sets, and a fault that causes it.
const FAILURES: [(&str, &str, &str); 8] = [
    ("TaskApiUnavailable", "Reconciling", "{status: 503}"),
    ("Throttled", "Reconciling", "{status: 429}"),
    ("InvalidResponse", "Reconciling", "{body: LEAK-1}"),
    ("TaskNotFound", "Reconciling", "{status: 404}"),
    ("AccessDenied", "Stalled", "{status: 403}"),
    ("CredentialsInvalid", "Stalled", "{status: 401}"),
    ("ClockSkewed", "Stalled", "{code: InvalidTimeStamp.Expired}"),
    ("RequestRejected", "Stalled", "{status: 410}"),
];
const OTHER_CLUSTER: &str = r#"{body: '{"state":"fail","cluster_id":"LEAK-2"}'}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_the_task_stays_at_every_error() {
    let mut world = World::with_script("known", stage::script()).await;
    let of_cluster = ("ClusterMismatch", "Stalled", OTHER_CLUSTER);
    let rows: Vec<_> = FAILURES.into_iter().chain([of_cluster]).collect();
    // Each has its own host, so that a throttled one delays no other.
    let (mut hosts, mut endpoints) = (Vec::new(), Vec::new());
    for (reason, ..) in &rows {
        let host = Alias::of(&world.simulator.url()).await;
        endpoints.push(format!("{}={}", reason.to_lowercase(), host.url()));
        hosts.push(host);
    }
    sign_and_trace(&mut world, "text", &endpoints);
    let mut before = Vec::new();
    for (reason, ..) in &rows {
        before.push(running(&world, reason).await);
    }
    for (reason, _, fault) in &rows {
        world.simulator.set_fault(reason, fault.parse().unwrap());
    }
    for ((reason, abnormal, _), before) in rows.iter().zip(&before) {
        let object = world.until_reason(&reason.to_lowercase(), reason).await;
        assert_eq!(ready(&object), (*reason, "False", *abnormal));
        let expected = if *reason == "ClusterMismatch" {
            ScaleOutTaskStatus::default()
        } else {
            known(before)
        };
        assert_eq!(known(&object), expected, "{reason}");
        assert_eq!(since(&object), since(before), "{reason}");
    }
    world.simulator.clear_faults();
    for ((reason, ..), before) in rows.iter().zip(&before) {
        poll_now(&world, &reason.to_lowercase()).await;
        let object = world
            .until_reason(&reason.to_lowercase(), "TaskRunning")
            .await;
        assert_eq!(known(&object), known(before), "{reason}");
    }
    assert_eq!(leaks_of(&world).await, [""; 0]);
}

/// Creates an object whose task has all fields set.
async fn running(world: &World, reason: &str) -> WholeObject {
    world.add_task(&format!(
        "{{id: {reason}, duration: 10h, instances: [{{id: i-1, after: 0s}}, {{id: i-2}}],
          stages: [{{name: join}}], extra: {{parameters: LEAK-3}}}}"
    ));
    let name = reason.to_lowercase();
    let spec = json!({ "taskId": reason, "region": name,
        "clusterId": "c00000000000000000000000000000001" });
    world.create(&name, spec).await;
    world
        .until(&name, |object| {
            object.status.progress.as_deref() == Some("1/2")
        })
        .await
}

async fn poll_now(world: &World, name: &str) {
    let request = json!({ "scaleout.dev/poll-requested-at": "now" });
    let patch = json!({ "metadata": { "annotations": request } });
    world.patch(name, patch).await.unwrap();
}

/// The part of the status that comes from the task.
fn known(object: &WholeObject) -> ScaleOutTaskStatus {
    ScaleOutTaskStatus {
        conditions: Vec::new(),
        observed_generation: None,
        last_handled_poll_request: None,
        ..object.status.clone()
    }
}

/// When the status of `Ready` last changed.
fn since(object: &WholeObject) -> Option<&Time> {
    object.ready().map(|ready| &ready.last_transition_time)
}

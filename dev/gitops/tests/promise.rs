//! Which objects are never healthy, and which break the promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use gitops::{ArgoCd, Health, check, kstatus, verdicts};
use serde_json::{Value, json};

/// The generation of the spec of each object.
const GENERATION: i64 = 2;

/// `Ready` with that status, and the abnormal conditions that are True.
fn conditions(status: &str, reason: &str, abnormal: &[&str]) -> Value {
    let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status, "reason": reason, "message": "as it is" });
    let abnormal = abnormal.iter().map(|type_| condition(type_, "True"));
    let ready = [condition("Ready", status)].into_iter();
    ready.chain(abnormal).collect()
}

fn object(observed: i64, conditions: &Value) -> Value {
    json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": "one", "generation": GENERATION },
        "spec": { "taskId": "T-1" },
        "status": { "observedGeneration": observed, "conditions": conditions },
    })
}

/// An object whose status is about its current generation.
fn current(status: &str, reason: &str, abnormal: &[&str]) -> Value {
    object(GENERATION, &conditions(status, reason, abnormal))
}

#[test]
fn only_success_is_healthy_to_any_tool() {
    let rows = [
        ("Unknown", "Pending", "Reconciling"),
        ("False", "TaskRunning", "Reconciling"),
        ("False", "TaskPaused", "Reconciling"),
        ("False", "TaskStateUnknown", "Reconciling"),
        ("False", "InstancesFailed", "Stalled"),
        ("False", "TaskFailed", "Stalled"),
        ("False", "TaskCanceled", "Stalled"),
        ("Unknown", "RegionMissing", "Stalled"),
        ("False", "Suspended", ""),
        ("Unknown", "Suspended", ""),
        ("False", "TaskApiUnavailable", "Reconciling"),
        ("Unknown", "Throttled", "Reconciling"),
        ("Unknown", "InvalidResponse", "Reconciling"),
        ("Unknown", "TaskNotFound", "Reconciling"),
        ("False", "TaskNotFound", "Stalled"),
        ("False", "AccessDenied", "Stalled"),
        ("False", "CredentialsInvalid", "Stalled"),
        ("False", "ClockSkewed", "Stalled"),
        ("False", "RequestRejected", "Stalled"),
        ("False", "ClusterMismatch", "Stalled"),
        ("False", "TimedOut", "Stalled"),
    ];
    for (status, reason, abnormal) in rows {
        let abnormal = if abnormal.is_empty() {
            vec![]
        } else {
            vec![abnormal]
        };
        let object = current(status, reason, &abnormal);
        let verdicts = verdicts(&object).unwrap();
        let expected = match abnormal.as_slice() {
            ["Stalled"] => Health::Failed,
            _ => Health::InProgress,
        };
        assert_eq!(verdicts.agreed(), Some(expected), "{reason}: {verdicts:?}");
        assert_eq!(check(&object), Ok(()), "{reason}");
    }
}

#[test]
fn a_success_is_healthy_to_every_tool_only_for_the_current_generation() {
    let successes = ["TaskSucceeded", "NodesReady"].map(|reason| conditions("True", reason, &[]));
    let rows = [
        (GENERATION, ArgoCd::Healthy, Health::Current),
        (GENERATION - 1, ArgoCd::Progressing, Health::InProgress),
        (-1, ArgoCd::Progressing, Health::InProgress),
    ];
    for ((observed, argocd, health), success) in rows
        .into_iter()
        .flat_map(|row| successes.iter().map(move |success| (row, success)))
    {
        let object = object(observed, success);
        let verdicts = verdicts(&object).unwrap();
        assert_eq!(verdicts.argocd, argocd, "{observed}");
        assert_eq!(verdicts.agreed(), Some(health), "{observed}");
        assert_eq!(check(&object), Ok(()), "{observed}");
    }
}

/// The same object as a source.
fn source(mut object: Value) -> Value {
    object["kind"] = json!("ScaleOutTaskSource");
    object
}

#[test]
fn a_source_is_healthy_only_while_it_lists() {
    let rows = [
        ("True", "Listing", "", Health::Current),
        ("Unknown", "Suspended", "", Health::InProgress),
        ("False", "Suspended", "", Health::InProgress),
        (
            "Unknown",
            "TaskApiUnavailable",
            "Reconciling",
            Health::InProgress,
        ),
        ("False", "Throttled", "Reconciling", Health::InProgress),
        (
            "False",
            "InvalidResponse",
            "Reconciling",
            Health::InProgress,
        ),
        ("False", "RegionMissing", "Stalled", Health::Failed),
        ("False", "NotAllowed", "Stalled", Health::Failed),
        ("False", "ClusterMismatch", "Stalled", Health::Failed),
        ("False", "TaskNotFound", "Stalled", Health::Failed),
        ("False", "AccessDenied", "Stalled", Health::Failed),
        ("False", "RequestRejected", "Stalled", Health::Failed),
    ];
    for (status, reason, abnormal, expected) in rows {
        let abnormal: Vec<&str> = Some(abnormal)
            .filter(|name| !name.is_empty())
            .into_iter()
            .collect();
        let now = source(current(status, reason, &abnormal));
        assert_eq!(verdicts(&now).unwrap().agreed(), Some(expected), "{reason}");
        assert_eq!(check(&now), Ok(()), "{reason}");
        let before = source(object(
            GENERATION - 1,
            &conditions(status, reason, &abnormal),
        ));
        assert_eq!(
            verdicts(&before).unwrap().agreed(),
            Some(Health::InProgress),
            "{reason}"
        );
    }
    // A reason of the other kind.
    assert!(check(&current("True", "Listing", &[])).is_err());
    assert!(check(&source(current("True", "TaskSucceeded", &[]))).is_err());
}

#[test]
fn an_object_that_is_being_deleted_is_not_healthy() {
    let mut object = current("True", "TaskSucceeded", &[]);
    object["metadata"]["deletionTimestamp"] = json!("2026-01-15T08:03:06Z");
    assert_eq!(kstatus(&object).unwrap(), Health::Terminating);
    assert_eq!(check(&object), Ok(()));
}

#[test]
fn an_object_that_breaks_a_promise_is_reported() {
    let healthy = "healthy without a success";
    let without_status =
        json!({ "kind": "ScaleOutTask", "metadata": { "generation": GENERATION } });
    let rows = [
        (
            "ready before the end",
            current("True", "TaskRunning", &[]),
            healthy,
        ),
        (
            "ready before its nodes",
            current("True", "WaitingForNodes", &[]),
            healthy,
        ),
        (
            "no condition at all",
            object(GENERATION, &json!([])),
            healthy,
        ),
        (
            "a failure that isn't stalled",
            current("False", "TaskFailed", &[]),
            "not Failed",
        ),
        (
            "a failure that goes on",
            current("False", "TimedOut", &["Reconciling"]),
            "not Failed",
        ),
        (
            "a success that goes on",
            current("True", "TaskSucceeded", &["Reconciling"]),
            "not Current",
        ),
        (
            "a success that isn't ready",
            current("False", "TaskSucceeded", &[]),
            "not Current",
        ),
        (
            "stalled and going on",
            current("False", "AccessDenied", &["Stalled", "Reconciling"]),
            "the tools differ",
        ),
        ("no status", without_status, "can't be evaluated"),
    ];
    for (what, object, expected) in rows {
        let breach = check(&object).expect_err(what);
        assert!(breach.contains(expected), "{what}: {breach}");
    }
}

//! A deletion that the API server refuses takes nothing from what was decided meanwhile.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use scaleouttask_controller::{
    api::ScaleOutTaskStatus,
    rules::{Object, Reason},
    scheduler::{Deletion, DeletionResult, Effect, Input},
};

use crate::fixtures::{Stage, failure, object, object_in, only_call, stage_of_one_call_at_a_time};

/// Finished, and its time to live is over at once.
fn finished_in(namespace: &str, name: &str, resource_version: &str) -> Object {
    let at = Time(Timestamp::UNIX_EPOCH);
    let status = ScaleOutTaskStatus {
        observed_generation: Some(1),
        finished_at: Some(at.clone()),
        conditions: vec![Condition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: Reason::TaskSucceeded.as_str().to_owned(),
            message: String::new(),
            observed_generation: Some(1),
            last_transition_time: at,
        }],
        ..ScaleOutTaskStatus::default()
    };
    Object {
        resource_version: resource_version.into(),
        status: status.into(),
        ..object_in(namespace, name, |spec| {
            spec.ttl_seconds_after_finished = Some(0);
        })
    }
}

fn finished(resource_version: &str) -> Object {
    finished_in("ns", "finished", resource_version)
}

#[track_caller]
fn only_deletion(effects: Vec<Effect>) -> Deletion {
    match <[Effect; 1]>::try_from(effects) {
        Ok([Effect::Delete(deletion)]) => deletion,
        other => panic!("not one deletion: {other:?}"),
    }
}

fn refused(stage: &mut Stage, deletion: &Deletion) -> Vec<Effect> {
    stage.handle(Input::DeletionEnded(
        deletion.object,
        DeletionResult::Refused,
    ))
}

#[test]
fn a_deletion_refused_over_and_over_is_retried_ever_more_seldom() {
    let mut stage = stage_of_one_call_at_a_time();
    let mut effects = stage.apply(finished("1"));
    let mut tried = Vec::new();
    let end = stage.now.monotonic + Duration::from_mins(10);
    while stage.now.monotonic < end {
        if !effects.is_empty() {
            let deletion = only_deletion(effects);
            tried.push(deletion.attempts);
            assert!(refused(&mut stage, &deletion).is_empty());
        }
        effects = stage.next();
    }
    assert!((12..=30).contains(&tried.len()), "{tried:?}");
    assert!(
        tried.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{tried:?}"
    );
    // Whoever changes the object may have mended what was in the way.
    let changed = stage.apply(finished("2"));
    assert!(changed.is_empty(), "{changed:?}");
}

#[test]
fn a_refused_deletion_leaves_a_waiting_poll_request_its_place() {
    let mut stage = stage_of_one_call_at_a_time();
    let busy = only_call(stage.apply(object("busy")));
    let deletion = only_deletion(stage.apply(finished("2")));

    let mut requested = finished("3");
    requested.poll_request = Some("now".into());
    let queued = stage.apply(requested);
    assert!(queued.is_empty(), "the queue is busy: {queued:?}");
    assert!(refused(&mut stage, &deletion).is_empty());

    let effects = stage.end(&busy, failure(Reason::TaskApiUnavailable));
    let call = only_call(effects);
    assert_eq!(call.object, deletion.object);
    assert_eq!(call.poll_request.as_deref(), Some("now"));
}

#[test]
fn many_deletions_of_one_namespace_leave_room_for_those_of_another() {
    let mut stage = stage_of_one_call_at_a_time();
    let mut begun = 0;
    for number in 0..200 {
        begun += stage
            .apply(finished_in("ns", &number.to_string(), "1"))
            .len();
    }
    assert_eq!(begun, 16);
    only_deletion(stage.apply(finished_in("other", "x", "1")));
}

#[test]
fn what_changed_while_its_deletion_waited_is_not_deleted() {
    let mut stage = stage_of_one_call_at_a_time();
    let mut deletions = Vec::new();
    for number in 0..17 {
        deletions.extend(stage.apply(finished_in("ns", &number.to_string(), "1")));
    }
    let mut kept = finished_in("ns", "16", "2");
    kept.generation = 2;
    kept.spec = object("16").spec;
    stage.apply(kept);
    let Effect::Delete(first) = &deletions[0] else {
        panic!("not a deletion: {deletions:?}");
    };
    let ended = Input::DeletionEnded(first.object, DeletionResult::Deleted);
    let effects = stage.handle(ended);
    let deletes = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Delete(_)));
    assert!(!deletes, "{effects:?}");
}

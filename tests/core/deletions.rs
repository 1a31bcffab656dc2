//! A deletion that the API server refuses takes nothing from what was decided meanwhile.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use scaleouttask_controller::core::{
    Call, Command, Config, Deletion, Event, LaneLimits, Now, Object, ObjectKey, Policy, Reason,
    Tracker, Trouble,
};

const NOW: Now = Now {
    wall: Timestamp::UNIX_EPOCH,
    monotonic: Duration::from_secs(1),
};

fn tracker_of_one_call_at_a_time() -> Tracker {
    let mut tracker = Tracker::new(Config {
        policy: Policy {
            has_default_region: true,
            poll_interval: Duration::from_secs(15),
            allowed_cluster_ids: Vec::new(),
            secret_credentials: false,
        },
        default_region: Some("cn-hangzhou".to_owned()),
        limits: LaneLimits {
            requests_per_second: 1000.0,
            concurrency: 1,
        },
        seed: 1,
    });
    tracker.handle(Event::LeadsUntil(Duration::MAX), NOW);
    tracker
}

fn object(name: &str, resource_version: &str) -> Object {
    Object {
        key: ObjectKey {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
        },
        uid: name.to_owned(),
        resource_version: resource_version.to_owned(),
        generation: 1,
        ..Object::default()
    }
}

/// Finished, and its time to live is over at once.
fn finished(resource_version: &str) -> Object {
    let mut object = object("finished", resource_version);
    object.spec.ttl_seconds_after_finished = Some(0);
    object.status.observed_generation = Some(1);
    object.status.finished_at = Some(Time(NOW.wall));
    object.status.conditions = vec![Condition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        reason: Reason::TaskSucceeded.as_str().to_owned(),
        message: String::new(),
        observed_generation: Some(1),
        last_transition_time: Time(NOW.wall),
    }];
    object
}

fn only_call(commands: Vec<Command>) -> Call {
    match <[Command; 1]>::try_from(commands) {
        Ok([Command::Call(call)]) => call,
        other => panic!("not one call: {other:?}"),
    }
}

#[test]
fn a_deletion_refused_over_and_over_is_tried_ever_more_seldom() {
    let mut tracker = tracker_of_one_call_at_a_time();
    let mut now = NOW;
    let mut commands = tracker.handle(Event::Applied(0, Box::new(finished("1"))), now);
    let mut tried = Vec::new();
    while now.monotonic < Duration::from_mins(10) {
        for command in commands {
            let Command::Delete(Deletion {
                entry, attempts, ..
            }) = command
            else {
                panic!("not a deletion: {command:?}");
            };
            tried.push(attempts);
            assert!(
                tracker
                    .handle(
                        Event::DeleteFailed {
                            entry,
                            refused: true
                        },
                        now
                    )
                    .is_empty()
            );
        }
        now.monotonic = tracker.next_wake().unwrap();
        commands = tracker.handle(Event::Tick, now);
    }
    assert!((12..=30).contains(&tried.len()), "{tried:?}");
    assert!(
        tried.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{tried:?}"
    );
    // Whoever changes the object may have mended what was in the way.
    let changed = tracker.handle(Event::Applied(0, Box::new(finished("2"))), now);
    assert!(changed.is_empty(), "{changed:?}");
}

#[test]
fn a_refused_deletion_leaves_a_waiting_poll_request_its_place() {
    let mut tracker = tracker_of_one_call_at_a_time();
    let busy = Event::Applied(0, Box::new(object("busy", "1")));
    let busy = only_call(tracker.handle(busy, NOW));
    let commands = tracker.handle(Event::Applied(0, Box::new(finished("2"))), NOW);
    let [Command::Delete(Deletion { entry, .. })] = commands[..] else {
        panic!("not one deletion: {commands:?}");
    };

    let mut requested = finished("3");
    requested.poll_request = Some("now".to_owned());
    let queued = tracker.handle(Event::Applied(0, Box::new(requested)), NOW);
    assert!(queued.is_empty(), "the lane is busy: {queued:?}");
    assert!(
        tracker
            .handle(
                Event::DeleteFailed {
                    entry,
                    refused: true
                },
                NOW
            )
            .is_empty()
    );

    let ended = Event::CallEnded {
        entry: busy.entry,
        lane: busy.lane,
        outcome: Trouble::new(Reason::TaskApiUnavailable).into(),
        started_at: NOW.wall,
        poll_request: None,
    };
    let call = only_call(tracker.handle(ended, NOW));
    assert_eq!(call.entry, entry);
    assert_eq!(call.poll_request.as_deref(), Some("now"));
}

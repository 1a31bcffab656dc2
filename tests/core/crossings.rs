//! What crosses a write that is under way.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::core::{
    Call, Command, Config, Event, LaneLimits, Now, OVERDUE_AFTER, Object, ObjectKey, Policy,
    Reason, Tracker, Trouble, Write, WriteResult,
};

const NOW: Now = Now {
    wall: Timestamp::UNIX_EPOCH,
    monotonic: Duration::from_secs(1),
};

fn tracker() -> Tracker {
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

fn object(generation: i64, suspended: bool) -> Object {
    let mut object = Object {
        key: ObjectKey {
            namespace: "ns".to_owned(),
            name: "nodes".to_owned(),
        },
        uid: "2f1c".to_owned(),
        resource_version: generation.to_string(),
        generation,
        ..Object::default()
    };
    object.spec.suspend = Some(suspended);
    object
}

fn only_write(commands: Vec<Command>) -> Write {
    match <[Command; 1]>::try_from(commands) {
        Ok([Command::Write(write)]) => *write,
        other => panic!("not one write: {other:?}"),
    }
}

fn only_call(commands: Vec<Command>) -> Call {
    match <[Command; 1]>::try_from(commands) {
        Ok([Command::Call(call)]) => call,
        other => panic!("not one call: {other:?}"),
    }
}

fn ended(call: &Call, reason: Reason) -> Event {
    Event::CallEnded {
        entry: call.entry,
        lane: call.lane,
        outcome: Trouble::new(reason).into(),
        started_at: NOW.wall,
        poll_request: None,
    }
}

fn written(write: &Write) -> Object {
    Object {
        status: write.status.clone(),
        resource_version: "9".to_owned(),
        ..write.object.clone()
    }
}

/// Its next call is planned for some seconds after its first failed, and it says meanwhile that it
/// is `Pending`.
fn a_tracker_that_writes_while_a_call_is_planned() -> (Tracker, Now, Write) {
    let mut tracker = tracker();
    let call = only_call(tracker.handle(Event::Applied(0, Box::new(object(1, false))), NOW));
    let trouble = Trouble {
        retry_after: Some(Duration::from_secs(20)),
        ..Trouble::new(Reason::Throttled)
    };
    let ended = Event::CallEnded {
        entry: call.entry,
        lane: call.lane,
        outcome: trouble.into(),
        started_at: NOW.wall,
        poll_request: None,
    };
    assert!(tracker.handle(ended, NOW).is_empty());
    let mut now = NOW;
    now.monotonic += OVERDUE_AFTER;
    let write = only_write(tracker.handle(Event::Tick, now));
    (tracker, now, write)
}

#[test]
fn no_call_is_made_about_an_object_that_was_suspended_during_a_write() {
    let (mut tracker, mut now, write) = a_tracker_that_writes_while_a_call_is_planned();
    let suspended = Event::Applied(0, Box::new(object(2, true)));
    assert!(tracker.handle(suspended, now).is_empty());
    now.monotonic += Duration::from_mins(1);
    let commands = tracker.handle(Event::Tick, now);
    assert!(commands.is_empty(), "{commands:?}");

    let conflict = WriteResult::Conflict(Box::new(object(2, true)));
    let write = only_write(tracker.handle(Event::WriteEnded(write.entry, conflict), now));
    assert_eq!(written(&write).reason(), Some(Reason::Suspended));
}

#[test]
fn an_edit_during_a_write_puts_no_call_off_for_good() {
    for result in ["written", "conflict", "failed"] {
        let (mut tracker, mut now, write) = a_tracker_that_writes_while_a_call_is_planned();
        let edited = object(2, false);
        tracker.handle(Event::Applied(0, Box::new(edited.clone())), now);
        let mut commands = tracker.handle(
            Event::WriteEnded(
                write.entry,
                match result {
                    "written" => WriteResult::Written(Box::new(written(&write))),
                    "conflict" => WriteResult::Conflict(Box::new(edited)),
                    _ => WriteResult::Failed,
                },
            ),
            now,
        );
        for _ in 0..10 {
            match commands.first() {
                Some(Command::Call(_)) => break,
                Some(Command::Write(write)) => {
                    let written = WriteResult::Written(Box::new(written(write)));
                    commands = tracker.handle(Event::WriteEnded(write.entry, written), now);
                }
                _ => {
                    now.monotonic = tracker.next_wake().expect(result);
                    commands = tracker.handle(Event::Tick, now);
                }
            }
        }
        assert!(matches!(commands[..], [Command::Call(_)]), "{result}");
    }
}

/// Else it would wait for all others once more, over and over.
#[test]
fn an_object_that_was_throttled_goes_before_those_whose_turn_comes_now() {
    let mut tracker = tracker();
    let named = |name: &str| {
        let mut object = object(1, false);
        name.clone_into(&mut object.key.name);
        name.clone_into(&mut object.uid);
        Event::Applied(0, Box::new(object))
    };
    let first = only_call(tracker.handle(named("first"), NOW));
    for name in ["second", "third"] {
        let commands = tracker.handle(named(name), NOW);
        assert!(commands.is_empty(), "the lane is busy: {commands:?}");
    }
    let second = only_call(tracker.handle(ended(&first, Reason::Throttled), NOW));
    assert_eq!(second.key.name, "second");
    let mut now = NOW;
    // Longer than the first backoff, shorter than what makes an object say that it waits.
    now.monotonic += Duration::from_millis(1500);
    assert!(tracker.handle(Event::Tick, now).is_empty());
    let again = only_call(tracker.handle(ended(&second, Reason::InvalidResponse), now));
    assert_eq!(again.key.name, "first");
}

/// Their answers are better news, and each of these writes is one more before them.
#[test]
fn of_many_new_objects_few_say_at_a_time_that_they_wait() {
    let mut tracker = tracker();
    for number in 0..100 {
        let mut object = object(1, false);
        object.key.name = number.to_string();
        object.uid = number.to_string();
        tracker.handle(Event::Applied(0, Box::new(object)), NOW);
    }
    let mut now = NOW;
    let mut said = Vec::new();
    while said.iter().sum::<usize>() < 100 {
        now.monotonic += OVERDUE_AFTER;
        let commands = tracker.handle(Event::Tick, now);
        said.push(commands.len());
        for command in commands {
            let write = only_write(vec![command]);
            let object = Box::new(written(&write));
            assert_eq!(object.reason(), Some(Reason::Pending));
            let ended = Event::WriteEnded(write.entry, WriteResult::Written(object));
            assert!(tracker.handle(ended, now).is_empty());
        }
    }
    assert_eq!(said, [32, 32, 32, 4]);
}

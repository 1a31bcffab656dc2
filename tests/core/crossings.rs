//! What crosses a write that is under way.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::core::{
    Call, Command, Config, Event, LaneLimits, Now, OVERDUE_AFTER, Object, ObjectKey, Outcome,
    Policy, Reason, Tracker, Trouble, Write, WriteResult,
};

use crate::fixtures::answer;

const NOW: Now = Now {
    wall: Timestamp::UNIX_EPOCH,
    monotonic: Duration::from_secs(1),
};

fn tracker() -> Tracker {
    tracker_with(1)
}

fn tracker_with(concurrency: usize) -> Tracker {
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
            concurrency,
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
    came(call, Trouble::new(reason).into())
}

fn came(call: &Call, outcome: Outcome) -> Event {
    Event::CallEnded {
        entry: call.entry,
        lane: call.lane,
        outcome,
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

/// So many new objects, and the calls about them.
fn created(tracker: &mut Tracker, count: usize) -> Vec<Call> {
    let mut commands = Vec::new();
    for number in 0..count {
        let mut object = object(1, false);
        object.key.name = number.to_string();
        object.uid = number.to_string();
        commands.extend(tracker.handle(Event::Applied(0, Box::new(object)), NOW));
    }
    let mut now = NOW;
    now.monotonic += OVERDUE_AFTER / 2;
    commands.extend(tracker.handle(Event::Tick, now));
    let calls = commands.into_iter();
    calls.map(|command| only_call(vec![command])).collect()
}

fn writes(commands: Vec<Command>) -> Vec<Write> {
    let writes = commands.into_iter().filter_map(|command| match command {
        Command::Write(write) => Some(*write),
        _ => None,
    });
    writes.collect()
}

fn through(write: &Write) -> Event {
    let object = Box::new(written(write));
    Event::WriteEnded(write.entry, WriteResult::Written(object))
}

fn says_that_it_waits(write: &Write) -> bool {
    written(write).reason() == Some(Reason::Pending)
}

#[test]
fn of_many_new_objects_each_says_that_it_waits_and_few_at_a_time() {
    let mut tracker = tracker();
    created(&mut tracker, 100);
    let mut now = NOW;
    now.monotonic += OVERDUE_AFTER;
    let mut under_way = writes(tracker.handle(Event::Tick, now));
    assert_eq!(under_way.len(), 32);
    let mut said = 0;
    while let Some(write) = under_way.pop() {
        assert!(says_that_it_waits(&write));
        said += 1;
        under_way.extend(writes(tracker.handle(through(&write), now)));
        assert!(under_way.len() <= 32);
    }
    assert_eq!(said, 100);
}

/// Their answers are better news, and each of these writes is one more before them.
#[test]
fn while_many_answers_are_being_written_nobody_says_that_it_waits() {
    let mut tracker = tracker_with(50);
    let calls = created(&mut tracker, 50);
    let answered = |tracker: &mut Tracker, call, now| {
        let written = writes(tracker.handle(came(call, answer("running")), now));
        assert!(written.len() == 1 && !says_that_it_waits(&written[0]));
        written[0].clone()
    };
    let mut under_way: Vec<Write> = calls[..33]
        .iter()
        .map(|call| answered(&mut tracker, call, NOW))
        .collect();
    let mut now = NOW;
    now.monotonic += OVERDUE_AFTER;
    let writes_at = |tracker: &mut Tracker, event| writes(tracker.handle(event, now));
    assert_eq!(writes_at(&mut tracker, Event::Tick).len(), 0);
    under_way.push(answered(&mut tracker, &calls[33], now));
    for write in under_way.drain(..2) {
        assert_eq!(writes_at(&mut tracker, through(&write)).len(), 0);
    }
    for write in under_way.drain(..16) {
        let said = writes_at(&mut tracker, through(&write));
        assert!(said.len() == 1 && says_that_it_waits(&said[0]), "{said:?}");
        assert!(calls[34..].iter().any(|call| call.entry == said[0].entry));
    }
    let rest = under_way.iter();
    let said = rest.map(|write| writes_at(&mut tracker, through(write)).len());
    assert_eq!(said.sum::<usize>(), 0);
}

/// So many objects whose answers the API server doesn't take are tried again, for long perhaps.
#[test]
fn what_is_written_again_keeps_nobody_from_saying_that_it_waits() {
    let mut tracker = tracker_with(50);
    let calls = created(&mut tracker, 41);
    let mut now = NOW;
    for call in &calls[..40] {
        let written = only_write(tracker.handle(came(call, answer("running")), now));
        let failed = Event::WriteEnded(written.entry, WriteResult::Failed);
        assert_eq!(writes(tracker.handle(failed, now)).len(), 0);
    }
    now.monotonic += OVERDUE_AFTER / 2;
    let again = writes(tracker.handle(Event::Tick, now));
    assert_eq!(again.len(), 40);
    assert!(again.iter().all(|write| write.attempts == 1));
    now.monotonic += OVERDUE_AFTER / 2;
    let said = only_write(tracker.handle(Event::Tick, now));
    assert!(says_that_it_waits(&said) && said.entry == calls[40].entry);
}

#[test]
fn near_the_end_nobody_says_that_it_waits_and_what_is_known_is_written() {
    let mut tracker = tracker_with(50);
    let calls = created(&mut tracker, 42);
    let mut now = NOW;
    let known: Vec<Write> = calls[..40]
        .iter()
        .map(|call| only_write(tracker.handle(came(call, answer("running")), now)))
        .collect();
    now.monotonic += OVERDUE_AFTER;
    assert_eq!(writes(tracker.handle(Event::Tick, now)).len(), 0);
    let failed = Event::WriteEnded(known[0].entry, WriteResult::Failed);
    tracker.handle(failed, now);
    tracker.wind_up();
    for write in &known[1..] {
        assert_eq!(writes(tracker.handle(through(write), now)).len(), 0);
    }
    now.monotonic += OVERDUE_AFTER;
    let again = writes(tracker.handle(Event::Tick, now));
    assert!(again.len() == 1 && again[0].entry == known[0].entry);
}

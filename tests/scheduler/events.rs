//! Events: which are published, when, and what becomes of those that the API server doesn't take.

use std::time::Duration;

use scaleouttask_controller::{
    rules::Reason,
    scheduler::{Effect, EventResult, Input, Publication},
};

use crate::fixtures::{Stage, answer, calls, object_in, only_call, only_write, stage};

/// An object of that namespace, and the Event that its task runs.
fn running(stage: &mut Stage, namespace: &str, name: &str) {
    let call = only_call(stage.apply(object_in(namespace, name, |_| {})));
    let write = only_write(stage.end(&call, answer("running")));
    stage.land(&write);
}

fn stage_that_holds_events() -> Stage {
    let mut stage = stage();
    stage.holds_events = true;
    stage
}

fn ended(stage: &mut Stage, event: &Publication, result: EventResult) {
    stage.handle(Input::EventEnded(event.id, result));
}

#[test]
fn a_refused_event_is_dropped_at_once() {
    let mut stage = stage_that_holds_events();
    running(&mut stage, "ns", "a");
    let event = stage.events[0].clone();
    ended(&mut stage, &event, EventResult::Refused);
    stage.after(Duration::from_mins(1));
    assert_eq!(stage.events.len(), 1);
    assert!(stage.scheduler.is_settled());
}

#[test]
fn an_event_that_fails_is_published_again_and_dropped_after_the_fourth_attempt() {
    let mut stage = stage_that_holds_events();
    running(&mut stage, "ns", "a");
    let mut last = Vec::new();
    while let Some(event) = stage.events.pop() {
        last.push(event.is_last_attempt);
        ended(&mut stage, &event, EventResult::Failed);
        stage.after(Duration::from_secs(5));
    }
    assert_eq!(last, [false, false, false, true]);
    assert!(stage.scheduler.is_settled());
}

#[test]
fn events_that_hang_in_one_namespace_hold_up_no_other() {
    let mut stage = stage_that_holds_events();
    for number in 0..100 {
        running(&mut stage, "hangs", &number.to_string());
    }
    assert_eq!(stage.events.len(), 8);
    running(&mut stage, "other", "a");
    assert_eq!(&*stage.events.last().unwrap().key.namespace, "other");
}

#[test]
fn an_event_waits_for_statuses_of_its_namespace_but_not_for_long() {
    let mut stage = Stage::with(|limits| limits.concurrency = 1000);
    let mut begun = Vec::new();
    for number in 0..90 {
        for call in calls(stage.apply(object_in("busy", &number.to_string(), |_| {}))) {
            begun.extend(stage.end(&call, answer("running")));
        }
    }
    let Effect::Write(write) = &begun[0] else {
        panic!("not a write: {begun:?}");
    };
    stage.land(write);
    assert!(stage.events.is_empty(), "statuses go first");
    stage.after(Duration::from_secs(5));
    assert_eq!(stage.events.len(), 1);
}

#[test]
fn an_object_that_flaps_has_ten_events_in_a_row_but_its_end_always_has_one() {
    let mut stage = stage();
    let mut effects = stage.apply(object_in("ns", "a", |spec| {
        spec.poll_interval = Some("1s".to_owned());
    }));
    let states = ["running", "paused"];
    for number in 0..60 {
        let next = if number == 59 {
            "fail"
        } else {
            states[number % 2]
        };
        while !matches!(effects[..], [Effect::Call(_)]) {
            effects = stage.next();
        }
        let call = only_call(effects);
        let write = only_write(stage.end(&call, answer(next)));
        effects = stage.land(&write);
    }
    let told = stage.events.len();
    assert!((11..=13).contains(&told), "{told} in a minute");
    let last = stage.events.last().unwrap();
    assert_eq!(last.reason(), Reason::TaskFailed);
}

#[test]
fn the_events_of_a_lost_lead_are_dropped_and_counted() {
    let mut stage = stage_that_holds_events();
    running(&mut stage, "ns", "a");
    assert_eq!(stage.scheduler.events_dropped(), 0);
    stage.handle(Input::LeadsUntil(Duration::ZERO));
    assert_eq!(stage.scheduler.events_dropped(), 1);
    assert!(stage.scheduler.is_settled());
}

#[test]
fn an_event_is_recorded_and_published_once_also_where_the_writes_end_was_lost() {
    let mut stage = stage();
    let call = only_call(stage.apply(object_in("ns", "a", |_| {})));
    let write = only_write(stage.end(&call, answer("running")));
    let failed = scaleouttask_controller::scheduler::WriteResult::Failed;
    stage.handle(Input::WriteEnded(write.id, failed));
    // It landed, as the watch shows.
    stage.apply(crate::fixtures::written(&write));
    stage.after(Duration::from_secs(1));
    let reasons: Vec<Reason> = stage.events.iter().map(Publication::reason).collect();
    assert_eq!(reasons, [Reason::TaskRunning]);
}

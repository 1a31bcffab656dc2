//! What crosses a write that waits or is under way.

use std::{collections::BTreeSet, time::Duration};

use scaleouttask_controller::{
    rules::{OVERDUE_AFTER, Reason},
    scheduler::{Call, Effect, Input, Write, WriteResult},
};

use crate::fixtures::{
    Stage, answer, calls, edited, failure, object, only_call, only_write, reason, stage,
    stage_of_one_call_at_a_time, wait, writes, written,
};

/// Its next call is planned for some seconds after its first failed, and meanwhile its status is
/// being written that it is `Pending`.
fn a_stage_that_writes_while_a_call_is_planned() -> (Stage, Write) {
    let mut stage = stage_of_one_call_at_a_time();
    let call = only_call(stage.apply(object("nodes")));
    assert!(stage.end(&call, wait(Reason::Throttled, 20)).is_empty());
    let write = only_write(stage.after(OVERDUE_AFTER));
    (stage, write)
}

#[test]
fn no_call_is_made_about_an_object_that_was_suspended_during_a_write() {
    let (mut stage, write) = a_stage_that_writes_while_a_call_is_planned();
    let suspended = edited(&object("nodes"), 2, |spec| spec.suspend = Some(true));
    assert!(stage.apply(suspended.clone()).is_empty());
    let effects = stage.after(Duration::from_mins(1));
    assert!(effects.is_empty(), "{effects:?}");

    let conflict = WriteResult::Conflict(Box::new(suspended));
    let write = only_write(stage.handle(Input::WriteEnded(write.id, conflict)));
    assert_eq!(reason(&write), Some(Reason::Suspended));
}

#[test]
fn an_edit_during_a_write_puts_no_call_off_for_good() {
    for result in ["written", "conflict", "failed"] {
        let (mut stage, write) = a_stage_that_writes_while_a_call_is_planned();
        let edited = edited(&object("nodes"), 2, |_| {});
        stage.apply(edited.clone());
        let mut effects = stage.handle(Input::WriteEnded(
            write.id,
            match result {
                "written" => WriteResult::Written(Box::new(written(&write))),
                "conflict" => WriteResult::Conflict(Box::new(edited)),
                _ => WriteResult::Failed,
            },
        ));
        for _ in 0..10 {
            effects = match effects.first() {
                Some(Effect::Call(_)) => break,
                Some(Effect::Write(write)) => stage.land(&write.clone()),
                _ => stage.next(),
            };
        }
        assert!(matches!(effects[..], [Effect::Call(_)]), "{result}");
    }
}

#[test]
fn a_first_conflict_stays_a_first_attempt_and_a_second_backs_off() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("nodes")));
    let write = only_write(stage.end(&call, answer("running")));
    let touched = |version: &str| {
        let mut object = object("nodes");
        object.resource_version = version.into();
        WriteResult::Conflict(Box::new(object))
    };
    let again = only_write(stage.handle(Input::WriteEnded(write.id, touched("5"))));
    assert_eq!(
        (again.attempts, again.object.resource_version),
        (0, "5".into())
    );
    let effects = stage.handle(Input::WriteEnded(write.id, touched("6")));
    assert!(
        effects.is_empty(),
        "not at the network's speed: {effects:?}"
    );
    let retried = only_write(stage.next());
    assert_eq!(
        (retried.attempts, retried.object.resource_version),
        (1, "6".into())
    );
}

/// Else it would wait for all others once more, over and over.
#[test]
fn an_object_that_was_throttled_goes_before_those_whose_turn_comes_now() {
    let mut stage = stage_of_one_call_at_a_time();
    let first = only_call(stage.apply(object("first")));
    for name in ["second", "third"] {
        let effects = stage.apply(object(name));
        assert!(effects.is_empty(), "the queue is busy: {effects:?}");
    }
    let second = only_call(stage.end(&first, failure(Reason::Throttled)));
    assert_eq!(&*second.key.name, "second");
    // Longer than the first backoff, shorter than what makes an object `Pending`.
    assert!(stage.after(Duration::from_millis(1500)).is_empty());
    let again = only_call(stage.end(&second, failure(Reason::InvalidResponse)));
    assert_eq!(&*again.key.name, "first");
}

/// New objects, and the calls about them.
fn created(stage: &mut Stage, count: usize) -> Vec<Call> {
    let mut effects = Vec::new();
    for number in 0..count {
        effects.extend(stage.apply(object(&number.to_string())));
    }
    effects.extend(stage.after(OVERDUE_AFTER / 2));
    let calls = effects.into_iter();
    calls.map(|effect| only_call(vec![effect])).collect()
}

fn is_pending(write: &Write) -> bool {
    reason(write) == Some(Reason::Pending)
}

#[test]
fn each_of_many_new_objects_becomes_pending_and_few_at_a_time() {
    let mut stage = stage();
    created(&mut stage, 100);
    let mut under_way = writes(stage.after(OVERDUE_AFTER / 2));
    assert_eq!(under_way.len(), 32);
    let mut pending = 0;
    while let Some(write) = under_way.pop() {
        assert!(is_pending(&write));
        pending += 1;
        under_way.extend(writes(stage.land(&write)));
        assert!(under_way.len() <= 32);
    }
    assert_eq!(pending, 100);
}

#[test]
fn an_object_whose_first_write_shows_no_condition_becomes_pending_all_the_same() {
    let mut stage = stage();
    let mut requested = object("requested");
    requested.poll_request = Some("now".into());
    let call = only_call(stage.apply(requested));
    let echo = only_write(stage.end(&call, wait(Reason::Throttled, 20)));
    assert_eq!(reason(&echo), None, "one failure shows nothing");
    assert!(stage.land(&echo).is_empty());
    assert!(is_pending(&only_write(stage.after(OVERDUE_AFTER))));
}

#[test]
fn an_object_that_goes_while_it_waits_to_become_pending_takes_no_slot() {
    let mut stage = stage();
    created(&mut stage, 33);
    let mut under_way = writes(stage.after(OVERDUE_AFTER / 2));
    let begun: BTreeSet<_> = under_way.iter().map(|one| one.object.key.clone()).collect();
    let keys = (0..33).map(|number| object(&number.to_string()).key);
    let waits: Vec<_> = keys.filter(|key| !begun.contains(key)).collect();
    assert_eq!((under_way.len(), waits.len()), (32, 1));
    stage.handle(Input::Gone(waits[0].clone()));
    while let Some(write) = under_way.pop() {
        assert_eq!(writes(stage.land(&write)).len(), 0);
    }
    assert!(stage.scheduler.is_settled());
}

/// They are better news, and each write of `Pending` is one more before them.
#[test]
fn answers_are_written_before_any_object_becomes_pending() {
    let mut stage = Stage::with(|limits| limits.concurrency = 50);
    let calls = created(&mut stage, 50);
    let mut under_way = Vec::new();
    for call in &calls[..40] {
        under_way.extend(writes(stage.end(call, answer("running"))));
    }
    assert_eq!(under_way.len(), 32, "eight answers wait");
    assert_eq!(writes(stage.after(OVERDUE_AFTER / 2)).len(), 0);
    let mut begun = Vec::new();
    for write in &under_way {
        begun.extend(writes(stage.land(write)));
    }
    let pending: Vec<bool> = begun.iter().map(is_pending).collect();
    assert_eq!(pending[..8], [false; 8], "the answers that waited");
    assert_eq!(pending[8..], [true; 10]);
}

#[test]
fn a_pending_write_that_waits_gives_way_to_its_own_answer() {
    let mut stage = Stage::with(|limits| limits.concurrency = 50);
    let calls = created(&mut stage, 33);
    let under_way = writes(stage.after(OVERDUE_AFTER / 2));
    let waits = calls.iter().find(|call| {
        let mut writes = under_way.iter();
        !writes.any(|write| write.id == call.object)
    });
    assert!(stage.end(waits.unwrap(), answer("running")).is_empty());
    let next = only_write(stage.land(&under_way[0]));
    assert_eq!(reason(&next), Some(Reason::TaskRunning));
}

/// Many objects whose answers the API server doesn't take are retried, for long perhaps.
#[test]
fn what_is_retried_keeps_no_object_from_becoming_pending() {
    let mut stage = Stage::with(|limits| limits.concurrency = 50);
    let calls = created(&mut stage, 31);
    for call in &calls[..30] {
        let write = only_write(stage.end(call, answer("running")));
        let failed = Input::WriteEnded(write.id, WriteResult::Failed);
        assert_eq!(writes(stage.handle(failed)).len(), 0);
    }
    let again = writes(stage.after(OVERDUE_AFTER / 4));
    assert_eq!(again.len(), 16, "they have slots of their own");
    assert!(again.iter().all(|write| write.attempts == 1));
    let pending = writes(stage.after(OVERDUE_AFTER / 4));
    let pending: Vec<&Write> = pending.iter().filter(|write| is_pending(write)).collect();
    assert!(pending.len() == 1 && pending[0].id == calls[30].object);
}

#[test]
fn while_stopping_no_object_becomes_pending_and_what_is_known_is_written() {
    let mut stage = Stage::with(|limits| limits.concurrency = 50);
    let calls = created(&mut stage, 42);
    let mut known = Vec::new();
    for call in &calls[..40] {
        known.extend(writes(stage.end(call, answer("running"))));
    }
    assert_eq!(writes(stage.after(OVERDUE_AFTER)).len(), 0);
    let failed = Input::WriteEnded(known[0].id, WriteResult::Failed);
    known.extend(writes(stage.handle(failed)));
    stage.handle(Input::Stopping);
    let mut landed = 0;
    while landed + 1 < known.len() {
        landed += 1;
        let begun = writes(stage.land(&known[landed].clone()));
        assert!(!begun.iter().any(is_pending));
        known.extend(begun);
    }
    let again = only_write(stage.next());
    assert_eq!(again.id, known[0].id);
    assert!(stage.land(&again).is_empty());
    assert!(stage.scheduler.is_settled());
}

/// Objects whose writes of `Pending` fill all slots but for the last object's, which waits.
fn stage_with_a_write_that_waits(concurrency: usize) -> (Stage, Vec<Call>) {
    let mut stage = Stage::with(|limits| limits.concurrency = concurrency);
    let mut first = Vec::new();
    for number in 0..40 {
        first.extend(calls(stage.apply(object(&number.to_string()))));
    }
    assert_eq!(writes(stage.after(OVERDUE_AFTER)).len(), 32);
    (stage, first)
}

#[test]
fn an_object_that_is_suspended_while_its_write_waits_is_not_called() {
    let (mut stage, first) = stage_with_a_write_that_waits(1);
    let suspended = edited(&object("39"), 2, |spec| spec.suspend = Some(true));
    assert!(stage.apply(suspended).is_empty());
    let mut under_way = first;
    while let Some(call) = under_way.pop() {
        assert_ne!(&*call.key.name, "39");
        under_way.extend(calls(stage.end(&call, failure(Reason::AccessDenied))));
    }
    assert_eq!(stage.scheduler.calls().1, 0);
}

#[test]
fn while_stopping_a_failed_write_is_waited_for_and_nothing_wakes_in_vain() {
    let mut stage = Stage::with(|limits| limits.requests_per_second = 1.0);
    let call = only_call(stage.apply(object("a")));
    let write = only_write(stage.end(&call, answer("running")));
    assert!(stage.apply(object("b")).is_empty(), "its rate is used up");
    stage.handle(Input::Stopping);
    stage.handle(Input::WriteEnded(write.id, WriteResult::Failed));
    assert!(!stage.scheduler.is_settled());
    let again = loop {
        let effects = stage.next();
        if !effects.is_empty() {
            break only_write(effects);
        }
    };
    stage.land(&again);
    assert!(stage.scheduler.is_settled());
    stage.after(std::time::Duration::from_mins(1));
    let wake = stage.scheduler.next_wake();
    assert!(wake.is_none_or(|at| at > stage.now.monotonic), "{wake:?}");
}

#[test]
fn a_status_that_is_never_written_has_no_event() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("a")));
    let write = only_write(stage.end(&call, answer("success")));
    let mut deleting = object("a");
    deleting.deleting = true;
    deleting.resource_version = "9".into();
    let conflict = WriteResult::Conflict(Box::new(deleting));
    assert!(
        stage
            .handle(Input::WriteEnded(write.id, conflict))
            .is_empty()
    );
    assert!(stage.events.is_empty(), "{:?}", stage.events);
}

//! What ends by the calendar, where that is not confirmed, or is set.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use scaleouttask_controller::{
    rules::{Object, Reason},
    scheduler::Effect,
};

use crate::fixtures::{Stage, answer, object_in, only_call, only_write, reason, stage, written};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// An object that finished just now and lives for another hour.
fn finished(stage: &mut Stage) -> Object {
    let object = object_in("ns", "a", |spec| {
        spec.ttl_seconds_after_finished = Some(3600);
    });
    let call = only_call(stage.apply(object));
    let write = only_write(stage.end(&call, answer("success")));
    stage.land(&write);
    written(&write)
}

fn suspended(stage: &Stage) -> Object {
    let mut object = object_in("ns", "b", |spec| {
        spec.suspend = Some(true);
        spec.timeout = Some("1h".to_owned());
    });
    object.created_at = stage.now.wall;
    object
}

fn deletions(effects: &[Effect]) -> usize {
    let is_deletion = |effect: &&Effect| matches!(effect, Effect::Delete(_));
    effects.iter().filter(is_deletion).count()
}

#[test]
fn a_new_leader_ends_nothing_before_its_calendar_is_confirmed_or_some_time_has_passed() {
    for confirmed_meanwhile in [true, false] {
        let mut before = stage();
        let object = finished(&mut before);
        let mut stage = stage();
        stage.now.is_confirmed = false;
        // Two days ahead, as nobody knows yet.
        stage.now.wall += DAY * 2;
        assert_eq!(deletions(&stage.apply(object)), 0);
        assert_eq!(deletions(&stage.after(Duration::from_secs(14))), 0);
        if confirmed_meanwhile {
            stage.now.is_confirmed = true;
            stage.now.wall -= DAY * 2;
        }
        let deleted = deletions(&stage.after(Duration::from_secs(1)));
        assert_eq!(deleted, usize::from(!confirmed_meanwhile));
    }
}

#[test]
fn a_suspended_object_times_out_by_a_calendar_that_is_confirmed() {
    let mut stage = stage();
    let mut object = suspended(&stage);
    let write = only_write(stage.apply(object.clone()));
    assert_eq!(reason(&write), Some(Reason::Suspended));
    object = written(&write);
    let mut stage = Stage::with(|_| {});
    stage.now.is_confirmed = false;
    stage.now.wall += DAY;
    assert!(stage.apply(object).is_empty());
    let write = only_write(stage.after(Duration::from_secs(15)));
    assert_eq!(reason(&write), Some(Reason::TimedOut));
}

#[test]
fn what_ends_must_be_over_by_the_api_and_by_this_machine() {
    for (api, machine, ends) in [(0, 0, false), (2, 0, false), (0, 2, false), (2, 2, true)] {
        let mut stage = stage();
        finished(&mut stage);
        let before = stage.now.wall;
        stage.now.wall += DAY * api;
        stage.now.local = Some(before + DAY * machine);
        let deleted = deletions(&stage.after(Duration::from_mins(1)));
        assert_eq!(deleted, usize::from(ends), "{api} {machine}");
    }
}

#[test]
fn what_ends_by_the_calendar_follows_where_it_is_set() {
    let mut stage = stage();
    finished(&mut stage);
    let object = suspended(&stage);
    let write = only_write(stage.apply(object));
    stage.land(&write);
    // It was a day behind.
    stage.now.wall += DAY;
    let effects = stage.after(Duration::ZERO);
    assert_eq!(deletions(&effects), 1, "{effects:?}");
    let ends = effects.iter().any(
        |effect| matches!(effect, Effect::Write(write) if reason(write) == Some(Reason::TimedOut)),
    );
    assert!(ends, "{effects:?}");
}

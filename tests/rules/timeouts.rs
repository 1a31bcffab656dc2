//! `spec.timeout`: the last call, and what follows it.

use std::time::Duration;

use scaleouttask_controller::rules::{Next, PollError, Reason};

use crate::fixtures::{Story, answer, next_call, poll_error};

fn with_timeout(timeout: &str) -> Story {
    Story::new(|spec| spec.timeout = Some(timeout.into()))
}

/// An object that timed out a minute after its creation.
fn timed_out() -> Story {
    let mut story = with_timeout("1m");
    story.called(60, answer("running"));
    assert_eq!(story.shows(), "False Stalled TimedOut");
    story
}

#[test]
fn a_final_answer_of_the_last_call_wins() {
    let rows = [
        ("success", "True - TaskSucceeded"),
        ("failed", "False Stalled TaskFailed"),
        ("canceled", "False Stalled TaskCanceled"),
        ("running", "False Stalled TimedOut"),
        ("paused", "False Stalled TimedOut"),
        ("odd", "False Stalled TimedOut"),
    ];
    for (state, shows) in rows {
        let mut story = with_timeout("1m");
        story.called(1, answer("running"));
        let verdict = story.called(60, answer(state));
        assert_eq!(story.shows(), shows, "{state}");
        assert_eq!(
            story.status().state.as_deref(),
            Some(state).map(|s| if s == "failed" { "fail" } else { s })
        );
        assert_eq!(verdict.next, Some(Next::Rest));
        assert_eq!(story.finished_at(), Some(60));
    }
}

#[test]
fn an_error_of_the_last_call_times_out() {
    for reason in [
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::TaskNotFound,
        Reason::InvalidResponse,
        Reason::AccessDenied,
    ] {
        let mut story = with_timeout("1m");
        let verdict = story.called(60, poll_error(reason));
        assert_eq!(story.shows(), "False Stalled TimedOut", "{reason:?}");
        assert_eq!(verdict.next, Some(Next::Rest), "{reason:?}");
    }
}

#[test]
fn an_answer_that_our_clock_is_off_times_nothing_out() {
    let mut story = with_timeout("1m");
    story.called(1, answer("running"));
    let verdict = story.called(90_000, poll_error(Reason::ClockSkewed));
    assert_eq!(story.shows(), "False Stalled ClockSkewed");
    assert_eq!(story.finished_at(), None);
    // A deadline that the clock can't tell puts no call forward.
    assert!(next_call(&verdict).0 >= Duration::from_mins(4));
    // With the first answer that takes our time, it counts again.
    story.called(90_300, answer("running"));
    assert_eq!(story.shows(), "False Stalled TimedOut");
}

#[test]
fn a_call_begun_before_the_deadline_is_not_the_last() {
    for (result, shows) in [
        (answer("running"), "False Reconciling TaskRunning"),
        (
            Err(poll_error(Reason::AccessDenied)),
            "False Stalled AccessDenied",
        ),
    ] {
        let mut story = with_timeout("1m");
        let verdict = story.call_ends(59, 65, None, result);
        assert_eq!(story.shows(), shows);
        assert_eq!(
            next_call(&verdict).0,
            Duration::ZERO,
            "the last call follows at once"
        );
        story.called(65, answer("success"));
        assert_eq!(story.shows(), "True - TaskSucceeded");
    }
}

#[test]
fn no_call_is_delayed_beyond_the_deadline() {
    let results = [
        answer("running"),
        Err(poll_error(Reason::AccessDenied)),
        Err(PollError {
            retry_after: Some(Duration::from_mins(5)),
            ..poll_error(Reason::Throttled)
        }),
    ];
    for result in results {
        let mut story = with_timeout("1m");
        let verdict = story.called(58, result);
        assert!(
            next_call(&verdict).0 <= Duration::from_secs(2),
            "{:?}",
            verdict.next
        );
    }
    let mut story = with_timeout("1m");
    story.called(1, answer("running"));
    story.restart();
    assert_eq!(next_call(&story.seen(60)).0, Duration::ZERO);
    assert_eq!(next_call(&story.seen(600)).0, Duration::ZERO);
}

#[test]
fn a_suspended_object_times_out_without_a_call() {
    let mut story = with_timeout("1m");
    story.called(1, answer("running"));
    story.edit(|spec| spec.suspend = Some(true));
    assert_eq!(
        story.seen(20).next,
        Some(Next::Wait(Duration::from_secs(40)))
    );
    assert_eq!(story.shows(), "False - Suspended");
    assert_eq!(story.waited(60).next, Some(Next::Rest));
    assert_eq!(story.shows(), "False Stalled TimedOut");
    assert_eq!(story.finished_at(), Some(60));
}

#[test]
fn an_object_that_cannot_be_called_times_out_without_a_call() {
    let mut story = with_timeout("1m");
    story.policy.default_region = None;
    assert_eq!(story.seen(0).next, Some(Next::Wait(Duration::from_mins(1))));
    story.waited(60);
    assert_eq!(story.shows(), "False Stalled TimedOut");
}

#[test]
fn the_deadline_of_a_waiting_object_brings_the_last_call() {
    let mut story = with_timeout("1m");
    story.called(1, answer("running"));
    assert_eq!(next_call(&story.waited(60)).0, Duration::ZERO);
    assert_eq!(story.shows(), "False Reconciling TaskRunning");
}

#[test]
fn a_shortened_timeout_brings_the_last_call_at_once() {
    let mut story = with_timeout("1h");
    story.called(1, answer("running"));
    story.edit(|spec| spec.timeout = Some("1m".into()));
    assert_eq!(next_call(&story.seen(100)).0, Duration::ZERO);
    story.called(101, answer("running"));
    assert_eq!(story.shows(), "False Stalled TimedOut");
}

#[test]
fn raising_or_removing_the_timeout_resumes_the_tracking() {
    for timeout in [Some("1h"), None] {
        for restarted in [false, true] {
            let mut story = timed_out();
            story.edit(|spec| spec.timeout = timeout.map(Into::into));
            if restarted {
                story.restart();
            }
            assert_eq!(next_call(&story.seen(100)).0, Duration::ZERO, "{timeout:?}");
            let verdict = story.called(101, answer("running"));
            assert_eq!(
                story.shows(),
                "False Reconciling TaskRunning",
                "{timeout:?}"
            );
            assert_eq!(story.finished_at(), None, "{timeout:?}");
            next_call(&verdict);
            story.called(150, answer("success"));
            assert_eq!(story.shows(), "True - TaskSucceeded", "{timeout:?}");
            assert_eq!(story.finished_at(), Some(150), "{timeout:?}");
        }
    }
}

#[test]
fn a_resumed_object_backs_off_like_any_other() {
    let mut story = timed_out();
    story.edit(|spec| spec.timeout = None);
    story.seen(100);
    story.called(101, poll_error(Reason::TaskApiUnavailable));
    assert_eq!(
        story.shows(),
        "False Stalled TimedOut",
        "a single failure is not written"
    );
    next_call(&story.called(102, poll_error(Reason::TaskApiUnavailable)));
    assert_eq!(story.shows(), "False Reconciling TaskApiUnavailable");
    assert_eq!(story.finished_at(), None);
}

#[test]
fn a_resumed_object_can_be_suspended() {
    let mut story = timed_out();
    story.edit(|spec| {
        spec.timeout = None;
        spec.suspend = Some(true);
    });
    story.seen(100);
    assert_eq!(story.shows(), "False - Suspended");
    assert_eq!(story.finished_at(), None);
}

#[test]
fn other_changes_of_spec_leave_a_timed_out_object_finished() {
    for timeout in ["1m", "30s", "60s"] {
        let mut story = timed_out();
        story.edit(|spec| {
            spec.timeout = Some(timeout.into());
            spec.poll_interval = Some("1s".into());
        });
        assert_eq!(story.seen(100).next, Some(Next::Rest), "{timeout}");
        assert_eq!(story.shows(), "False Stalled TimedOut", "{timeout}");
        assert_eq!(story.status().observed_generation, Some(2), "{timeout}");
    }
}

#[test]
fn a_final_answer_wins_though_the_raised_timeout_ran_out_during_the_call() {
    let mut story = timed_out();
    story.edit(|spec| spec.timeout = Some("2m".into()));
    story.seen(110);
    story.call_ends(110, 125, None, answer("success"));
    assert_eq!(story.shows(), "True - TaskSucceeded");
}

#[test]
fn a_raised_timeout_that_ran_out_unseen_has_its_last_call() {
    let mut story = timed_out();
    story.edit(|spec| spec.timeout = Some("2m".into()));
    story.restart();
    assert_eq!(next_call(&story.seen(500)).0, Duration::ZERO);
    story.called(501, answer("running"));
    assert_eq!(story.shows(), "False Stalled TimedOut");
    assert!(story.message().contains("2m"), "{}", story.message());
    assert_eq!(story.finished_at(), Some(501));
}

#[test]
fn an_object_that_times_out_again_has_a_new_finish_time() {
    let mut failing = timed_out();
    failing.edit(|spec| spec.timeout = Some("2m".into()));
    failing.seen(500);
    failing.called(501, poll_error(Reason::TaskApiUnavailable));
    let mut suspended = timed_out();
    suspended.edit(|spec| {
        spec.timeout = Some("2m".into());
        spec.suspend = Some(true);
    });
    suspended.seen(501);
    for mut story in [failing, suspended] {
        assert_eq!(story.shows(), "False Stalled TimedOut");
        assert_eq!(story.finished_at(), Some(501));
        assert!(story.message().contains("2m"), "{}", story.message());
        story.edit(|spec| {
            spec.poll_interval = Some("1s".into());
            spec.suspend = None;
        });
        assert_eq!(
            story.seen(600).next,
            Some(Next::Rest),
            "not resumed by another change"
        );
    }
}

#[test]
fn a_stalled_object_that_times_out_stays_stalled_without_a_transition() {
    for result in [answer("running"), Err(poll_error(Reason::AccessDenied))] {
        let mut story = with_timeout("1m");
        story.called(10, poll_error(Reason::AccessDenied));
        assert_eq!(story.changed_at("Stalled"), Some(10));
        story.called(60, result);
        assert_eq!(story.shows(), "False Stalled TimedOut");
        assert_eq!(story.changed_at("Stalled"), Some(10));
    }
}

#[test]
fn a_timeout_beyond_the_calendar_is_no_deadline() {
    let mut story = with_timeout("2562047h");
    let verdict = story.called(1, answer("running"));
    assert!(next_call(&verdict).0 <= crate::fixtures::INTERVAL);
    story.object.created_at = k8s_openapi::jiff::Timestamp::MAX;
    assert_eq!(story.object.deadline(), None);
}

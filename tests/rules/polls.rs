//! Poll requests by annotation.

use std::time::Duration;

use scaleouttask_controller::rules::{Next, Reason, Task};

use crate::fixtures::{Story, answer, describes, next_call, poll_error, task, task_of};

const AT_ONCE: Next = Next::Call {
    after: Duration::ZERO,
    requested: true,
};

fn echo(story: &Story) -> Option<&str> {
    story.status().last_handled_poll_request.as_deref()
}

#[test]
fn a_request_is_served_whatever_the_object_waits_for() {
    let mut denied = Story::plain();
    denied.called(1, poll_error(Reason::AccessDenied));
    let mut unreachable = Story::polled("running");
    for seconds in 2..12 {
        unreachable.called(seconds, poll_error(Reason::TaskApiUnavailable));
    }
    let rows = [
        ("new", Story::plain()),
        ("running", Story::polled("running")),
        ("stalled", denied),
        ("backing off", unreachable),
        ("finished", Story::polled("success")),
    ];
    for (name, mut story) in rows {
        story.request("a");
        assert_eq!(story.seen(20).next, Some(AT_ONCE), "{name}");
        story.restart();
        assert_eq!(story.seen(21).next, Some(AT_ONCE), "{name}, restarted");
    }
}

#[test]
fn a_request_is_served_once_and_echoed() {
    for result in [
        answer("running"),
        Err(poll_error(Reason::TaskApiUnavailable)),
    ] {
        let mut story = Story::polled("running");
        story.request("a");
        story.seen(10);
        assert_eq!(echo(&story), None, "not before the call");
        let verdict = story.called(11, result);
        assert_eq!(echo(&story), Some("a"));
        assert!(!next_call(&verdict).1);
        assert!(!next_call(&story.seen(12)).1);
    }
}

#[test]
fn removing_the_annotation_or_repeating_it_does_nothing() {
    let mut story = Story::polled("success");
    story.request("a");
    story.called(10, answer("success"));
    let before = story.status().clone();
    story.object.poll_request = None;
    assert_eq!(story.seen(20).next, Some(Next::Rest));
    story.request("a");
    assert_eq!(story.seen(30).next, Some(Next::Rest));
    assert_eq!(story.status(), &before);
}

#[test]
fn an_empty_annotation_is_a_request_too() {
    let mut story = Story::polled("success");
    story.request("");
    assert_eq!(story.seen(10).next, Some(AT_ONCE));
    story.called(11, answer("success"));
    assert_eq!(echo(&story), Some(""));
    assert_eq!(story.seen(12).next, Some(Next::Rest));
}

#[test]
fn the_answer_of_a_requested_call_replaces_the_status_of_a_finished_object() {
    let failed_instance = || describes(task_of("success", &["failed"]));
    let rows = [
        (
            "fail",
            answer("running"),
            "False Reconciling TaskRunning",
            None,
        ),
        (
            "fail",
            answer("odd"),
            "False Reconciling TaskStateUnknown",
            None,
        ),
        (
            "success",
            answer("paused"),
            "False Reconciling TaskPaused",
            None,
        ),
        ("fail", answer("success"), "True - TaskSucceeded", Some(100)),
        (
            "success",
            failed_instance(),
            "False Stalled InstancesFailed",
            Some(100),
        ),
        (
            "canceled",
            answer("fail"),
            "False Stalled TaskFailed",
            Some(100),
        ),
        (
            "success",
            answer("success"),
            "True - TaskSucceeded",
            Some(1),
        ),
        (
            "fail",
            answer("failed"),
            "False Stalled TaskFailed",
            Some(1),
        ),
    ];
    for (before, result, shows, finished_at) in rows {
        let mut story = Story::polled(before);
        story.request("a");
        let verdict = story.called(100, result);
        assert_eq!(story.shows(), shows, "{before}");
        assert_eq!(story.finished_at(), finished_at, "{before} → {shows}");
        assert_eq!(echo(&story), Some("a"));
        let goes_on = matches!(verdict.next, Some(Next::Call { .. }));
        assert_eq!(goes_on, finished_at.is_none(), "{before} → {shows}");
    }
}

#[test]
fn a_requested_call_without_a_usable_answer_changes_only_the_echo() {
    let foreign = || {
        describes(Task {
            cluster_id: Some("c-2".into()),
            ..task("fail")
        })
    };
    let rows = [
        ("error", Err(poll_error(Reason::TaskApiUnavailable))),
        (
            "stalling error",
            Err(poll_error(Reason::CredentialsInvalid)),
        ),
        ("missing task", Err(poll_error(Reason::TaskNotFound))),
        ("another cluster's", foreign()),
        ("an answer of no cluster", answer("running")),
    ];
    for timed_out in [false, true] {
        for (name, result) in rows.clone() {
            let mut story = finished_of_cluster(timed_out);
            let before = story.status().clone();
            story.request("a");
            let verdict = story.called(100, result);
            let mut expected = before;
            expected.last_handled_poll_request = Some("a".into());
            assert_eq!(story.status(), &expected, "{name}");
            assert_eq!(
                (verdict.next, verdict.note),
                (Some(Next::Rest), None),
                "{name}"
            );
        }
    }
}

#[test]
fn after_a_timeout_only_a_final_answer_counts() {
    let rows = [
        ("running", "False Stalled TimedOut", 60),
        ("paused", "False Stalled TimedOut", 60),
        ("odd", "False Stalled TimedOut", 60),
        ("success", "True - TaskSucceeded", 100),
        ("fail", "False Stalled TaskFailed", 100),
        ("cancelled", "False Stalled TaskCanceled", 100),
    ];
    for (state, shows, finished_at) in rows {
        let mut story = Story::new(|spec| spec.timeout = Some("1m".into()));
        story.called(60, answer("running"));
        let known = story.status().state.clone();
        story.request("a");
        assert_eq!(story.seen(99).next, Some(AT_ONCE));
        assert_eq!(story.called(100, answer(state)).next, Some(Next::Rest));
        assert_eq!(story.shows(), shows, "{state}");
        assert_eq!(story.finished_at(), Some(finished_at), "{state}");
        assert_eq!(echo(&story), Some("a"));
        if finished_at == 60 {
            assert_eq!(story.status().state, known, "nothing but the echo changes");
        }
    }
}

#[test]
fn requests_wait_while_suspended() {
    for state in ["running", "success"] {
        let mut story = Story::polled(state);
        story.edit(|spec| spec.suspend = Some(true));
        story.request("a");
        assert_eq!(story.seen(10).next, Some(Next::Rest), "{state}");
        assert_eq!(story.waited(11).next, Some(Next::Rest), "{state}");
        assert_eq!(echo(&story), None, "{state}");
        story.edit(|spec| spec.suspend = None);
        assert_eq!(story.seen(20).next, Some(AT_ONCE), "{state}");
    }
}

#[test]
fn a_request_waits_while_no_call_can_be_made() {
    for state in ["running", "success"] {
        let mut story = Story::polled(state);
        story.policy.default_region = None;
        story.request("a");
        assert_eq!(story.seen(10).next, Some(Next::Rest), "{state}");
        assert_eq!(echo(&story), None, "{state}");
    }
}

#[test]
fn a_pending_request_goes_before_the_ttl() {
    let mut story = Story::polled("success");
    story.object.spec.ttl_seconds_after_finished = Some(5);
    story.request("a");
    assert_eq!(story.seen(10).next, Some(AT_ONCE));
    let verdict = story.called(11, poll_error(Reason::TaskNotFound));
    assert_eq!(verdict.next, Some(Next::Delete(Duration::ZERO)));
}

#[test]
fn a_request_written_during_the_last_call_is_served_after_it() {
    for handled in [None, Some("a")] {
        let mut story = Story::polled("running");
        story.request("b");
        let verdict = story.call_ends(10, 12, handled, answer("success"));
        assert_eq!(verdict.next, Some(AT_ONCE), "{handled:?}");
        assert_eq!(echo(&story), handled);
    }
}

#[test]
fn a_request_written_during_a_call_is_served_right_after_it() {
    let results = [
        answer("running"),
        Err(poll_error(Reason::TaskApiUnavailable)),
        Err(poll_error(Reason::AccessDenied)),
    ];
    for result in results {
        for handled in [None, Some("a")] {
            let mut story = Story::polled("running");
            story.request("b");
            let verdict = story.call_ends(10, 12, handled, result.clone());
            assert_eq!(verdict.next, Some(AT_ONCE), "{handled:?} {result:?}");
        }
    }
}

#[test]
fn a_finished_object_that_runs_again_is_not_called_while_suspended() {
    let mut suspended = Story::polled("fail");
    suspended.request("a");
    suspended.edit(|spec| spec.suspend = Some(true));
    let mut blocked = Story::polled("fail");
    blocked.request("a");
    blocked.policy.default_region = None;
    for mut story in [suspended, blocked] {
        let verdict = story.call_ends(10, 12, Some("a"), answer("running"));
        assert_eq!(verdict.next, Some(Next::Rest), "{}", story.shows());
    }
}

#[test]
fn the_answer_of_a_requested_call_counts_also_after_the_deadline() {
    let mut story = Story::new(|spec| spec.timeout = Some("1m".into()));
    story.called(10, answer("fail"));
    story.request("a");
    let verdict = story.called(100, answer("running"));
    assert_eq!(story.shows(), "False Reconciling TaskRunning");
    assert_eq!(story.finished_at(), None);
    assert_eq!(next_call(&verdict).0, Duration::ZERO, "the last call");
    story.called(101, answer("running"));
    assert_eq!(story.shows(), "False Stalled TimedOut");
}

/// Finished a minute after creation; its cluster is `c-1`.
fn finished_of_cluster(timed_out: bool) -> Story {
    let mut story = Story::new(|spec| {
        spec.cluster_id = Some("c-1".into());
        spec.timeout = Some("1m".into());
    });
    let own = Task {
        cluster_id: Some("c-1".into()),
        ..task(if timed_out { "running" } else { "success" })
    };
    story.called(60, describes(own));
    story
}

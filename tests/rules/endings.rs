//! Finished objects cost nothing, keep their status, and may be deleted after their TTL.

use std::time::Duration;

use scaleouttask_controller::rules::{Memory, Next, Reason};

use crate::fixtures::{Story, answer, describes, poll_error, task_of};

/// An object for each final reason, finished a second after its creation.
fn finished() -> Vec<(&'static str, Story)> {
    let mut failed_instance = Story::plain();
    failed_instance.called(1, describes(task_of("success", &["failed"])));
    let mut timed_out = Story::new(|spec| spec.timeout = Some("1s".into()));
    timed_out.called(1, answer("running"));
    let mut nodes_ready = Story::new(|spec| spec.wait_for_nodes = Some(true));
    nodes_ready.policy.nodes = true;
    nodes_ready.called(1, answer("success"));
    vec![
        ("TaskSucceeded", Story::polled("success")),
        ("NodesReady", nodes_ready),
        ("InstancesFailed", failed_instance),
        ("TaskFailed", Story::polled("failed")),
        ("TaskCanceled", Story::polled("cancelled")),
        ("TimedOut", timed_out),
    ]
}

#[test]
fn exactly_these_reasons_are_final() {
    let final_reasons = Reason::ALL.into_iter().filter(|reason| reason.is_final());
    let names = finished().into_iter().map(|(name, _)| name);
    assert!(final_reasons.map(Reason::as_str).eq(names));
}

#[test]
fn a_finished_object_costs_no_call_no_write_and_no_timer() {
    for (name, story) in finished() {
        assert!(story.shows().ends_with(name), "{}", story.shows());
        assert_eq!(story.finished_at(), Some(1), "{name}");
        for restarted in [false, true] {
            let mut story = story.clone();
            if restarted {
                story.restart();
            }
            let before = story.status().clone();
            let verdicts = [
                story.seen(10),
                story.waited(20),
                story.called(30, answer("running")),
                story.called(40, answer("success")),
                story.called(50, poll_error(Reason::AccessDenied)),
                story.seen(1_000_000),
            ];
            assert_eq!(story.status(), &before, "{name}");
            for verdict in verdicts {
                assert_eq!(verdict.next, Some(Next::Rest), "{name}");
                assert_eq!(verdict.note, None, "{name}");
            }
        }
    }
}

#[test]
fn a_changed_spec_costs_a_finished_object_one_write() {
    for (name, mut story) in finished() {
        let before = story.status().clone();
        story.edit(|spec| {
            spec.suspend = Some(true);
            spec.poll_interval = Some("1m".into());
        });
        let verdict = story.seen(10);
        assert_eq!(verdict.next, Some(Next::Rest), "{name}");
        assert_eq!(verdict.note, None, "{name}");
        let mut expected = before;
        expected.observed_generation = Some(2);
        for condition in &mut expected.conditions {
            condition.observed_generation = Some(2);
        }
        assert_eq!(story.status(), &expected, "{name}");
        story.seen(20);
        assert_eq!(story.status(), &expected, "{name}");
    }
}

#[test]
fn objects_are_deleted_only_by_ttl_and_only_after_the_end() {
    let rows = [
        // TTL, current time, expected next step. The object finished at 1.
        (None, 10, Next::Rest),
        (Some(0), 1, Next::Delete(Duration::ZERO)),
        (Some(60), 1, Next::Delete(Duration::from_mins(1))),
        (Some(60), 31, Next::Delete(Duration::from_secs(30))),
        (Some(60), 61, Next::Delete(Duration::ZERO)),
        (Some(60), 1_000, Next::Delete(Duration::ZERO)),
        (
            Some(i32::MAX),
            2,
            Next::Delete(Duration::from_secs(2_147_483_646)),
        ),
    ];
    for (ttl, now, next) in rows {
        for (name, mut story) in finished() {
            story.object.spec.ttl_seconds_after_finished = ttl;
            story.restart();
            assert_eq!(story.seen(now).next, Some(next), "{name} {ttl:?} at {now}");
        }
    }
    let mut running = Story::new(|spec| spec.ttl_seconds_after_finished = Some(0));
    let verdict = running.called(1, answer("running"));
    assert!(
        matches!(verdict.next, Some(Next::Call { .. })),
        "{:?}",
        verdict.next
    );
}

#[test]
fn the_ttl_starts_at_the_end() {
    let mut story = Story::new(|spec| spec.ttl_seconds_after_finished = Some(30));
    let verdict = story.called(5, answer("fail"));
    assert_eq!(verdict.next, Some(Next::Delete(Duration::from_secs(30))));
}

#[test]
fn a_ttl_set_after_the_end_counts_from_the_end() {
    let mut story = Story::polled("success");
    story.edit(|spec| spec.ttl_seconds_after_finished = Some(100));
    assert_eq!(
        story.seen(41).next,
        Some(Next::Delete(Duration::from_mins(1)))
    );
}

#[test]
fn a_final_answer_wins_if_the_object_was_suspended_during_the_call() {
    let mut story = Story::polled("running");
    story.edit(|spec| spec.suspend = Some(true));
    story.seen(5);
    assert_eq!(story.shows(), "False - Suspended");
    story.call_ends(4, 6, None, answer("success"));
    assert_eq!(story.shows(), "True - TaskSucceeded");
}

#[test]
fn an_answer_after_suspension_is_shown_but_the_object_stays_suspended() {
    let mut story = Story::polled("running");
    story.edit(|spec| spec.suspend = Some(true));
    story.seen(5);
    let verdict = story.call_ends(4, 6, None, answer("paused"));
    assert_eq!(story.shows(), "False - Suspended");
    assert_eq!(story.status().state.as_deref(), Some("paused"));
    assert_eq!(verdict.next, Some(Next::Rest));
}

#[test]
fn an_error_after_suspension_changes_nothing() {
    for reason in [Reason::AccessDenied, Reason::TaskApiUnavailable] {
        let mut story = Story::polled("running");
        story.edit(|spec| spec.suspend = Some(true));
        story.seen(5);
        let before = story.status().clone();
        for seconds in [6, 7] {
            let verdict = story.call_ends(4, seconds, None, poll_error(reason));
            assert_eq!(verdict.status, before, "{reason:?}");
            assert_eq!(verdict.next, Some(Next::Rest), "{reason:?}");
        }
    }
}

#[test]
fn an_answer_after_suspension_counts_as_a_poll() {
    let mut story = Story::plain();
    story.waited(2);
    story.called(3, poll_error(Reason::TaskApiUnavailable));
    story.edit(|spec| spec.suspend = Some(true));
    story.seen(5);
    assert_eq!(story.shows(), "Unknown - Suspended");
    story.call_ends(4, 6, None, answer("running"));
    assert_eq!(story.shows(), "False - Suspended");
    assert_eq!(story.memory, Memory::default());
}

#[test]
fn finished_is_true_for_each_final_reason_and_for_no_other() {
    for (name, story) in finished() {
        let condition = |type_: &str| {
            let mut all = story.status().conditions.iter();
            all.find(|condition| condition.type_ == type_).cloned()
        };
        let ready = condition("Ready").unwrap();
        let mut expected = ready.clone();
        expected.type_ = "Finished".to_owned();
        expected.status = "True".to_owned();
        expected.last_transition_time = condition("Finished").unwrap().last_transition_time;
        assert_eq!(condition("Finished"), Some(expected), "{name}");
        assert_eq!(story.changed_at("Finished"), Some(1), "{name}");
    }
    for state in ["running", "paused", "odd"] {
        assert_eq!(Story::polled(state).changed_at("Finished"), None, "{state}");
    }
}

#[test]
fn finished_keeps_its_time_while_the_end_changes_and_goes_when_the_task_runs_again() {
    let mut story = Story::polled("failed");
    story.request("again");
    story.called(60, answer("canceled"));
    assert!(story.shows().ends_with("TaskCanceled"), "{}", story.shows());
    assert_eq!(story.changed_at("Finished"), Some(1));
    story.request("and again");
    story.called(90, answer("running"));
    assert!(story.shows().ends_with("TaskRunning"), "{}", story.shows());
    assert_eq!(story.changed_at("Finished"), None);
}

//! The contract's table of conditions, row by row, and the text below it.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use scaleouttask_controller::{
    api::SecretReference,
    rules::{Next, OVERDUE_AFTER, Reason},
};

use crate::fixtures::{Story, answer, at, describes, next_call, poll_error, task_of};

#[test]
fn each_answer_has_its_conditions() {
    let rows: [(&str, &[&str], &str); 13] = [
        ("running", &[], "False Reconciling TaskRunning"),
        (
            "running",
            &["success", "failed"],
            "False Reconciling TaskRunning",
        ),
        ("paused", &[], "False Reconciling TaskPaused"),
        ("rolling_back", &[], "False Reconciling TaskStateUnknown"),
        (" SUCCESS ", &[], "True - TaskSucceeded"),
        ("success", &[], "True - TaskSucceeded"),
        ("success", &["success", "success"], "True - TaskSucceeded"),
        ("success", &["success", "initial"], "True - TaskSucceeded"),
        (
            "success",
            &["success", "failed"],
            "False Stalled InstancesFailed",
        ),
        ("fail", &["success"], "False Stalled TaskFailed"),
        ("failed", &[], "False Stalled TaskFailed"),
        ("canceled", &["failed"], "False Stalled TaskCanceled"),
        ("cancelled", &[], "False Stalled TaskCanceled"),
    ];
    for (state, instances, shows) in rows {
        let mut story = Story::plain();
        story.called(1, describes(task_of(state, instances)));
        assert_eq!(story.shows(), shows, "{state} {instances:?}");
    }
}

/// For each error: the conditions of an object whose task was never read and of one whose task was, and
/// after how many failures they are shown.
#[test]
fn each_error_has_its_conditions() {
    use Reason as R;
    let rows = [
        (
            R::TaskApiUnavailable,
            "Unknown Reconciling",
            "False Reconciling",
            2,
        ),
        (R::Throttled, "Unknown Reconciling", "False Reconciling", 2),
        (
            R::InvalidResponse,
            "Unknown Reconciling",
            "False Reconciling",
            2,
        ),
        (
            R::TaskNotFound,
            "Unknown Reconciling",
            "False Reconciling",
            2,
        ),
        (R::AccessDenied, "False Stalled", "False Stalled", 1),
        (R::CredentialsInvalid, "False Stalled", "False Stalled", 1),
        (R::ClockSkewed, "False Stalled", "False Stalled", 1),
        (R::RequestRejected, "False Stalled", "False Stalled", 1),
    ];
    for (reason, never_read, read, shown_from) in rows {
        for (mut story, conditions) in [
            (Story::plain(), never_read),
            (Story::polled("running"), read),
        ] {
            let before = story.status().clone();
            for failure in 1..=3 {
                story.called(1 + failure, poll_error(reason));
                if failure < shown_from {
                    assert_eq!(
                        story.status(),
                        &before,
                        "{reason:?}: a single failure is not written"
                    );
                } else {
                    let shows = format!("{conditions} {}", reason.as_str());
                    assert_eq!(story.shows(), shows, "failure {failure}");
                }
            }
        }
    }
}

#[test]
fn new_object_without_an_answer_is_pending_after_two_seconds() {
    assert_eq!(OVERDUE_AFTER.as_secs(), 2);
    let mut story = Story::plain();
    story.seen(0);
    assert_eq!(story.shows(), "nothing");
    story.waited(2);
    assert_eq!(story.shows(), "Unknown Reconciling Pending");
    assert_eq!(story.status().observed_generation, Some(1));
}

#[test]
fn object_whose_first_call_fails_becomes_pending() {
    for reason in [
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::TaskNotFound,
    ] {
        let mut story = Story::plain();
        let untouched = story.status().clone();
        story.called(1, poll_error(reason));
        assert_eq!(story.status(), &untouched, "{reason:?}");
        story.waited(2);
        assert_eq!(story.shows(), "Unknown Reconciling Pending", "{reason:?}");
    }
}

#[test]
fn pending_is_never_written_after_an_answer() {
    let mut read = Story::polled("running");
    read.waited(2);
    assert_eq!(read.shows(), "False Reconciling TaskRunning");
    let mut refused = Story::plain();
    refused.called(1, poll_error(Reason::AccessDenied));
    refused.waited(2);
    assert_eq!(refused.shows(), "False Stalled AccessDenied");
}

#[test]
fn object_with_a_prompt_answer_gets_a_single_first_write() {
    let mut story = Story::plain();
    let untouched = story.status().clone();
    let verdict = story.seen(0);
    assert_eq!(verdict.status, untouched);
    assert_eq!(next_call(&verdict).0.as_secs(), 0);
    story.called(1, answer("running"));
    let written = story.status().clone();
    story.waited(2);
    assert_eq!(story.status(), &written);
}

#[test]
fn missing_region_stalls_without_calls() {
    let mut story = Story::plain();
    story.policy.default_region = None;
    let verdict = story.seen(0);
    assert_eq!(story.shows(), "False Stalled RegionMissing");
    assert_eq!(verdict.next, Some(Next::Rest));
    for remedy in ["--region", "spec.region"] {
        assert!(story.message().contains(remedy), "{}", story.message());
    }
}

#[test]
fn a_region_in_the_spec_or_by_flag_is_enough() {
    let mut by_spec = Story::new(|spec| spec.region = Some("cn-hangzhou".into()));
    by_spec.policy.default_region = None;
    next_call(&by_spec.seen(0));
    let mut by_flag = Story::plain();
    next_call(&by_flag.seen(0));
}

#[test]
fn a_secret_that_is_not_allowed_stalls_without_calls() {
    let secret = |spec: &mut scaleouttask_controller::api::ScaleOutTaskSpec| {
        spec.credentials_secret_ref = Some(SecretReference {
            name: "keys".into(),
        });
    };
    let mut refused = Story::new(secret);
    assert_eq!(refused.seen(0).next, Some(Next::Rest));
    assert_eq!(refused.shows(), "False Stalled CredentialsInvalid");
    let mut allowed = Story::new(secret);
    allowed.policy.secret_credentials = true;
    next_call(&allowed.seen(0));
}

#[test]
fn suspended_object_is_neither_reconciling_nor_stalled() {
    let rows: [(&str, Story, &str); 5] = [
        ("never polled", Story::plain(), "Unknown"),
        ("pending", after(&[None]), "Unknown"),
        ("running", Story::polled("running"), "False"),
        (
            "unreachable, once read",
            running_then(Reason::TaskApiUnavailable),
            "False",
        ),
        ("stalled", after(&[Some(Reason::AccessDenied)]), "False"),
    ];
    for (name, mut story, ready) in rows {
        story.edit(|spec| spec.suspend = Some(true));
        let verdict = story.seen(100);
        assert_eq!(story.shows(), format!("{ready} - Suspended"), "{name}");
        assert_eq!(verdict.next, Some(Next::Rest), "{name}");
    }
}

#[test]
fn suspended_object_that_could_not_be_polled_is_unknown() {
    let mut story = Story::plain();
    story.policy.default_region = None;
    story.seen(0);
    story.edit(|spec| spec.suspend = Some(true));
    story.seen(1);
    assert_eq!(story.shows(), "Unknown - Suspended");
}

#[test]
fn resumed_object_is_polled_at_once() {
    let mut story = Story::new(|spec| spec.suspend = Some(true));
    story.seen(0);
    story.edit(|spec| spec.suspend = Some(false));
    assert_eq!(next_call(&story.seen(50)).0.as_secs(), 0);
    story.called(51, answer("running"));
    assert_eq!(story.shows(), "False Reconciling TaskRunning");
}

#[test]
fn errors_keep_what_is_known_of_the_task() {
    for reason in [
        Reason::TaskApiUnavailable,
        Reason::TaskNotFound,
        Reason::AccessDenied,
    ] {
        let mut story = Story::plain();
        story.called(1, describes(task_of("running", &["success", "initial"])));
        let known = story.status().clone();
        for seconds in [200, 400, 600] {
            story.called(seconds, poll_error(reason));
        }
        let mut kept = story.status().clone();
        assert_ne!(kept.conditions, known.conditions);
        kept.conditions.clone_from(&known.conditions);
        assert_eq!(kept, known, "{reason:?}");
    }
}

#[test]
fn transition_times_move_only_with_the_status() {
    let mut story = Story::plain();
    let mut steps = Vec::new();
    let mut record = |story: &Story| {
        let times = ["Ready", "Reconciling", "Stalled"].map(|type_| story.changed_at(type_));
        steps.push((story.shows(), times));
    };
    story.waited(2);
    record(&story);
    for seconds in [3, 4] {
        story.called(seconds, poll_error(Reason::Throttled));
    }
    record(&story);
    story.called(10, answer("running"));
    record(&story);
    story.called(20, answer("paused"));
    record(&story);
    story.called(30, poll_error(Reason::AccessDenied));
    record(&story);
    story.called(40, poll_error(Reason::ClockSkewed));
    record(&story);
    story.called(50, answer("running"));
    record(&story);
    story.called(60, answer("success"));
    record(&story);
    let expected = [
        ("Unknown Reconciling Pending", [Some(2), Some(2), None]),
        ("Unknown Reconciling Throttled", [Some(2), Some(2), None]),
        ("False Reconciling TaskRunning", [Some(10), Some(2), None]),
        ("False Reconciling TaskPaused", [Some(10), Some(2), None]),
        ("False Stalled AccessDenied", [Some(10), None, Some(30)]),
        ("False Stalled ClockSkewed", [Some(10), None, Some(30)]),
        ("False Reconciling TaskRunning", [Some(10), Some(50), None]),
        ("True - TaskSucceeded", [Some(60), None, None]),
    ];
    let expected = expected.map(|(shows, times)| (shows.to_owned(), times));
    assert_eq!(steps, expected);
}

#[test]
fn a_changed_spec_is_observed_with_its_first_result() {
    let mut story = Story::polled("running");
    story.edit(|spec| spec.poll_interval = Some("30s".into()));
    assert_eq!(next_call(&story.seen(10)).0.as_secs(), 0);
    assert_eq!(
        story.status().observed_generation,
        Some(1),
        "no result for it yet"
    );
    story.called(11, answer("running"));
    assert_eq!(story.status().observed_generation, Some(2));
    let condition_generations = story
        .status()
        .conditions
        .iter()
        .map(|own| own.observed_generation);
    assert!(condition_generations.eq([Some(2), Some(2)]));
}

#[test]
fn conditions_of_others_are_kept() {
    let mut story = Story::plain();
    let foreign = Condition {
        type_: "Audited".into(),
        status: "True".into(),
        reason: "Ok".into(),
        message: "by another".into(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    story.object.status.conditions.push(foreign.clone());
    for (seconds, state) in [(1, "running"), (2, "running"), (3, "success")] {
        story.called(seconds, answer(state));
        assert!(story.status().conditions.contains(&foreign));
    }
    assert_eq!(story.shows(), "True - TaskSucceeded");
}

#[test]
fn an_object_that_is_being_deleted_is_ignored() {
    let mut story = Story::polled("running");
    story.object.deleting = true;
    let before = story.status().clone();
    for verdict in [
        story.seen(5),
        story.waited(6),
        story.called(7, answer("success")),
    ] {
        assert_eq!(verdict.next, Some(Next::Rest));
        assert_eq!(verdict.status, before);
        assert_eq!(verdict.note, None);
    }
}

#[test]
fn a_fraction_of_a_second_is_never_stored() {
    let mut story = Story::plain();
    let input = scaleouttask_controller::rules::Occasion::Polled {
        result: answer("success"),
        started_at: at(1),
        poll_request: None,
    };
    story.happens(&input, crate::fixtures::at_millis(1_999));
    assert_eq!(story.status().finished_at, Some(Time(at(1))));
    assert_eq!(story.changed_at("Ready"), Some(1));
}

/// An object with these events, one each second: an error, or no answer in time.
fn after(errors: &[Option<Reason>]) -> Story {
    let mut story = Story::plain();
    for (seconds, reason) in (2..).zip(errors) {
        match reason {
            Some(reason) => story.called(seconds, poll_error(*reason)),
            None => story.waited(seconds),
        };
    }
    story
}

fn running_then(reason: Reason) -> Story {
    let mut story = Story::polled("running");
    for seconds in [2, 3] {
        story.called(seconds, poll_error(reason));
    }
    story
}

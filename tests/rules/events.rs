//! Which changes get an Event, and which do not.

use scaleouttask_controller::rules::{PollError, Reason, Severity, Task};

use crate::fixtures::{NOTE_BYTES, Story, Verdict, answer, describes, poll_error, task, task_of};

fn event_of(verdict: &Verdict) -> Option<(Severity, Reason)> {
    verdict
        .note
        .as_ref()
        .map(|note| (note.severity, note.reason))
}

#[test]
fn these_reasons_are_normal_and_all_others_are_warnings() {
    for reason in Reason::ALL {
        let severity = match reason.as_str() {
            "Pending" => None,
            "TaskRunning" | "TaskPaused" | "TaskStateUnknown" | "TaskSucceeded"
            | "WaitingForNodes" | "NodesReady" | "Suspended" => Some(Severity::Normal),
            _ => Some(Severity::Warning),
        };
        assert_eq!(reason.severity(), severity, "{reason:?}");
    }
}

#[test]
fn each_new_reason_gets_one_event() {
    use Severity::{Normal, Warning};
    let failed_instance = || describes(task_of("success", &["failed"]));
    let rows = [
        (answer("running"), Normal, Reason::TaskRunning),
        (answer("paused"), Normal, Reason::TaskPaused),
        (answer("odd"), Normal, Reason::TaskStateUnknown),
        (answer("success"), Normal, Reason::TaskSucceeded),
        (failed_instance(), Warning, Reason::InstancesFailed),
        (answer("fail"), Warning, Reason::TaskFailed),
        (answer("canceled"), Warning, Reason::TaskCanceled),
        (
            Err(poll_error(Reason::AccessDenied)),
            Warning,
            Reason::AccessDenied,
        ),
        (
            Err(poll_error(Reason::CredentialsInvalid)),
            Warning,
            Reason::CredentialsInvalid,
        ),
        (
            Err(poll_error(Reason::ClockSkewed)),
            Warning,
            Reason::ClockSkewed,
        ),
        (
            Err(poll_error(Reason::RequestRejected)),
            Warning,
            Reason::RequestRejected,
        ),
    ];
    for (result, severity, reason) in rows {
        let mut story = Story::plain();
        let verdict = story.called(1, result.clone());
        assert_eq!(event_of(&verdict), Some((severity, reason)));
        assert_eq!(&*verdict.note.unwrap().message, story.message());
        assert_eq!(event_of(&story.called(2, result)), None, "{reason:?}");
    }
}

#[test]
fn transient_errors_get_an_event_at_the_second_failure() {
    for reason in [
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::InvalidResponse,
        Reason::TaskNotFound,
    ] {
        let mut story = Story::plain();
        let calls = [1, 2, 3].map(|seconds| event_of(&story.called(seconds, poll_error(reason))));
        assert_eq!(calls, [None, Some((Severity::Warning, reason)), None]);
    }
}

#[test]
fn pending_gets_no_event() {
    let mut story = Story::plain();
    assert_eq!(event_of(&story.waited(2)), None);
    assert_eq!(story.shows(), "Unknown Reconciling Pending");
}

#[test]
fn suspension_and_a_missing_region_get_one_event() {
    let mut suspended = Story::new(|spec| spec.suspend = Some(true));
    assert_eq!(
        event_of(&suspended.seen(0)),
        Some((Severity::Normal, Reason::Suspended))
    );
    assert_eq!(event_of(&suspended.seen(1)), None);
    let mut lost = Story::plain();
    lost.policy.default_region = None;
    assert_eq!(
        event_of(&lost.seen(0)),
        Some((Severity::Warning, Reason::RegionMissing))
    );
    assert_eq!(event_of(&lost.seen(1)), None);
}

#[test]
fn a_timeout_and_a_cluster_mismatch_get_an_event() {
    let mut story = Story::new(|spec| {
        spec.timeout = Some("1m".into());
        spec.cluster_id = Some("c-1".into());
    });
    let mismatch = story.called(1, answer("running"));
    assert_eq!(
        event_of(&mismatch),
        Some((Severity::Warning, Reason::ClusterMismatch))
    );
    let timeout = story.called(60, answer("running"));
    assert_eq!(
        event_of(&timeout),
        Some((Severity::Warning, Reason::TimedOut))
    );
}

#[test]
fn a_missing_task_that_stalls_gets_no_second_event() {
    let mut story = Story::plain();
    story.called(1, poll_error(Reason::TaskNotFound));
    story.called(2, poll_error(Reason::TaskNotFound));
    let verdict = story.called(200, poll_error(Reason::TaskNotFound));
    assert_eq!(story.shows(), "False Stalled TaskNotFound");
    assert_eq!(event_of(&verdict), None, "the reason is the same");
}

#[test]
fn progress_alone_gets_no_event() {
    let mut story = Story::plain();
    story.called(1, describes(task_of("running", &["initial", "initial"])));
    let verdict = story.called(2, describes(task_of("running", &["success", "initial"])));
    assert_eq!(story.status().progress.as_deref(), Some("1/2"));
    assert_eq!(event_of(&verdict), None);
}

#[test]
fn a_changed_spec_of_a_finished_object_gets_no_event() {
    let mut story = Story::polled("success");
    story.edit(|spec| spec.suspend = Some(true));
    assert_eq!(event_of(&story.seen(10)), None);
}

/// The API server refuses Events with a longer note.
#[test]
fn the_note_of_an_event_is_short_enough_for_the_api_server() {
    for letter in ["x", "错", "🦀"] {
        let mut failed = Story::plain();
        let verdict = failed.called(
            1,
            describes(Task {
                error: Some((None, Some(letter.repeat(2000)))),
                ..task("fail")
            }),
        );
        assert!(
            verdict.note.unwrap().message.len() <= NOTE_BYTES,
            "{letter}"
        );
        let mut refused = Story::plain();
        let detail = PollError {
            detail: Some(letter.repeat(2000)),
            ..poll_error(Reason::CredentialsInvalid)
        };
        let note = refused.called(1, detail).note.unwrap();
        assert!(note.message.len() <= NOTE_BYTES, "{letter}");
    }
}

#[test]
fn the_event_of_a_trouble_has_the_request_id_and_the_condition_has_not() {
    let mut story = Story::plain();
    let error = |id: &str, detail: &str| PollError {
        request_id: Some(id.into()),
        detail: Some(detail.into()),
        ..poll_error(Reason::AccessDenied)
    };
    let note = story.called(1, error("5F8D-1", "denied")).note.unwrap();
    assert_eq!(note.text(), "denied (request ID 5F8D-1)");
    assert_eq!(story.message(), "denied");
    let again = story.called(2, error("5F8D-2", "denied"));
    assert_eq!(again.note, None, "another ID is no news");
    let note = story.called(3, answer("running")).note.unwrap();
    assert_eq!(note.request_id, None);
    let long = error(&"9".repeat(64), &"é".repeat(1024));
    let note = Story::plain().called(1, long).note.unwrap();
    assert!(note.text().len() <= NOTE_BYTES && note.text().ends_with("9)"));
}

//! What is told by an Event, and what is not.

use scaleouttask_controller::rules::{PollError, Reason, Severity, Task};

use crate::fixtures::{NOTE_BYTES, Story, Verdict, answer, describes, task, task_of, trouble};

fn told(verdict: &Verdict) -> Option<(Severity, Reason)> {
    verdict
        .note
        .as_ref()
        .map(|notice| (notice.severity, notice.reason))
}

#[test]
fn these_reasons_are_normal_and_all_others_warn() {
    for reason in Reason::ALL {
        let severity = match reason.as_str() {
            "Pending" => None,
            "TaskRunning" | "TaskPaused" | "TaskStateUnknown" | "TaskSucceeded" | "Suspended" => {
                Some(Severity::Normal)
            }
            _ => Some(Severity::Warning),
        };
        assert_eq!(reason.severity(), severity, "{reason:?}");
    }
}

#[test]
fn each_new_reason_is_told_once() {
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
            Err(trouble(Reason::AccessDenied)),
            Warning,
            Reason::AccessDenied,
        ),
        (
            Err(trouble(Reason::CredentialsInvalid)),
            Warning,
            Reason::CredentialsInvalid,
        ),
        (
            Err(trouble(Reason::ClockSkewed)),
            Warning,
            Reason::ClockSkewed,
        ),
        (
            Err(trouble(Reason::RequestRejected)),
            Warning,
            Reason::RequestRejected,
        ),
    ];
    for (outcome, severity, reason) in rows {
        let mut story = Story::plain();
        let verdict = story.called(1, outcome.clone());
        assert_eq!(told(&verdict), Some((severity, reason)));
        assert_eq!(&*verdict.note.unwrap().message, story.message());
        assert_eq!(told(&story.called(2, outcome)), None, "{reason:?}");
    }
}

#[test]
fn transient_trouble_is_told_from_its_second_failure() {
    for reason in [
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::InvalidResponse,
        Reason::TaskNotFound,
    ] {
        let mut story = Story::plain();
        let calls = [1, 2, 3].map(|seconds| told(&story.called(seconds, trouble(reason))));
        assert_eq!(calls, [None, Some((Severity::Warning, reason)), None]);
    }
}

#[test]
fn pending_is_not_told() {
    let mut story = Story::plain();
    assert_eq!(told(&story.waited(2)), None);
    assert_eq!(story.shows(), "Unknown Reconciling Pending");
}

#[test]
fn suspension_and_a_missing_region_are_told_once() {
    let mut suspended = Story::new(|spec| spec.suspend = Some(true));
    assert_eq!(
        told(&suspended.seen(0)),
        Some((Severity::Normal, Reason::Suspended))
    );
    assert_eq!(told(&suspended.seen(1)), None);
    let mut lost = Story::plain();
    lost.policy.default_region = None;
    assert_eq!(
        told(&lost.seen(0)),
        Some((Severity::Warning, Reason::RegionMissing))
    );
    assert_eq!(told(&lost.seen(1)), None);
}

#[test]
fn a_timeout_and_a_foreign_task_are_told() {
    let mut story = Story::new(|spec| {
        spec.timeout = Some("1m".into());
        spec.cluster_id = Some("c-1".into());
    });
    let mismatch = story.called(1, answer("running"));
    assert_eq!(
        told(&mismatch),
        Some((Severity::Warning, Reason::ClusterMismatch))
    );
    let timeout = story.called(60, answer("running"));
    assert_eq!(told(&timeout), Some((Severity::Warning, Reason::TimedOut)));
}

#[test]
fn a_missing_task_that_stalls_is_not_told_again() {
    let mut story = Story::plain();
    story.called(1, trouble(Reason::TaskNotFound));
    story.called(2, trouble(Reason::TaskNotFound));
    let verdict = story.called(200, trouble(Reason::TaskNotFound));
    assert_eq!(story.shows(), "False Stalled TaskNotFound");
    assert_eq!(told(&verdict), None, "the reason is the same");
}

#[test]
fn progress_alone_is_not_told() {
    let mut story = Story::plain();
    story.called(1, describes(task_of("running", &["initial", "initial"])));
    let verdict = story.called(2, describes(task_of("running", &["success", "initial"])));
    assert_eq!(story.status().progress.as_deref(), Some("1/2"));
    assert_eq!(told(&verdict), None);
}

#[test]
fn a_change_of_spec_on_a_finished_object_is_not_told() {
    let mut story = Story::told("success");
    story.edit(|spec| spec.suspend = Some(true));
    assert_eq!(told(&story.seen(10)), None);
}

/// The API server refuses an Event whose note is longer.
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
            ..trouble(Reason::CredentialsInvalid)
        };
        let notice = refused.called(1, detail).note.unwrap();
        assert!(notice.message.len() <= NOTE_BYTES, "{letter}");
    }
}

//! Why a task failed: what it works on, its stages and its events, and the message of a failure.

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::rules::{MAX_EVENTS, MAX_STAGES, Stage, Target, Task, TaskEvent};

use crate::fixtures::{Story, at_millis, describes, task, task_of};

#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands where the API may send nothing"
)]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn event(millis: i64, level: &str, reason: &str, message: &str) -> TaskEvent {
    TaskEvent {
        time: Some(at_millis(millis)),
        level: text(level),
        reason: text(reason),
        message: text(message),
        source: text("node"),
    }
}

fn stage(state: &str, message: &str) -> Stage {
    Stage {
        state: text(state),
        start_time: text("2022-12-15 23:00:00"),
        end_time: None,
        message: text(message),
    }
}

fn told(task: Task) -> Story {
    let mut story = Story::plain();
    story.called(1, describes(task));
    story
}

/// What the message says after its first sentence.
fn cause(task: Task) -> String {
    let story = told(task);
    let message = story.message();
    message
        .split_once(". ")
        .map(|(_, cause)| cause.to_owned())
        .unwrap_or_default()
}

#[test]
fn a_failure_says_its_error_else_its_newest_error_event_else_its_failed_stage() {
    let events = vec![
        event(9_000, "Error", "Newest", "the newest error"),
        event(8_000, "warning", "Warned", "newer than some"),
        event(1_000, "error", "Oldest", "the oldest error"),
        event(10_000, "info", "Told", "the newest of all"),
    ];
    let stages = vec![
        stage("success", "created"),
        stage("Failed", "no stock left"),
    ];
    let full = |state: &str| Task {
        error: Some((None, text("quota exceeded"))),
        events: events.clone(),
        stages: stages.clone(),
        ..task(state)
    };
    for state in ["fail", "failed", "timeout", "canceled"] {
        let by_error = full(state);
        assert_eq!(cause(by_error), "quota exceeded");
        let by_event = Task {
            error: None,
            ..full(state)
        };
        assert_eq!(cause(by_event), "Newest: the newest error");
        let by_stage = Task {
            error: None,
            events: vec![event(1_000, "warning", "Warned", "of something")],
            ..full(state)
        };
        assert_eq!(cause(by_stage), "no stock left");
        assert_eq!(cause(task(state)), "");
    }
}

#[test]
fn failed_instances_have_a_cause_and_a_task_that_goes_on_or_succeeded_has_none() {
    let with = |task: Task| Task {
        events: vec![event(1, "error", "Stock", "none left in this zone")],
        ..task
    };
    let failed = with(task_of("success", &["success", "failed"]));
    assert_eq!(cause(failed), "Stock: none left in this zone");
    assert_eq!(cause(with(task_of("success", &["success"]))), "");
    assert_eq!(cause(with(task_of("running", &["failed"]))), "");
}

#[test]
fn the_message_says_what_is_under_way_and_whose_time_was_over() {
    let rows = [
        ("pausing", "False Reconciling TaskRunning", "being paused"),
        ("resuming", "False Reconciling TaskRunning", "being resumed"),
        (
            "canceling",
            "False Reconciling TaskRunning",
            "being canceled",
        ),
        (
            "cancelling",
            "False Reconciling TaskRunning",
            "being canceled",
        ),
        (
            "timeout",
            "False Stalled TaskFailed",
            "the cloud's own time",
        ),
    ];
    for (state, shows, words) in rows {
        let story = told(task(state));
        assert_eq!(story.shows(), shows, "{state}");
        assert!(story.message().contains(words), "{}", story.message());
    }
}

#[test]
fn the_newest_events_are_shown_in_the_order_of_time_bad_ones_before_others() {
    let mut events: Vec<_> = (0..30)
        .map(|second| event(second * 1000, "info", &format!("I{second}"), "told"))
        .collect();
    events.push(event(500, "WARNING", "W", "warned"));
    events.push(event(700, "error", "E", "failed"));
    events.push(TaskEvent {
        time: None,
        ..event(0, "error", "Timeless", "at some time")
    });
    events.rotate_left(17);
    let status = told(Task {
        events,
        ..task("running")
    });
    let events = status.status().events.clone().unwrap();
    let reasons: Vec<_> = events.iter().flat_map(|event| &event.reason).collect();
    assert_eq!(
        reasons,
        [
            "Timeless", "W", "E", "I23", "I24", "I25", "I26", "I27", "I28", "I29"
        ]
    );
    assert_eq!(events.len(), MAX_EVENTS);
}

#[test]
fn target_stages_and_events_are_cut_and_hold_no_harmful_characters() {
    let long = |letter: &str| Some(format!("a\n\u{202e}b\u{200f}{}", letter.repeat(2000)));
    let story = told(Task {
        target: Some(Target {
            type_: long("t"),
            id: long("i"),
        }),
        stages: vec![
            Stage {
                state: long("s"),
                start_time: long("s"),
                end_time: long("e"),
                message: long("m"),
            };
            30
        ],
        events: vec![
            TaskEvent {
                time: Timestamp::from_millisecond(1_671_116_400_999).ok(),
                level: long("l"),
                reason: long("r"),
                message: long("m"),
                source: long("s"),
            };
            3
        ],
        ..task("running")
    });
    let status = story.status();
    let length = |text: &Option<String>| {
        let text = text.as_deref().unwrap();
        assert!(text.starts_with("a  b "), "{text:?}");
        text.chars().count()
    };
    let target = status.target.as_ref().unwrap();
    assert_eq!((length(&target.type_), length(&target.id)), (64, 64));
    let stages = status.stages.as_ref().unwrap();
    assert_eq!(stages.len(), MAX_STAGES);
    let one = &stages[0];
    assert_eq!((length(&one.state), length(&one.message)), (64, 256));
    assert_eq!((length(&one.start_time), length(&one.end_time)), (32, 32));
    let one = &status.events.as_ref().unwrap()[0];
    assert_eq!((length(&one.level), length(&one.reason)), (32, 64));
    assert_eq!((length(&one.message), length(&one.source)), (512, 64));
    let time = serde_json::to_value(one.time.as_ref()).unwrap();
    assert_eq!(time, "2022-12-15T15:00:00Z");
}

#[test]
fn every_text_of_the_api_is_shown_without_harmful_characters() {
    let bad = "x\u{1b}[2J\r\n\u{2066}y\u{61c}";
    let story = told(Task {
        cluster_id: text(bad),
        task_type: text(bad),
        current_stage: text(bad),
        error: Some((text(bad), text(bad))),
        ..task_of(bad, &[bad])
    });
    let json = serde_json::to_string(story.status()).unwrap();
    assert!(
        !json.contains("\\u") && !json.contains("\\n") && !json.contains(['\u{2066}', '\u{61c}']),
        "{json}"
    );
}

//! The status fields: normalised, counted and cut to their maximum length.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleouttask_controller::{
    api::{InstanceCounts, ScaleOutTaskStatus, TaskError},
    rules::{Instance, Instances, MAX_RESULTS, PollError, Reason, Task},
};

use crate::fixtures::{Story, answer, at, at_millis, describes, poll_error, task, task_of};

#[test]
fn known_states_are_shown_in_one_spelling_and_others_unchanged() {
    let rows = [
        ("running", "running"),
        ("paused", "paused"),
        ("success", "success"),
        ("fail", "fail"),
        ("failed", "fail"),
        ("canceled", "canceled"),
        ("cancelled", "canceled"),
        ("pausing", "pausing"),
        ("resuming", "resuming"),
        ("canceling", "canceling"),
        ("cancelling", "cancelling"),
        ("timeout", "timeout"),
        ("Failed", "fail"),
        ("SUCCESS", "success"),
        (" Running\t", "running"),
        ("Draining", "Draining"),
    ];
    for (api, shown) in rows {
        assert_eq!(read(task(api)).state.as_deref(), Some(shown));
    }
}

#[test]
fn instance_statuses_are_normalised_and_counted() {
    // The status in the API, the status in the list, and how it is counted.
    let rows = [
        ("success", "success", [1, 0, 0]),
        ("failed", "failed", [0, 1, 0]),
        ("fail", "failed", [0, 1, 0]),
        ("initial", "initial", [0, 0, 1]),
        ("initail", "initial", [0, 0, 1]),
        ("creating", "creating", [0, 0, 1]),
        ("Success", "success", [1, 0, 0]),
        (" FAILED ", "failed", [0, 1, 0]),
        ("Odd", "Odd", [0, 0, 1]),
        ("", "", [0, 0, 1]),
    ];
    for (api, listed, [succeeded, failed, pending]) in rows {
        let status = read(task_of("running", &[api]));
        assert_eq!(status.task_result.unwrap()[0].status, listed, "{api}");
        let counts = InstanceCounts {
            total: 1,
            succeeded,
            failed,
            pending,
        };
        assert_eq!(status.instances, Some(counts), "{api}");
    }
}

#[test]
fn progress_is_succeeded_of_total_and_absent_without_instances() {
    let rows: [(&[&str], Option<&str>); 4] = [
        (&[], None),
        (&["failed"], Some("0/1")),
        (
            &["success", "fail", "initail", "success", "odd"],
            Some("2/5"),
        ),
        (&["success"; 3], Some("3/3")),
    ];
    for (instances, progress) in rows {
        let status = read(task_of("running", instances));
        assert_eq!(status.progress.as_deref(), progress, "{instances:?}");
        assert_eq!(
            status.task_result.is_some(),
            progress.is_some(),
            "{instances:?}"
        );
    }
}

#[test]
fn every_text_is_cut_to_its_maximum_number_of_characters() {
    // Letters of one, three and four bytes.
    for letter in ["x", "错", "🦀"] {
        let text = letter.repeat(5000);
        let status = read(Task {
            task_id: None,
            cluster_id: Some(text.clone()),
            task_type: Some(text.clone()),
            current_stage: Some(text.clone()),
            state: text.clone(),
            results: Instances::from(Instance {
                id: text.clone(),
                status: text.clone(),
            }),
            error: Some((Some(text.clone()), Some(text.clone()))),
            ..Task::default()
        });
        let cut = |chars| letter.repeat(chars);
        assert_eq!(status.cluster_id, Some(cut(64)));
        assert_eq!(status.task_type, Some(cut(64)));
        assert_eq!(status.current_stage, Some(cut(64)));
        assert_eq!(status.state, Some(cut(64)));
        let results = status.task_result.unwrap();
        assert_eq!(
            (&results[0].data, &results[0].status),
            (&cut(128), &cut(64))
        );
        let error = TaskError {
            code: Some(cut(128)),
            message: Some(cut(1024)),
        };
        assert_eq!(status.error, Some(error));
        for condition in status.conditions {
            assert!(condition.message.chars().count() <= 1024);
        }
    }
}

#[test]
fn the_first_thousand_instances_are_listed_and_all_are_counted() {
    assert_eq!(MAX_RESULTS, 1000);
    for (total, cut) in [(999, false), (1000, false), (1001, true), (2500, true)] {
        let mut statuses = vec!["success"; total - 1];
        statuses.push("failed");
        let mut story = Story::plain();
        story.called(1, describes(task_of("running", &statuses)));
        let status = story.status();
        let results = status.task_result.as_ref().unwrap();
        assert_eq!(results.len(), total.min(1000));
        assert_eq!(results[0].data, "i-0");
        assert_eq!(
            results.last().unwrap().data,
            format!("i-{}", results.len() - 1)
        );
        let counts = status.instances.unwrap();
        assert_eq!(
            (counts.total, counts.failed),
            (i32::try_from(total).unwrap(), 1)
        );
        assert_eq!(status.progress, Some(format!("{}/{total}", total - 1)));
        let has_note = story.message().replace(',', "").contains("first 1000");
        assert_eq!(has_note, cut, "{total}: {}", story.message());
    }
}

#[test]
fn the_note_on_the_cut_list_stays_in_the_longest_message() {
    let mut story = Story::plain();
    story.called(
        1,
        describes(Task {
            error: Some((Some("c".repeat(500)), Some("m".repeat(5000)))),
            state: "\u{1}".repeat(500),
            ..task_of("", &["failed"; 1001])
        }),
    );
    assert!(
        story.message().replace(',', "").contains("first 1000"),
        "{}",
        story.message()
    );
}

#[test]
fn times_have_whole_seconds_and_are_absent_if_missing() {
    let status = read(Task {
        created: Some(at_millis(-3_600_001)),
        updated: Some(at_millis(1_999)),
        ..task("running")
    });
    assert_eq!(status.created, Some(Time(at(-3601))));
    assert_eq!(status.updated, Some(Time(at(1))));
    let status = read(task("running"));
    assert_eq!((status.created, status.updated), (None, None));
}

#[test]
fn empty_texts_are_absent() {
    let empty = || Some(String::new());
    let status = read(Task {
        cluster_id: empty(),
        task_type: empty(),
        current_stage: empty(),
        error: Some((empty(), empty())),
        ..task("running")
    });
    assert_eq!((status.cluster_id, status.task_type), (None, None));
    assert_eq!((status.current_stage, status.error), (None, None));
}

#[test]
fn the_tasks_own_error_is_shown_in_part_or_in_full() {
    let text = |text: &str| Some(text.to_owned());
    let rows = [
        (text("Sold.Out"), text("no stock"), ["Sold.Out", "no stock"]),
        (text("Sold.Out"), None, ["Sold.Out", ""]),
        (None, text("no stock"), ["", "no stock"]),
        (text(""), text("no stock"), ["", "no stock"]),
    ];
    for (code, message, words) in rows {
        let mut story = Story::plain();
        story.called(
            1,
            describes(Task {
                error: Some((code.clone(), message.clone())),
                ..task("fail")
            }),
        );
        let error = story.status().error.clone().unwrap();
        assert_eq!(error.code, code.filter(|code| !code.is_empty()));
        assert_eq!(error.message, message);
        for word in words {
            assert!(story.message().contains(word), "{}", story.message());
        }
    }
}

#[test]
fn fields_that_a_later_answer_omits_are_removed() {
    let full = Task {
        cluster_id: Some("c-1".into()),
        task_type: Some("cluster_scaleout".into()),
        current_stage: Some("booting".into()),
        created: Some(at(-9)),
        updated: Some(at(-8)),
        error: Some((Some("Busy".into()), None)),
        ..task_of("running", &["success"])
    };
    let mut story = Story::plain();
    story.called(1, describes(full));
    story.called(2, answer("running"));
    assert_eq!(story.status(), &{
        let mut bare = Story::plain();
        bare.called(1, answer("running"));
        bare.status().clone()
    });
}

#[test]
fn a_poll_request_counts_by_its_first_64_characters() {
    let annotation = "时".repeat(64) + "rest";
    let request = scaleouttask_controller::rules::Object::bounded_poll_request(&annotation);
    assert_eq!(*request, "时".repeat(64));
}

#[test]
fn messages_contain_no_text_of_the_body_but_the_tasks_error() {
    let mut story = Story::new(|spec| spec.timeout = Some("1m".into()));
    let task = || Task {
        task_id: Some("LEAK-0".into()),
        cluster_id: Some("LEAK-1".into()),
        task_type: Some("LEAK-2".into()),
        current_stage: Some("LEAK-3".into()),
        results: Instances::from(Instance {
            id: "LEAK-4".into(),
            status: "LEAK-5".into(),
        }),
        ..task("LEAK-6")
    };
    story.called(1, describes(task()));
    assert!(!story.message().contains("LEAK"), "{}", story.message());
    story.called(60, describes(task()));
    assert_eq!(story.shows(), "False Stalled TimedOut");
    assert!(!story.message().contains("LEAK"), "{}", story.message());
}

#[test]
fn messages_of_stalled_objects_contain_the_code_and_are_cut() {
    for reason in [
        Reason::AccessDenied,
        Reason::CredentialsInvalid,
        Reason::ClockSkewed,
        Reason::RequestRejected,
    ] {
        let mut story = Story::plain();
        story.called(
            1,
            PollError {
                code: Some("Some.Code_1".into()),
                ..poll_error(reason)
            },
        );
        assert!(
            story.message().contains("Some.Code_1"),
            "{}",
            story.message()
        );
        story.called(
            2,
            PollError {
                detail: Some("é".repeat(5000)),
                ..poll_error(reason)
            },
        );
        assert_eq!(story.message().chars().count(), 1024);
    }
}

/// The status of a new object after this answer.
fn read(task: Task) -> ScaleOutTaskStatus {
    let mut story = Story::plain();
    story.called(1, describes(task));
    story.status().clone()
}

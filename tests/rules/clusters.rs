//! A task of another cluster is not shown.

use scaleouttask_controller::rules::{Instance, Instances, Next, Reason, Task};

use crate::fixtures::{Story, answer, describes, next_call, poll_error, task};

const MARKER: &str = "LEAK";

/// The expected cluster, the allowed clusters, the cluster of the task, and whether the task is shown.
type Row = (
    Option<&'static str>,
    &'static [&'static str],
    Option<&'static str>,
    bool,
);

#[test]
fn a_task_is_shown_only_if_its_cluster_is_expected_and_allowed() {
    let rows: [Row; 13] = [
        (None, &[], None, true),
        (None, &[], Some("c-1"), true),
        (Some("c-1"), &[], Some("c-1"), true),
        (Some("c-1"), &[], Some("c-2"), false),
        (Some("c-1"), &[], Some("C-1"), false),
        (Some("c-1"), &[], Some(""), false),
        (Some("c-1"), &[], None, false),
        (None, &["c-1", "c-2"], Some("c-2"), true),
        (None, &["c-1", "c-2"], Some("c-3"), false),
        (None, &["c-1"], None, false),
        (Some("c-1"), &["c-1"], Some("c-1"), true),
        (Some("c-1"), &["c-2"], Some("c-1"), false),
        (Some("c-1"), &["c-2"], Some("c-2"), false),
    ];
    for (expected, allowed, cluster, shown) in rows {
        let mut story = Story::new(|spec| spec.cluster_id = expected.map(Into::into));
        story.policy.allowed_cluster_ids = allowed.iter().map(|id| (*id).into()).collect();
        for state in ["running", "success", "fail"] {
            let mut story = story.clone();
            let task = Task {
                cluster_id: cluster.map(Into::into),
                ..task(state)
            };
            story.called(1, describes(task));
            let mismatch = story.shows() == "False Stalled ClusterMismatch";
            let name = format!("{expected:?} {allowed:?} {cluster:?} {state}");
            assert_eq!(!mismatch, shown, "{name}: {}", story.shows());
            assert_eq!(story.status().state.is_some(), shown, "{name}");
        }
    }
}

#[test]
fn cluster_ids_are_compared_in_full() {
    let long = "c".repeat(64);
    let mut story = Story::new(|spec| spec.cluster_id = Some(long.clone()));
    let task = Task {
        cluster_id: Some(long + "2"),
        ..task("running")
    };
    story.called(1, describes(task));
    assert_eq!(story.shows(), "False Stalled ClusterMismatch");
}

#[test]
fn nothing_of_another_clusters_task_is_shown() {
    for state in ["running", "success", "fail", MARKER] {
        let mut story = own_then_foreign(state);
        assert_eq!(story.shows(), "False Stalled ClusterMismatch", "{state}");
        let json = serde_json::to_value(story.status()).unwrap();
        assert!(!json.to_string().contains(MARKER), "{json}");
        let fields: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["conditions", "observedGeneration"], "{state}");

        story.called(400, poll_error(Reason::TaskApiUnavailable));
        story.called(500, poll_error(Reason::TaskApiUnavailable));
        let json = serde_json::to_string(story.status()).unwrap();
        assert!(!json.contains(MARKER), "{json}");
    }
}

#[test]
fn a_mismatch_is_retried_slowly_and_ends_with_a_task_of_the_right_cluster() {
    let mut story = Story::new(|spec| spec.cluster_id = Some("c-1".into()));
    let verdict = story.called(1, describes(foreign("running")));
    let (after, requested) = next_call(&verdict);
    assert!((270..=330).contains(&after.as_secs()), "{after:?}");
    assert!(!requested);
    let own = Task {
        cluster_id: Some("c-1".into()),
        ..task("success")
    };
    let verdict = story.called(300, describes(own));
    assert_eq!(story.shows(), "True - TaskSucceeded");
    assert_eq!(verdict.next, Some(Next::Rest));
}

#[test]
fn a_mismatch_at_the_last_call_times_out_and_shows_nothing() {
    let mut story = Story::new(|spec| {
        spec.cluster_id = Some("c-1".into());
        spec.timeout = Some("1m".into());
    });
    story.called(60, describes(foreign("success")));
    assert_eq!(story.shows(), "False Stalled TimedOut");
    let json = serde_json::to_string(story.status()).unwrap();
    assert!(!json.contains(MARKER), "{json}");
}

#[test]
fn a_mismatch_ends_a_run_of_failures() {
    let mut story = Story::new(|spec| spec.cluster_id = Some("c-1".into()));
    story.called(1, poll_error(Reason::TaskApiUnavailable));
    story.called(2, describes(foreign("running")));
    let before = story.status().clone();
    story.called(3, poll_error(Reason::TaskApiUnavailable));
    assert_eq!(story.status(), &before);
}

#[test]
fn without_an_expected_cluster_tasks_of_all_clusters_are_shown() {
    let mut story = Story::plain();
    story.called(1, describes(foreign("running")));
    assert_eq!(story.shows(), "False Reconciling TaskRunning");
    assert_eq!(story.status().cluster_id.as_deref(), Some(MARKER));
    story.called(2, answer("running"));
    assert_eq!(story.status().cluster_id, None);
}

/// An object that got an answer about a task of its own cluster, then about one of another cluster.
fn own_then_foreign(state: &str) -> Story {
    let mut story = Story::new(|spec| spec.cluster_id = Some("c-1".into()));
    let own = Task {
        cluster_id: Some("c-1".into()),
        ..foreign("running")
    };
    story.called(1, describes(own));
    story.called(2, describes(foreign(state)));
    story
}

fn foreign(state: &str) -> Task {
    let marker = || Some(MARKER.to_owned());
    Task {
        task_id: marker(),
        cluster_id: marker(),
        task_type: marker(),
        current_stage: marker(),
        created: "2024-05-01T11:00:00Z".parse().ok(),
        results: Instances::from(Instance {
            id: MARKER.into(),
            status: MARKER.into(),
        }),
        error: Some((marker(), marker())),
        ..task(state)
    }
}

/// An object that shows a task of that cluster in this state.
fn showing(cluster: &str, state: &str) -> Story {
    let mut story = Story::plain();
    story.called(1, describes(of_cluster(cluster, state)));
    assert_eq!(story.status().cluster_id.as_deref(), Some(cluster));
    story
}

fn of_cluster(cluster: &str, state: &str) -> Task {
    Task {
        cluster_id: Some(cluster.into()),
        ..task(state)
    }
}

fn check_cleared(story: &Story) {
    let status = story.status();
    assert_eq!(status.cluster_id, None);
    assert_eq!(status.state, None);
    assert_eq!(status.finished_at, None);
}

#[test]
fn what_was_shown_goes_when_the_expected_or_allowed_cluster_becomes_another() {
    let narrow: [fn(&mut Story); 3] = [
        |story| story.edit(|spec| spec.cluster_id = Some("c-2".into())),
        |story| story.policy.allowed_cluster_ids = vec!["c-2".into()],
        |story| {
            story.edit(|spec| spec.cluster_id = Some("c-2".into()));
            story.request("now");
        },
    ];
    for (number, narrow) in narrow.into_iter().enumerate() {
        for state in ["running", "paused", "success", "fail", "canceled"] {
            let mut story = showing("c-1", state);
            narrow(&mut story);
            story.restart();
            let verdict = story.seen(10);
            let name = format!("{number} {state}");
            assert_eq!(story.shows(), "False Stalled ClusterMismatch", "{name}");
            check_cleared(&story);
            next_call(&verdict);
            // The next answer decides: it is still the other cluster's, or by now the right one's.
            let mut other = story.clone();
            other.called(20, describes(of_cluster("c-1", state)));
            assert_eq!(other.shows(), "False Stalled ClusterMismatch", "{name}");
            story.called(20, describes(of_cluster("c-2", "success")));
            assert_eq!(story.shows(), "True - TaskSucceeded", "{name}");
        }
    }
}

#[test]
fn what_was_shown_goes_on_suspended_and_troubled_objects_too() {
    let mut suspended = showing("c-1", "running");
    suspended.edit(|spec| {
        spec.suspend = Some(true);
        spec.cluster_id = Some("c-2".into());
    });
    assert_eq!(suspended.seen(10).next, Some(Next::Rest));
    assert!(
        suspended.shows().ends_with("- Suspended"),
        "{}",
        suspended.shows()
    );
    check_cleared(&suspended);

    let mut troubled = showing("c-1", "running");
    troubled.called(2, poll_error(Reason::AccessDenied));
    troubled.edit(|spec| spec.cluster_id = Some("c-2".into()));
    troubled.call_ends(3, 10, None, Err(poll_error(Reason::AccessDenied)));
    assert_eq!(troubled.shows(), "False Stalled ClusterMismatch");
    check_cleared(&troubled);
}

#[test]
fn an_answer_of_the_right_cluster_replaces_what_was_shown_of_another() {
    let mut story = showing("c-1", "running");
    story.edit(|spec| spec.cluster_id = Some("c-2".into()));
    story.called(10, describes(of_cluster("c-2", "running")));
    assert_eq!(story.shows(), "False Reconciling TaskRunning");
    assert_eq!(story.status().cluster_id.as_deref(), Some("c-2"));
}

#[test]
fn what_is_shown_stays_where_the_cluster_is_still_the_right_one() {
    for state in ["running", "success"] {
        let mut story = showing("c-1", state);
        let before = story.shows();
        story.edit(|spec| spec.cluster_id = Some("c-1".into()));
        story.policy.allowed_cluster_ids = vec!["c-0".into(), "c-1".into()];
        story.restart();
        story.seen(10);
        assert_eq!(story.shows(), before);
        assert_eq!(story.status().cluster_id.as_deref(), Some("c-1"));
    }
}

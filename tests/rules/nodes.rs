//! Waiting for nodes: what an object shows of them, when it is done, and what it waits for no more.

use scaleouttask_controller::{
    api::ScaleOutTaskStatus,
    rules::{Instance, Mark, Next, Node, Reason, Task},
};

use crate::fixtures::{Story, answer, describes, node, poll_error, task_of};

const READY: bool = true;

/// An object that waits for nodes, in a cluster that has been listed.
fn story() -> Story {
    let mut story = Story::new(|spec| spec.wait_for_nodes = Some(true));
    story.policy.nodes = true;
    story.nodes.listed();
    story
}

/// The same, whose task succeeded for three instances.
fn waiting() -> Story {
    let mut story = story();
    story.called(1, describes(succeeded(3)));
    story
}

fn succeeded(instances: usize) -> Task {
    task_of("success", &vec!["success"; instances])
}

fn joins(story: &mut Story, number: usize, is_ready: bool) {
    let id = format!("cn-hangzhou.i-{number}");
    story
        .nodes
        .apply(node(&format!("n-{number}"), &id, is_ready));
}

/// Node and readiness of each instance.
fn nodes_of(story: &Story) -> Vec<(Option<&str>, Option<bool>)> {
    let results = story.status().task_result.iter().flatten();
    results
        .map(|result| (result.node.as_deref(), result.node_ready))
        .collect()
}

#[test]
fn an_object_is_ready_once_all_nodes_are() {
    let mut story = waiting();
    assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
    assert_eq!(story.status().nodes.as_deref(), Some("0/3"));
    assert_eq!(nodes_of(&story), [(None, Some(false)); 3]);
    joins(&mut story, 1, false);
    assert_eq!(story.seen(10).next, Some(Next::Rest), "no call, no timer");
    assert_eq!(story.status().nodes.as_deref(), Some("0/3"));
    assert_eq!(
        story.message(),
        "The task succeeded; 0 of 3 nodes are Ready, missing: i-0 (no Node), i-1 (not Ready) and i-2 (no Node)"
    );
    for number in 0..3 {
        joins(&mut story, number, READY);
        story.seen(20);
    }
    assert_eq!(story.shows(), "True - NodesReady");
    assert_eq!(story.message(), "The task succeeded; all 3 nodes are Ready");
    assert_eq!(story.status().nodes.as_deref(), Some("3/3"));
    assert_eq!(nodes_of(&story)[1], (Some("n-1"), Some(true)));
    assert_eq!(story.finished_at(), Some(20));
}

#[test]
fn a_node_that_is_ready_before_the_end_needs_no_second_look() {
    let mut story = story();
    for number in 0..2 {
        joins(&mut story, number, READY);
    }
    story.called(1, describes(task_of("running", &["success", "initial"])));
    assert_eq!(story.shows(), "False Reconciling TaskRunning");
    assert_eq!(story.status().nodes, None);
    story.called(20, describes(succeeded(2)));
    assert_eq!(story.shows(), "True - NodesReady");
}

#[test]
fn nodes_have_to_be_ready_in_one_look() {
    let mut story = waiting();
    joins(&mut story, 0, READY);
    story.seen(2);
    assert_eq!(story.status().nodes.as_deref(), Some("1/3"));
    joins(&mut story, 0, false);
    joins(&mut story, 1, READY);
    joins(&mut story, 2, READY);
    story.seen(3);
    assert_eq!(story.status().nodes.as_deref(), Some("2/3"));
    story.nodes.remove("n-1");
    joins(&mut story, 0, READY);
    story.seen(4);
    assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
    assert_eq!(nodes_of(&story)[1], (None, Some(false)), "it is gone");
    joins(&mut story, 1, READY);
    story.seen(5);
    assert_eq!(story.shows(), "True - NodesReady");
}

#[test]
fn a_change_that_shows_nothing_writes_nothing() {
    let mut story = waiting();
    joins(&mut story, 0, READY);
    let verdict = story.seen(2);
    joins(&mut story, 7, READY);
    story.nodes.apply(node("i-1", "ack-hybrid://x.i-1", READY));
    let again = story.seen(3);
    assert_eq!(again.status, verdict.status);
    assert_eq!(again.note, None);
}

#[test]
fn what_is_ready_stays_so_whatever_becomes_of_the_nodes() {
    let mut story = waiting();
    (0..3).for_each(|number| joins(&mut story, number, READY));
    story.seen(5);
    let before = story.status().clone();
    story.nodes.remove("n-0");
    joins(&mut story, 1, false);
    assert_eq!(story.seen(6).next, Some(Next::Rest));
    assert_eq!(story.status(), &before);
    // Also where it is asked about again, by a controller that sees no nodes any more.
    story.request("now");
    story.called(7, describes(succeeded(3)));
    assert_eq!(story.shows(), "True - NodesReady");
    assert_eq!(story.finished_at(), Some(5));
    story.policy.nodes = false;
    story.request("again");
    let stage = Some("done".to_owned());
    let task = Task {
        current_stage: stage.clone(),
        ..succeeded(3)
    };
    story.called(8, describes(task));
    assert_eq!(story.shows(), "True - NodesReady");
    assert_eq!(story.status().current_stage, stage);
    assert_eq!(story.status().nodes.as_deref(), Some("3/3"), "they were");
}

#[test]
fn an_edit_is_acknowledged_before_the_nodes_are_listed() {
    let mut story = waiting();
    story.nodes.relist();
    story.edit(|spec| spec.ttl_seconds_after_finished = Some(60));
    story.seen(5);
    assert_eq!(story.status().observed_generation, Some(2));
    assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
}

#[test]
fn what_somebody_else_took_out_of_the_status_is_asked_about() {
    for take in [
        (|status| status.task_result = None) as fn(&mut ScaleOutTaskStatus),
        |status| status.instances = None,
        |status| status.task_result.as_mut().unwrap().truncate(1),
        |status| status.instances.as_mut().unwrap().total = 0,
        |status| status.nodes = Some("999/3".to_owned()),
    ] {
        let mut story = waiting();
        take(&mut story.object.status);
        story.seen(5);
        assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
        story.called(6, describes(succeeded(3)));
        assert_eq!(story.status().nodes.as_deref(), Some("0/3"));
        assert_eq!(nodes_of(&story).len(), 3);
    }
}

#[test]
fn a_wrong_clock_times_no_wait_out() {
    let mut story = waiting();
    story.object.spec.timeout = Some("1m".into());
    story.request("now");
    story.seen(10);
    let next = story.called(100, poll_error(Reason::ClockSkewed)).next;
    assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
    let Some(Next::Wait(left)) = next else {
        panic!("{next:?}");
    };
    assert!(!left.is_zero());
}

#[test]
fn a_region_of_the_spec_is_compared_and_without_one_the_instance_decides() {
    for (region, ready) in [
        (None, true),
        (Some("cn-beijing"), true),
        (Some("cn-hangzhou"), false),
    ] {
        let mut story = story();
        story.object.spec.region = region.map(Into::into);
        story
            .nodes
            .apply(node("n", "alicloud://cn-beijing.i-0", READY));
        story.called(1, describes(succeeded(1)));
        let reason = if ready {
            Reason::NodesReady
        } else {
            Reason::WaitingForNodes
        };
        assert_eq!(story.object.reason(), Some(reason), "{region:?}");
    }
}

#[test]
fn of_two_nodes_of_one_instance_one_suffices() {
    let mut story = story();
    story.nodes.apply(node("a", "cn-hangzhou.i-0", false));
    story.nodes.apply(node("b", "cn-hangzhou.i-0", READY));
    story.called(1, describes(succeeded(1)));
    assert_eq!(story.shows(), "True - NodesReady");
    assert_eq!(nodes_of(&story), [(Some("b"), Some(true))]);
}

#[test]
fn without_instances_nothing_is_waited_for() {
    let mut story = story();
    story.called(1, answer("success"));
    assert_eq!(story.shows(), "True - NodesReady");
    assert_eq!(story.status().nodes.as_deref(), Some("0/0"));
    assert_eq!(story.status().task_result, None);
}

#[test]
fn ends_that_are_bad_need_no_nodes() {
    for (task, reason) in [
        (
            task_of("success", &["success", "failed"]),
            Reason::InstancesFailed,
        ),
        (task_of("fail", &["success"]), Reason::TaskFailed),
        (task_of("canceled", &["success"]), Reason::TaskCanceled),
    ] {
        let mut story = story();
        joins(&mut story, 0, READY);
        story.called(1, describes(task));
        assert_eq!(story.object.reason(), Some(reason));
        assert_eq!(story.status().nodes, None);
    }
}

#[test]
fn the_timeout_runs_on_and_names_the_instances() {
    let mut story = waiting();
    story.object.spec.timeout = Some("1m".into());
    joins(&mut story, 0, READY);
    joins(&mut story, 1, false);
    let Some(Next::Wait(left)) = story.seen(10).next else {
        panic!("it has a deadline");
    };
    assert_eq!(left.as_secs(), 50);
    story.waited(60);
    assert_eq!(story.shows(), "False Stalled TimedOut");
    assert_eq!(
        story.message(),
        "The task succeeded, but its nodes weren't seen to be Ready within 1m of this object's creation: 1 of 3 \
         nodes are Ready, missing: i-1 (not Ready) and i-2 (no Node). Raise or remove spec.timeout to go on"
    );
    assert_eq!(story.status().nodes.as_deref(), Some("1/3"));
    // A raised one goes on, by a call.
    story.edit(|spec| spec.timeout = Some("1h".into()));
    assert!(matches!(story.seen(70).next, Some(Next::Call { .. })));
    story.called(70, describes(succeeded(3)));
    assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
}

#[test]
fn at_the_deadline_ready_nodes_win() {
    let mut story = waiting();
    story.object.spec.timeout = Some("1m".into());
    story.seen(10);
    (0..3).for_each(|number| joins(&mut story, number, READY));
    story.waited(60);
    assert_eq!(story.shows(), "True - NodesReady");
}

#[test]
fn many_missing_instances_are_named_in_part() {
    let mut story = story();
    story.called(1, describes(succeeded(9)));
    let message = story.message().to_owned();
    assert!(
        message.ends_with("missing: i-0 (no Node), i-1 (no Node), i-2 (no Node), i-3 (no Node), i-4 (no Node) and 4 more"),
        "{message}"
    );
}

#[test]
fn an_instance_without_an_id_is_said_to_have_none() {
    let mut story = story();
    let instance = Instance {
        id: String::new(),
        status: "success".into(),
    };
    story.called(
        1,
        describes(Task {
            results: instance.into(),
            ..succeeded(0)
        }),
    );
    assert!(
        story.message().contains("an instance without ID (no Node)"),
        "{}",
        story.message()
    );
}

#[test]
fn a_controller_that_watches_no_nodes_says_how_to_mend_it() {
    let mut story = story();
    story.policy.nodes = false;
    assert_eq!(story.seen(0).next, Some(Next::Rest), "no call");
    assert_eq!(story.shows(), "False Stalled NodesNotWatched");
    assert!(story.message().contains("--nodes"), "{}", story.message());
    // Also for one that waits.
    let mut story = waiting();
    story.policy.nodes = false;
    assert_eq!(story.seen(5).next, Some(Next::Rest));
    assert_eq!(story.shows(), "False Stalled NodesNotWatched");
    story.policy.nodes = true;
    assert!(matches!(story.seen(6).next, Some(Next::Call { .. })));
}

fn of_cluster(name: &str, cluster: &str) -> Node {
    Node {
        cluster: Some(Mark::of(cluster)),
        ..node(name, "", READY)
    }
}

fn of(cluster: &str, task: Task) -> Task {
    Task {
        cluster_id: Some(cluster.to_owned()),
        ..task
    }
}

#[test]
fn a_task_of_another_cluster_than_the_nodes_is_told() {
    let mut story = story();
    story.nodes.apply(of_cluster("a", "c-1"));
    story.called(1, describes(of("c-2", task_of("running", &["initial"]))));
    assert_eq!(story.shows(), "False Stalled NodesElsewhere");
    assert_eq!(story.status().state.as_deref(), Some("running"));
    story.called(20, describes(of("c-2", succeeded(1))));
    assert_eq!(story.shows(), "False Stalled NodesElsewhere");
    // The label changes: then it is no longer so.
    story.nodes.apply(of_cluster("b", "c-2"));
    story.called(320, describes(of("c-2", succeeded(1))));
    assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
    story.nodes.remove("b");
    story.seen(330);
    assert_eq!(story.shows(), "False Stalled NodesElsewhere");
    story.nodes.apply(of_cluster("a", "c-2"));
    story.called(640, describes(of("c-2", succeeded(1))));
    assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
}

#[test]
fn where_no_cluster_is_known_none_is_compared() {
    for (label, cluster) in [
        (None, Some("c-2")),
        (Some("c-1"), None),
        (Some("c-1"), Some("c-1")),
    ] {
        let mut story = story();
        if let Some(label) = label {
            story.nodes.apply(of_cluster("a", label));
        }
        let task = Task {
            cluster_id: cluster.map(Into::into),
            ..succeeded(1)
        };
        story.called(1, describes(task));
        assert_eq!(
            story.shows(),
            "False Reconciling WaitingForNodes",
            "{label:?} {cluster:?}"
        );
    }
}

#[test]
fn a_suspended_object_follows_no_nodes() {
    let mut story = waiting();
    story.edit(|spec| spec.suspend = Some(true));
    story.seen(5);
    assert_eq!(story.shows(), "False - Suspended");
    (0..3).for_each(|number| joins(&mut story, number, READY));
    story.seen(6);
    assert_eq!(story.shows(), "False - Suspended");
    story.edit(|spec| spec.suspend = None);
    story.seen(7);
    story.called(8, describes(succeeded(3)));
    assert_eq!(story.shows(), "True - NodesReady");
}

#[test]
fn an_object_that_no_longer_waits_ends_with_its_task() {
    let mut story = waiting();
    story.edit(|spec| spec.wait_for_nodes = None);
    assert!(matches!(story.seen(5).next, Some(Next::Call { .. })));
    story.called(6, describes(succeeded(3)));
    assert_eq!(story.shows(), "True - TaskSucceeded");
    assert_eq!(story.status().nodes, None);
    assert_eq!(nodes_of(&story), [(None, None); 3]);
    // And to wait afterwards changes nothing.
    story.edit(|spec| spec.wait_for_nodes = Some(true));
    story.seen(7);
    story.request("now");
    story.called(8, describes(succeeded(3)));
    assert_eq!(story.shows(), "True - TaskSucceeded");
}

#[test]
fn a_poll_request_is_answered_while_nodes_are_missing() {
    let mut story = waiting();
    story.request("one");
    assert!(matches!(
        story.seen(5).next,
        Some(Next::Call {
            requested: true,
            ..
        })
    ));
    // An error changes nothing but the echo.
    for seconds in [6, 7, 8] {
        story.request(&seconds.to_string());
        let next = story
            .called(seconds, poll_error(Reason::TaskApiUnavailable))
            .next;
        assert_eq!(next, Some(Next::Rest));
        assert_eq!(story.shows(), "False Reconciling WaitingForNodes");
        let echo = story.status().last_handled_poll_request.clone();
        assert_eq!(echo, Some(seconds.to_string()));
    }
    // Its word is taken where it has one.
    story.request("two");
    story.called(9, answer("running"));
    assert_eq!(story.shows(), "False Reconciling TaskRunning");
    assert_eq!(story.status().nodes, None);
}

#[test]
fn before_the_nodes_are_listed_what_is_shown_stays() {
    let mut story = waiting();
    joins(&mut story, 0, READY);
    story.seen(5);
    let before = story.status().clone();
    assert_eq!(before.nodes.as_deref(), Some("1/3"));
    // A restart.
    story.nodes = scaleouttask_controller::rules::Nodes::default();
    assert_eq!(story.seen(6).next, Some(Next::Rest));
    assert_eq!(story.status(), &before);
    (0..3).for_each(|number| joins(&mut story, number, READY));
    story.seen(7);
    assert_eq!(
        story.status(),
        &before,
        "they may have been Ready one after the other"
    );
    story.nodes.listed();
    story.seen(8);
    assert_eq!(story.shows(), "True - NodesReady");
}

#[test]
fn instances_that_no_status_lists_are_waited_for_too() {
    let mut story = story();
    let first = story.called(1, describes(succeeded(1002)));
    assert!(
        matches!(first.next, Some(Next::Call { .. })),
        "only an answer names them"
    );
    assert_eq!(story.status().nodes.as_deref(), Some("0/1002"));
    (0..1001).for_each(|number| joins(&mut story, number, READY));
    story.called(20, describes(succeeded(1002)));
    assert_eq!(story.status().nodes.as_deref(), Some("1001/1002"));
    assert!(
        story.message().contains("missing: 1 more"),
        "{}",
        story.message()
    );
    joins(&mut story, 1001, READY);
    story.called(40, describes(succeeded(1002)));
    assert_eq!(story.shows(), "True - NodesReady");
}

//! Which objects a change of Nodes wakes, and what it costs.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use k8s_openapi::jiff::SignedDuration;
use scaleouttask_controller::{
    rules::{Case, Instance, Node, NodeInstance, PollResult, Reason, Task, Verdict, observe},
    scheduler::{Config, Effect, Input, NodeInput, Scheduler, Write, WriteResult},
};

use crate::fixtures::{
    Stage, answer, object_in, only_call, only_write, reason, stage, writes, written,
};

const READY: bool = true;

fn node(number: usize, is_ready: bool) -> Input {
    let name = format!("n-{number}");
    Input::Nodes(NodeInput::Applied(Node {
        instance: NodeInstance::parse(&format!("cn-hangzhou.i-{number}")),
        name: name.into(),
        is_ready,
        cluster: None,
    }))
}

fn gone(number: usize) -> Input {
    Input::Nodes(NodeInput::Gone(format!("n-{number}").into()))
}

fn listed() -> Input {
    Input::Nodes(NodeInput::ListingDone)
}

/// A task that succeeded for these instances.
fn success(instances: &[usize]) -> PollResult {
    let instance = |number: &usize| Instance {
        id: format!("i-{number}"),
        status: "success".to_owned(),
    };
    Ok(Task {
        results: instances.iter().map(instance).collect(),
        ..answer("success")?
    })
}

/// Has an object wait for the nodes of these instances.
fn wait(stage: &mut Stage, name: &str, instances: &[usize]) -> Write {
    let object = object_in("ns", name, |spec| spec.wait_for_nodes = Some(true));
    let call = only_call(stage.apply(object));
    let write = only_write(stage.end(&call, success(instances)));
    assert_eq!(reason(&write), Some(Reason::WaitingForNodes));
    assert!(stage.land(&write).is_empty());
    write
}

fn waiting_stage() -> Stage {
    let mut stage = stage();
    stage.handle(listed());
    stage
}

#[test]
fn a_node_wakes_the_objects_that_wait_for_it_only() {
    let mut stage = waiting_stage();
    wait(&mut stage, "a", &[1, 2]);
    wait(&mut stage, "b", &[2]);
    assert!(stage.handle(node(3, READY)).is_empty());
    let write = only_write(stage.handle(node(1, READY)));
    assert_eq!(&*write.object.key.name, "a");
    assert!(stage.land(&write).is_empty());
    let both = writes(stage.handle(node(2, READY)));
    assert_eq!(both.len(), 2);
    for write in &both {
        assert_eq!(reason(write), Some(Reason::NodesReady));
        assert!(stage.land(write).is_empty());
    }
    // Nobody waits any more.
    assert!(stage.handle(gone(2)).is_empty());
    assert!(stage.handle(node(1, false)).is_empty());
    assert_eq!(stage.scheduler.next_wake(), None);
}

#[test]
fn a_change_while_a_write_is_under_way_is_seen_after_it() {
    let mut stage = waiting_stage();
    wait(&mut stage, "a", &[1, 2]);
    let first = only_write(stage.handle(node(1, READY)));
    assert!(
        stage.handle(node(2, READY)).is_empty(),
        "one write at a time"
    );
    let second = only_write(stage.land(&first));
    assert_eq!(reason(&second), Some(Reason::NodesReady));
}

#[test]
fn a_change_before_the_first_write_of_the_wait_landed_is_seen_after_it() {
    let mut stage = waiting_stage();
    let object = object_in("ns", "a", |spec| spec.wait_for_nodes = Some(true));
    let call = only_call(stage.apply(object));
    let write = only_write(stage.end(&call, success(&[1])));
    assert!(stage.handle(node(1, READY)).is_empty());
    let write = only_write(stage.land(&write));
    assert_eq!(reason(&write), Some(Reason::NodesReady));
}

#[test]
fn a_failed_write_is_retried_with_the_nodes_as_they_are_then() {
    let mut stage = waiting_stage();
    wait(&mut stage, "a", &[1]);
    let write = only_write(stage.handle(node(1, false)));
    stage.handle(Input::WriteEnded(write.id, WriteResult::Failed));
    // The API server answers again, or it is time: the write says what is so by then.
    let mut effects = stage.handle(node(1, READY));
    effects.extend(stage.next());
    let write = only_write(effects);
    assert_eq!(reason(&write), Some(Reason::NodesReady));
}

#[test]
fn heartbeats_cost_no_decision_and_nothing_else() {
    static DECISIONS: AtomicUsize = AtomicUsize::new(0);
    fn counted(case: &Case<'_>) -> Verdict {
        DECISIONS.fetch_add(1, Ordering::Relaxed);
        observe(case)
    }
    let mut stage = stage();
    let mut config = Config::default();
    config.policy.nodes = true;
    config.policy.default_region = Some("cn-hangzhou".to_owned());
    stage.scheduler = Scheduler::with_rules(config, counted);
    stage.handle(Input::LeadsUntil(Duration::MAX));
    (0..10_000).for_each(|number| drop(stage.handle(node(number, READY))));
    stage.handle(listed());
    wait(&mut stage, "a", &[1, 10_000]);
    let before = DECISIONS.load(Ordering::Relaxed);
    for number in 0..10_000 {
        assert!(stage.handle(node(number, READY)).is_empty());
    }
    assert_eq!(DECISIONS.load(Ordering::Relaxed), before);
    only_write(stage.handle(node(10_000, READY)));
}

#[test]
fn a_list_that_goes_on_decides_nothing() {
    let mut stage = waiting_stage();
    wait(&mut stage, "a", &[1, 2]);
    let write = only_write(stage.handle(node(1, READY)));
    stage.land(&write);
    stage.handle(Input::Nodes(NodeInput::Relisting));
    // The first was replaced while nobody watched.
    assert!(stage.handle(node(2, READY)).is_empty());
    let write = only_write(stage.handle(listed()));
    assert_eq!(reason(&write), Some(Reason::WaitingForNodes));
    let wait = write.status.nodes.unwrap();
    assert_eq!(wait.nodes.as_deref(), Some("1/2"));
    assert_eq!(wait.results[0].node, None);
}

#[test]
fn who_waits_for_long_is_counted_until_it_ends() {
    let mut stage = waiting_stage();
    wait(&mut stage, "a", &[1, 2]);
    stage.after(Duration::from_mins(10));
    wait(&mut stage, "b", &[3]);
    stage.after(Duration::from_mins(5));
    assert_eq!(stage.scheduler.nodes_overdue(), 1);
    // What it shows changes, and it still waits.
    let write = only_write(stage.handle(node(1, READY)));
    stage.land(&write);
    assert_eq!(stage.scheduler.nodes_overdue(), 1);
    stage.after(Duration::from_mins(10));
    assert_eq!(stage.scheduler.nodes_overdue(), 2);
    let write = only_write(stage.handle(node(2, READY)));
    stage.land(&write);
    assert_eq!(stage.scheduler.nodes_overdue(), 1);
    stage.handle(Input::Gone(object_in("ns", "b", |_| {}).key));
    assert_eq!(stage.scheduler.nodes_overdue(), 0);
    assert_eq!(stage.scheduler.next_wake(), None);
}

#[test]
fn a_new_leader_sees_what_happened_while_it_stood_by() {
    let mut stage = waiting_stage();
    let write = wait(&mut stage, "a", &[1]);
    stage.after(Duration::from_mins(20));
    assert_eq!(stage.scheduler.nodes_overdue(), 1);
    stage.handle(Input::LeadsUntil(Duration::ZERO));
    assert_eq!(stage.scheduler.nodes_overdue(), 0);
    assert!(stage.handle(node(1, READY)).is_empty(), "it stands by");
    // Another leader shows it, or not: here not.
    stage.handle(Input::Applied(0, Box::new(written(&write))));
    let write = only_write(stage.handle(Input::LeadsUntil(Duration::MAX)));
    assert_eq!(reason(&write), Some(Reason::NodesReady));
}

/// The deadline passed while no controller ran, and the last call's answer comes before the Nodes.
#[test]
fn an_object_whose_time_is_over_waits_for_the_first_list() {
    let mut stage = stage();
    stage.handle(node(1, READY));
    let object = object_in("ns", "a", |spec| {
        spec.wait_for_nodes = Some(true);
        spec.timeout = Some("1s".to_owned());
    });
    stage.now.wall += SignedDuration::from_secs(5);
    let call = only_call(stage.apply(object));
    assert!(
        stage.end(&call, success(&[1])).is_empty(),
        "nothing is known yet"
    );
    stage.handle(listed());
    let call = only_call(stage.next());
    let write = only_write(stage.end(&call, success(&[1])));
    assert_eq!(reason(&write), Some(Reason::NodesReady));
}

/// As where the API server was away for a while.
#[test]
fn a_deadline_during_a_list_waits_for_its_end() {
    let mut stage = waiting_stage();
    stage.after(Duration::from_mins(1));
    let object = object_in("ns", "a", |spec| {
        spec.wait_for_nodes = Some(true);
        spec.timeout = Some("65s".to_owned());
    });
    let call = only_call(stage.apply(object));
    let write = only_write(stage.end(&call, success(&[1])));
    stage.land(&write);
    stage.handle(Input::Nodes(NodeInput::Relisting));
    assert!(
        stage.after(Duration::from_secs(6)).is_empty(),
        "nothing is known"
    );
    assert!(stage.handle(node(1, READY)).is_empty());
    let write = only_write(stage.handle(listed()));
    assert_eq!(reason(&write), Some(Reason::NodesReady));
}

/// Without permission to list Nodes it must end all the same.
#[test]
fn an_object_whose_time_is_over_does_not_wait_for_a_list_that_never_comes() {
    let mut stage = stage();
    let object = object_in("ns", "a", |spec| {
        spec.wait_for_nodes = Some(true);
        spec.timeout = Some("1s".to_owned());
    });
    stage.now.wall += SignedDuration::from_secs(5);
    let mut effects = stage.apply(object);
    let mut last = None;
    for _ in 0..40 {
        let next = effects.pop().map(|effect| match effect {
            Effect::Call(call) => stage.end(&call, success(&[1])),
            Effect::Write(write) => {
                let effects = stage.land(&write);
                last = Some(write);
                effects
            }
            other => panic!("{other:?}"),
        });
        match next {
            Some(next) => effects.extend(next),
            None if stage.scheduler.next_wake().is_none() => break,
            None => effects = stage.next(),
        }
    }
    let write = last.unwrap();
    assert_eq!(reason(&write), Some(Reason::TimedOut));
    let message = &write.status.conditions.shown().unwrap().message;
    assert!(!message.contains("missing"), "nobody looked: {message}");
}

#[test]
fn a_refused_write_is_not_hurried_by_a_node_that_flaps() {
    let mut stage = waiting_stage();
    wait(&mut stage, "a", &[1, 2]);
    let write = only_write(stage.handle(node(1, READY)));
    stage.handle(Input::WriteEnded(write.id, WriteResult::Refused));
    for is_ready in [false, true, false] {
        assert!(stage.handle(node(1, is_ready)).is_empty());
    }
    only_write(stage.next());
}

#[test]
fn the_label_of_another_cluster_wakes_those_that_it_concerns() {
    let mut stage = waiting_stage();
    let object = object_in("ns", "a", |spec| spec.wait_for_nodes = Some(true));
    let call = only_call(stage.apply(object));
    let task = success(&[1]).map(|task| Task {
        cluster_id: Some("c-1".to_owned()),
        ..task
    });
    let write = only_write(stage.end(&call, task.clone()));
    stage.land(&write);
    let labelled = |name: &str, cluster: &str| {
        Input::Nodes(NodeInput::Applied(Node {
            name: name.into(),
            instance: None,
            is_ready: true,
            cluster: Some(scaleouttask_controller::rules::Mark::of(cluster)),
        }))
    };
    let write = only_write(stage.handle(labelled("x", "c-2")));
    assert_eq!(reason(&write), Some(Reason::NodesElsewhere));
    assert!(stage.land(&write).is_empty(), "it is asked about slowly");
    // Where they differ, none is compared: the task is asked about within a poll interval.
    let mut effects: Vec<Effect> = stage.handle(labelled("y", "c-1"));
    let began = stage.now.monotonic;
    effects.extend(stage.next());
    assert!(stage.now.monotonic <= began + Duration::from_secs(15));
    let call = only_call(effects);
    let write = only_write(stage.end(&call, task));
    assert_eq!(reason(&write), Some(Reason::WaitingForNodes));
}

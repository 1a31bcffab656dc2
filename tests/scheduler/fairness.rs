//! What one object, namespace or region costs the others: no more than its share.

use std::{collections::BTreeMap, time::Duration};

use scaleouttask_controller::{
    rules::{Object, Reason},
    scheduler::{Call, Effect, Input, WriteResult},
};

use crate::fixtures::{
    Stage, answer, calls, failure, object, object_in, only_call, only_write, stage,
    stage_of_one_call_at_a_time, wait, writes, written,
};

fn every(namespace: &str, name: &str, interval: &str) -> Object {
    object_in(namespace, name, |spec| {
        spec.poll_interval = Some(interval.to_owned());
    })
}

/// Answers each call at once, and lands each write, for that time. Returns the calls, and when.
fn run(stage: &mut Stage, mut effects: Vec<Effect>, time: Duration) -> Vec<(Duration, Call)> {
    let mut made = Vec::new();
    let end = stage.now.monotonic + time;
    loop {
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Call(call) => {
                    effects.extend(stage.end(&call, answer("running")));
                    made.push((stage.now.monotonic, call));
                }
                Effect::Write(write) => effects.extend(stage.land(&write)),
                other => panic!("{other:?}"),
            }
        }
        let wake = stage.scheduler.next_wake().unwrap_or(end).min(end);
        if stage.now.monotonic == end {
            return made;
        }
        effects = stage.after(wake.saturating_sub(stage.now.monotonic));
    }
}

/// The times between calls about each object of a namespace, in seconds.
fn gaps(made: &[(Duration, Call)], namespace: &str) -> Vec<f64> {
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for (at, call) in made {
        if &*call.key.namespace == namespace {
            times.entry(&call.key.name).or_default().push(*at);
        }
    }
    let times = times.values();
    times
        .flat_map(|times| {
            times
                .windows(2)
                .map(|pair| pair[1].saturating_sub(pair[0]).as_secs_f64())
        })
        .collect()
}

#[test]
fn a_namespace_of_thousands_leaves_another_its_share() {
    let mut stage = Stage::with(|limits| limits.requests_per_second = 20.0);
    let mut effects = Vec::new();
    for number in 0..5000 {
        effects.extend(stage.apply(every("large", &number.to_string(), "1s")));
    }
    for number in 0..50 {
        effects.extend(stage.apply(every("small", &number.to_string(), "15s")));
    }
    let made = run(&mut stage, effects, Duration::from_mins(3));
    let gaps = gaps(&made, "small");
    let mean = gaps.iter().sum::<f64>() / f64::from(u32::try_from(gaps.len()).unwrap());
    assert!(gaps.len() > 450, "{}", gaps.len());
    assert!(mean < 15.5, "{mean}");
    assert!(gaps.iter().all(|gap| *gap < 18.0), "{gaps:?}");
}

#[test]
fn poll_requests_take_at_most_every_second_call_while_others_wait() {
    for namespace in ["same", "other"] {
        let mut stage = Stage::with(|limits| limits.requests_per_second = 20.0);
        let mut effects = Vec::new();
        for number in 0..100 {
            effects.extend(stage.apply(every("same", &number.to_string(), "1s")));
        }
        let mut made = Vec::new();
        let names = (0..400).map(|number| format!("requested-{number}"));
        let names: Vec<String> = names.collect();
        for name in &names {
            effects.extend(stage.apply(every(namespace, name, "1h")));
        }
        run(&mut stage, effects, Duration::from_mins(1));
        for round in 0..10 {
            let mut effects = Vec::new();
            for name in &names {
                effects.extend(stage.request(&format!("{namespace}/{name}"), round));
            }
            made.extend(run(&mut stage, effects, Duration::from_secs(2)));
        }
        let of_requests = made
            .iter()
            .filter(|(_, call)| call.key.name.starts_with("requested"));
        let (of_requests, all) = (of_requests.count(), made.len());
        assert!((395..=405).contains(&all), "{all}");
        assert!(2 * of_requests <= all + 2, "{of_requests} of {all}");
        assert!(of_requests > all / 3, "{of_requests} of {all}");
    }
}

#[test]
fn a_poll_request_counts_once_in_five_seconds_for_an_object() {
    let mut stage = stage();
    let effects = stage.apply(every("ns", "a", "1h"));
    run(&mut stage, effects, Duration::from_secs(10));
    let mut made = Vec::new();
    for tenth in 0..200_u64 {
        let effects = stage.request("ns/a", tenth);
        made.extend(run(&mut stage, effects, Duration::from_millis(100)));
    }
    assert_eq!(
        made.len(),
        5,
        "from the first to the last of 20 s: {made:?}"
    );
    let gaps = gaps(&made, "ns");
    assert!(gaps.iter().all(|gap| *gap >= 5.0), "{gaps:?}");
}

/// The calls that are due anyway go on, and act on the requests.
#[test]
fn poll_requests_put_no_call_off_that_is_due() {
    let mut stage = stage();
    let effects = stage.apply(every("ns", "a", "1s"));
    run(&mut stage, effects, Duration::from_secs(10));
    let mut made = Vec::new();
    for tenth in 0..200_u64 {
        let effects = stage.request("ns/a", tenth);
        made.extend(run(&mut stage, effects, Duration::from_millis(100)));
    }
    assert!((19..=26).contains(&made.len()), "in 20 s: {}", made.len());
}

#[test]
fn a_wait_beside_a_5xx_holds_its_own_object_and_the_account_from_the_second_on() {
    let mut stage = stage();
    let call = |stage: &mut Stage, name: &str| only_call(stage.apply(object(name)));
    let first = call(&mut stage, "first");
    stage.end(&first, wait(Reason::TaskApiUnavailable, 60));
    let second = call(&mut stage, "second");
    assert!(stage.end(&second, answer("running")).len() == 1, "a write");
    let third = call(&mut stage, "third");
    stage.end(&third, wait(Reason::TaskApiUnavailable, 60));
    let effects = stage.apply(object("fourth"));
    assert!(effects.is_empty(), "the account waits: {effects:?}");
}

#[test]
fn throttling_with_a_wait_holds_the_account_at_that_host_only() {
    let mut stage = stage();
    let first = only_call(stage.apply(object("first")));
    stage.end(&first, wait(Reason::Throttled, 60));
    assert!(stage.apply(object("second")).is_empty());
    let elsewhere = object_in("ns", "third", |spec| {
        spec.region = Some("cn-beijing".to_owned());
    });
    only_call(stage.apply(elsewhere));
}

#[test]
fn regions_of_one_host_share_its_rate() {
    let mut stage = stage_of_one_call_at_a_time();
    // The vendor's endpoints have the region in the host: each is another.
    let in_region = |name: &str, region: &str| {
        object_in("ns", name, |spec| spec.region = Some(region.to_owned()))
    };
    let one = only_call(stage.apply(in_region("a", "cn-beijing")));
    let other = only_call(stage.apply(in_region("b", "cn-shanghai")));
    assert_ne!(one.queue, other.queue);
    let default = only_call(stage.apply(object("c")));
    let effects = stage.apply(in_region("d", "cn-hangzhou"));
    assert!(effects.is_empty(), "named or not, it is one: {effects:?}");
    let next = only_call(stage.end(&default, failure(Reason::TaskApiUnavailable)));
    assert_eq!(&*next.key.name, "d");
}

/// The writes of a namespace hang, as behind a webhook that doesn't answer.
fn stage_with_writes_that_hang(objects: usize) -> Stage {
    let mut stage = Stage::with(|limits| limits.concurrency = 1000);
    for number in 0..objects {
        for call in calls(stage.apply(object_in("hangs", &number.to_string(), |_| {}))) {
            stage.end(&call, answer("running"));
        }
    }
    stage
}

#[test]
fn writes_that_hang_leave_room_for_those_of_another_namespace() {
    let mut stage = stage_with_writes_that_hang(90);
    let call = only_call(stage.apply(object_in("other", "a", |_| {})));
    let write = only_write(stage.end(&call, answer("running")));
    stage.land(&write);
    let events = stage.events.iter();
    let of_other = events.filter(|event| &*event.key.namespace == "other");
    assert_eq!(of_other.count(), 1, "its Event comes at once, too");
}

#[test]
fn a_namespace_whose_answers_wait_to_be_written_is_not_asked_about() {
    let mut stage = stage_with_writes_that_hang(300);
    // A hundred answers are its share.
    assert_eq!(stage.scheduler.calls(), (0, 200));
    only_call(stage.apply(object_in("other", "a", |_| {})));
}

#[test]
fn a_namespace_is_asked_about_again_once_its_answers_are_written() {
    let mut stage = Stage::with(|limits| limits.concurrency = 1000);
    let mut under_way = Vec::new();
    for number in 0..300 {
        for call in calls(stage.apply(object_in("slow", &number.to_string(), |_| {}))) {
            under_way.extend(writes(stage.end(&call, answer("running"))));
        }
    }
    let mut landed = 0;
    while let Some(write) = under_way.pop() {
        landed += 1;
        let mut effects = stage.land(&write);
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Write(write) => under_way.push(*write),
                Effect::Call(call) => effects.extend(stage.end(&call, answer("running"))),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(landed, 300);
}

#[test]
fn an_object_that_etcd_does_not_take_is_retried_once_a_minute_at_last() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("large")));
    let mut effects = stage.end(&call, answer("running"));
    let begin = stage.now.monotonic;
    let mut attempts = 0;
    while stage.now.monotonic < begin + Duration::from_mins(20) {
        effects = match effects.pop() {
            Some(Effect::Write(write)) => {
                attempts += 1;
                stage.handle(Input::WriteEnded(write.id, WriteResult::Refused))
            }
            Some(other) => panic!("{other:?}"),
            None => stage.next(),
        };
    }
    assert!((20..=60).contains(&attempts), "{attempts}");
}

#[test]
fn a_status_that_waited_is_decided_on_the_newest_object() {
    let mut stage = Stage::with(|limits| limits.concurrency = 1000);
    let mut under_way = Vec::new();
    let mut last = None;
    for number in 0..33 {
        let call = only_call(stage.apply(object(&number.to_string())));
        under_way.extend(writes(stage.end(&call, answer("running"))));
        last = Some(call);
    }
    let waits = last.unwrap();
    let mut touched = object(&waits.key.name);
    touched.resource_version = "77".into();
    assert!(stage.apply(touched).is_empty());
    let write = only_write(stage.land(&under_way[0]));
    assert_eq!(write.object.resource_version, "77".into());
    assert_eq!(written(&write).reason(), Some(Reason::TaskRunning));
}

/// Each keeps its answer until it is written.
#[test]
fn a_namespace_whose_writes_all_fail_is_asked_about_no_more_than_its_share() {
    let mut stage = Stage::with(|limits| limits.concurrency = 10_000);
    let mut called = 0;
    for number in 0..1000 {
        let mut effects = stage.apply(object_in("fails", &number.to_string(), |_| {}));
        while let Some(effect) = effects.pop() {
            effects.extend(match effect {
                Effect::Call(call) => {
                    called += 1;
                    stage.end(&call, answer("running"))
                }
                Effect::Write(write) => {
                    stage.handle(Input::WriteEnded(write.id, WriteResult::Failed))
                }
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(called, 100);
    only_call(stage.apply(object_in("other", "a", |_| {})));
}

//! Errors of the task API: each delays only the objects that it concerns, and they recover.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{RateLimit, Script, Simulator};
use testbed::world::{World, eventually, eventually_within, ready};

/// A second region with its own task API.
fn elsewhere(task: &str) -> (Simulator, String) {
    let cloud = Simulator::start(Script::default()).unwrap();
    cloud.set_task(task.parse().unwrap());
    let endpoint = format!("cn-beijing={}", cloud.url());
    (cloud, endpoint)
}

fn in_beijing(task: &str) -> Value {
    json!({ "taskId": task, "region": "cn-beijing" })
}

async fn poll_now(world: &World, name: &str, request: &str) {
    let annotation = json!({ "scaleout.dev/poll-requested-at": request });
    let patch = json!({ "metadata": { "annotations": annotation } });
    world.patch(name, patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_delays_only_its_own_objects() {
    let mut world = World::new("hanging").await;
    world.add_task("{id: T-1, duration: 10h, faults: [{kind: hang}]}");
    let (cloud, endpoint) = elsewhere("{id: T-2, duration: 10h}");
    world.start_with(
        &[
            "--credentials",
            "none",
            "--endpoint-for",
            &endpoint,
            "--concurrency",
            "2",
        ],
        &[],
    );
    for number in 0..6 {
        let name = format!("hangs-{number}");
        world.create(&name, json!({ "taskId": "T-1" })).await;
    }
    eventually("every slot of the region is taken", || async {
        world.simulator.in_flight() == 2
    })
    .await;
    world.create("elsewhere", in_beijing("T-2")).await;
    world.until_reason("elsewhere", "TaskRunning").await;
    let before = cloud.requests("T-2");
    eventually("further polls", || async {
        cloud.requests("T-2") >= before + 3
    })
    .await;
    assert_eq!(world.simulator.max_in_flight(), 2);
    world.until_reason("hangs-5", "Pending").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_pauses_its_region_and_no_other() {
    let mut world = World::new("pause").await;
    world.add_task("{id: T-1, duration: 10h}");
    world.add_task("{id: T-2, duration: 10h}");
    let (cloud, endpoint) = elsewhere("{id: T-3, duration: 10h}");
    let args = ["--credentials", "none", "--endpoint-for", &endpoint];
    world.start_with(&args, &[]);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.create("two", json!({ "taskId": "T-2" })).await;
    world.create("three", in_beijing("T-3")).await;
    for name in ["one", "two", "three"] {
        world.until_reason(name, "TaskRunning").await;
    }
    let pause = "{requests: 1, status: 429, retryAfter: \"6\"}";
    world.simulator.set_fault("T-1", pause.parse().unwrap());
    let throttled_at = || {
        let log = world.simulator.request_log();
        let refused = log.iter().rev().find(|call| call.answered == Some(429));
        refused.map(|call| call.at)
    };
    eventually("throttling", || async { throttled_at().is_some() }).await;
    let throttled_at = throttled_at().unwrap();
    let elsewhere = cloud.total_requests();
    let resumed = || {
        let log = world.simulator.request_log();
        // Calls that were already in flight may end after the throttled one.
        let soon = throttled_at + Duration::from_secs(1);
        log.iter().find(|call| call.at > soon).map(|call| call.at)
    };
    eventually("the region resumes", || async { resumed().is_some() }).await;
    let pause = resumed().unwrap() - throttled_at;
    assert!(
        (Duration::from_millis(5900)..Duration::from_secs(9)).contains(&pause),
        "{pause:?}"
    );
    assert!(
        cloud.total_requests() >= elsewhere + 4,
        "the other region was polled meanwhile"
    );
    // A single failure is not written.
    world.until_writes("one", 1).await;
    assert_eq!(world.writes("one"), [200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttling_account_slows_as_a_whole_and_recovers() {
    let mut world = World::new("throttled").await;
    world.add_task("{id: T-1, duration: 10h}");
    // An absurd value counts as absent: the rate falls, and nothing pauses forever.
    let mut limit = RateLimit::per_second(5);
    limit.answer.retry_after = Some("-1e99".to_owned());
    world.simulator.set_rate_limit(Some(limit));
    world.start_with(
        &["--credentials", "none", "--requests-per-second", "40"],
        &[],
    );
    for number in 0..30 {
        let name = format!("t-{number}");
        world.create(&name, json!({ "taskId": "T-1" })).await;
    }
    eventually("a throttled call", || async {
        world
            .simulator
            .request_log()
            .iter()
            .any(|call| call.answered == Some(429))
    })
    .await;
    // Thirty objects once a second would be six times the limit.
    let settled = Instant::now() + Duration::from_secs(5);
    let seconds = 10;
    let end = settled + Duration::from_secs(seconds);
    eventually("ten seconds later", || async { Instant::now() > end }).await;
    let log = world.simulator.request_log();
    let window = log.iter().filter(|call| (settled..end).contains(&call.at));
    let (calls, refused) = window.fold((0, 0), |(calls, refused), call| {
        (calls + 1, refused + u64::from(call.answered == Some(429)))
    });
    println!("{calls} calls in {seconds} s, {refused} of them throttled");
    assert!((2 * seconds..7 * seconds).contains(&calls), "{calls}");
    assert!(refused < calls / 4, "{refused} of {calls}");
    world.simulator.set_rate_limit(None);
    for number in [0, 15, 29] {
        world
            .until_reason(&format!("t-{number}"), "TaskRunning")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_objects_are_not_retried_soon_and_recover() {
    let rows = [
        ("403", "Forbidden.RAM", "AccessDenied"),
        ("401", "Unauthorized", "CredentialsInvalid"),
        ("400", "InvalidTimeStamp.Expired", "ClockSkewed"),
        ("400", "InvalidParameter", "RequestRejected"),
    ];
    let mut world = World::new("stalled").await;
    for (number, (status, code, _)) in rows.iter().enumerate() {
        world.add_task(&format!(
            "{{id: T-{number}, duration: 10h, faults: [{{status: {status}, code: {code}}}]}}"
        ));
    }
    world.start();
    for (number, (_, code, reason)) in rows.iter().enumerate() {
        let name = format!("t-{number}");
        let spec = json!({ "taskId": format!("T-{number}") });
        world.create(&name, spec).await;
        let object = world.until_reason(&name, reason).await;
        assert_eq!(ready(&object), (*reason, "False", "Stalled"));
        let message = &object.ready().unwrap().message;
        assert!(message.contains(code), "{message}");
    }
    let calls = world.simulator.total_requests();
    // Several poll intervals later, there was no further call.
    world.add_task("{id: T-clock, duration: 10h}");
    world.create("clock", json!({ "taskId": "T-clock" })).await;
    eventually("five polls of another", || async {
        world.simulator.requests("T-clock") >= 5
    })
    .await;
    let of_clock = world.simulator.requests("T-clock");
    assert_eq!(world.simulator.total_requests(), calls + of_clock);
    world.simulator.clear_faults();
    for number in 0..rows.len() {
        let name = format!("t-{number}");
        world.add_task(&format!("{{id: T-{number}}}"));
        poll_now(&world, &name, "corrected").await;
        world.until_reason(&name, "TaskSucceeded").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_task_is_waited_for_and_stalls_after_two_minutes() {
    let mut world = World::new("unknown").await;
    world.start();
    world.create("late", json!({ "taskId": "T-late" })).await;
    world.create("never", json!({ "taskId": "T-never" })).await;
    let object = world.until_reason("late", "TaskNotFound").await;
    assert_eq!(ready(&object), ("TaskNotFound", "Unknown", "Reconciling"));
    world.add_task("{id: T-late}");
    world.until_reason("late", "TaskSucceeded").await;

    let created = Instant::now();
    eventually_within(Duration::from_mins(3), "the object stalls", || async {
        ready(&world.get("never").await) == ("TaskNotFound", "False", "Stalled")
    })
    .await;
    println!("stalled {:?} after it was created", created.elapsed());
    assert!(created.elapsed() > Duration::from_mins(1));
    // One write for the second failure, and one at the end of the grace period.
    assert_eq!(world.writes("never"), [200, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_request_is_served_at_once_also_after_the_end() {
    let mut world = World::new("requests").await;
    world.add_task("{id: T-1, duration: 10h}");
    world.start();
    let spec = json!({ "taskId": "T-1", "pollInterval": "1h" });
    world.create("one", spec).await;
    world.until_reason("one", "TaskRunning").await;
    world.add_task("{id: T-1}");
    poll_now(&world, "one", "first").await;
    let ended = world.until_reason("one", "TaskSucceeded").await;
    assert_eq!(
        ended.status.last_handled_poll_request.as_deref(),
        Some("first")
    );
    let calls = world.simulator.requests("T-1");
    // The task runs again, and the status shows it.
    world.add_task("{id: T-1, duration: 10h}");
    poll_now(&world, "one", "second").await;
    let reopened = world.until_reason("one", "TaskRunning").await;
    assert!(reopened.status.finished_at.is_none());
    assert_eq!(world.simulator.requests("T-1"), calls + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tasks_of_allowed_clusters_are_shown() {
    let mut world = World::new("allowed").await;
    world.add_task("{id: T-ours, clusterId: c-ours}");
    world.add_task("{id: T-theirs, clusterId: c-theirs}");
    let args = [
        "--credentials",
        "none",
        "--allowed-cluster-id",
        "c-ours",
        "--allowed-cluster-id",
        "c-also",
    ];
    world.start_with(&args, &[]);
    world.create("ours", json!({ "taskId": "T-ours" })).await;
    world
        .create("theirs", json!({ "taskId": "T-theirs" }))
        .await;
    world.until_reason("ours", "TaskSucceeded").await;
    let theirs = world.until_reason("theirs", "ClusterMismatch").await;
    assert_eq!(ready(&theirs), ("ClusterMismatch", "False", "Stalled"));
    assert_eq!(theirs.status.state, None);

    // What was shown goes once it is no longer allowed, though its task has ended.
    world.stop();
    world.start_with(
        &["--credentials", "none", "--allowed-cluster-id", "c-also"],
        &[],
    );
    let ours = world.until_reason("ours", "ClusterMismatch").await;
    assert_eq!(ours.status.state, None);
    assert_eq!(ours.status.cluster_id, None);
    assert_eq!(ours.status.finished_at, None);
}

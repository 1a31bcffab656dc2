//! A clock of this machine that is off, as the task API's answers tell: nothing ends or is deleted before its time.

use std::time::Duration;

use scaleouttask_controller::rules::Reason;
use serde_json::json;
use simulator::{Fault, Task};
use testbed::world::{World, eventually};

/// Two days, as the API's clock is behind this machine's.
const BEHIND: i64 = -2 * 24 * 3600;
/// Longer than all timeouts and TTLs here, and than a new leader waits for the calendar to be confirmed.
const LONG: Duration = Duration::from_secs(18);

async fn stays(world: &World, name: &str, reason: &str) {
    let object = world.get(name).await;
    assert_eq!(
        object.reason().map(Reason::as_str),
        Some(reason),
        "{name}: {}",
        world.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_ends_and_deletes_nothing_before_its_time() {
    let mut world = World::new("ahead").await;
    world.simulator.set_task(Task::in_state("T-1", "running"));
    world.add_task("{id: T-2}");
    world.start();
    let run = json!({ "taskId": "T-1", "timeout": "14s" });
    world.create("running", run.clone()).await;
    let suspended = json!({ "taskId": "T-1", "timeout": "14s", "suspend": true });
    world.create("suspended", suspended).await;
    let ended = json!({ "taskId": "T-2", "ttlSecondsAfterFinished": 14 });
    world.create("ended", ended).await;
    world.until_reason("running", "TaskRunning").await;
    world.until_reason("suspended", "Suspended").await;
    world.until_reason("ended", "TaskSucceeded").await;
    // From now on this machine's clock is two days ahead, by the API's word. The first answer after the start
    // comes before anything ends.
    world.stop();
    world.simulator.set_clock_ahead(BEHIND);
    world.start();
    tokio::time::sleep(LONG).await;
    stays(&world, "running", "TaskRunning").await;
    stays(&world, "suspended", "Suspended").await;
    stays(&world, "ended", "TaskSucceeded").await;
    let log = world.log();
    let line = log
        .lines()
        .find(|line| line.contains("this machine's clock differs"));
    assert!(
        line.is_some_and(|line| line.contains("ahead_seconds=1728")),
        "{log}"
    );
    let (_, metrics) = world.admin("/metrics").await;
    assert!(
        metrics.contains("scaleouttask_clock_skew_seconds 1728"),
        "{metrics}"
    );

    // Once the clocks agree, all is as it was meant.
    world.simulator.set_clock_ahead(0);
    world.until_reason("running", "TimedOut").await;
    world.until_reason("suspended", "TimedOut").await;
    eventually("the ended one is deleted", || async {
        world.api().get_opt("ended").await.unwrap().is_none()
    })
    .await;
    assert_eq!(
        world
            .log()
            .matches("agrees with the task API's again")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_clock_is_off_ends_and_deletes_nothing() {
    let mut world = World::new("off").await;
    world.simulator.set_task(Task::in_state("T-1", "running"));
    world.start();
    world
        .create("one", json!({ "taskId": "T-1", "timeout": "6s" }))
        .await;
    world.until_reason("one", "TaskRunning").await;
    world
        .simulator
        .set_fault("T-1", Fault::error(400, "InvalidTimeStamp.Expired"));
    world.until_reason("one", "ClockSkewed").await;
    let calls = world.simulator.requests("T-1");
    tokio::time::sleep(Duration::from_secs(8)).await;
    stays(&world, "one", "ClockSkewed").await;
    // One more came at the deadline.
    assert!(world.simulator.requests("T-1") <= calls + 1);
    eventually("no Event of a timeout", || async {
        !world
            .events("one")
            .await
            .iter()
            .any(|(_, reason)| reason == "TimedOut")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_at_run_time_ends_and_deletes_nothing_before_its_time() {
    let mut world = World::new("jumps").await;
    world.simulator.set_task(Task::in_state("T-1", "running"));
    world.add_task("{id: T-2}");
    world.start();
    let hour = json!({ "taskId": "T-1", "timeout": "1h" });
    world.create("running", hour).await;
    let ended = json!({ "taskId": "T-2", "ttlSecondsAfterFinished": 3600 });
    world.create("ended", ended).await;
    world.until_reason("running", "TaskRunning").await;
    world.until_reason("ended", "TaskSucceeded").await;
    // To the API, this machine's clock is two days ahead, then two days behind.
    for ahead in [BEHIND, -BEHIND] {
        world.simulator.set_clock_ahead(ahead);
        let calls = world.simulator.requests("T-1");
        eventually("more calls", || async {
            world.simulator.requests("T-1") >= calls + 4
        })
        .await;
        stays(&world, "running", "TaskRunning").await;
        stays(&world, "ended", "TaskSucceeded").await;
    }
}

/// Without STS there is no call of the task API that could tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_by_the_word_of_sts_ends_nothing_before_its_time() {
    let mut world = World::with_script("sts-clock", "{sts: {lifetime: 1h}}".parse().unwrap()).await;
    let token = world.plane.directory().join("clock-token");
    std::fs::write(&token, "token").unwrap();
    let sts = world.simulator.sts_url();
    let env = [
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/reader"),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::1:oidc-provider/ack",
        ),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token.to_str().unwrap()),
        ("ALIBABA_CLOUD_STS_ENDPOINT", sts.as_str()),
    ];
    world.simulator.set_clock_ahead(BEHIND);
    let fault = Fault::error(400, "InvalidTimeStamp.Expired");
    world.simulator.set_sts_fault(fault);
    world.start_with(&[], &env);
    world.create("asked", json!({ "taskId": "T-1" })).await;
    let suspended = json!({ "taskId": "T-1", "timeout": "3s", "suspend": true });
    world.create("suspended", suspended).await;
    world.until_reason("asked", "ClockSkewed").await;
    tokio::time::sleep(LONG).await;
    stays(&world, "suspended", "Suspended").await;
}

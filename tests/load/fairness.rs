//! What one object, namespace or region does, asks or suffers costs no other more than its share.

use std::time::Duration;

use scaleouttask_controller::api::ScaleOutTaskSpec;
use serde_json::json;
use simulator::Task;
use testbed::{
    admission::Rule,
    hanging::HangingServers,
    harness::percentile,
    newcomers::{TASK, Wait, newcomers},
    objects::{Edits, create_all, names},
    polls::{ROUNDS, Window},
    world::{PATIENCE, World, eventually, eventually_within},
};
use tokio::sync::Mutex;

/// Each of these tests keeps the machine busy and measures times: one at a time.
pub static TURN: Mutex<()> = Mutex::const_new(());
/// Bounds the calls of all queues together.
const MAX_CALLS: &[&str] = &["--max-calls", "32"];
/// How much longer others may wait.
const DELAY: Duration = Duration::from_secs(1);

/// Waits until each of these tasks was asked about.
async fn until_polled(world: &World, prefix: &str, count: usize) {
    // Where the machine is so busy that a call timed out, its host waits for a turn among those that hang.
    let limit = 3 * PATIENCE;
    eventually_within(limit, &format!("{prefix} are all polled"), || async {
        (0..count).all(|number| world.simulator.requests(&format!("{prefix}-{number}")) > 0)
    })
    .await;
}

fn longest(waits: &[Wait], which: fn(&Wait) -> Duration) -> Duration {
    waits.iter().map(which).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn poll_requests_take_at_most_every_second_call_while_others_wait() {
    let _turn = TURN.lock().await;
    let mut world = World::new("asking").await;
    let others = world.add_namespace("others").await;
    world.fill(&world.namespace, "asking", 3, "1h").await;
    // They want 50 calls a second.
    world.fill(&others, "other", 100, "2s").await;
    let args = ["--credentials", "none", "--namespace", &others];
    world.start_with(&[&args[..], &["--requests-per-second", "20"]].concat(), &[]);
    until_polled(&world, "asking", 3).await;
    until_polled(&world, "other", 100).await;
    let before = Window::pass(Duration::from_secs(8)).await;

    let edits = Edits::start(world.api(), names("asking", 3), 30, |round| {
        let annotation = json!({ "scaleout.dev/poll-requested-at": round.to_string() });
        json!({ "metadata": { "annotations": annotation } })
    });
    // What comes while that settles isn't counted.
    Window::pass(Duration::from_secs(3)).await;
    let made = edits.made();
    let during = Window::pass(Duration::from_secs(15)).await;
    let made = edits.made() - made;
    let log = world.simulator.request_log();
    let undisturbed = before.rate(&log, "other-");
    let (asking, others) = (during.rate(&log, "asking-"), during.rate(&log, "other-"));
    println!(
        "{undisturbed:.1} calls/s before; {others:.1} during, and {asking:.1} for {made} requests"
    );
    // A busy machine takes fewer of them.
    assert!(made >= 45, "{made} requests");
    assert!(undisturbed > 10.0, "{undisturbed}");
    assert!(asking > 0.0, "no request was heard");
    assert!(asking <= others, "{asking} of {} calls/s", asking + others);
    assert!(
        others >= undisturbed / 2.0,
        "{others} after {undisturbed} calls/s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_thousands_of_fast_objects_leaves_another_its_share() {
    const INTERVAL: Duration = Duration::from_secs(8);
    let _turn = TURN.lock().await;
    let mut world = World::new("few").await;
    let crowd = world.add_namespace("crowd").await;
    world.fill(&crowd, "crowd", 1000, "1s").await;
    // They want 6 calls a second, and half of all would be 10.
    world.fill(&world.namespace, "few", 50, "8s").await;
    let args = ["--credentials", "none", "--namespace", &crowd];
    // All are due at once, as after a restart.
    world.start_with(&[&args[..], &["--requests-per-second", "20"]].concat(), &[]);
    until_polled(&world, "few", 50).await;
    // Something else may keep the machine busy for a while, so a longer interval counts where it is there each time.
    for _ in 1..=ROUNDS {
        let window = Window::pass(Duration::from_secs(25)).await;
        let log = world.simulator.request_log();
        let intervals = window.intervals(&log, "few-");
        let longest = *intervals.values().flatten().max().unwrap();
        let (few, crowd) = (window.rate(&log, "few-"), window.rate(&log, "crowd-"));
        println!("{few:.1} and {crowd:.1} calls/s; the longest interval of the few: {longest:?}");
        assert_eq!(intervals.len(), 50);
        assert!(crowd > 5.0, "the crowd doesn't take its share: {crowd}");
        if longest <= INTERVAL.mul_f64(1.2) {
            return;
        }
    }
    panic!("the few waited too long each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_events_of_one_namespace_delay_no_other() {
    const FLAPPING: usize = 200;
    let _turn = TURN.lock().await;
    let mut world = World::new("refused").await;
    let calm = world.add_namespace("calm").await;
    world.simulator.set_task(Task::in_state(TASK, "running"));
    world.fill(&world.namespace, "flaps", FLAPPING, "1h").await;
    let args = ["--credentials", "none", "--namespace", &calm];
    world.start_with(
        &[&args[..], &["--requests-per-second", "1000"]].concat(),
        &[],
    );
    eventually("the first Events are there", || async {
        world.audited_verbs("events").len() >= FLAPPING
    })
    .await;
    let pause = Duration::from_millis(500);
    let before = newcomers(&world.client, &calm, "before", 5, pause)
        .await
        .unwrap();

    let namespace = &world.namespace;
    let rule = Rule::refuse_events(world.plane, &world.client, namespace).await;
    let _rule = rule.unwrap();
    let tried = || world.audited_verbs("events").len();
    let tried_before = tried();
    let edits = Edits::start(
        world.api(),
        names("flaps", FLAPPING),
        40,
        |round| json!({ "spec": { "suspend": round % 2 == 0 } }),
    );
    eventually("all are edited once", || async { edits.made() >= FLAPPING }).await;
    let pause = Duration::from_secs(1);
    let during = newcomers(&world.client, &calm, "during", 10, pause)
        .await
        .unwrap();
    let (edits, refused) = (edits.made(), tried() - tried_before);
    let [before, during] = [before, during].map(|waits| longest(&waits, |wait| wait.event));
    println!(
        "Events came {before:?} after their statuses at most, {during:?} beside {edits} edits and \
         {refused} refused Events"
    );
    assert!(refused > 100, "{refused} refused");
    assert!(during <= DELAY + before, "{during:?} after {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_for_one_namespace_delays_no_other() {
    const HANGING: usize = 200;
    let _turn = TURN.lock().await;
    let mut world = World::new("webhook").await;
    let calm = world.add_namespace("calm").await;
    world.simulator.set_task(Task::in_state(TASK, "running"));
    let args = ["--credentials", "none", "--namespace", &calm];
    world.start_with(
        &[&args[..], &["--requests-per-second", "1000"]].concat(),
        &[],
    );
    let pause = Duration::from_millis(500);
    let before = newcomers(&world.client, &calm, "before", 5, pause)
        .await
        .unwrap();

    let server = HangingServers::start(1).await.unwrap();
    let namespace = &world.namespace;
    let rule = Rule::hang_status_writes(world.plane, &world.client, namespace, &server).await;
    let _rule = rule.unwrap();
    let asked = server.accepted();
    world.fill(namespace, "hangs", HANGING, "1h").await;
    // As many as one namespace may have under way; others aren't even asked about.
    eventually("writes hang", || async {
        server.accepted() > asked && server.open() >= 32
    })
    .await;
    let pause = Duration::from_secs(1);
    let during = newcomers(&world.client, &calm, "during", 15, pause)
        .await
        .unwrap();
    let waits: [fn(&Wait) -> Duration; 2] = [|wait| wait.status, |wait| wait.event];
    let [before, during] = [before, during].map(|all| waits.map(|which| longest(&all, which)));
    println!(
        "status and Event came after {before:?} at most, {during:?} while {} writes hung",
        server.most_open()
    );
    assert!(server.open() > 0, "nothing hangs any more");
    for (before, during) in before.into_iter().zip(during) {
        assert!(during <= DELAY + before, "{during:?} after {before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_regions_that_hang_leave_a_healthy_one_its_lag() {
    const INTERVAL: Duration = Duration::from_secs(2);
    const REGIONS: u16 = 100;
    const HANGING: usize = 300;
    const HEALTHY: usize = 30;
    let _turn = TURN.lock().await;
    let mut world = World::new("regions").await;
    let servers = HangingServers::start(REGIONS).await.unwrap();
    let endpoints: Vec<String> = servers
        .addresses()
        .iter()
        .enumerate()
        .map(|(number, address)| format!("--endpoint-for=made-up-{number}=http://{address}"))
        .collect();
    let hanging = (0..HANGING).map(|number| {
        let region = number % usize::from(REGIONS);
        let spec = ScaleOutTaskSpec {
            task_id: format!("hangs-{number}"),
            region: Some(format!("made-up-{region}")),
            ..ScaleOutTaskSpec::default()
        };
        (format!("hangs-{number}"), spec)
    });
    create_all(&world.api(), hanging).await.unwrap();
    world.fill(&world.namespace, "healthy", HEALTHY, "2s").await;
    let mut args = vec!["--credentials", "none", "--requests-per-second", "100"];
    args.extend(MAX_CALLS);
    args.extend(endpoints.iter().map(String::as_str));
    world.start_with(&args, &[]);
    eventually("regions hang", || async { servers.open() >= 16 }).await;
    until_polled(&world, "healthy", HEALTHY).await;
    let window = Window::pass(Duration::from_secs(25)).await;
    let intervals = window.intervals(&world.simulator.request_log(), "healthy-");
    let lags = intervals.values().flatten();
    let lags: Vec<f64> = lags
        .map(|interval| interval.saturating_sub(INTERVAL).as_secs_f64())
        .collect();
    let (p99, most) = (percentile(&lags, 99), servers.most_open());
    println!("lag of the healthy: p99 {p99:.3} s; {most} connections to the others at most");
    assert_eq!(intervals.len(), HEALTHY);
    assert!(p99 <= DELAY.as_secs_f64(), "{p99} s");
    assert!(servers.open() > 0, "nothing hangs any more");
    assert!(most <= 32, "{most} connections");
}

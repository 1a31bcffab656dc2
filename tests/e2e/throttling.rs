//! How long a call waits that the API refuses for its rate, and who else does.

use std::time::Duration;

use serde_json::json;
use simulator::{Script, Simulator};
use testbed::world::{World, eventually};

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Each object of the account at that host.
    All,
    /// The object alone.
    One,
}

/// An answer, how long the object then waits, and who waits with it.
struct Row {
    fault: String,
    wait: Duration,
    who: Waits,
}

const BY_USER: &str = "x-ratelimit-user";
const BY_API: &str = "x-ratelimit-user-api";
const VENDORS: &str = "x-acs-retry-after";

fn left(millis: &str) -> String {
    format!("Limit:1,Remain:0,TimeLeft:{millis},Reset:1234")
}

fn rows() -> Vec<Row> {
    let given = |answer: &str, headers: &[(&str, &str)], seconds: u64, who| {
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: '{value}'"))
            .collect();
        Row {
            fault: format!(
                "{{requests: '1', {answer}, headers: {{{}}}}}",
                headers.join(", ")
            ),
            wait: Duration::from_secs(seconds),
            who,
        }
    };
    let too_many = "status: 429";
    let (two, four, nine) = (left("2000"), left("4000"), left("9000"));
    let (zero, negative) = (left("0"), left("-5"));
    vec![
        given(too_many, &[(VENDORS, "3000")], 3, Waits::All),
        given(
            "status: 400, code: Anything",
            &[(VENDORS, "3000")],
            3,
            Waits::All,
        ),
        given(
            "status: 500, code: InternalError",
            &[(VENDORS, "3000")],
            3,
            Waits::All,
        ),
        given(too_many, &[("Retry-After", "3")], 3, Waits::All),
        given(too_many, &[(BY_API, &four)], 4, Waits::All),
        given(too_many, &[(BY_USER, &four)], 4, Waits::All),
        // The larger of the two.
        given(too_many, &[(BY_API, &two), (BY_USER, &four)], 4, Waits::All),
        // One goes before the other.
        given(
            too_many,
            &[(VENDORS, "3000"), ("Retry-After", "9"), (BY_USER, &nine)],
            3,
            Waits::All,
        ),
        given(
            too_many,
            &[("Retry-After", "3"), (BY_USER, &nine)],
            3,
            Waits::All,
        ),
        // What makes no sense counts as absent.
        given(
            too_many,
            &[(VENDORS, "0"), ("Retry-After", "3")],
            3,
            Waits::All,
        ),
        given(
            too_many,
            &[(VENDORS, "-5"), ("Retry-After", "3")],
            3,
            Waits::All,
        ),
        given(
            too_many,
            &[(VENDORS, "soon"), (BY_USER, &four)],
            4,
            Waits::All,
        ),
        given(
            too_many,
            &[("Retry-After", "-3"), (BY_API, &zero), (BY_USER, &four)],
            4,
            Waits::All,
        ),
        given(
            too_many,
            &[(BY_API, &negative), (BY_USER, &two)],
            2,
            Waits::All,
        ),
        // Not throttled: the object alone.
        given("status: 503", &[("Retry-After", "3")], 3, Waits::One),
        // Cut to five minutes, so that none comes within the test.
        given(
            too_many,
            &[(VENDORS, "99999999999999999999")],
            300,
            Waits::All,
        ),
        given(
            too_many,
            &[("Retry-After", "99999999999999999999")],
            300,
            Waits::All,
        ),
    ]
}

/// The longest time between two requests about a task, from its `from`th on.
fn longest_gap(simulator: &Simulator, task: &str, from: usize) -> Duration {
    let log = simulator.request_log();
    let calls: Vec<_> = log.iter().filter(|call| call.task_id == task).collect();
    let pairs = calls.windows(2).skip(from);
    pairs
        .map(|pair| pair[1].at - pair[0].at)
        .max()
        .unwrap_or_default()
}

/// How long the call waits that comes after the fault; none before there are that and another object's.
fn wait_after_fault(simulator: &Simulator) -> Option<Duration> {
    let log = simulator.request_log();
    let of = |task: &str| {
        log.iter()
            .filter(|call| call.task_id == task)
            .collect::<Vec<_>>()
    };
    let calls = of("T-bad");
    let bad = calls
        .iter()
        .position(|call| call.answered.is_some_and(|status| status != 200))?;
    let next = calls.get(bad + 1)?;
    of("T-other").iter().find(|call| call.at > next.at)?;
    Some(next.at - calls[bad].at)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_header_gives_its_wait_and_says_who_waits() {
    let mut world = World::new("waits").await;
    let rows = rows();
    let script: Script = "tasks: [{id: T-bad, duration: 1h}, {id: T-other, duration: 1h}]"
        .parse()
        .unwrap();
    let simulators: Vec<Simulator> = rows
        .iter()
        .map(|_| Simulator::start(script.clone()).unwrap())
        .collect();
    let endpoints = simulators.iter().enumerate();
    let endpoints = endpoints.map(|(n, api)| format!("--endpoint-for=row-{n}={}", api.url()));
    let endpoints: Vec<String> = endpoints.collect();
    let mut args = vec!["--credentials", "none"];
    args.extend(endpoints.iter().map(String::as_str));
    world.start_with(&args, &[]);
    for n in 0..rows.len() {
        for task in ["bad", "other"] {
            let spec = json!({ "taskId": format!("T-{task}"), "region": format!("row-{n}") });
            world.create(&format!("{task}-{n}"), spec).await;
        }
    }
    let polled_twice = |api: &Simulator| api.requests("T-bad") >= 2 && api.requests("T-other") >= 2;
    eventually("two calls each", || async {
        simulators.iter().all(polled_twice)
    })
    .await;
    let before: Vec<usize> = simulators
        .iter()
        .map(|api| api.requests("T-other"))
        .collect();
    for (row, api) in rows.iter().zip(&simulators) {
        api.set_fault("T-bad", row.fault.parse().unwrap());
    }
    let soon = |wait: Duration| wait < Duration::from_mins(1);
    eventually("the calls after the faults", || async {
        let mut pairs = rows
            .iter()
            .zip(&simulators)
            .filter(|(row, _)| soon(row.wait));
        pairs.all(|(_, api)| wait_after_fault(api).is_some())
    })
    .await;
    for ((row, api), before) in rows.iter().zip(&simulators).zip(before) {
        let fault = &row.fault;
        if !soon(row.wait) {
            assert_eq!(wait_after_fault(api), None, "{fault}");
            continue;
        }
        let wait = wait_after_fault(api).unwrap();
        // To a tenth, and what a busy machine adds.
        let most = row.wait.mul_f64(1.1) + Duration::from_millis(300);
        assert!(
            wait >= row.wait.mul_f64(0.99) && wait <= most,
            "{fault}: {wait:?}"
        );
        let other = longest_gap(api, "T-other", before.saturating_sub(1));
        let others_wait = other >= row.wait.mul_f64(0.6);
        assert_eq!(others_wait, row.who == Waits::All, "{fault}: {other:?}");
    }
}

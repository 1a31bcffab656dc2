//! The effect of every fault on the client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use common::{Answer, answer, get, send_request, start, task, until};
use simulator::{Fault, Script, Simulator, Task};

/// A simulator whose task T-1 runs forever, with this fault.
fn with(fault: &str) -> Simulator {
    let simulator = start("tasks: [{id: T-1, outcome: running}]");
    simulator.set_fault(
        "T-1",
        fault.parse().unwrap_or_else(|error| panic!("{error}")),
    );
    simulator
}

fn answer_to(fault: &str) -> Answer {
    task(&with(fault), "T-1")
}

#[test]
fn any_status_comes_with_the_error_body_and_headers() {
    let answer =
        answer_to("{status: 503, code: Busy, message: later, retryAfter: 7, headers: {X-A: b}}");
    assert_eq!(answer.status, 503);
    let body = answer.json();
    assert_eq!(
        (&body["code"], &body["message"]),
        (&"Busy".into(), &"later".into())
    );
    assert_eq!(
        body["requestId"],
        answer.header("x-acs-request-id").unwrap()
    );
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("x-a"), Some("b"));
}

#[test]
fn other_successful_statuses_keep_the_body() {
    let answer = answer_to("{status: 202}");
    assert_eq!((answer.status, answer.state().as_str()), (202, "running"));
    assert_eq!(answer_to("{status: 204}").status, 204);
}

#[test]
fn faults_apply_to_their_requests() {
    let simulator = start(
        "tasks: [{id: T-1, faults: [{requests: '2-3', status: 503}, {requests: 3-4, status: 500}]}]",
    );
    let statuses =
        |count: usize| -> Vec<_> { (0..count).map(|_| task(&simulator, "T-1").status).collect() };
    assert_eq!(statuses(5), [200, 503, 503, 500, 200]);
    simulator.set_fault("T-1", Fault::status(429).on(1..=1));
    assert_eq!(statuses(2), [429, 200]);
}

#[test]
fn faults_of_a_single_task_have_priority() {
    let simulator = start("tasks: [{id: T-1}, {id: T-2}]");
    simulator.set_fault_for_all(Fault::status(503));
    simulator.set_fault("T-1", Fault::status(500));
    assert_eq!(
        [
            task(&simulator, "T-1").status,
            task(&simulator, "T-2").status
        ],
        [500, 503]
    );
    simulator.clear_faults();
    assert_eq!(
        [
            task(&simulator, "T-1").status,
            task(&simulator, "T-2").status
        ],
        [200, 200]
    );
}

#[test]
fn a_fault_of_one_region_does_not_apply_to_others() {
    let simulator = start("{regionInPath: true, tasks: [{id: T-1}]}");
    simulator.set_fault_for_all(Fault::status(503).in_region("a"));
    assert_eq!(get(&simulator, "/a/tasks/T-1").status, 503);
    assert_eq!(get(&simulator, "/b/tasks/T-1").status, 200);
}

#[test]
fn hanging_request_is_in_flight_until_its_client_disconnects() {
    let simulator = with("{kind: hang}");
    let mut stream = send_request(&simulator, "GET", "/tasks/T-1", &[], "");
    until("it is in flight", || simulator.in_flight() == 1);
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let silence = stream.read(&mut [0]).unwrap_err().kind();
    assert!(
        matches!(silence, ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{silence}"
    );
    simulator.clear_faults();
    assert_eq!(task(&simulator, "T-1").status, 200);
    drop(stream);
    until("the request has ended", || simulator.in_flight() == 0);
    assert_eq!(simulator.max_in_flight(), 2);
    let answered: Vec<_> = simulator
        .request_log()
        .iter()
        .map(|one| one.answered)
        .collect();
    assert_eq!(answered, [None, Some(200)]);
}

#[test]
fn hanging_connection_ends_with_the_simulator() {
    let simulator = with("{kind: hang}");
    let mut stream = send_request(&simulator, "GET", "/tasks/T-1", &[], "");
    until("it is in flight", || simulator.in_flight() == 1);
    drop(simulator);
    assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
}

#[test]
fn reset_is_a_reset() {
    let simulator = with("{kind: reset}");
    let broken = answer(send_request(&simulator, "GET", "/tasks/T-1", &[], "")).unwrap_err();
    assert_eq!(broken, ErrorKind::ConnectionReset);
    until("the request has ended", || simulator.in_flight() == 0);
    assert_eq!(simulator.request_log()[0].answered, None);
}

#[test]
fn delayed_answer_comes_after_its_delay() {
    let started = Instant::now();
    assert_eq!(answer_to("{delay: 150ms}").state(), "running");
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[test]
fn slow_body_is_complete_but_takes_time() {
    let started = Instant::now();
    let answer = answer_to("{slow: {bytes: 100, every: 50ms}}");
    assert_eq!((answer.state().as_str(), answer.whole), ("running", true));
    assert!(
        started.elapsed() >= Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn truncated_body_is_shorter_than_its_content_length() {
    let answer = answer_to("{truncate: 20}");
    assert_eq!(
        (answer.status, answer.body.len(), answer.whole),
        (200, 20, false)
    );
    let nothing = answer_to("{truncate: 0}");
    assert_eq!((nothing.body.len(), nothing.whole), (0, false));
}

#[test]
fn oversized_body_is_valid_json_of_that_size() {
    let answer = answer_to("{size: 2000000}");
    assert_eq!((answer.body.len(), answer.whole), (2_000_000, true));
    assert_eq!(answer.state(), "running");
}

#[test]
fn endless_body_is_chunked_and_never_ends() {
    let simulator = with("{kind: endless}");
    let mut stream = send_request(&simulator, "GET", "/tasks/T-1", &[], "");
    let mut bytes = vec![0; 3_000_000];
    stream.read_exact(&mut bytes).unwrap();
    let head = String::from_utf8_lossy(&bytes[..2000]).to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(simulator.in_flight(), 1);
    drop(stream);
    until("the request has ended", || simulator.in_flight() == 0);
}

#[test]
fn bodies_can_be_garbled_mislabelled_empty_or_of_another_task() {
    let garbage = answer_to("{kind: garbage}");
    assert_eq!(garbage.status, 200);
    assert!(std::str::from_utf8(&garbage.body).is_err());

    let gzip = answer_to("{headers: {Content-Encoding: gzip}}");
    assert_eq!(
        (gzip.header("content-encoding"), gzip.state().as_str()),
        (Some("gzip"), "running")
    );

    assert_eq!(answer_to("{body: ''}").body, b"");
    assert_eq!(answer_to("{body: '{\"state\":'}").text(), "{\"state\":");
    assert_eq!(
        answer_to("{contentType: text/html}").header("content-type"),
        Some("text/html")
    );
    assert_eq!(answer_to("{taskId: T-2}").json()["task_id"], "T-2");
}

#[test]
fn redirect_has_its_target() {
    let answer = answer_to("{redirect: 'http://127.0.0.1:1/'}");
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("http://127.0.0.1:1/"))
    );
}

#[test]
fn requests_above_the_rate_limit_are_throttled() {
    let simulator = start(
        "{tasks: [{id: T-1}], rateLimit:
            {rate: 2/h, per: overall, answer: {status: 400, code: Throttling.User, retryAfter: 3}}}",
    );
    let answers: Vec<_> = (0..3).map(|_| task(&simulator, "T-1")).collect();
    assert_eq!(answers[1].status, 200);
    assert_eq!(
        (answers[2].status, &answers[2].json()["code"]),
        (400, &"Throttling.User".into())
    );
    assert_eq!(answers[2].header("retry-after"), Some("3"));
    simulator.set_rate_limit(None);
    assert_eq!(task(&simulator, "T-1").status, 200);
}

#[test]
fn each_region_has_its_own_rate_limit() {
    let simulator = start("{regionInPath: true, rateLimit: 1/h, tasks: [{id: T-1}]}");
    let statuses =
        ["a", "a", "b"].map(|region| get(&simulator, &format!("/{region}/tasks/T-1")).status);
    assert_eq!(statuses, [200, 429, 200]);
}

#[test]
fn it_can_restart_at_the_same_address() {
    let first = start("tasks: [{id: T-1}]");
    let address = first.address();
    assert_eq!(task(&first, "T-1").status, 200);
    drop(first);
    let script = Script {
        tasks: vec![Task::new("T-2")],
        ..Script::default()
    };
    let second = Simulator::start_on(script, address).unwrap();
    assert_eq!(task(&second, "T-2").status, 200);
}

#[tokio::test]
async fn it_starts_and_stops_within_a_runtime() {
    let simulator = start("tasks: [{id: T-1}]");
    assert_eq!(task(&simulator, "T-1").status, 200);
    drop(simulator);
}

//! Bad answers by status and body. The simulator gives them to signed calls. Those that fit on a line
//! are in `answers.yaml`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulator::Fault;

use super::row::{
    ALL_EXPECTED, Answer, Expected, FAILED, INVALID, MISMATCH, REJECTED, RUNNING, Row, SUCCEEDED,
    THROTTLED, UNKNOWN_STATE,
};

const MIB: usize = 1024 * 1024;
/// The cluster that the objects of [`mismatched`] expect. The simulator's tasks belong to it.
const OWN_CLUSTER: &str = "c00000000000000000000000000000001";
const SUCCESS: &str = r#"{"state":"success"}"#;

/// All rows. `canary` is a URL that must never be called.
pub fn rows(canary: &str) -> Vec<Row> {
    [
        short(canary),
        long_waits(),
        nested(),
        large(),
        long_codes(),
        mismatched(),
        odd_but_good(),
        long_texts(),
    ]
    .concat()
}

fn row(kind: &str, expected: Expected, fault: Fault) -> Row {
    Row::new(kind, expected, Answer::Faults(vec![fault]))
}

fn body(kind: &str, expected: Expected, body: impl Into<String>) -> Row {
    let fault = Fault {
        body: Some(body.into()),
        ..Fault::default()
    };
    row(kind, expected, fault)
}

fn short(canary: &str) -> Vec<Row> {
    let table = include_str!("answers.yaml").replace("CANARY", canary);
    let table: BTreeMap<String, BTreeMap<String, Fault>> =
        serde_saphyr::from_str(&table).unwrap_or_else(|error| panic!("{error}"));
    let rows = table.into_iter().flat_map(|(reason, faults)| {
        let expected = ALL_EXPECTED
            .into_iter()
            .find(|expected| expected.0 == reason);
        let expected = expected.unwrap_or_else(|| panic!("no reason {reason}"));
        let row = move |(kind, fault): (String, _)| row(&kind, expected, fault);
        faults.into_iter().map(row)
    });
    rows.collect()
}

/// Only the second failure is written, and its `Retry-After` is longer than any test.
fn long_waits() -> Vec<Row> {
    let rows = [
        ("Retry-After of weeks", "9999999"),
        (
            "Retry-After of more than fits",
            "99999999999999999999999999",
        ),
        ("Retry-After in decades", "Sat, 06 Nov 2094 08:49:37 GMT"),
    ];
    let row = |(kind, value): (_, &str)| {
        let second = Fault {
            retry_after: Some(value.to_owned()),
            ..Fault::status(429)
        };
        let faults = vec![Fault::status(429).on(1..=1), second];
        Row::new(kind, THROTTLED, Answer::Faults(faults)).that_stays()
    };
    rows.map(row).into()
}

/// Nested so deep that a recursive parser would overflow its stack.
fn nested() -> Vec<Row> {
    let deep = |text: &str| text.repeat(100_000);
    let code = Fault {
        body: Some(format!(r#"{{"code":{}"#, "[".repeat(50_000))),
        ..Fault::status(400)
    };
    let invalid = [
        ("arrays within arrays", deep("[")),
        (
            "arrays within a field",
            format!(r#"{{"state":"success","outputs":{}"#, deep("[")),
        ),
        (
            "arrays within the results",
            format!(r#"{{"state":"success","task_result":{}"#, deep("[")),
        ),
        ("objects within a state", deep(r#"{"state":"#)),
        (
            "objects within an error",
            format!(r#"{{"state":"fail","error":{}"#, deep(r#"{"a":"#)),
        ),
        ("elements within elements", deep("<a>")),
        ("elements within a state", format!("<state>{}", deep("<a>"))),
        (
            "elements within a result",
            format!("<task_result>{}", deep("<data>")),
        ),
    ];
    let mut rows: Vec<_> = invalid
        .into_iter()
        .map(|(kind, text)| body(kind, INVALID, text))
        .collect();
    rows.push(row("arrays within a code", REJECTED, code));
    rows
}

fn large() -> Vec<Row> {
    let padded = |size| Fault {
        body: Some(SUCCESS.to_owned()),
        size: Some(size),
        ..Fault::default()
    };
    let many = vec![r#"{"data":"i-123"}"#; 100_000].join(",");
    vec![
        row("just 1 MiB", SUCCEEDED, padded(MIB)),
        row("a byte more than 1 MiB", INVALID, padded(MIB + 1)),
        row("2 MiB", INVALID, padded(2 * MIB)),
        body(
            "an instance of unknown fields",
            INVALID,
            r#"{"state":"success","task_result":[null,{},{"LEAK-000":1}]}"#,
        ),
        body(
            "100,000 instances",
            INVALID,
            format!(r#"{{"state":"success","task_result":[{many}]}}"#),
        ),
    ]
}

fn long_codes() -> Vec<Row> {
    let code = |kind, code: &str| row(kind, REJECTED, Fault::error(400, code));
    vec![
        code("a code of 65 letters", &"x".repeat(65)),
        code("a code of 10,000 letters", &"LEAK-000".repeat(1250)),
    ]
}

/// A task of another cluster: not even the name of its cluster is shown.
fn mismatched() -> Vec<Row> {
    let theirs = r#"{"state":"fail","cluster_id":"LEAK-000","error":{"code":"LEAK-000"},
        "task_result":[{"data":"LEAK-000"}]}"#;
    let similar = format!(r#"{{"state":"success","cluster_id":"{OWN_CLUSTER}LEAK-000"}}"#);
    let rows = [
        ("another cluster's task", theirs),
        ("no cluster's task", SUCCESS),
        ("a task of a cluster with a similar name", &similar),
    ];
    let nothing = json!({ "clusterId": null, "state": null, "taskResult": null, "error": null });
    let row = |(kind, text): (_, &str)| {
        body(kind, MISMATCH, text)
            .of_cluster(OWN_CLUSTER)
            .showing(nothing.clone())
    };
    rows.map(row).into()
}

/// Answers that are odd, but describe the task.
fn odd_but_good() -> Vec<Row> {
    let odd = |kind, rest: &str, shows: Value| {
        let text = format!(r#"{{"state":"running",{rest}}}"#);
        body(kind, RUNNING, text).showing(shows)
    };
    let one = json!([{ "data": "i-1", "status": "odd" }]);
    vec![
        odd(
            "fields that are never copied",
            r#""parameters":{"password":"LEAK-000"},"outputs":["LEAK-000"],"LEAK-000":"LEAK-000",
                "stages":[{"outputs":"LEAK-000"}],"events":[{"action":"LEAK-000"}],
                "target":{"name":"LEAK-000"},"task_id":null"#,
            json!({ "state": "running", "taskResult": null }),
        ),
        odd(
            "times out of range",
            r#""created":"10000-01-01T00:00:00Z","updated":"-000001-01-01T00:00:00Z""#,
            json!({ "created": null, "updated": null }),
        ),
        odd(
            "times that never were",
            r#""created":"2020-02-30T00:00:00Z","updated":"LEAK-000""#,
            json!({ "created": null, "updated": null }),
        ),
        odd(
            "other types for times, type and stage",
            r#""created":1,"updated":-1,"task_type":5,"current_stage":["LEAK-000"]"#,
            json!({ "created": null, "updated": null, "taskType": null, "currentStage": null }),
        ),
        odd(
            "a text for an error",
            r#""error":"LEAK-000""#,
            json!({ "error": null }),
        ),
        odd(
            "an instance out of its array",
            r#""task_result":{"data":"i-1","status":"odd"}"#,
            json!({ "progress": "0/1", "taskResult": one }),
        ),
        odd(
            "instances that say nothing",
            r#""task_result":[null,{},{}]"#,
            json!({ "progress": null, "taskResult": null }),
        ),
    ]
}

/// Texts of the task are shown, cut to their maximum length.
fn long_texts() -> Vec<Row> {
    let x = |count| "x".repeat(count);
    let and_more = |count| format!("{}LEAK-000", x(count));
    let rows = [
        (
            "a state of 10,000 letters",
            UNKNOWN_STATE,
            json!({ "state": format!("{}{}", x(64), "LEAK-000".repeat(1250)) }),
            json!({ "state": x(64) }),
        ),
        (
            "a state of control characters",
            UNKNOWN_STATE,
            json!({ "state": "\u{1b}[31m\0\u{202e}odd" }),
            json!({ "state": " [31m  odd" }),
        ),
        (
            "long words",
            UNKNOWN_STATE,
            json!({ "state": "odd", "task_type": and_more(64), "current_stage": and_more(64),
                "cluster_id": and_more(64),
                "task_result": [{ "data": and_more(128), "status": and_more(64) }] }),
            json!({ "taskType": x(64), "currentStage": x(64), "clusterId": x(64),
                "taskResult": [{ "data": x(128), "status": x(64) }] }),
        ),
        (
            "70,000 instances",
            UNKNOWN_STATE,
            json!({ "state": "odd", "task_result": vec![json!({ "data": "i" }); 70_000] }),
            json!({ "progress": "0/70000", "instances":
                { "total": 70_000, "succeeded": 0, "failed": 0, "pending": 70_000 } }),
        ),
        (
            "a long error",
            FAILED,
            json!({ "state": "failed",
                "error": { "code": and_more(128), "message": and_more(1024) } }),
            json!({ "state": "fail", "error": { "code": x(128), "message": x(1024) } }),
        ),
        (
            "an error that forges lines",
            FAILED,
            json!({ "state": "fail",
                "error": { "code": "Odd", "message": "\u{1b}[2J\nERROR forged\u{202e}" } }),
            json!({ "state": "fail" }),
        ),
    ];
    let row = |(kind, expected, task, shows): (_, _, Value, _)| {
        body(kind, expected, task.to_string()).showing(shows)
    };
    rows.map(row).into()
}

//! Tasks change as in their scripts, in the formats of the API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::time::Duration;

use common::{Answer, get, start, task, until};
use serde_json::json;
use simulator::{DEMONSTRATION, Script, Task};

const SAMPLE: &str = r#"
clusterId: c78592bfe92244365b3c3ad47f1de****
outcome: running
created: "2020-11-10T16:02:04+08:00"
updated: "2020-11-10T16:03:06+08:00"
instances: [{id: i-xxx}]
id: T-5faa48fb31b6b8078d000006
"#;

fn only(body: &str) -> simulator::Simulator {
    let simulator = start("tasks: []");
    simulator.set_task(body.parse().unwrap_or_else(|error| panic!("{error}")));
    simulator
}

#[test]
fn json_is_the_sample_byte_for_byte() {
    let answer = task(&only(SAMPLE), "T-5faa48fb31b6b8078d000006");
    assert_eq!(answer.text(), include_str!("running.json"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn xml_is_the_sample_byte_for_byte() {
    let answer = task(
        &only(&format!("{SAMPLE}format: xml")),
        "T-5faa48fb31b6b8078d000006",
    );
    assert_eq!(answer.text(), include_str!("running.xml"));
    assert_eq!(answer.header("content-type"), Some("application/xml"));
}

#[test]
fn timeline_runs_to_its_outcome() {
    let simulator = only(
        "{id: T-1, duration: 600ms, outcome: fail, error: {code: Quota, message: used up},
          instances: [{id: i-1, after: 200ms}, {id: i-2, status: failed}],
          stages: [{name: create}, {name: join, after: 200ms, message: m}]}",
    );
    let first = task(&simulator, "T-1").json();
    assert_eq!(first["state"], "running");
    assert_eq!(first["task_type"], "cluster_scaleout");
    assert_eq!(first["current_stage"], "create");
    assert_eq!(first["created"], first["updated"]);
    assert_eq!(
        first["task_result"][0],
        json!({"data": "i-1", "status": "initail"})
    );
    assert!(first.get("error").is_none());

    until("the first instance succeeds", || {
        task(&simulator, "T-1").json()["task_result"][0]["status"] == "success"
    });
    until("the task fails", || {
        task(&simulator, "T-1").state() == "fail"
    });
    let last = task(&simulator, "T-1").json();
    assert_eq!(
        last["task_result"][1],
        json!({"data": "i-2", "status": "failed"})
    );
    assert_eq!(
        last["error"],
        json!({"code": "Quota", "message": "used up"})
    );
    assert_eq!(last["current_stage"], "join");
    let states: Vec<_> = last["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| &stage["state"])
        .collect();
    assert_eq!(states, ["success", "fail"]);
    assert_eq!(last["created"], first["created"]);
}

#[test]
fn a_task_that_starts_at_start_up_changes_before_its_first_request() {
    let simulator = only("{id: T-1, duration: 1ms, start: start-up}");
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(task(&simulator, "T-1").state(), "success");
}

#[test]
fn steps_follow_requests_and_their_changes_stay() {
    let simulator = only(
        "{id: T-1, steps: [
            {taskResult: [{data: i-1, status: initial}]},
            {afterRequests: 2, state: paused, currentStage: s, omit: [created]},
            {afterRequests: 3, state: success, extra: {outputs: {a: 1}}, omit: []},
            {afterRequests: 4, body: 'not json', contentType: text/plain}]}",
    );
    let answers: Vec<_> = (0..5).map(|_| task(&simulator, "T-1")).collect();
    let states: Vec<_> = answers[..4].iter().map(Answer::state).collect();
    assert_eq!(states, ["running", "running", "paused", "success"]);
    assert!(answers[2].json().get("created").is_none());
    let last = answers[3].json();
    assert_eq!(last["current_stage"], "s");
    assert_eq!(last["outputs"]["a"], 1);
    assert_eq!(last["task_result"][0]["status"], "initial");
    assert!(last.get("created").is_some());
    assert_eq!(answers[4].text(), "not json");
    assert_eq!(answers[4].header("content-type"), Some("text/plain"));
}

#[test]
fn unusual_values_are_sent_unchanged() {
    let simulator = only(
        "{id: T-1, outcome: canceled, taskResultAs: object, omit: [updated, task_type],
          instances: [{id: i-1, status: fail}]}",
    );
    let body = task(&simulator, "T-1").json();
    assert_eq!(body["state"], "canceled");
    assert_eq!(
        body["task_result"],
        json!({"data": "i-1", "status": "fail"})
    );
    assert!(body.get("updated").is_none() && body.get("task_type").is_none());
}

#[test]
fn xml_repeats_task_result() {
    let simulator = only("{id: T-1, format: xml, instances: [{id: i-1}, {id: i-2}]}");
    let text = task(&simulator, "T-1").text().to_owned();
    assert_eq!(text.matches("<task_result>\n    <data>i-").count(), 2);
}

#[test]
fn bodies_are_read_from_files_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("body.json"), "{\"state\":\n").unwrap();
    let script = dir.path().join("script.yaml");
    std::fs::write(&script, "tasks: [{id: T-1, bodyFile: body.json}]").unwrap();
    let simulator = simulator::Simulator::start(Script::load(&script).unwrap()).unwrap();
    assert_eq!(task(&simulator, "T-1").text(), "{\"state\":\n");

    std::fs::write(&script, "tasks: [{id: T-1, bodyFile: none.json}]").unwrap();
    let error = Script::load(&script).unwrap_err().to_string();
    assert!(error.contains("none.json"), "{error}");
}

#[test]
fn tasks_are_set_and_removed_at_run_time() {
    let simulator = start("tasks: [{id: T-1}]");
    simulator.set_task(Task::in_state("T-1", "running"));
    assert_eq!(task(&simulator, "T-1").state(), "running");
    simulator.remove_task("T-1");
    let missing = task(&simulator, "T-1");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["code"], "ErrorTaskNotFound");
    let id = missing.header("x-acs-request-id").unwrap();
    assert_eq!(missing.json()["requestId"], id);
    assert_eq!(simulator.requests("T-1"), 2);
}

#[test]
fn unknown_tasks_get_the_answer_that_the_script_gives() {
    let simulator = start("unknown: {status: 400, code: TaskNotExist}");
    let missing = task(&simulator, "T-1");
    assert_eq!(
        (missing.status, &missing.json()["code"]),
        (400, &json!("TaskNotExist"))
    );
}

#[test]
fn regions_are_the_first_segment_of_the_path() {
    let simulator = start(
        "{regionInPath: true, tasks: [
            {id: T-1, region: a, outcome: running}, {id: T-1, region: b}, {id: T-2}]}",
    );
    assert_eq!(get(&simulator, "/a/tasks/T-1").state(), "running");
    assert_eq!(get(&simulator, "/b/more/tasks/T-1").state(), "success");
    assert_eq!(get(&simulator, "/c/tasks/T-1").status, 404);
    assert_eq!(get(&simulator, "/c/tasks/T-2").status, 200);
    let regions: Vec<_> = simulator
        .request_log()
        .into_iter()
        .map(|one| one.region)
        .collect();
    assert_eq!(regions, ["a", "b", "c", "c"]);
    assert_eq!(simulator.max_in_flight_in("a"), 1);
}

#[test]
fn any_prefix_may_stand_before_tasks() {
    let simulator = start("tasks: [{id: install-addons-c3}]");
    assert_eq!(
        get(&simulator, "/some/prefix/tasks/install%2Daddons-c3").status,
        200
    );
    for path in ["/", "/tasks/", "/tasks/a/b", "/clusters"] {
        let answer = get(&simulator, path);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &json!("InvalidAction.NotFound"))
        );
    }
}

#[test]
fn the_demonstration_is_a_script() {
    let script: Script = DEMONSTRATION.parse().unwrap();
    let ids: Vec<_> = script.tasks.iter().map(|task| task.id.as_str()).collect();
    let expected = [
        "T-succeeds",
        "T-fails",
        "T-fails-by-events",
        "T-one-instance-fails",
        "T-steps",
        "T-troubled",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn wrong_scripts_are_refused_with_field_and_line() {
    let wrong = [
        (
            "tasks:\n  - id: a\n    durations: 3s",
            "line 3",
            "durations",
        ),
        (
            "tasks:\n  - id: a\n    duration: 3",
            "line 3",
            "\"3\" is not a duration",
        ),
        (
            "tasks:\n  - id: a\n    faults: [{requests: 0-3}]",
            "line 3",
            "names no requests",
        ),
        (
            "tasks:\n  - id: a\n    faults:\n      - status: 99",
            "line 4",
            "status: 99",
        ),
        (
            "tasks:\n  - id: a\n    faults:\n      - kind: bang",
            "line 4",
            "bang",
        ),
        (
            "tasks:\n  - id: a\n    faults:\n      - headers: {a b: c}",
            "line 4",
            "headers: a b",
        ),
        ("tasks:\n  - clusterId: a", "line 2", "id: a task needs one"),
        (
            "tasks:\n  - id: a\n    steps: [{state: a}]\n    duration: 2s",
            "line 2",
            "steps: ",
        ),
        (
            "tasks:\n  - id: a\n  - id: a",
            "line",
            "the id a is there twice",
        ),
        ("rateLimit: fast", "line 1", "not a rate"),
        ("rateLimit:\n  rate: 3/s\n  par: region", "line 3", "par"),
    ];
    for (script, line, field) in wrong {
        let error = script.parse::<Script>().unwrap_err().to_string();
        assert!(
            error.contains(line) && error.contains(field),
            "{script}:\n{error}"
        );
    }
}

//! What happens to a source and to the objects that it makes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::api::ScaleOutTaskSourceStatus;
use serde_json::{Value, json};

use crate::{
    observer::History,
    scenario::{Act, SOURCE, Scenario, Step, shows},
};

const CLUSTER: &str = "c-1";
/// The cluster's tasks are younger than a source looks back, and far from its bound.
const AGE: Duration = Duration::from_mins(5);

const WITH_SOURCES: &[&str] = &["--sources"];

/// Two tasks are found at first and one later. One of them fails, the others succeed. They are listed to the end.
pub const FOUND: Scenario = Scenario {
    name: "found",
    steps: finding,
    shows: &[
        (
            "t-1",
            &[
                ("", "", -1),
                ("TaskRunning", "0/1", 1),
                ("TaskFailed", "0/1", 1),
            ],
        ),
        (
            "t-2",
            &[
                ("", "", -1),
                ("TaskRunning", "0/1", 1),
                ("TaskSucceeded", "1/1", 1),
            ],
        ),
        (
            "t-3",
            &[
                ("", "", -1),
                ("TaskRunning", "0/1", 1),
                ("TaskSucceeded", "1/1", 1),
            ],
        ),
    ],
    events: &[
        (SOURCE, "Normal", "Listing", 1),
        ("t-1", "Normal", "TaskRunning", 1),
        ("t-1", "Warning", "TaskFailed", 1),
        ("t-2", "Normal", "TaskRunning", 1),
        ("t-2", "Normal", "TaskSucceeded", 1),
        ("t-3", "Normal", "TaskRunning", 1),
        ("t-3", "Normal", "TaskSucceeded", 1),
    ],
    events_at_once: 3,
    found: &["T-1", "T-2", "T-3"],
    arguments: WITH_SOURCES,
};

/// What is found is deleted at its end: one object soon after it was made, the other later. Both tasks are listed to
/// the end.
pub const FOUND_AND_DELETED: Scenario = Scenario {
    name: "found-deleted",
    steps: finding_what_is_deleted,
    shows: &[
        (
            "t-1",
            &[
                ("", "", -1),
                ("TaskRunning", "0/1", 1),
                ("TaskSucceeded", "1/1", 1),
            ],
        ),
        ("t-2", &[("", "", -1), ("TaskFailed", "0/1", 1)]),
    ],
    events: &[
        (SOURCE, "Normal", "Listing", 1),
        ("t-1", "Normal", "TaskRunning", 1),
        ("t-1", "Normal", "TaskSucceeded", 1),
        ("t-2", "Warning", "TaskFailed", 1),
    ],
    events_at_once: 3,
    found: &["T-1", "T-2"],
    arguments: WITH_SOURCES,
};

fn finding() -> Vec<Step> {
    let tasks = Tasks::begun_now();
    let source = json!({ "clusterId": CLUSTER, "interval": "5s" });
    vec![
        Step {
            what: "the start",
            acts: vec![
                tasks.at(0, "T-1", "running", "initail"),
                tasks.at(0, "T-2", "running", "initail"),
                Act::CreateSource(source),
                Act::Start,
            ],
            done: |now| {
                made(now, 2)
                    && shows(now, "t-1", "TaskRunning", "0/1")
                    && shows(now, "t-2", "TaskRunning", "0/1")
            },
        },
        Step {
            what: "a failure, and another task",
            acts: vec![
                tasks.at(1, "T-1", "fail", "failed"),
                tasks.at(1, "T-3", "running", "initail"),
            ],
            done: |now| {
                made(now, 3)
                    && shows(now, "t-1", "TaskFailed", "0/1")
                    && shows(now, "t-3", "TaskRunning", "0/1")
            },
        },
        Step {
            what: "the ends, and one more list",
            acts: vec![
                tasks.at(2, "T-2", "success", "success"),
                tasks.at(2, "T-3", "success", "success"),
                list_at_once(),
            ],
            done: |now| {
                has_listed_again(now)
                    && shows(now, "t-2", "TaskSucceeded", "1/1")
                    && shows(now, "t-3", "TaskSucceeded", "1/1")
            },
        },
    ]
}

fn finding_what_is_deleted() -> Vec<Step> {
    let tasks = Tasks::begun_now();
    let source = json!({
        "clusterId": CLUSTER, "interval": "5s",
        "template": { "spec": { "ttlSecondsAfterFinished": 0 } },
    });
    vec![
        Step {
            what: "the start",
            acts: vec![
                tasks.at(0, "T-1", "running", "initail"),
                tasks.at(0, "T-2", "fail", "failed"),
                Act::CreateSource(source),
                Act::Start,
            ],
            done: |now| {
                let was_there = now.objects.iter().any(|seen| seen.name == "t-2");
                let is_gone = was_there && now.object("t-2").is_none();
                is_gone && made(now, 2) && shows(now, "t-1", "TaskRunning", "0/1")
            },
        },
        Step {
            what: "the end",
            acts: vec![tasks.at(1, "T-1", "success", "success")],
            done: |now| now.object("t-1").is_none(),
        },
        Step {
            what: "one more list",
            acts: vec![list_at_once()],
            done: has_listed_again,
        },
    ]
}

/// A changed source lists at once.
fn list_at_once() -> Act {
    Act::PatchSource(json!({ "spec": { "lookback": "2h" } }))
}

/// The status of a changed source is written once the list was read, and what was found is made.
fn has_listed_again(now: &History) -> bool {
    status(now).is_some_and(|status| status.observed_generation == Some(2))
}

fn made(now: &History, count: i64) -> bool {
    status(now).is_some_and(|status| status.made == Some(count))
}

fn status(now: &History) -> Option<&ScaleOutTaskSourceStatus> {
    now.source(SOURCE)?.status.as_ref()
}

/// Tasks of the cluster.
struct Tasks {
    created: Timestamp,
}

impl Tasks {
    fn begun_now() -> Self {
        Self {
            created: Timestamp::now() - AGE,
        }
    }

    /// Sets a task with one instance. It has changed so many seconds after its creation.
    fn at(&self, second: u64, id: &str, state: &str, instance: &str) -> Act {
        let updated = self.created + Duration::from_secs(second);
        let task: Value = json!({
            "id": id, "clusterId": CLUSTER,
            "created": format!("{:.0}", self.created), "updated": format!("{updated:.0}"),
            "steps": [{ "state": state, "taskResult": [{ "data": "i-1", "status": instance }] }],
        });
        Act::SetTask(task.to_string())
    }
}

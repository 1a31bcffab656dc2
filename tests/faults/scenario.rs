//! What happens to one object, or to a source and those that it makes: steps, each of which changes one thing and
//! waits for its effect.
//!
//! No step depends on time, and the controller can learn of each change at any later time. So it must
//! show the same statuses, whatever is done to it meanwhile.

use serde_json::{Value, json};

use crate::observer::History;

/// The name of the object and the ID of its task.
pub const NAME: &str = "one";
pub const TASK_ID: &str = "T-1";
/// The name of the source.
pub const SOURCE: &str = "src";

/// The statuses of an object in order: reason, progress and observed generation.
pub type Shows = &'static [(&'static str, &'static str, i64)];

/// The steps, and what must be seen.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub steps: fn() -> Vec<Step>,
    /// All objects, and their statuses.
    pub shows: &'static [(&'static str, Shows)],
    /// The Events: the name of what they are about, type, reason, and how often each is sent.
    pub events: &'static [(&'static str, &'static str, &'static str, i32)],
    /// How many Events may be under way at a time.
    pub events_at_once: i32,
    /// The tasks of which a source makes an object.
    pub found: &'static [&'static str],
    /// Further arguments of the controller.
    pub arguments: &'static [&'static str],
}

/// One change and its effect.
pub struct Step {
    pub what: &'static str,
    pub acts: Vec<Act>,
    /// Whether what was seen shows the effect.
    pub done: fn(&History) -> bool,
}

/// What the test does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sets the task in the task API.
    SetTask(String),
    Create(Value),
    /// A merge patch of the object.
    Patch(Value),
    CreateSource(Value),
    /// A merge patch of the source.
    PatchSource(Value),
    /// Starts the controller.
    Start,
    /// Waits until the controller watches.
    AwaitWatch,
}

/// A task that succeeds. The object exists before the controller starts. It is changed, suspended,
/// polled on request, and changed after its end.
pub const SUCCEEDS: Scenario = Scenario {
    name: "succeeds",
    steps: succeeding,
    shows: &[(
        NAME,
        &[
            ("", "", -1),
            ("TaskRunning", "0/2", 1),
            ("TaskRunning", "1/2", 1),
            ("TaskRunning", "1/2", 2),
            ("TaskRunning", "1/2", 2),
            ("TaskRunning", "2/2", 2),
            ("Suspended", "2/2", 3),
            ("TaskRunning", "2/2", 4),
            ("TaskSucceeded", "2/2", 4),
            ("TaskSucceeded", "2/2", 5),
            ("TaskSucceeded", "2/2", 5),
        ],
    )],
    events: &[
        (NAME, "Normal", "TaskRunning", 2),
        (NAME, "Normal", "Suspended", 1),
        (NAME, "Normal", "TaskSucceeded", 1),
    ],
    events_at_once: 1,
    found: &[],
    arguments: &[],
};

/// A task with a failed instance. The object is created after the controller starts, and deleted at
/// its end.
pub const DELETED: Scenario = Scenario {
    name: "is-deleted",
    steps: deleted_at_end,
    shows: &[(
        NAME,
        &[
            ("", "", -1),
            ("TaskRunning", "0/2", 1),
            ("TaskRunning", "1/2", 1),
            ("InstancesFailed", "1/2", 1),
        ],
    )],
    events: &[
        (NAME, "Normal", "TaskRunning", 1),
        (NAME, "Warning", "InstancesFailed", 1),
    ],
    events_at_once: 1,
    found: &[],
    arguments: &[],
};

fn succeeding() -> Vec<Step> {
    let create = Act::Create(json!({ "taskId": TASK_ID, "pollInterval": "1s" }));
    let start = vec![
        set_task("running", ["initail", "initail"]),
        create,
        Act::Start,
    ];
    vec![
        Step {
            what: "the start",
            acts: start,
            done: |now| shows(now, NAME, "TaskRunning", "0/2"),
        },
        step(
            "the first instance",
            set_task("running", ["success", "initail"]),
            |now| shows(now, NAME, "TaskRunning", "1/2"),
        ),
        step(
            "a change of the spec",
            spec(&json!({ "pollInterval": "1001ms" })),
            |now| observes(now, 2),
        ),
        step("a poll request", poll_request("now"), |now| {
            echoes(now, "now")
        }),
        step(
            "the second instance",
            set_task("running", ["success", "success"]),
            |now| shows(now, NAME, "TaskRunning", "2/2"),
        ),
        step("suspending", spec(&json!({ "suspend": true })), |now| {
            shows(now, NAME, "Suspended", "2/2")
        }),
        step("resuming", spec(&json!({ "suspend": false })), |now| {
            shows(now, NAME, "TaskRunning", "2/2")
        }),
        step(
            "the end",
            set_task("success", ["success", "success"]),
            |now| shows(now, NAME, "TaskSucceeded", "2/2"),
        ),
        step(
            "a change of the spec after the end",
            spec(&json!({ "pollInterval": "1s" })),
            |now| observes(now, 5),
        ),
        step(
            "a poll request after the end",
            poll_request("again"),
            |now| echoes(now, "again"),
        ),
    ]
}

fn deleted_at_end() -> Vec<Step> {
    let spec = json!({ "taskId": TASK_ID, "pollInterval": "1s", "ttlSecondsAfterFinished": 0 });
    vec![
        Step {
            what: "the start",
            acts: vec![
                set_task("running", ["initail", "initail"]),
                Act::Start,
                Act::AwaitWatch,
                Act::Create(spec),
            ],
            done: |now| shows(now, NAME, "TaskRunning", "0/2"),
        },
        Step {
            what: "a failed instance",
            acts: vec![set_task("running", ["success", "failed"])],
            done: |now| shows(now, NAME, "TaskRunning", "1/2"),
        },
        Step {
            what: "end and deletion",
            acts: vec![set_task("success", ["success", "failed"])],
            done: |now| now.object(NAME).is_none(),
        },
    ]
}

fn step(what: &'static str, act: Act, done: fn(&History) -> bool) -> Step {
    Step {
        what,
        acts: vec![act],
        done,
    }
}

/// Sets the task with these two instances. Its times don't depend on the clock.
fn set_task(state: &str, instances: [&str; 2]) -> Act {
    let [one, two] = instances;
    Act::SetTask(format!(
        "{{id: {TASK_ID}, created: '2026-01-01T00:00:00Z', updated: '2026-01-01T00:00:01Z', steps: [
            {{state: {state}, taskResult: [{{data: i-1, status: {one}}}, {{data: i-2, status: {two}}}]}}]}}"
    ))
}

fn spec(change: &Value) -> Act {
    Act::Patch(json!({ "spec": change }))
}

fn poll_request(value: &str) -> Act {
    Act::Patch(json!({
        "metadata": { "annotations": { "scaleout.dev/poll-requested-at": value } }
    }))
}

pub fn shows(now: &History, name: &str, reason: &str, progress: &str) -> bool {
    now.object(name).is_some_and(|object| {
        object.ready().is_some_and(|ready| ready.reason == reason)
            && object.status.progress.as_deref() == Some(progress)
    })
}

fn observes(now: &History, generation: i64) -> bool {
    now.object(NAME)
        .is_some_and(|object| object.status.observed_generation == Some(generation))
}

fn echoes(now: &History, request: &str) -> bool {
    let echo = now
        .object(NAME)
        .and_then(|object| object.status.last_handled_poll_request.as_deref());
    echo == Some(request)
}

//! A task as the API describes it, and what a status shows of it: normalised, counted, bounded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Abnormal, Ready, Reason, Summary, first_chars, time::floor_to_second};
use crate::api::{InstanceCounts, ScaleOutTaskStatus, TaskError, TaskResult};

/// A task as the API describes it, not yet normalised or bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Task {
    /// The task's ID, where the API repeats it.
    pub task_id: Option<String>,
    /// The cluster it belongs to.
    pub cluster_id: Option<String>,
    /// What kind of task it is.
    pub task_type: Option<String>,
    /// What it is doing now.
    pub current_stage: Option<String>,
    /// Its state; never empty.
    pub state: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it last changed.
    pub updated: Option<Timestamp>,
    /// Its instances, in the API's order.
    pub results: Vec<Instance>,
    /// The task's own error: code and message.
    pub error: Option<(Option<String>, Option<String>)>,
}

/// One instance of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The instance's ID.
    pub id: String,
    /// What became of it.
    pub status: String,
}

/// How many instances the status lists.
pub const MAX_RESULTS: usize = 1000;

const WORD_CHARS: usize = 64;
const INSTANCE_ID_CHARS: usize = 128;
const ERROR_CODE_CHARS: usize = 128;
const ERROR_MESSAGE_CHARS: usize = 1024;

/// What a status shows of the task, and what that means.
pub fn task_status(task: &Task) -> (ScaleOutTaskStatus, Summary) {
    let counts = count(task);
    let status = ScaleOutTaskStatus {
        cluster_id: word(task.cluster_id.as_deref()),
        task_type: word(task.task_type.as_deref()),
        current_stage: word(task.current_stage.as_deref()),
        state: word(Some(normal_state(&task.state))),
        created: task.created.map(whole_seconds),
        updated: task.updated.map(whole_seconds),
        task_result: listed(task),
        progress: (counts.total > 0).then(|| format!("{}/{}", counts.succeeded, counts.total)),
        instances: Some(counts),
        error: error(task),
        ..ScaleOutTaskStatus::default()
    };
    let summary = summary(&status, counts);
    (status, summary)
}

/// What an answer in this state means, whatever the instances say.
pub fn is_final(task: &Task) -> bool {
    matches!(
        task.state.as_str(),
        "success" | "fail" | "failed" | "canceled" | "cancelled"
    )
}

fn summary(status: &ScaleOutTaskStatus, counts: InstanceCounts) -> Summary {
    let state = status.state.as_deref().unwrap_or_default();
    let (ready, abnormal, reason, lead) = match state {
        "running" => (
            Ready::False,
            Abnormal::Reconciling,
            Reason::TaskRunning,
            "The task is running",
        ),
        "paused" => (
            Ready::False,
            Abnormal::Reconciling,
            Reason::TaskPaused,
            "The task is paused",
        ),
        "success" if counts.failed > 0 => (
            Ready::False,
            Abnormal::Stalled,
            Reason::InstancesFailed,
            "The task ended, but not for every instance",
        ),
        "success" => (
            Ready::True,
            Abnormal::None,
            Reason::TaskSucceeded,
            "The task succeeded",
        ),
        "fail" => (
            Ready::False,
            Abnormal::Stalled,
            Reason::TaskFailed,
            "The task failed",
        ),
        "canceled" | "cancelled" => (
            Ready::False,
            Abnormal::Stalled,
            Reason::TaskCanceled,
            "The task was canceled",
        ),
        _ => (
            Ready::False,
            Abnormal::Reconciling,
            Reason::TaskStateUnknown,
            "The task is in a state that this controller doesn't know and takes for not ended",
        ),
    };
    Summary {
        ready,
        abnormal,
        reason,
        message: sentence(lead, status, counts),
    }
}

fn sentence(lead: &str, status: &ScaleOutTaskStatus, counts: InstanceCounts) -> String {
    let InstanceCounts {
        total,
        succeeded,
        failed,
        ..
    } = counts;
    let when = |condition: bool, text: String| if condition { text } else { String::new() };
    let cut = usize::try_from(total).is_ok_and(|total| total > MAX_RESULTS);
    let error = status.error.as_ref().map(|error| {
        let parts = [error.code.as_deref(), error.message.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    });
    [
        lead.to_owned(),
        when(
            total > 0,
            format!(": {succeeded} of {total} instances succeeded"),
        ),
        when(failed > 0, format!(", {failed} failed")),
        when(cut, format!("; taskResult lists the first {MAX_RESULTS}")),
        error.map(|error| format!(". {error}")).unwrap_or_default(),
    ]
    .concat()
}

fn count(task: &Task) -> InstanceCounts {
    let mut counts = InstanceCounts::default();
    for instance in &task.results {
        counts.total += 1;
        match normal_status(&instance.status) {
            "success" => counts.succeeded += 1,
            "failed" => counts.failed += 1,
            _ => counts.pending += 1,
        }
    }
    counts
}

fn listed(task: &Task) -> Option<Vec<TaskResult>> {
    let entries = task
        .results
        .iter()
        .take(MAX_RESULTS)
        .map(|instance| TaskResult {
            data: first_chars(&instance.id, INSTANCE_ID_CHARS).to_owned(),
            status: first_chars(normal_status(&instance.status), WORD_CHARS).to_owned(),
        });
    (!task.results.is_empty()).then(|| entries.collect())
}

fn error(task: &Task) -> Option<TaskError> {
    let (code, message) = task.error.as_ref()?;
    let bound = |text: &Option<String>, max| {
        let text = text.as_deref().filter(|text| !text.is_empty())?;
        Some(first_chars(text, max).to_owned())
    };
    let error = TaskError {
        code: bound(code, ERROR_CODE_CHARS),
        message: bound(message, ERROR_MESSAGE_CHARS),
    };
    (error != TaskError::default()).then_some(error)
}

/// The API spells the failed state in two ways.
fn normal_state(state: &str) -> &str {
    if state == "failed" { "fail" } else { state }
}

/// The API spells an instance's status in several ways; `initail` is its own page's spelling.
fn normal_status(status: &str) -> &str {
    match status {
        "fail" => "failed",
        "initail" => "initial",
        other => other,
    }
}

fn word(text: Option<&str>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(first_chars(text, WORD_CHARS).to_owned())
}

fn whole_seconds(time: Timestamp) -> Time {
    Time(floor_to_second(time))
}

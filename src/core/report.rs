//! From a task, as the API describes it, to what the status shows: normalised, counted, bounded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{
    Reason, Task, bounded,
    conditions::{Beside, Situation},
    time::floor_to_second,
};
use crate::api::{InstanceCounts, ScaleOutTaskStatus, TaskError, TaskResult};

/// How many instances the status lists.
pub const MAX_RESULTS: usize = 1000;

const WORD_CHARS: usize = 64;
const INSTANCE_ID_CHARS: usize = 128;
const ERROR_CODE_CHARS: usize = 128;
const ERROR_MESSAGE_CHARS: usize = 1024;

/// Writes what the task is into the status and returns what it means.
pub fn fill(status: &mut ScaleOutTaskStatus, task: &Task) -> Situation {
    let counts = count(task);
    clear(status);
    status.cluster_id = word(task.cluster_id.as_deref());
    status.task_type = word(task.task_type.as_deref());
    status.current_stage = word(task.current_stage.as_deref());
    status.state = word(Some(normal_state(&task.state)));
    status.created = task.created.map(whole_seconds);
    status.updated = task.updated.map(whole_seconds);
    status.task_result = listed(task);
    status.progress = (counts.total > 0).then(|| format!("{}/{}", counts.succeeded, counts.total));
    status.instances = Some(counts);
    status.error = error(task);
    situation(status, counts)
}

/// Takes everything off the status that was learnt of the task.
pub fn clear(status: &mut ScaleOutTaskStatus) {
    *status = ScaleOutTaskStatus {
        observed_generation: status.observed_generation,
        finished_at: status.finished_at.take(),
        last_handled_poll_request: status.last_handled_poll_request.take(),
        conditions: std::mem::take(&mut status.conditions),
        ..ScaleOutTaskStatus::default()
    };
}

/// What an answer in this state means, whatever the instances say.
pub fn is_final(task: &Task) -> bool {
    matches!(
        task.state.as_str(),
        "success" | "fail" | "failed" | "canceled" | "cancelled"
    )
}

fn situation(status: &ScaleOutTaskStatus, counts: InstanceCounts) -> Situation {
    let state = status.state.as_deref().unwrap_or_default();
    let (ready, beside, reason, lead) = match state {
        "running" => (
            "False",
            Beside::Reconciling,
            Reason::TaskRunning,
            "The task is running",
        ),
        "paused" => (
            "False",
            Beside::Reconciling,
            Reason::TaskPaused,
            "The task is paused",
        ),
        "success" if counts.failed > 0 => (
            "False",
            Beside::Stalled,
            Reason::InstancesFailed,
            "The task ended, but not for every instance",
        ),
        "success" => (
            "True",
            Beside::Nothing,
            Reason::TaskSucceeded,
            "The task succeeded",
        ),
        "fail" => (
            "False",
            Beside::Stalled,
            Reason::TaskFailed,
            "The task failed",
        ),
        "canceled" | "cancelled" => (
            "False",
            Beside::Stalled,
            Reason::TaskCanceled,
            "The task was canceled",
        ),
        _ => (
            "False",
            Beside::Reconciling,
            Reason::TaskStateUnknown,
            "The task is in a state that this controller doesn't know and takes for not ended",
        ),
    };
    Situation {
        ready,
        beside,
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
            data: bounded(&instance.id, INSTANCE_ID_CHARS).to_owned(),
            status: bounded(normal_status(&instance.status), WORD_CHARS).to_owned(),
        });
    (!task.results.is_empty()).then(|| entries.collect())
}

fn error(task: &Task) -> Option<TaskError> {
    let (code, message) = task.error.as_ref()?;
    let bound = |text: &Option<String>, max| {
        let text = text.as_deref().filter(|text| !text.is_empty())?;
        Some(bounded(text, max).to_owned())
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
    Some(bounded(text, WORD_CHARS).to_owned())
}

fn whole_seconds(time: Timestamp) -> Time {
    Time(floor_to_second(time))
}

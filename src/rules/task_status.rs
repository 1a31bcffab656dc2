//! What a status shows of a task: normalised, bounded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{
    Abnormal, Ready, Reason, Summary,
    task::{
        ERROR_CODE_CHARS, ERROR_MESSAGE_CHARS, EVENT_LEVEL_CHARS, EVENT_MESSAGE_CHARS,
        INSTANCE_ID_CHARS, MAX_RESULTS, MAX_STAGES, STAGE_MESSAGE_CHARS, STAGE_TIME_CHARS, Task,
        TaskEvent, WORD_CHARS,
    },
    task_events::{Level, keep_most_telling},
    task_state::{TaskState, normal_result, normal_state},
    text::shown,
    time::floor_to_second,
};
use crate::api::{
    InstanceCounts, ScaleOutTaskStatus, TaskError, TaskEventStatus, TaskResult, TaskStage,
    TaskTarget,
};

/// What a status shows of the task, and what that means.
pub fn task_status(task: &Task) -> (ScaleOutTaskStatus, Summary) {
    let counts = task.results.counts();
    let status = ScaleOutTaskStatus {
        cluster_id: bounded(task.cluster_id.as_deref(), WORD_CHARS),
        task_type: bounded(task.task_type.as_deref(), WORD_CHARS),
        current_stage: bounded(task.current_stage.as_deref(), WORD_CHARS),
        state: bounded(Some(normal_state(&task.state)), WORD_CHARS),
        created: task.created.map(whole_seconds),
        updated: task.updated.map(whole_seconds),
        task_result: listed(task),
        progress: (counts.total > 0).then(|| format!("{}/{}", counts.succeeded, counts.total)),
        instances: Some(counts),
        error: error(task),
        target: target(task),
        stages: stages(task),
        events: events(task),
        ..ScaleOutTaskStatus::default()
    };
    let summary = summary(&status, counts);
    (status, summary)
}

/// Whether the task has ended.
pub fn is_final(task: &Task) -> bool {
    TaskState::of(&task.state).is_final()
}

fn summary(status: &ScaleOutTaskStatus, counts: InstanceCounts) -> Summary {
    let (running, failed) = (Reason::TaskRunning, Reason::TaskFailed);
    let (reason, lead) = match status.state.as_deref().unwrap_or_default() {
        "running" => (running, "The task is running"),
        "pausing" => (running, "The task is being paused"),
        "resuming" => (running, "The task is being resumed"),
        "canceling" | "cancelling" => (running, "The task is being canceled"),
        "paused" => (Reason::TaskPaused, "The task is paused"),
        "success" if counts.failed > 0 => (
            Reason::InstancesFailed,
            "The task ended, but not for every instance",
        ),
        "success" => (Reason::TaskSucceeded, "The task succeeded"),
        "fail" => (failed, "The task failed"),
        "timeout" => (failed, "The task didn't end within the cloud's own time"),
        "canceled" => (Reason::TaskCanceled, "The task was canceled"),
        _ => (
            Reason::TaskStateUnknown,
            "The task is in a state that this controller doesn't know and takes for not ended",
        ),
    };
    let (ready, abnormal) = match reason {
        Reason::TaskSucceeded => (Ready::True, Abnormal::None),
        reason if reason.is_final() => (Ready::False, Abnormal::Stalled),
        _ => (Ready::False, Abnormal::Reconciling),
    };
    let cause = match (&status.error, abnormal) {
        (Some(error), _) => joined([&error.code, &error.message]),
        (None, Abnormal::Stalled) => error_event(status).or_else(|| failed_stage(status)),
        (None, _) => None,
    };
    Summary {
        ready,
        abnormal,
        reason,
        message: sentence(lead, counts, cause),
    }
}

/// The newest error among the events; where none has a time, the last.
fn error_event(status: &ScaleOutTaskStatus) -> Option<String> {
    let events = status.events.iter().flatten();
    events
        .filter(|event| Level::of(event.level.as_deref().unwrap_or_default()) == Level::Error)
        .filter_map(|event| joined([&event.reason, &event.message]))
        .next_back()
}

fn failed_stage(status: &ScaleOutTaskStatus) -> Option<String> {
    let stages = status.stages.iter().flatten();
    stages
        .filter(|stage| {
            TaskState::of(stage.state.as_deref().unwrap_or_default()) == TaskState::Fail
        })
        .filter_map(|stage| stage.message.clone())
        .next_back()
}

fn joined(parts: [&Option<String>; 2]) -> Option<String> {
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

fn sentence(lead: &str, counts: InstanceCounts, cause: Option<String>) -> String {
    let InstanceCounts {
        total,
        succeeded,
        failed,
        ..
    } = counts;
    let when = |condition: bool, text: String| if condition { text } else { String::new() };
    let cut = usize::try_from(total).is_ok_and(|total| total > MAX_RESULTS);
    [
        lead.to_owned(),
        when(
            total > 0,
            format!(": {succeeded} of {total} instances succeeded"),
        ),
        when(failed > 0, format!(", {failed} failed")),
        when(cut, format!("; taskResult lists the first {MAX_RESULTS}")),
        cause.map(|cause| format!(". {cause}")).unwrap_or_default(),
    ]
    .concat()
}

fn listed(task: &Task) -> Option<Vec<TaskResult>> {
    let listed = task.results.listed();
    let entries = listed.iter().map(|instance| TaskResult {
        data: shown(&instance.id, INSTANCE_ID_CHARS),
        status: shown(normal_result(&instance.status), WORD_CHARS),
        ..TaskResult::default()
    });
    (!listed.is_empty()).then(|| entries.collect())
}

fn error(task: &Task) -> Option<TaskError> {
    let (code, message) = task.error.as_ref()?;
    let error = TaskError {
        code: bounded(code.as_deref(), ERROR_CODE_CHARS),
        message: bounded(message.as_deref(), ERROR_MESSAGE_CHARS),
    };
    (error != TaskError::default()).then_some(error)
}

fn target(task: &Task) -> Option<TaskTarget> {
    let target = task.target.as_ref()?;
    let target = TaskTarget {
        type_: bounded(target.type_.as_deref(), WORD_CHARS),
        id: bounded(target.id.as_deref(), WORD_CHARS),
    };
    (target != TaskTarget::default()).then_some(target)
}

fn stages(task: &Task) -> Option<Vec<TaskStage>> {
    let stages = task.stages.iter().take(MAX_STAGES).map(|stage| TaskStage {
        state: bounded(stage.state.as_deref(), WORD_CHARS),
        start_time: bounded(stage.start_time.as_deref(), STAGE_TIME_CHARS),
        end_time: bounded(stage.end_time.as_deref(), STAGE_TIME_CHARS),
        message: bounded(stage.message.as_deref(), STAGE_MESSAGE_CHARS),
    });
    (!task.stages.is_empty()).then(|| stages.collect())
}

/// The events that say most, in the order of time. Those without one come first.
fn events(task: &Task) -> Option<Vec<TaskEventStatus>> {
    let mut events: Vec<&TaskEvent> = task.events.iter().collect();
    keep_most_telling(&mut events, |event| {
        (event.level.as_deref().unwrap_or_default(), event.time)
    });
    events.sort_by_key(|event| event.time);
    let events = events.into_iter().map(|event| TaskEventStatus {
        time: event.time.map(whole_seconds),
        level: bounded(event.level.as_deref(), EVENT_LEVEL_CHARS),
        reason: bounded(event.reason.as_deref(), WORD_CHARS),
        message: bounded(event.message.as_deref(), EVENT_MESSAGE_CHARS),
        source: bounded(event.source.as_deref(), WORD_CHARS),
    });
    (!task.events.is_empty()).then(|| events.collect())
}

fn bounded(text: Option<&str>, max: usize) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(shown(text, max))
}

fn whole_seconds(time: Timestamp) -> Time {
    Time(floor_to_second(time))
}

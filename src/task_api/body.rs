//! Parses response bodies: JSON, or XML without a root element.
//!
//! The fields that decisions depend on (state, IDs, instances) must have the right type. Any other
//! field may be missing or of any type. Unknown fields are ignored.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use super::{
    lenient::{Any, AnyText, Bounded},
    task_result::Results,
    xml,
};
use crate::rules::{MAX_STAGES, Stage, Target, Task, TaskEvent, keep_most_telling};

/// Why a body with status 200 doesn't tell what was asked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// Neither JSON nor XML of the expected shape.
    #[error("the body is neither a task nor a list of tasks")]
    Malformed,
    /// No `state`, or an empty one.
    #[error("the body has no state")]
    NoState,
    /// Its `task_id` is not the one that was asked for.
    #[error("the body describes another task")]
    OtherTask,
    /// No `tasks`, nor a word of pages that says there are none.
    #[error("the body has no tasks")]
    NoTasks,
}

/// Parses the body of a response with status 200 to a call about `task_id`.
pub fn parse_task(body: &[u8], task_id: &str) -> Result<Task, BodyError> {
    let task: WireTask = read(body).ok_or(BodyError::Malformed)?;
    let task = Task::from(task);
    if task.state.is_empty() {
        return Err(BodyError::NoState);
    }
    if task.task_id.as_deref().is_some_and(|id| id != task_id) {
        return Err(BodyError::OtherTask);
    }
    Ok(task.shortened())
}

/// Finds the cluster in a body, however the rest of it is.
pub(super) fn cluster_in(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct WireCluster {
        #[serde(default)]
        cluster_id: AnyText,
    }
    text_of(read::<WireCluster>(body)?.cluster_id.text())
}

/// Finds error code and request ID in a body, in any of the places where the API puts them.
pub(super) fn parse_error(body: &[u8]) -> (Option<String>, Option<String>) {
    let Some(body) = read::<WireErrorBody>(body) else {
        return (None, None);
    };
    let inner = body.error.object().unwrap_or_default();
    let first = |outer: AnyText, inner: AnyText| text_of(outer.text().or_else(|| inner.text()));
    (
        first(body.code, inner.code),
        first(body.request_id, inner.request_id),
    )
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    match Form::of(body)? {
        Form::Json(text) => serde_json::from_str(text).ok(),
        Form::Xml(text) => serde_json::from_value(xml::json_of(text)?).ok(),
    }
}

/// JSON or XML, recognised by the first character: content types are unreliable.
enum Form<'a> {
    Json(&'a str),
    Xml(&'a str),
}

impl<'a> Form<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.starts_with('{') {
            return Some(Self::Json(text));
        }
        text.starts_with('<').then_some(Self::Xml(text))
    }
}

#[derive(Deserialize)]
struct WireTask {
    #[serde(default)]
    task_id: Option<String>,
    #[serde(default)]
    cluster_id: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    task_result: Results,
    #[serde(default)]
    task_type: AnyText,
    #[serde(default)]
    current_stage: AnyText,
    #[serde(default)]
    created: AnyText,
    #[serde(default)]
    updated: AnyText,
    #[serde(default)]
    error: Any<WireError>,
    #[serde(default)]
    target: Any<WireTarget>,
    #[serde(default)]
    stages: Any<WireStage>,
    #[serde(default)]
    events: Any<WireEvent>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireError {
    #[serde(alias = "Code")]
    code: AnyText,
    message: AnyText,
    #[serde(rename = "requestId", alias = "RequestId")]
    request_id: AnyText,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireTarget {
    #[serde(rename = "type")]
    type_: AnyText,
    id: AnyText,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStage {
    state: AnyText,
    start_time: AnyText,
    end_time: AnyText,
    message: AnyText,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireEvent {
    timestamp: AnyText,
    level: AnyText,
    reason: AnyText,
    message: AnyText,
    source: AnyText,
}

/// An error of the API, in the body itself or in an element of it.
#[derive(Deserialize)]
struct WireErrorBody {
    #[serde(default, alias = "Code")]
    code: AnyText,
    #[serde(default, rename = "requestId", alias = "RequestId")]
    request_id: AnyText,
    #[serde(default, alias = "Error")]
    error: Any<WireError>,
}

impl Bounded for WireError {}
impl Bounded for WireTarget {}

impl Bounded for WireStage {
    fn bound(all: &mut Vec<Self>) {
        all.truncate(MAX_STAGES);
    }
}

impl Bounded for WireEvent {
    fn bound(all: &mut Vec<Self>) {
        keep_most_telling(all, |event| {
            let level = match &event.level {
                Any::Text(level) => level.as_str(),
                _ => "",
            };
            (level, event.timestamp.millis())
        });
    }
}

impl From<WireTask> for Task {
    fn from(wire: WireTask) -> Self {
        Self {
            task_id: text_of(wire.task_id),
            cluster_id: text_of(wire.cluster_id),
            task_type: text_of(wire.task_type.text()),
            current_stage: text_of(wire.current_stage.text()),
            state: text_of(wire.state).unwrap_or_default(),
            created: time_of(wire.created.text().as_deref()),
            updated: time_of(wire.updated.text().as_deref()),
            results: wire.task_result.0,
            error: wire.error.object().and_then(WireError::parts),
            target: wire.target.object().and_then(WireTarget::target),
            stages: wire.stages.list().into_iter().map(Stage::from).collect(),
            events: wire
                .events
                .list()
                .into_iter()
                .map(TaskEvent::from)
                .collect(),
        }
    }
}

impl WireError {
    fn parts(self) -> Option<(Option<String>, Option<String>)> {
        let parts = (text_of(self.code.text()), text_of(self.message.text()));
        Some(parts).filter(|parts| parts != &(None, None))
    }
}

impl WireTarget {
    fn target(self) -> Option<Target> {
        let target = Target {
            type_: text_of(self.type_.text()),
            id: text_of(self.id.text()),
        };
        Some(target).filter(|target| target != &Target::default())
    }
}

impl From<WireStage> for Stage {
    fn from(wire: WireStage) -> Self {
        Self {
            state: text_of(wire.state.text()),
            start_time: text_of(wire.start_time.text()),
            end_time: text_of(wire.end_time.text()),
            message: text_of(wire.message.text()),
        }
    }
}

impl From<WireEvent> for TaskEvent {
    fn from(wire: WireEvent) -> Self {
        Self {
            time: wire.timestamp.millis(),
            level: text_of(wire.level.text()),
            reason: text_of(wire.reason.text()),
            message: text_of(wire.message.text()),
            source: text_of(wire.source.text()),
        }
    }
}

/// Trims the text. A blank one counts as missing.
pub(super) fn text_of(text: Option<String>) -> Option<String> {
    let text = text?;
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return Some(text).filter(|text| !text.is_empty());
    }
    Some(trimmed.to_owned()).filter(|text| !text.is_empty())
}

/// Parses a time with an offset from UTC. Without an offset it could mean any moment, and a time
/// before the year 1 can't be written as RFC 3339: both count as missing.
pub(super) fn time_of(text: Option<&str>) -> Option<Timestamp> {
    const YEAR_1: i64 = -62_135_596_800;
    let time: Timestamp = text?.trim().parse().ok()?;
    (time.as_second() >= YEAR_1).then_some(time)
}

//! The status as it is kept, and the patch that makes one of another.

use std::{collections::BTreeSet, sync::LazyLock};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{ClusterMark, Conditions, Fingerprint, TaskState};
use crate::api::ScaleOutTaskStatus;

/// What is kept of a status: what something is decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectStatus {
    /// The generation of the spec that the status speaks of.
    pub observed_generation: Option<i64>,
    /// The conditions.
    pub conditions: Conditions,
    /// When the object finished.
    pub finished_at: Option<Timestamp>,
    /// The poll request that was acted on last.
    pub last_handled_poll_request: Option<Box<str>>,
    /// The state of the task.
    pub state: TaskState,
    /// Stands for all that is shown of the task.
    pub task: Fingerprint,
    /// Stands for the task's cluster, where one is shown.
    pub cluster: Option<ClusterMark>,
}

impl Default for ObjectStatus {
    fn default() -> Self {
        ScaleOutTaskStatus::default().into()
    }
}

impl From<ScaleOutTaskStatus> for ObjectStatus {
    fn from(status: ScaleOutTaskStatus) -> Self {
        Self {
            observed_generation: status.observed_generation,
            state: state_of(&status),
            task: Fingerprint::of(&status),
            cluster: cluster_of(&status),
            conditions: status.conditions.into(),
            finished_at: status.finished_at.map(|time| time.0),
            last_handled_poll_request: status.last_handled_poll_request.map(Into::into),
        }
    }
}

impl ObjectStatus {
    /// Shows `task` and nothing else of a task.
    pub(super) fn set_task(&mut self, task: &ScaleOutTaskStatus) {
        self.state = state_of(task);
        self.task = Fingerprint::of(task);
        self.cluster = cluster_of(task);
    }

    /// Whether the task was ever read, and is shown.
    #[must_use]
    pub fn was_read(&self) -> bool {
        self.state != TaskState::Pending
    }
}

fn cluster_of(status: &ScaleOutTaskStatus) -> Option<ClusterMark> {
    status.cluster_id.as_deref().map(ClusterMark::of)
}

fn state_of(status: &ScaleOutTaskStatus) -> TaskState {
    let state = status.state.as_deref();
    state.map_or(TaskState::Pending, TaskState::of)
}

/// What becomes of what a status shows of its task.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum TaskChange {
    /// It stays.
    #[default]
    None,
    /// It goes.
    Clear,
    /// It is this from now on: the fields that the task API fills.
    Set(Box<ScaleOutTaskStatus>),
}

/// The JSON merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)) from one status to
/// another: the parts that differ, each whole.
#[derive(Clone, Copy, Debug)]
pub struct StatusPatch<'a> {
    /// The status as it is.
    pub from: &'a ObjectStatus,
    /// The status as it should be.
    pub to: &'a ObjectStatus,
    /// What becomes of the task in it.
    pub task: &'a TaskChange,
}

impl StatusPatch<'_> {
    fn fields(&self) -> serde_json::Result<Map<String, Value>> {
        let Self { from, to, task } = self;
        let mut fields = match task {
            TaskChange::None => Map::new(),
            TaskChange::Clear => nothing_of_a_task(),
            TaskChange::Set(task) => {
                let mut fields = nothing_of_a_task();
                if let Value::Object(set) = serde_json::to_value(task)? {
                    fields.extend(set);
                }
                fields
            }
        };
        let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        if from.observed_generation != to.observed_generation {
            set("observedGeneration", to.observed_generation.into());
        }
        if from.conditions != to.conditions {
            set("conditions", serde_json::to_value(to.conditions.to_list())?);
        }
        if from.finished_at != to.finished_at {
            set(
                "finishedAt",
                serde_json::to_value(to.finished_at.map(Time))?,
            );
        }
        if from.last_handled_poll_request != to.last_handled_poll_request {
            set(
                "lastHandledPollRequest",
                to.last_handled_poll_request.as_deref().into(),
            );
        }
        Ok(fields)
    }
}

impl Serialize for StatusPatch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields().map_err(serde::ser::Error::custom)?;
        fields.serialize(serializer)
    }
}

/// Each field that the task API fills, as null: what isn't set goes.
fn nothing_of_a_task() -> Map<String, Value> {
    static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(ScaleOutTaskStatus::task_fields);
    NAMES
        .iter()
        .map(|name| (name.clone(), Value::Null))
        .collect()
}

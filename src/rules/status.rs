//! The status as it is kept, and the patch that makes one of another.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, LazyLock},
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Conditions, Fingerprint, Mark, NodeWait, Reason, TaskState};
use crate::api::{ScaleOutTaskStatus, TaskResult};

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
    pub cluster: Option<Mark>,
    /// Stands for the state and the time of its last change, by which a list shows that there is more to know; none
    /// where the API says no such time.
    pub listed_as: Option<Mark>,
    /// What is shown of the nodes, while the object waits for them. Objects of one task may share it.
    pub nodes: Option<Arc<NodeWait>>,
}

impl Default for ObjectStatus {
    fn default() -> Self {
        ScaleOutTaskStatus::default().into()
    }
}

impl From<ScaleOutTaskStatus> for ObjectStatus {
    fn from(mut status: ScaleOutTaskStatus) -> Self {
        let conditions = Conditions::from(mem::take(&mut status.conditions));
        let waits = conditions.reason() == Some(Reason::WaitingForNodes);
        Self {
            observed_generation: status.observed_generation,
            conditions,
            finished_at: status.finished_at.as_ref().map(|time| time.0),
            state: state_of(&status),
            task: Fingerprint::of(&status),
            cluster: cluster_of(&status),
            listed_as: listed_as(&status),
            nodes: waits.then(|| Arc::new(NodeWait::of(&status))),
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
        self.listed_as = listed_as(task);
        self.nodes = None;
    }

    /// Whether the task was ever read, and is shown.
    #[must_use]
    pub fn was_read(&self) -> bool {
        self.state != TaskState::Pending
    }
}

fn cluster_of(status: &ScaleOutTaskStatus) -> Option<Mark> {
    status.cluster_id.as_deref().map(Mark::of)
}

fn listed_as(status: &ScaleOutTaskStatus) -> Option<Mark> {
    let (state, updated) = (status.state.as_deref()?, status.updated.as_ref()?);
    Some(Mark::of_state(state, updated.0.as_second()))
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
    /// It is this from now on: the fields that the task API fills, and the nodes.
    Set(Box<ScaleOutTaskStatus>),
    /// Only its nodes are these now.
    Nodes(Box<NodesShown>),
}

/// The nodes of a task, as a status shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodesShown {
    /// The instances that the status lists, with their Nodes.
    pub task_result: Vec<TaskResult>,
    /// Ready nodes of those waited for, such as 3/5.
    pub nodes: String,
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
                fields.extend(object_of(task)?);
                fields
            }
            TaskChange::Nodes(nodes) => object_of(nodes)?,
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

fn object_of(fields: &impl Serialize) -> serde_json::Result<Map<String, Value>> {
    Ok(match serde_json::to_value(fields)? {
        Value::Object(fields) => fields,
        _ => Map::new(),
    })
}

/// Each field that the task API fills, as null: what isn't set goes.
fn nothing_of_a_task() -> Map<String, Value> {
    static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(ScaleOutTaskStatus::task_fields);
    NAMES
        .iter()
        .map(|name| (name.clone(), Value::Null))
        .collect()
}

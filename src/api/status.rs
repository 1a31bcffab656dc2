//! The status of a `ScaleOutTask`, which the controller writes. Every string has a maximum length.
#![allow(
    clippy::doc_markdown,
    reason = "the comments are what `kubectl explain` shows"
)]

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tolerant;

/// The fields that do not come from the task API.
const OWN_FIELDS: [&str; 4] = [
    "conditions",
    "finishedAt",
    "lastHandledPollRequest",
    "observedGeneration",
];

/// State of the task and of its tracking.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleOutTaskStatus {
    /// Generation of the spec that this status is about. -1 until the controller has seen the
    /// object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// ID of the cluster that the task belongs to, as the task API says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,

    /// Kind of task, as the task API says, such as cluster_scaleout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,

    /// What the task is doing now, as the task API says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_stage: Option<String>,

    /// State of the task, as the task API says: running, success, fail, paused, canceled or
    /// another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,

    /// When the task was created, as the task API says.
    #[serde(
        default,
        deserialize_with = "tolerant::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub created: Option<Time>,

    /// When the task last changed, as the task API says.
    #[serde(
        default,
        deserialize_with = "tolerant::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub updated: Option<Time>,

    /// One entry for each instance, in the order of the task API; at most the first 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_result: Option<Vec<TaskResult>>,

    /// Numbers of instances by status, over all instances of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<InstanceCounts>,

    /// Ready nodes, of those that the object waits for, such as 3/5; only with waitForNodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<String>,

    /// Instances that succeeded, of all instances, such as 3/5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,

    /// The task's own error, as the task API says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,

    /// What the task works on, as the task API says, such as a node pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TaskTarget>,

    /// What the task does one after the other, as the task API says; at most the first 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Vec<TaskStage>>,

    /// What the task told of itself, in the order of time; at most 10: the newest, errors and
    /// warnings before others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<TaskEventStatus>>,

    /// When the controller saw that the task finished.
    #[serde(
        default,
        deserialize_with = "tolerant::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub finished_at: Option<Time>,

    /// The last value of the annotation scaleout.dev/poll-requested-at that a call was made for, cut
    /// to 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_poll_request: Option<String>,

    /// Ready, and Reconciling or Stalled while it is True.
    #[serde(
        default,
        deserialize_with = "tolerant::conditions",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl ScaleOutTaskStatus {
    /// Hashes what comes from the task API, and whether nodes are shown. The pattern lists all fields, so
    /// that a new one can't be forgotten.
    pub fn hash_task(&self, hasher: &mut impl Hasher) {
        let Self {
            cluster_id,
            task_type,
            current_stage,
            state,
            created,
            updated,
            task_result,
            instances,
            nodes,
            progress,
            error,
            target,
            stages,
            events,
            observed_generation: _,
            finished_at: _,
            last_handled_poll_request: _,
            conditions: _,
        } = self;
        let seconds = |time: &Option<Time>| time.as_ref().map(|time| time.0.as_second());
        (cluster_id, task_type, current_stage, state).hash(hasher);
        (seconds(created), seconds(updated)).hash(hasher);
        (task_result, instances, progress, error).hash(hasher);
        (target, stages, events).hash(hasher);
        // How many are Ready, the Nodes tell: a wait has that beside its fingerprint.
        nodes.is_some().hash(hasher);
    }

    /// The names of the fields that come from the task API, as they are on the wire.
    #[must_use]
    pub fn task_fields() -> BTreeSet<String> {
        let schema = schemars::schema_for!(Self);
        let properties = schema.get("properties").and_then(|all| all.as_object());
        let names = properties.into_iter().flat_map(|all| all.keys());
        names
            .filter(|name| !OWN_FIELDS.contains(&name.as_str()))
            .cloned()
            .collect()
    }
}

/// Result of one instance.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// ID of the instance.
    #[serde(default)]
    pub data: String,
    /// success, failed, initial or any other status that the task API reports.
    #[serde(default)]
    pub status: String,
    /// Name of the instance's Node, with waitForNodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether that Node is Ready, with waitForNodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_ready: Option<bool>,
}

/// Only what comes from the task API.
impl Hash for TaskResult {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self {
            data,
            status,
            node: _,
            node_ready: _,
        } = self;
        (data, status).hash(hasher);
    }
}

/// Numbers of instances by status.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Hash, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    /// All instances of the task.
    #[serde(default)]
    pub total: i32,
    /// Instances that succeeded.
    #[serde(default)]
    pub succeeded: i32,
    /// Instances that failed.
    #[serde(default)]
    pub failed: i32,
    /// Instances that neither succeeded nor failed yet.
    #[serde(default)]
    pub pending: i32,
}

/// Error of the task itself.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Hash, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// The error's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The error in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a task works on.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Hash, Eq, Serialize, Deserialize)]
pub struct TaskTarget {
    /// What kind of thing it is, such as nodepool.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Its ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// One of the things that a task does.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Hash, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStage {
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When it began, as the task API writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended, as the task API writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// What it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Something that a task told of itself.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEventStatus {
    /// When.
    #[serde(
        default,
        deserialize_with = "tolerant::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub time: Option<Time>,
    /// How bad it is, such as error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Why, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Hash for TaskEventStatus {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self {
            time,
            level,
            reason,
            message,
            source,
        } = self;
        let second = time.as_ref().map(|time| time.0.as_second());
        (second, level, reason, message, source).hash(hasher);
    }
}

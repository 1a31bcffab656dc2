//! A `ScaleOutTaskSource`: the spec, which users write, and the status, which the controller writes.
#![allow(
    clippy::doc_markdown,
    clippy::duplicated_attributes,
    reason = "columns look alike to the lint; the comments are what `kubectl explain` shows"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{spec::SecretReference, tolerant};

/// The cluster whose tasks are found, and the objects that are made of them.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "scaleout.dev",
    version = "v1alpha1",
    kind = "ScaleOutTaskSource",
    plural = "scaleouttasksources",
    shortname = "sots",
    category = "scaleout",
    namespaced,
    status = "ScaleOutTaskSourceStatus",
    derive = "PartialEq",
    doc = "A ScaleOutTaskSource finds the tasks of one cluster of Alibaba Cloud Container Service for Kubernetes (ACK) by listing them, and makes a ScaleOutTask of each, once. It never changes anything in the cloud.",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.clusterId",
        description = "Cluster whose tasks are found"
    ),
    printcolumn(
        name = "Made",
        type_ = "integer",
        json_path = ".status.made",
        description = "ScaleOutTasks made so far"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True while the tasks of the cluster can be listed"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why Ready is what it is"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Region",
        type_ = "string",
        json_path = ".spec.region",
        description = "Region of the cluster, where the source names one",
        priority = 1
    ),
    printcolumn(
        name = "Last Task",
        type_ = "string",
        json_path = ".status.lastMade.taskId",
        description = "Task of which an object was made last",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "The reason in words",
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)")
    .message("region is immutable, also from or to unset: create a new ScaleOutTaskSource to find tasks in another region")
    .field_path(".region"))]
#[serde(rename_all = "camelCase")]
pub struct ScaleOutTaskSourceSpec {
    /// ID of the cluster whose tasks are found, such as c82e6987e2961451182edacd74faf. Immutable.
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9-]{0,63}$')")
            .message("clusterId must start with a letter or digit and hold only letters, digits and '-' (at most 64), such as c82e6987e2961451182edacd74faf"),
        validation = Rule::new("self == oldSelf")
            .message("clusterId is immutable: create a new ScaleOutTaskSource to find the tasks of another cluster"),
    )]
    pub cluster_id: String,

    /// Region of the cluster, such as cn-hangzhou. Defaults to the controller's --region. Immutable,
    /// also from or to unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$')")
        .message("region must be 1 to 32 lower-case letters, digits and inner dashes, such as cn-hangzhou"))]
    pub region: Option<String>,

    /// Secret in the same namespace with the credentials for the task API. The objects made name it
    /// too. Works only if the operator of the controller allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,

    /// While true, tasks are not listed, and no object is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Types of the tasks of which objects are made. Defaults to cluster_scaleout and
    /// nodepool_scaleout; "*" alone stands for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("!('*' in self) || self.size() == 1")
        .message("taskTypes: \"*\" stands for all types and must stand alone"))]
    pub task_types: Option<Vec<String>>,

    /// How often to list the tasks, as a duration from 5s to 1h, such as 30s or 1m30s. Defaults to
    /// 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5s') && duration(self) <= duration('1h')")
        .message("interval must be a duration from 5s to 1h, such as 30s, 1m30s or 0.5h"))]
    pub interval: Option<String>,

    /// Objects are also made of tasks that are older than the source, by this much at most: a
    /// duration from 0s to 24h. Defaults to 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('0s') && duration(self) <= duration('24h')")
        .message("lookback must be a duration from 0s to 24h, such as 1h or 90m"))]
    pub lookback: Option<String>,

    /// What the objects made have beside the task, region, cluster and Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TaskTemplate>,
}

/// What the objects made have beside the task, region, cluster and Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTemplate {
    /// Their labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Their spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<TemplateSpec>,
}

/// Labels and annotations of the objects made.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateMetadata {
    /// Labels. The controller adds scaleout.dev/source and scaleout.dev/task-type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(
        validation = Rule::new("self.all(key, key.size() <= 317 && key.indexOf('/') <= 253 && key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))")
            .message("labels: a key must be a name of at most 63 letters, digits, '-', '_' and '.', perhaps with a DNS name and '/' before it"),
        validation = Rule::new("!self.exists(key, key in ['scaleout.dev/source', 'scaleout.dev/task-type'])")
            .message("labels: the controller sets scaleout.dev/source and scaleout.dev/task-type"),
    )]
    pub labels: BTreeMap<String, LabelValue>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, key.size() <= 317 && key.indexOf('/') <= 253 && key.matches('^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))")
        .message("annotations: a key must be a name of at most 63 letters, digits, '-', '_' and '.', perhaps with a DNS name and '/' before it"))]
    pub annotations: BTreeMap<String, AnnotationValue>,
}

/// A label's value.
// Its rule is here, for one over all values of a map would be estimated to cost too much.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$')",
    "message": "a label's value must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit",
}]))]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// An annotation's value.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnnotationValue(#[schemars(length(max = 4096))] pub String);

/// The part of the spec of the objects made that is theirs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateSpec {
    /// As pollInterval of a ScaleOutTask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')")
        .message("pollInterval must be a duration from 1s to 1h, such as 15s, 1m30s or 0.5h"))]
    pub poll_interval: Option<String>,

    /// As timeout of a ScaleOutTask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')")
        .message("timeout must be a duration of at least 1s, such as 30m or 1h30m"))]
    pub timeout: Option<String>,

    /// As ttlSecondsAfterFinished of a ScaleOutTask. No second object is made of a task whose object
    /// was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub ttl_seconds_after_finished: Option<i32>,

    /// As waitForNodes of a ScaleOutTask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_nodes: Option<bool>,
}

/// What was found so far, and whether tasks can be listed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleOutTaskSourceStatus {
    /// Generation of the spec that this status is about. -1 until the controller has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// ScaleOutTasks made so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<i64>,

    /// The object made last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_made: Option<LastMade>,

    /// Tasks listed of which no object can be made, for their ID isn't one that a ScaleOutTask can
    /// have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmakeable: Option<i64>,

    /// IDs of the tasks of which an object was made, or was found, in the last 24 hours; at most the
    /// last 1,000. No second object is made of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<String>,

    /// Ready, and Reconciling or Stalled while it is True.
    #[serde(
        default,
        deserialize_with = "tolerant::conditions",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The object that was made last.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastMade {
    /// ID of its task.
    #[serde(default)]
    pub task_id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// When it was made.
    #[serde(
        default,
        deserialize_with = "tolerant::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub time: Option<Time>,
}

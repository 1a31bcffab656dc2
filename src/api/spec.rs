//! The spec of a `ScaleOutTask`, which users write. The API server enforces every rule in it.
#![expect(
    clippy::duplicated_attributes,
    clippy::doc_markdown,
    reason = "columns look alike to the lint; the comments are what `kubectl explain` shows"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::status::ScaleOutTaskStatus;

/// The task to track, and how to track it.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "scaleout.dev",
    version = "v1alpha1",
    kind = "ScaleOutTask",
    plural = "scaleouttasks",
    shortname = "sot",
    category = "scaleout",
    namespaced,
    status = "ScaleOutTaskStatus",
    derive = "PartialEq",
    doc = "A ScaleOutTask tracks one task of Alibaba Cloud Container Service for Kubernetes (ACK) until it ends. The controller reads the task and reports it in the status; it never changes anything in the cloud.",
    selectable = ".spec.taskId",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "State of the task, as the task API says"
    ),
    printcolumn(
        name = "Progress",
        type_ = "string",
        json_path = ".status.progress",
        description = "Instances that succeeded, of all instances"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True once the task succeeded for every instance, with waitForNodes once all nodes are Ready"
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
        name = "Task",
        type_ = "string",
        json_path = ".spec.taskId",
        description = "ID of the task",
        priority = 1
    ),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".status.taskType",
        description = "Kind of task, as the task API says",
        priority = 1
    ),
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".status.target.id",
        description = "What the task works on, such as a node pool",
        priority = 1
    ),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".status.clusterId",
        description = "Cluster the task belongs to",
        priority = 1
    ),
    printcolumn(
        name = "Stage",
        type_ = "string",
        json_path = ".status.currentStage",
        description = "What the task is doing now",
        priority = 1
    ),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodes",
        description = "Ready nodes, of those that the object waits for",
        priority = 1
    ),
    printcolumn(
        name = "Updated",
        type_ = "date",
        json_path = ".status.updated",
        description = "When the cloud last changed the task",
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
    .message("region is immutable, also from or to unset: create a new ScaleOutTask to read the task from another region")
    .field_path(".region"))]
#[serde(rename_all = "camelCase")]
pub struct ScaleOutTaskSpec {
    /// ID of the task to track, as the call that started it returned it, such as
    /// T-5faa48fb31b6b8078d000006. Immutable.
    #[schemars(length(max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$')")
            .message("taskId must start with a letter or digit and hold only letters, digits, '.', '_' and '-' (at most 128), such as T-5faa48fb31b6b8078d000006"),
        validation = Rule::new("self == oldSelf")
            .message("taskId is immutable: create a new ScaleOutTask to track another task"),
    )]
    pub task_id: String,

    /// Region of the task, such as cn-hangzhou. Defaults to the controller's
    /// --region. Immutable, also from or to unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$')")
        .message("region must be 1 to 32 lower-case letters, digits and inner dashes, such as cn-hangzhou"))]
    pub region: Option<String>,

    /// Cluster the task is expected to belong to. If it belongs to another, nothing of the task is
    /// shown and the object stalls with reason ClusterMismatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub cluster_id: Option<String>,

    /// Secret in the same namespace with the credentials for the task API. Works only if the
    /// operator of the controller allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,

    /// How often to poll the task, as a duration from 1s to 1h, such as 15s or 1m30s. Defaults to the
    /// controller's --poll-interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')")
        .message("pollInterval must be a duration from 1s to 1h, such as 15s, 1m30s or 0.5h"))]
    pub poll_interval: Option<String>,

    /// Stop tracking this long after the object was created, as a duration of at least 1s, such as
    /// 30m. Tracking ends with reason TimedOut unless a last call finds the task ended. By default
    /// tracking never stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')")
        .message("timeout must be a duration of at least 1s, such as 30m or 1h30m"))]
    pub timeout: Option<String>,

    /// While true, the task is not polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Ready only once the node of each instance is Ready in the controller's own cluster. Works only
    /// if the operator of the controller has it watch nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_nodes: Option<bool>,

    /// Delete this object this many seconds after it finished. By default it stays. Leave this unset
    /// where a GitOps tool would create the object again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // Older API servers don't look at the format.
    #[schemars(range(min = 0, max = i32::MAX))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// A Secret in the object's own namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretReference {
    /// Name of a Secret with the keys accessKeyId, accessKeySecret and, for temporary credentials,
    /// securityToken. With roleArn, and perhaps externalId and roleSessionName, that RAM role is
    /// assumed with the Secret's own key.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("name must be the name of a Secret: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"))]
    pub name: String,
}

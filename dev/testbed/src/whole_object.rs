//! A `ScaleOutTask` with all fields that tests need.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::ResourceExt;
use scaleouttask_controller::{
    api::{POLL_REQUESTED_AT, ScaleOutTask, ScaleOutTaskSpec, ScaleOutTaskStatus},
    rules::{Object, Reason},
};

/// A `ScaleOutTask` as the API server stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeObject {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
    /// The generation of its spec.
    pub generation: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The value of its poll request, cut to 64 characters.
    pub poll_request: Option<String>,
    /// Its spec.
    pub spec: ScaleOutTaskSpec,
    /// Its status.
    pub status: ScaleOutTaskStatus,
}

impl From<ScaleOutTask> for WholeObject {
    fn from(task: ScaleOutTask) -> Self {
        let request = task.annotations().get(POLL_REQUESTED_AT);
        let created_at = task.metadata.creation_timestamp.as_ref();
        Self {
            namespace: task.namespace().unwrap_or_default(),
            name: task.name_any(),
            uid: task.uid().unwrap_or_default(),
            resource_version: task.resource_version().unwrap_or_default(),
            generation: task.metadata.generation.unwrap_or_default(),
            created_at: created_at.map(|time| time.0).unwrap_or_default(),
            deleting: task.metadata.deletion_timestamp.is_some(),
            poll_request: request.map(|request| Object::bounded_poll_request(request).into()),
            spec: task.spec,
            status: task.status.unwrap_or_default(),
        }
    }
}

impl WholeObject {
    /// The `Ready` condition.
    #[must_use]
    pub fn ready(&self) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|condition| condition.type_ == "Ready")
    }

    /// The reason of `Ready`.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Reason::parse(&self.ready()?.reason)
    }

    /// Whether its reason is final.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.reason().is_some_and(Reason::is_final)
    }
}

//! The controller's view of one `ScaleOutTask`: what a decision needs and no more.

use std::{fmt, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::{Reason, bounded, conditions, parse_duration, time::floor_to_second};
use crate::api::{POLL_REQUESTED_AT, ScaleOutTask, ScaleOutTaskSpec, ScaleOutTaskStatus};

/// How many characters of a poll request are compared and echoed.
const POLL_REQUEST_CHARS: usize = 64;

/// Namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What the operator decided for all objects.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether objects without a region have one by default.
    pub has_default_region: bool,
    /// How often to ask where an object doesn't say.
    pub poll_interval: Duration,
    /// The clusters whose tasks may be shown; empty for all.
    pub allowed_cluster_ids: Vec<String>,
    /// Whether `credentialsSecretRef` is honoured.
    pub secret_credentials: bool,
}

/// One `ScaleOutTask`, pruned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Unique over time; another object of the same name has another.
    pub uid: String,
    /// The version of the object that this view shows.
    pub resource_version: String,
    /// Counts the changes of the spec.
    pub generation: i64,
    /// When the object was created.
    pub created_at: Timestamp,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// The poll request on the object, its first 64 characters.
    pub poll_request: Option<String>,
    /// The user's side.
    pub spec: ScaleOutTaskSpec,
    /// The controller's side.
    pub status: ScaleOutTaskStatus,
}

impl From<ScaleOutTask> for Object {
    fn from(task: ScaleOutTask) -> Self {
        let meta = task.metadata;
        let poll_request = meta
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(POLL_REQUESTED_AT))
            .map(|value| Self::bounded_poll_request(value));
        Self {
            key: ObjectKey {
                namespace: meta.namespace.unwrap_or_default(),
                name: meta.name.unwrap_or_default(),
            },
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created_at: meta
                .creation_timestamp
                .map(|time| time.0)
                .unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            poll_request,
            spec: task.spec,
            status: task.status.unwrap_or_default(),
        }
    }
}

/// The reason of `Ready`.
pub fn reason_of(status: &ScaleOutTaskStatus) -> Option<Reason> {
    conditions::find(status, "Ready").and_then(|ready| Reason::parse(&ready.reason))
}

impl Object {
    /// What counts of a poll request.
    #[must_use]
    pub fn bounded_poll_request(value: &str) -> String {
        bounded(value, POLL_REQUEST_CHARS).to_owned()
    }

    /// The `Ready` condition, if the object has one.
    #[must_use]
    pub fn ready(&self) -> Option<&Condition> {
        conditions::find(&self.status, "Ready")
    }

    /// The reason of `Ready`.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        reason_of(&self.status)
    }

    /// When tracking ends at the latest. A time beyond the calendar is no deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let timeout = parse_duration(self.spec.timeout.as_deref()?).ok()?;
        self.created_at.checked_add(timeout).ok()
    }

    /// Whether nothing is left to do but to keep the record.
    ///
    /// A raised or removed timeout makes an object that timed out unfinished again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.reason() {
            Some(Reason::TimedOut) => {
                let respecified = self.status.observed_generation != Some(self.generation);
                !(respecified && self.has_time_again())
            }
            reason => reason.is_some_and(Reason::is_final),
        }
    }

    /// Whether the deadline now lies after the time at which the object timed out.
    fn has_time_again(&self) -> bool {
        match (self.deadline(), &self.status.finished_at) {
            (Some(deadline), Some(Time(finished_at))) => floor_to_second(deadline) > *finished_at,
            _ => true,
        }
    }

    /// The poll request that waits to be acted on.
    #[must_use]
    pub fn pending_poll_request(&self) -> Option<&str> {
        self.poll_request
            .as_deref()
            .filter(|request| self.status.last_handled_poll_request.as_deref() != Some(*request))
    }

    /// How often to ask. A spec that the API server would refuse counts as not set.
    #[must_use]
    pub fn poll_interval(&self, policy: &Policy) -> Duration {
        let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
        self.spec
            .poll_interval
            .as_deref()
            .and_then(|text| parse_duration(text).ok())
            .filter(|interval| bounds.contains(interval))
            .unwrap_or(policy.poll_interval)
    }

    /// The Secret with the object's own credentials.
    #[must_use]
    pub fn secret(&self) -> Option<ObjectKey> {
        let name = &self.spec.credentials_secret_ref.as_ref()?.name;
        Some(ObjectKey {
            namespace: self.key.namespace.clone(),
            name: name.clone(),
        })
    }

    /// Whether the user asked not to poll.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend.unwrap_or(false)
    }
}

//! One `ScaleOutTask` as it is kept: what a decision needs and no more.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::{
    AccessRules, ObjectStatus, Reason, ResourceVersion, Shown, Spec, Uid, backoff::phase,
    first_chars, time::floor_to_second,
};
use crate::api::{POLL_REQUEST_CHARS, parse_duration};

/// Namespace and name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The object's namespace.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl Default for ObjectKey {
    fn default() -> Self {
        Self {
            namespace: "".into(),
            name: "".into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What the operator decided for all objects.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The region of objects that name none.
    pub default_region: Option<String>,
    /// How often to ask where an object doesn't say.
    pub poll_interval: Duration,
    /// The clusters whose tasks may be shown; empty for all.
    pub allowed_cluster_ids: Vec<String>,
    /// Whether the Nodes of the controller's own cluster are watched.
    pub nodes: bool,
    /// Whether sources are watched.
    pub sources: bool,
    /// Whether `credentialsSecretRef` is honoured.
    pub secret_credentials: bool,
    /// The regions that may be asked; empty for all.
    pub allowed_regions: BTreeSet<String>,
    /// How often an object may be asked about at most, where no access rule says.
    pub min_poll_interval: Duration,
    /// What each namespace may ask; none where all may ask all.
    pub access: Option<AccessRules>,
    /// The labels by which this controller's objects are selected.
    pub selected_by: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default_region: None,
            poll_interval: Duration::from_secs(15),
            allowed_cluster_ids: Vec::new(),
            nodes: false,
            sources: false,
            secret_credentials: false,
            allowed_regions: BTreeSet::new(),
            min_poll_interval: Duration::from_secs(1),
            access: None,
            selected_by: Vec::new(),
        }
    }
}

/// One `ScaleOutTask`. Its size doesn't depend on what its task is like, but while it waits for nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Unique over time; another object of the same name has another.
    pub uid: Uid,
    /// The version of the object that this is.
    pub resource_version: ResourceVersion,
    /// Counts the changes of the spec.
    pub generation: i64,
    /// When the object was created.
    pub created_at: Timestamp,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// The poll request on the object, its first 64 characters.
    pub poll_request: Option<Box<str>>,
    /// The source that owns the object.
    pub source: Option<Box<Uid>>,
    /// The user's side.
    pub spec: Spec,
    /// The controller's side.
    pub status: ObjectStatus,
}

impl Object {
    /// The part of a poll request that is compared and echoed.
    #[must_use]
    pub fn bounded_poll_request(value: &str) -> Box<str> {
        first_chars(value, POLL_REQUEST_CHARS).into()
    }

    /// What the object says of itself; none before its first status.
    #[must_use]
    pub fn shown(&self) -> Option<&Shown> {
        self.status.conditions.shown()
    }

    /// The reason of `Ready`.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.status.conditions.reason()
    }

    /// When tracking ends at the latest. A time beyond the calendar is no deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let timeout = parse_duration(self.spec.timeout()?).ok()?;
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
        match (self.deadline(), self.status.finished_at) {
            (Some(deadline), Some(finished_at)) => floor_to_second(deadline) > finished_at,
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

    /// How often to ask.
    #[must_use]
    pub fn poll_interval(&self, policy: &Policy) -> Duration {
        let wanted = self.spec.poll_interval.unwrap_or(policy.poll_interval);
        wanted.max(policy.min_poll_interval(&self.key.namespace))
    }

    /// How long until its turn to be polled.
    #[must_use]
    pub fn until_turn(&self, policy: &Policy, now: Timestamp) -> Duration {
        phase(self.poll_interval(policy), &self.uid, now)
    }

    /// Where to ask; none where nothing says.
    #[must_use]
    pub fn region<'a>(&'a self, policy: &'a Policy) -> Option<&'a str> {
        let own = self.spec.region.as_deref();
        own.or(policy.default_region.as_deref())
    }

    /// The Secret with the object's own credentials.
    #[must_use]
    pub fn secret(&self) -> Option<ObjectKey> {
        Some(ObjectKey {
            namespace: self.key.namespace.clone(),
            name: self.spec.secret_name()?.into(),
        })
    }

    /// Whether the user asked not to poll.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend
    }
}

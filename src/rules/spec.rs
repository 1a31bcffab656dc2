//! The spec as it is kept.

use std::time::Duration;

use crate::api::{ScaleOutTaskSpec, parse_duration};

/// What a spec asks for, in little memory: clusters have tens of thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// The task.
    pub task_id: Box<str>,
    /// The region whose API knows it; by default the controller's.
    pub region: Option<Box<str>>,
    /// How often to ask; none where the spec doesn't say, or what the API server would refuse.
    pub poll_interval: Option<Duration>,
    /// Whether not to ask.
    pub suspend: bool,
    /// Whether the object is Ready only once its nodes are.
    pub wait_for_nodes: bool,
    /// What few objects have.
    rare: Option<Box<RareSpec>>,
}

/// What few objects have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RareSpec {
    cluster_id: Option<String>,
    secret_name: Option<String>,
    timeout: Option<String>,
    ttl: Option<Duration>,
}

impl Spec {
    /// The cluster that the task is expected to belong to.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.rare.as_ref()?.cluster_id.as_deref()
    }

    /// The name of the Secret with the object's own credentials.
    #[must_use]
    pub fn secret_name(&self) -> Option<&str> {
        self.rare.as_ref()?.secret_name.as_deref()
    }

    /// How long after its creation the object is tracked, as the spec writes it.
    #[must_use]
    pub fn timeout(&self) -> Option<&str> {
        self.rare.as_ref()?.timeout.as_deref()
    }

    /// How long after its end the object is deleted.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.rare.as_ref()?.ttl
    }
}

impl From<ScaleOutTaskSpec> for Spec {
    fn from(spec: ScaleOutTaskSpec) -> Self {
        let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
        let poll_interval = spec
            .poll_interval
            .and_then(|text| parse_duration(&text).ok())
            .filter(|interval| bounds.contains(interval));
        let rare = RareSpec {
            cluster_id: spec.cluster_id,
            secret_name: spec.credentials_secret_ref.map(|secret| secret.name),
            timeout: spec.timeout,
            ttl: spec
                .ttl_seconds_after_finished
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
        };
        Self {
            task_id: spec.task_id.into(),
            region: spec.region.map(Into::into),
            poll_interval,
            suspend: spec.suspend.unwrap_or(false),
            wait_for_nodes: spec.wait_for_nodes.unwrap_or(false),
            rare: (rare != RareSpec::default()).then(|| Box::new(rare)),
        }
    }
}

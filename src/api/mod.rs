//! The custom resource: what users write, what the controller answers, and the CRD made of both.

mod crd;
mod spec;
mod status;
mod tolerant;

pub use crd::{crd, crd_yaml};
pub use spec::{ScaleOutTask, ScaleOutTaskSpec, SecretReference};
pub use status::{InstanceCounts, ScaleOutTaskStatus, TaskError, TaskResult};

/// The annotation whose new value asks for one poll out of turn.
pub const POLL_REQUESTED_AT: &str = "scaleout.dev/poll-requested-at";

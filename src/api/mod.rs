//! The custom resource: the spec that users write, the status that the controller writes, and the CRD.

mod crd;
mod spec;
mod status;
mod tolerant;

pub use crd::{crd, crd_yaml};
pub use spec::{ScaleOutTask, ScaleOutTaskSpec, SecretReference};
pub use status::{
    InstanceCounts, ScaleOutTaskStatus, TaskError, TaskEventStatus, TaskResult, TaskStage,
    TaskTarget,
};

/// The annotation that requests a poll. Each new value is one request.
pub const POLL_REQUESTED_AT: &str = "scaleout.dev/poll-requested-at";

//! The custom resource: the spec that users write, the status that the controller writes, and the CRD; durations
//! and names as specs and objects have them.

mod crd;
mod duration;
mod names;
mod source;
mod spec;
mod status;
mod tolerant;

pub use crd::{crd, crd_yaml, source_crd};
pub use duration::{DurationError, parse_duration};
pub use names::{TASK_ID_MAX, is_task_id, label_value, name_with_hash, object_name};
pub use source::{
    AnnotationValue, LabelValue, LastMade, ScaleOutTaskSource, ScaleOutTaskSourceSpec,
    ScaleOutTaskSourceStatus, TaskTemplate, TemplateMetadata, TemplateSpec,
};
pub use spec::{ScaleOutTask, ScaleOutTaskSpec, SecretReference};
pub use status::{
    InstanceCounts, ScaleOutTaskStatus, TaskError, TaskEventStatus, TaskResult, TaskStage,
    TaskTarget,
};

/// The annotation that requests a poll. Each new value is one request.
pub const POLL_REQUESTED_AT: &str = "scaleout.dev/poll-requested-at";

/// How many characters of a poll request are compared and echoed.
pub const POLL_REQUEST_CHARS: usize = 64;
/// The label of an object that a source made: the source's name.
pub const SOURCE_LABEL: &str = "scaleout.dev/source";
/// The label of an object that a source made: the type of its task.
pub const TASK_TYPE_LABEL: &str = "scaleout.dev/task-type";

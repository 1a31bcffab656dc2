//! What a call to the task API can end with.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::Reason;

/// A task as the API describes it, not yet normalised or bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Task {
    /// The task's ID, where the API repeats it.
    pub task_id: Option<String>,
    /// The cluster it belongs to.
    pub cluster_id: Option<String>,
    /// What kind of task it is.
    pub task_type: Option<String>,
    /// What it is doing now.
    pub current_stage: Option<String>,
    /// Its state; never empty.
    pub state: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it last changed.
    pub updated: Option<Timestamp>,
    /// Its instances, in the API's order.
    pub results: Vec<Instance>,
    /// The task's own error: code and message.
    pub error: Option<(Option<String>, Option<String>)>,
}

/// One instance of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The instance's ID.
    pub id: String,
    /// What became of it.
    pub status: String,
}

/// How a call ended: with what the API says of the task, or without.
pub type PollResult = Result<Task, PollError>;

/// Why a call brought no answer about the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollError {
    /// The kind of error; it decides what follows.
    pub reason: Reason,
    /// The API's error code, if it is a plain word.
    pub code: Option<String>,
    /// What is wrong and how to mend it, where the reason alone doesn't say. Never text of a body.
    pub detail: Option<String>,
    /// How long the API asked to wait.
    pub retry_after: Option<Duration>,
}

impl PollError {
    /// An error of this kind, with nothing more known.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            code: None,
            detail: None,
            retry_after: None,
        }
    }
}

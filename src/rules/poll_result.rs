//! What a call of the task API ends with.

use std::time::Duration;

use super::{Reason, Task};

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
    /// Which service is in trouble.
    pub service: Service,
    /// Why there is no answer, in words for the log.
    pub cause: Option<&'static str>,
    /// What the API calls this answer; its support asks for that. Letters, digits and dashes.
    pub request_id: Option<String>,
    /// Whether the object's Secret isn't there, or not complete: it may come a moment later.
    pub is_missing_secret: bool,
    /// Whether nothing answered at all: such a call may take its whole time-out.
    pub is_silence: bool,
}

/// What a call needs that may be in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The task API.
    TaskApi,
    /// STS, which gives credentials for RAM roles.
    Sts,
    /// The metadata service of the ECS instance.
    Metadata,
    /// The service behind a credentials URI.
    CredentialsUri,
    /// The API server, which has the object's Secret.
    ApiServer,
    /// A file with the controller's credentials.
    File,
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
            service: Service::TaskApi,
            cause: None,
            request_id: None,
            is_missing_secret: false,
            is_silence: false,
        }
    }
}

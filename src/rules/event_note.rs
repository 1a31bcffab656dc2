//! What an Event says.

use super::{Conditions, PollError, Reason, reason::Severity};

/// The API server refuses notes of Events over 1,024 bytes, where conditions count characters.
const NOTE_BYTES: usize = 1024;

/// The content of an Event: one is due when the reason of `Ready` changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// Normal or Warning.
    pub severity: Severity,
    /// The new reason of `Ready`.
    pub reason: Reason,
    /// The message of `Ready`, at most 1,024 bytes.
    pub message: Box<str>,
    /// What the API calls the answer that led to it, where that is an error.
    pub request_id: Option<Box<str>>,
    /// Why there was no answer, for the log.
    pub cause: Option<&'static str>,
}

impl EventNote {
    /// The Event for the change from `before` to `after`; none where the reason stays, and for
    /// [`Reason::Pending`].
    pub(super) fn for_change(
        before: &Conditions,
        after: &Conditions,
        error: Option<&PollError>,
    ) -> Option<Self> {
        let reason = after.reason()?;
        if before.reason() == Some(reason) {
            return None;
        }
        let message = &after.shown()?.message;
        let error = error.filter(|error| error.reason == reason);
        Some(Self {
            severity: reason.severity()?,
            reason,
            message: message[..message.floor_char_boundary(NOTE_BYTES)].into(),
            request_id: error
                .and_then(|error| error.request_id.as_deref())
                .map(Into::into),
            cause: error.and_then(|error| error.cause),
        })
    }

    /// The message and the request ID, at most 1,024 bytes.
    #[must_use]
    pub fn text(&self) -> String {
        let suffix = self.request_id.as_deref();
        let suffix = suffix.map_or(String::new(), |id| format!(" (request ID {id})"));
        let room = NOTE_BYTES.saturating_sub(suffix.len());
        let message = &self.message[..self.message.floor_char_boundary(room)];
        [message, &suffix].concat()
    }
}

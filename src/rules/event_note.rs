//! What an Event says.

use super::{Conditions, Reason, reason::Severity};

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
}

impl EventNote {
    /// The Event for the change from `before` to `after`; none where the reason stays, and for
    /// [`Reason::Pending`].
    pub(super) fn for_change(before: &Conditions, after: &Conditions) -> Option<Self> {
        let reason = after.reason()?;
        if before.reason() == Some(reason) {
            return None;
        }
        let message = &after.shown()?.message;
        Some(Self {
            severity: reason.severity()?,
            reason,
            message: message[..message.floor_char_boundary(NOTE_BYTES)].into(),
        })
    }
}

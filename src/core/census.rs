//! How many objects there are of each kind, kept as they change.

use std::collections::BTreeMap;

use super::Object;

/// The states that objects are counted by. A closed set: the API's own is open.
pub const STATES: [&str; 7] = [
    "pending", "running", "paused", "success", "fail", "canceled", "unknown",
];

/// Counts of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    by_reason: BTreeMap<&'static str, i64>,
    by_state: BTreeMap<&'static str, i64>,
}

impl Census {
    /// One object became another; `None` is an object that isn't there.
    pub(super) fn replace(&mut self, before: Option<Kind>, after: Option<Kind>) {
        for (kind, change) in [(before, -1), (after, 1)] {
            let Some(kind) = kind else { continue };
            *self.by_reason.entry(kind.reason).or_default() += change;
            *self.by_state.entry(kind.state).or_default() += change;
        }
    }

    /// Each reason of `Ready` ever seen, and how many objects have it now.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        self.by_reason
            .iter()
            .map(|(reason, count)| (*reason, *count))
    }

    /// How many objects have a task in each of the [`STATES`].
    pub fn by_state(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        STATES.iter().map(|state| {
            (
                *state,
                self.by_state.get(state).copied().unwrap_or_default(),
            )
        })
    }
}

/// What an object counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    reason: &'static str,
    state: &'static str,
}

impl Kind {
    pub(super) fn of(object: &Object) -> Self {
        Self {
            reason: reason(object),
            state: state(object),
        }
    }
}

/// An object without any `Ready` yet counts as pending.
fn reason(object: &Object) -> &'static str {
    object.reason().map_or("Pending", super::Reason::as_str)
}

fn state(object: &Object) -> &'static str {
    match object.status.state.as_deref() {
        None => "pending",
        Some("running") => "running",
        Some("paused") => "paused",
        Some("success") => "success",
        Some("fail") => "fail",
        Some("canceled" | "cancelled") => "canceled",
        Some(_) => "unknown",
    }
}

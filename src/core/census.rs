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
    pub(super) fn replace(&mut self, before: Option<&Object>, after: Option<&Object>) {
        for (object, change) in [(before, -1), (after, 1)] {
            let Some(object) = object else { continue };
            *self.by_reason.entry(reason(object)).or_default() += change;
            *self.by_state.entry(state(object)).or_default() += change;
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

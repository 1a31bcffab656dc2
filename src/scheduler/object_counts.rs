//! How many objects there are by reason and state, kept as they change.

use std::collections::BTreeMap;

use crate::rules::{Object, Reason, TaskState};

/// Counts of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectCounts {
    by_reason: BTreeMap<&'static str, i64>,
    by_state: BTreeMap<TaskState, i64>,
}

impl ObjectCounts {
    /// An object changed, from one row of the counts to another; `None` where there is none.
    pub(super) fn replace(&mut self, before: Option<Row>, after: Option<Row>) {
        for (row, change) in [(before, -1), (after, 1)] {
            let Some(row) = row else { continue };
            *self.by_reason.entry(row.reason).or_default() += change;
            *self.by_state.entry(row.state).or_default() += change;
        }
    }

    /// Each reason of `Ready` ever seen, and how many objects have it now.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        self.by_reason
            .iter()
            .map(|(reason, count)| (*reason, *count))
    }

    /// How many objects have a task in each state.
    pub fn by_state(&self) -> impl Iterator<Item = (TaskState, i64)> + '_ {
        let count = |state| self.by_state.get(&state).copied().unwrap_or_default();
        TaskState::ALL
            .into_iter()
            .map(move |state| (state, count(state)))
    }
}

/// Where an object counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    reason: &'static str,
    state: TaskState,
}

impl Row {
    /// An object without any `Ready` yet counts as pending.
    pub(super) fn of(object: &Object) -> Self {
        Self {
            reason: object.reason().unwrap_or(Reason::Pending).as_str(),
            state: object.status.state,
        }
    }
}

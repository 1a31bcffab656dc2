//! Statuses that aren't as they were written: the API server drops fields that its CRD doesn't have, and somebody
//! else may write them too.

use std::{collections::BTreeMap, time::Duration};

use super::ObjectId;
use crate::rules::ObjectStatus;

/// How often another's change of one object is told of. Two controllers change each other's in turn for ever.
const TELL_PERIOD: Duration = Duration::from_mins(4);

/// What is known of such objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Deviations {
    altered: BTreeMap<ObjectId, Box<Altered>>,
    /// When another's change was last told of.
    told_at: BTreeMap<ObjectId, Duration>,
}

/// The status as it was sent, and as it is kept.
#[derive(Clone, Debug)]
struct Altered {
    sent: ObjectStatus,
    kept: ObjectStatus,
}

impl Deviations {
    /// Compares what was sent with what the API server answered. Returns whether it keeps something else.
    pub(super) fn written(
        &mut self,
        id: ObjectId,
        sent: ObjectStatus,
        kept: &ObjectStatus,
    ) -> bool {
        if sent == *kept {
            self.altered.remove(&id);
            return false;
        }
        let kept = kept.clone();
        self.altered.insert(id, Box::new(Altered { sent, kept }));
        true
    }

    /// What is kept of an object counts as what was sent, for it would come to that again with every write.
    pub(super) fn restore(&self, id: ObjectId, status: &mut ObjectStatus) {
        if let Some(altered) = self.altered.get(&id)
            && *status == altered.kept
        {
            *status = altered.sent.clone();
        }
    }

    /// Somebody else changed the object's status. Returns whether to tell of it.
    pub(super) fn changed_by_another(&mut self, id: ObjectId, now: Duration) -> bool {
        let is_over = |at: Duration| now.saturating_sub(at) >= TELL_PERIOD;
        if self.told_at.get(&id).is_some_and(|at| !is_over(*at)) {
            return false;
        }
        self.told_at.retain(|_, at| !is_over(*at));
        self.told_at.insert(id, now);
        true
    }

    pub(super) fn forget(&mut self, id: ObjectId) {
        self.altered.remove(&id);
        self.told_at.remove(&id);
    }

    /// Moves the clock's zero forward.
    pub(super) fn rebase(&mut self, by: Duration) {
        for at in self.told_at.values_mut() {
            *at = at.saturating_sub(by);
        }
    }
}

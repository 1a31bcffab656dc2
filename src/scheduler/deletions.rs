//! Deletions of objects whose time to live is over.

use std::time::Duration;

use super::{
    Deletion, Effect, ObjectId, Scheduler,
    input::{DeletionResult, Now},
};
use crate::rules::{Next, Occasion, WriteFailure, write_retry_delay};

impl Scheduler {
    pub(super) fn queue_deletion(&mut self, id: ObjectId) {
        if let Some(tracked) = self.objects.get_mut(&id)
            && !tracked.is_being_deleted
        {
            tracked.is_being_deleted = true;
            let namespace = tracked.object.key.namespace.clone();
            self.deletions.push(&namespace, id, ());
        }
    }

    pub(super) fn start_deletions(&mut self, now: Now) {
        while !self.stopping
            && let Some(started) = self.deletions.start(()..=(), |_| true)
        {
            let id = started.id;
            // It may have changed while it waited.
            let verdict = self.judge(id, &Occasion::Seen, now);
            let next = verdict.and_then(|verdict| verdict.next);
            let Some(tracked) = self.objects.get_mut(&id) else {
                self.deletions.ended(id);
                continue;
            };
            if next != Some(Next::Delete(Duration::ZERO)) {
                tracked.is_being_deleted = false;
                self.deletions.ended(id);
                if tracked.is_idle() {
                    self.decide(id, Occasion::Seen, now);
                }
                continue;
            }
            if let Some(wait) = self.keeps(id, now) {
                self.deletions.ended(id);
                if let Some(tracked) = self.objects.get_mut(&id) {
                    tracked.is_being_deleted = false;
                }
                self.plan(id, Next::Wait(wait), now);
                continue;
            }
            let Some(tracked) = self.objects.get(&id) else {
                continue;
            };
            let object = &tracked.object;
            self.effects.push(Effect::Delete(Deletion {
                object: id,
                key: object.key.clone(),
                uid: object.uid.clone(),
                resource_version: object.resource_version.clone(),
                attempts: tracked.refused_deletions,
            }));
        }
    }

    /// The object may have changed since: later it is decided anew whether to delete it.
    pub(super) fn deletion_ended(&mut self, id: ObjectId, result: DeletionResult, now: Now) {
        self.deletions.ended(id);
        let seed = self.seed(id, now);
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        tracked.is_being_deleted = false;
        let wait = match result {
            // The watch shows that it is gone.
            DeletionResult::Deleted => return,
            DeletionResult::Refused => {
                let attempts = tracked.refused_deletions;
                tracked.refused_deletions = attempts.saturating_add(1);
                write_retry_delay(attempts, WriteFailure::Refused, seed)
            }
            DeletionResult::Failed => {
                tracked.refused_deletions = 0;
                write_retry_delay(u32::MAX, WriteFailure::Transient, seed)
            }
        };
        if tracked.is_idle() {
            self.plan(id, Next::Wait(wait), now);
        }
    }
}

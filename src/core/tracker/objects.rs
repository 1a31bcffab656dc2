//! Which objects there are, as the watches tell.

use super::{Entry, EntryId, Kept, Now, Timer, Tracker};
use crate::core::Object;

impl Tracker {
    pub(super) fn apply(&mut self, watch: usize, object: Object, listed: bool, now: Now) {
        let object = Kept::of(object, &self.config.policy, &mut self.pools);
        let listing = self.listings.get(&watch).copied().unwrap_or_default();
        let known = self.by_key.get(&object.key).copied();
        let id = match known.and_then(|id| Some((id, self.entries.get_mut(&id)?))) {
            Some((id, entry)) if entry.object.uid == object.uid => {
                entry.listing = listing;
                // A listing that began before the last write may show what was before it. Else a
                // list is always right, also where it goes back: the cluster's data may have been
                // restored.
                let goes_back = listed && entry.written_in != Some(listing);
                if goes_back || !is_older(&object, &entry.object) {
                    entry.replace(object, &mut self.census);
                }
                id
            }
            Some((id, _)) => {
                self.forget(id);
                self.admit(watch, listing, object, now)
            }
            None => self.admit(watch, listing, object, now),
        };
        self.reconsider(id, now);
    }

    fn admit(&mut self, watch: usize, listing: u64, object: Kept, now: Now) -> EntryId {
        self.last_id += 1;
        let id = self.last_id;
        self.by_key.insert(object.key.clone(), id);
        self.census.replace(None, Some(object.kind));
        let entry = Box::new(Entry::new(object, watch, listing));
        self.entries.insert(id, entry);
        self.await_answer(id, now);
        id
    }

    /// Looks at an entry for the first time in this term.
    pub(super) fn welcome(&mut self, id: EntryId, now: Now) {
        self.await_answer(id, now);
        self.reconsider(id, now);
    }

    /// An object that was never answered says so after a while.
    fn await_answer(&mut self, id: EntryId, now: Now) {
        if self.leads
            && let Some(entry) = self.entries.get_mut(&id)
            && let Some(at) = entry.overdue_from(now.monotonic)
        {
            entry.overdue_at = Some(at);
            self.timers.insert((at, id, Timer::Overdue));
        }
    }

    pub(super) fn is_overdue(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.overdue_at = None;
            self.overdue.insert(id);
        }
    }

    pub(super) fn forget(&mut self, id: EntryId) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.by_key.remove(&entry.object.key);
        self.writing.remove(&id);
        self.overdue.remove(&id);
        self.census.replace(Some(entry.object.kind), None);
        for (at, timer) in entry.timers() {
            self.timers.remove(&(at, id, timer));
        }
    }

    pub(super) fn drop_unlisted(&mut self, watch: usize) {
        let listing = self.listings.get(&watch).copied().unwrap_or_default();
        let gone: Vec<EntryId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.watch == watch && entry.listing != listing)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.forget(id);
        }
    }

    /// Takes the object that a write returned, unless the watch was faster.
    pub(super) fn accept(&mut self, id: EntryId, object: Object) {
        let object = Kept::of(object, &self.config.policy, &mut self.pools);
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.object.uid == object.uid
            && !is_older(&object, &entry.object)
        {
            entry.replace(object, &mut self.census);
            entry.written_in = self.listings.get(&entry.watch).copied();
        }
    }
}

/// Whether `one` is surely an older version than `other`. Versions of one resource are numbers that
/// grow; where they aren't, nothing is known.
fn is_older(one: &Kept, other: &Kept) -> bool {
    let version = |object: &Kept| object.resource_version.parse::<u128>().ok();
    matches!((version(one), version(other)), (Some(one), Some(other)) if one < other)
}

//! Which objects there are, as the watches show.

use super::{Effect, ObjectId, Row, Scheduler, Timer, Tracked, input::Now, tracked::Overdue};
use crate::rules::Object;

impl Scheduler {
    pub(super) fn apply(&mut self, watch: usize, mut object: Object, listed: bool, now: Now) {
        let listing = self.listings.get(&watch).copied().unwrap_or_default();
        let known = self.ids.get(&object.key);
        let mut is_orphaned = false;
        let id = match known.and_then(|id| Some((id, self.objects.get_mut(&id)?))) {
            Some((id, tracked)) if tracked.object.uid == object.uid => {
                tracked.listing = listing;
                self.deviations.restore(id, &mut object.status);
                // A listing that began before the last write may show what was before it. Else a
                // list is always right, also where it goes back: the cluster's data may have been
                // restored.
                let goes_back = listed && tracked.written_in != Some(listing);
                if goes_back
                    || !object
                        .resource_version
                        .is_older_than(&tracked.object.resource_version)
                {
                    // What a list showed may be older than what was written.
                    tracked.is_written &= !listed;
                    let is_foreign = self.leads
                        && tracked.was_written_by_us()
                        && tracked.object.status != object.status;
                    if is_foreign && self.deviations.changed_by_another(id, now.monotonic) {
                        let key = tracked.object.key.clone();
                        self.effects.push(Effect::TellForeign(key));
                    }
                    self.sources.remove_member(id, &tracked.object);
                    is_orphaned = tracked.object.source.is_some() && object.source.is_none();
                    tracked.replace(object, &mut self.counts);
                    self.sources.add_member(id, &tracked.object);
                }
                id
            }
            Some((id, _)) => {
                self.forget(id);
                self.admit(watch, listing, object, now)
            }
            None => self.admit(watch, listing, object, now),
        };
        if is_orphaned {
            self.poll_in_turn(id, now);
        }
        self.follow_nodes(id, now);
        self.reconsider(id, now);
    }

    fn admit(&mut self, watch: usize, listing: u32, mut object: Object, now: Now) -> ObjectId {
        self.last_id += 1;
        let id = self.last_id;
        self.ids.insert(&mut object.key, id);
        self.counts.replace(None, Some(Row::of(&object)));
        self.sources.add_member(id, &object);
        let tracked = Box::new(Tracked::new(object, watch, listing));
        self.objects.insert(id, tracked);
        self.await_answer(id, now);
        id
    }

    /// Looks at an object: for the first time in this term, or for a Node changed.
    pub(super) fn look_at(&mut self, id: ObjectId, now: Now) {
        let tracked = self.objects.get_mut(&id);
        if let Some(concern) = tracked.and_then(|tracked| tracked.concern.as_mut()) {
            concern.look_waits = false;
        }
        self.await_answer(id, now);
        self.follow_nodes(id, now);
        self.reconsider(id, now);
    }

    /// An object that shows nothing yet shows after a while that it waits for its answer.
    pub(super) fn await_answer(&mut self, id: ObjectId, now: Now) {
        if self.leads
            && !self.stopping
            && let Some(tracked) = self.objects.get_mut(&id)
            && tracked.overdue == Overdue::No
            && let Some(at) = tracked.overdue_from(now.monotonic)
        {
            tracked.overdue = Overdue::At(at);
            self.timers.insert((at, id, Timer::Overdue));
        }
    }

    pub(super) fn forget(&mut self, id: ObjectId) {
        self.take_back(id);
        self.forget_nodes(id);
        let Some(tracked) = self.objects.remove(&id) else {
            return;
        };
        self.ids.remove(&tracked.object.key);
        self.sources.remove_member(id, &tracked.object);
        self.sources.note_gone(tracked.watch, &tracked.object);
        self.deviations.forget(id);
        self.counts.replace(Some(Row::of(&tracked.object)), None);
        for (at, timer) in tracked.timers() {
            self.timers.remove(&(at, id, timer));
        }
    }

    /// Takes out of all queues what waits in them for that object.
    fn take_back(&mut self, id: ObjectId) {
        self.leave_call_queue(id);
        self.end_write(id);
        self.end_overdue(id);
    }

    pub(super) fn drop_unlisted(&mut self, watch: usize) {
        let listing = self.listings.get(&watch).copied().unwrap_or_default();
        let gone: Vec<ObjectId> = self
            .objects
            .iter()
            .filter(|(_, tracked)| tracked.watch == watch && tracked.listing != listing)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.forget(id);
        }
    }

    /// Takes the object that a write returned, unless the watch was faster.
    pub(super) fn accept(&mut self, id: ObjectId, mut object: Object, now: Now) {
        self.deviations.restore(id, &mut object.status);
        if let Some(tracked) = self.objects.get_mut(&id)
            && tracked.object.uid == object.uid
            && !object
                .resource_version
                .is_older_than(&tracked.object.resource_version)
        {
            self.sources.remove_member(id, &tracked.object);
            tracked.replace(object, &mut self.counts);
            self.sources.add_member(id, &tracked.object);
            tracked.written_in = self.listings.get(&tracked.watch).copied();
            self.follow_nodes(id, now);
        }
    }
}

//! Sources: whose turn it is to be listed, which objects are made of what was found, and what of their objects is
//! asked about.

mod creations;
mod listings;
mod tracked;
mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use self::creations::PendingCreation;
pub(super) use self::tracked::TrackedSource;
use super::{
    CreationId, ObjectId, Scheduler, Timer,
    input::{Now, SourceInput},
    object_ids::ObjectIds,
};
use crate::rules::{GRACE, Mark, Object, Reason, Source, Uid, remembers, until_settled};

/// How soon it is looked again whether an object may be deleted that its source doesn't remember yet.
const UNTIL_REMEMBERED: Duration = Duration::from_secs(1);
/// How many deleted objects are kept in mind that their source's status doesn't remember: until it does.
const GONE_MAX: usize = 10_000;
/// How long an object that its owner's end should take along is waited for.
const GOING: Duration = Duration::from_secs(20);

/// All sources, and whose objects they made.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    tracked: BTreeMap<ObjectId, Box<TrackedSource>>,
    ids: ObjectIds,
    by_uid: BTreeMap<Uid, ObjectId>,
    /// The objects of each source, by their tasks. The source itself may not have been seen yet.
    members: BTreeMap<Uid, BTreeSet<(Mark, ObjectId)>>,
    /// How often each watch of sources began a list.
    listings: BTreeMap<usize, u32>,
    /// The watches of sources, and those of objects, whose first list is done.
    listed: BTreeSet<usize>,
    objects_listed: BTreeSet<usize>,
    /// Tasks whose objects are gone and weren't remembered, by their sources, which may not have been seen yet.
    gone: BTreeSet<(Arc<str>, Uid, Mark)>,
    creations: BTreeMap<CreationId, PendingCreation>,
    counts: BTreeMap<&'static str, i64>,
}

impl Sources {
    /// How many sources there are, by the reason of `Ready`.
    pub fn counts(&self) -> &BTreeMap<&'static str, i64> {
        &self.counts
    }

    pub fn contains(&self, id: ObjectId) -> bool {
        self.tracked.contains_key(&id)
    }

    pub fn get_mut(&mut self, id: ObjectId) -> Option<&mut TrackedSource> {
        self.tracked.get_mut(&id).map(Box::as_mut)
    }

    /// The source that made that object. An owner in another namespace is none.
    fn of(&self, object: &Object) -> Option<(ObjectId, &TrackedSource)> {
        let id = *self.by_uid.get(object.source.as_deref()?)?;
        let tracked = self.tracked.get(&id)?;
        (tracked.source.key.namespace == object.key.namespace).then_some((id, tracked))
    }

    fn id_of(&self, object: &Object) -> Option<ObjectId> {
        self.of(object).map(|(id, _)| id)
    }

    /// The list that a watch is in, or was last.
    fn listing_of(&self, watch: usize) -> u32 {
        self.listings.get(&watch).copied().unwrap_or_default()
    }

    fn insert(&mut self, id: ObjectId, mut tracked: Box<TrackedSource>) {
        let source = &mut tracked.source;
        self.ids.insert(&mut source.key, id);
        self.by_uid.insert(source.uid.clone(), id);
        self.tracked.insert(id, tracked);
    }

    /// Whether an object that `source` didn't make is about to go: by itself, or with the source that made it. An
    /// owner that isn't seen may be another controller's, too: after a while that is taken for so.
    fn is_going(&mut self, object: &Object, source: ObjectId, now: Duration) -> bool {
        let owner = self.id_of(object);
        if owner == Some(source) || object.source.is_none() {
            return object.deleting && owner != Some(source);
        }
        if let Some(owner) = owner.and_then(|id| self.tracked.get(&id)) {
            return object.deleting || owner.source.deleting;
        }
        let task = Mark::of(&object.spec.task_id);
        let Some(tracked) = self.tracked.get_mut(&source) else {
            return true;
        };
        let since = *tracked.going_since.entry(task).or_insert(now);
        object.deleting || now.saturating_sub(since) < GOING
    }

    /// The objects of a source.
    fn members_of(&self, source: &Uid) -> Vec<ObjectId> {
        let members = self.members.get(source);
        members.into_iter().flatten().map(|(_, id)| *id).collect()
    }

    /// The objects that a source made of that task. There is one, unless somebody made more by hand.
    fn members_for(&self, source: &Source, task: Mark) -> Vec<ObjectId> {
        let members = self.members.get(&source.uid);
        let range = (task, 0)..=(task, ObjectId::MAX);
        let members = members.into_iter().flat_map(|all| all.range(range.clone()));
        members.map(|(_, id)| *id).collect()
    }

    fn count(&mut self, before: Option<&Source>, after: Option<&Source>) {
        for (source, change) in [(before, -1), (after, 1)] {
            if let Some(source) = source {
                let reason = source.reason().unwrap_or(Reason::Pending);
                *self.counts.entry(reason.as_str()).or_default() += change;
            }
        }
    }

    /// An object is known from now on.
    pub fn add_member(&mut self, id: ObjectId, object: &Object) {
        if let Some(source) = &object.source {
            let task = Mark::of(&object.spec.task_id);
            let members = self.members.entry((**source).clone()).or_default();
            members.insert((task, id));
        }
    }

    /// An object isn't known any more.
    pub fn remove_member(&mut self, id: ObjectId, object: &Object) {
        let Some(source) = object.source.as_deref() else {
            return;
        };
        let task = Mark::of(&object.spec.task_id);
        if let Some(members) = self.members.get_mut(source) {
            members.remove(&(task, id));
            if members.is_empty() {
                self.members.remove(source);
            }
        }
    }

    /// An object is gone: no second one is made of its task, though the source's status doesn't remember it yet.
    pub fn note_gone(&mut self, watch: usize, object: &Object) {
        let Some(uid) = object.source.as_deref() else {
            return;
        };
        let task = Mark::of(&object.spec.task_id);
        let may_be_made = match self.of(object) {
            Some((_, tracked)) => !tracked.source.status.recent.contains(task),
            None => !self.listed.contains(&watch),
        };
        if may_be_made {
            let namespace = object.key.namespace.clone();
            self.gone.insert((namespace, uid.clone(), task));
            if self.gone.len() > GONE_MAX {
                self.gone.pop_first();
            }
        }
    }

    /// Whether an object of that task was seen and is gone.
    fn is_gone(&self, source: &Source, task: Mark) -> bool {
        let namespace = source.key.namespace.clone();
        self.gone.contains(&(namespace, source.uid.clone(), task))
    }

    /// What a status remembers needn't be kept beside it.
    fn forget_gone(&mut self, source: &Source) {
        let recent = &source.status.recent;
        let gone = &mut self.gone;
        gone.retain(|(_, uid, task)| *uid != source.uid || !recent.contains(*task));
    }

    pub fn rebase(&mut self, by: Duration) {
        for tracked in self.tracked.values_mut() {
            tracked.rebase(by);
        }
        for creation in self.creations.values_mut() {
            creation.rebase(by);
        }
    }
}

impl Scheduler {
    /// How many sources there are, by the reason of `Ready`.
    #[must_use]
    pub fn source_counts(&self) -> &BTreeMap<&'static str, i64> {
        self.sources.counts()
    }

    pub(super) fn take_in_source(&mut self, input: SourceInput, now: Now) {
        match input {
            SourceInput::Relisting(watch) => *self.sources.listings.entry(watch).or_default() += 1,
            SourceInput::Listed(watch, source) => self.apply_source(watch, *source, true, now),
            SourceInput::ListingDone(watch) => {
                self.sources.listed.insert(watch);
                self.drop_unlisted_sources(watch, now);
            }
            SourceInput::Applied(watch, source) => self.apply_source(watch, *source, false, now),
            SourceInput::Gone(key) => {
                if let Some(id) = self.sources.ids.get(&key) {
                    self.forget_source(id, now);
                }
            }
            SourceInput::PageEnded {
                source,
                queue,
                page,
                result,
                started_at,
            } => self.page_ended(source, (queue, page), result, started_at, now),
            SourceInput::CreationEnded(creation, result) => {
                self.creation_ended(creation, result, now);
            }
            SourceInput::WriteEnded(source, result) => self.source_write_ended(source, result, now),
        }
    }

    fn apply_source(&mut self, watch: usize, source: Source, listed: bool, now: Now) {
        let listing = self.sources.listing_of(watch);
        let known = self.sources.ids.get(&source.key);
        let known = known.and_then(|id| Some((id, self.sources.tracked.get_mut(&id)?)));
        let id = match known {
            Some((id, tracked)) if tracked.source.uid == source.uid => {
                tracked.listing = listing;
                let goes_back = listed && tracked.written_in != Some(listing);
                if goes_back || !tracked.is_newer_than(&source) {
                    self.replace_source(id, source);
                }
                id
            }
            Some((id, _)) => {
                self.forget_source(id, now);
                self.admit_source(watch, listing, source)
            }
            None => self.admit_source(watch, listing, source),
        };
        self.reconsider_source(id, now);
    }

    fn admit_source(&mut self, watch: usize, listing: u32, source: Source) -> ObjectId {
        self.last_id += 1;
        self.sources.count(None, Some(&source));
        self.sources.forget_gone(&source);
        let tracked = Box::new(TrackedSource::new(source, watch, listing));
        self.sources.insert(self.last_id, tracked);
        self.last_id
    }

    fn replace_source(&mut self, id: ObjectId, source: Source) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let key = tracked.source.key.clone();
        let before = mem::replace(&mut tracked.source, Source { key, ..source });
        tracked.forget_recorded();
        let after = tracked.source.clone();
        self.sources.forget_gone(&after);
        self.sources.count(Some(&before), Some(&after));
    }

    fn drop_unlisted_sources(&mut self, watch: usize, now: Now) {
        let listing = self.sources.listing_of(watch);
        let all = self.sources.tracked.iter();
        let gone = all.filter(|(_, one)| one.watch == watch && one.listing != listing);
        let gone: Vec<ObjectId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            self.forget_source(id, now);
        }
    }

    /// The source is gone: its objects are polled as any other.
    fn forget_source(&mut self, id: ObjectId, now: Now) {
        self.end_listing(id);
        self.end_source_write(id);
        self.drop_creations(id, |_, _| true);
        self.set_lists(id, false, now);
        let Some(tracked) = self.sources.tracked.remove(&id) else {
            return;
        };
        self.sources.ids.remove(&tracked.source.key);
        self.sources.by_uid.remove(&tracked.source.uid);
        self.sources.count(Some(&tracked.source), None);
    }

    /// All sources whose objects are known now may begin.
    pub(super) fn objects_are_listed(&mut self, watch: usize, now: Now) {
        if self.sources.objects_listed.insert(watch) {
            let all = self.sources.tracked.iter();
            let of_watch = all.filter(|(_, tracked)| tracked.watch == watch);
            let ids: Vec<ObjectId> = of_watch.map(|(id, _)| *id).collect();
            for id in ids {
                self.reconsider_source(id, now);
            }
        }
    }

    /// How often an object is listed, where that stands for polls.
    pub(super) fn listed_every(&self, object: &Object) -> Option<Duration> {
        let policy = &self.config.policy;
        let (_, tracked) = self.sources.of(object)?;
        let stands = tracked.lists && tracked.speaks_of(object, policy);
        stands.then(|| tracked.source.interval(policy))
    }

    /// How long it is looked no more whether an object may be deleted, if it may not: another would be made of its
    /// task after a restart. Its source comes to remember it, also one that doesn't list.
    pub(super) fn keeps(&mut self, id: ObjectId, now: Now) -> Option<Duration> {
        let tracked = self.objects.get(&id)?;
        let object = &tracked.object;
        object.source.as_ref()?;
        let Some((source, made_by)) = self.sources.of(object) else {
            let is_known = self.sources.listed.contains(&tracked.watch);
            // Where sources can't be watched, that ends.
            let waited = now.monotonic.saturating_sub(self.led_since);
            let waits = self.config.policy.sources && !is_known && waited < GRACE;
            return waits.then_some(UNTIL_REMEMBERED);
        };
        if remembers(&made_by.source, object, now.wall) {
            return until_settled(object, now.wall);
        }
        let made = self.found(source, object, now);
        self.note_made(source, made);
        self.write_source_if_settled(source, now);
        Some(UNTIL_REMEMBERED)
    }

    /// Whether its list stands for polls. Where that ends, its objects are polled in their turn again.
    fn set_lists(&mut self, id: ObjectId, lists: bool, now: Now) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let listed = mem::replace(&mut tracked.lists, lists);
        if !listed || lists {
            return;
        }
        let uid = tracked.source.uid.clone();
        for member in self.sources.members_of(&uid) {
            self.poll_in_turn(member, now);
        }
    }

    /// Sources are looked at as after a restart.
    pub(super) fn look_at_all_sources(&mut self, now: Now) {
        let ids = self.sources.tracked.keys();
        let looks = ids.map(|id| (now.monotonic, *id, Timer::Look));
        self.timers.extend(looks);
    }

    /// The lead is lost: what was begun is dropped, what was seen isn't.
    pub(super) fn reset_sources(&mut self) {
        self.sources.creations.clear();
        self.sources.members.clear();
        for tracked in mem::take(&mut self.sources.tracked).into_values() {
            self.last_id += 1;
            self.sources.insert(self.last_id, Box::new(tracked.reset()));
        }
    }

    /// The process is about to end: nothing more is listed or made; what was made is remembered.
    pub(super) fn stop_sources(&mut self, now: Now) {
        let ids: Vec<ObjectId> = self.sources.tracked.keys().copied().collect();
        for id in ids {
            self.end_listing(id);
            self.drop_creations(id, |_, _| true);
            self.write_source_if_settled(id, now);
        }
    }

    /// Whether nothing of a source is under way or waits to be written.
    pub(super) fn sources_are_settled(&self) -> bool {
        let mut tracked = self.sources.tracked.values();
        self.creations.is_idle() && tracked.all(|one| one.write.is_none())
    }
}

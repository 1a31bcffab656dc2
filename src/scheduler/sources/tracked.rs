//! What the scheduler knows of one source.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use super::super::{
    CreationId, ObjectId,
    fair_queue::Place,
    tracked::{PollState, WritePriority},
};
use crate::rules::{
    Candidate, EventNote, Heard, Listing, Made, Mark, Memory, OUTDATED, Object, Policy, Source,
    SourceStatus,
};

#[derive(Clone, Debug)]
pub struct TrackedSource {
    pub source: Source,
    pub watch: usize,
    /// The list of its watch that last showed it.
    pub listing: u32,
    /// The list during which its status was last written.
    pub written_in: Option<u32>,
    /// What is remembered: before the last list of tasks, and after it.
    pub memory: Memory,
    pub next_memory: Memory,
    /// How the last list of tasks ended, and when.
    pub heard: Heard,
    pub heard_at: Timestamp,
    /// Whether its list stands for polls of its objects.
    pub lists: bool,
    /// What was last decided on: generation, and whether it is being deleted.
    pub decided_on: Option<(i64, bool)>,
    /// When it is listed next.
    pub planned: Option<Duration>,
    /// How far the call for the next page has come.
    pub poll: PollState,
    /// Whether the API throttled its last call.
    pub was_throttled: bool,
    /// The list that is being read, and the objects under way that it hasn't shown yet.
    pub reading: Option<Box<Listing>>,
    pub unseen: BTreeSet<ObjectId>,
    /// Remembered tasks that the last list showed to be old.
    pub outdated: BTreeSet<Mark>,
    /// Whether a write showed in this term that this is the newest version of the source.
    pub is_newest: bool,
    /// Tasks of which objects are made once that is so.
    pub waiting: Vec<Candidate>,
    /// Objects that are being made, by their tasks.
    pub creations: BTreeMap<Mark, CreationId>,
    /// Objects that were made and aren't remembered yet.
    pub made: Vec<Made>,
    /// Since when an object stands in the way whose owner isn't seen, by its task.
    pub going_since: BTreeMap<Mark, Duration>,
    /// Since when each remembered task was seen to be remembered.
    pub recent_since: BTreeMap<Mark, Duration>,
    /// Since when objects are being made, without a status in between.
    pub making_since: Option<Duration>,
    /// When the last list was begun.
    pub begun_at: Option<Duration>,
    pub write: Option<Box<SourceWriteState>>,
    /// Up to when its allowance of Events is used up.
    pub events_used_until: Duration,
}

/// A status of a source that is being written, or waits to be.
#[derive(Clone, Debug)]
pub struct SourceWriteState {
    pub stage: SourceWriteStage,
    /// Attempts that failed.
    pub attempts: u32,
    /// The status that was sent last.
    pub sent: Option<Box<SourceStatus>>,
    /// The tasks whose objects it counts. It may remember fewer.
    pub counted: BTreeSet<Mark>,
    /// The Event to publish after the write.
    pub note: Option<EventNote>,
}

/// How far such a write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceWriteStage {
    /// It waits for a slot, for the first time.
    Queued(Place<WritePriority>),
    /// The same after it failed.
    QueuedAgain(Place<()>),
    UnderWay,
    /// It failed, and is retried then.
    BackingOff(Duration),
}

impl TrackedSource {
    pub fn new(source: Source, watch: usize, listing: u32) -> Self {
        Self {
            source,
            watch,
            listing,
            written_in: None,
            memory: Memory::default(),
            next_memory: Memory::default(),
            heard: Heard::Nothing,
            heard_at: Timestamp::UNIX_EPOCH,
            lists: false,
            decided_on: None,
            planned: None,
            poll: PollState::Idle,
            was_throttled: false,
            reading: None,
            unseen: BTreeSet::new(),
            outdated: BTreeSet::new(),
            is_newest: false,
            waiting: Vec::new(),
            creations: BTreeMap::new(),
            made: Vec::new(),
            going_since: BTreeMap::new(),
            recent_since: BTreeMap::new(),
            making_since: None,
            begun_at: None,
            write: None,
            events_used_until: Duration::ZERO,
        }
    }

    /// As it would be after a restart, but for what is known of the source and of what it made.
    pub fn reset(self) -> Self {
        Self {
            written_in: self.written_in,
            made: self.made,
            events_used_until: self.events_used_until,
            ..Self::new(self.source, self.watch, self.listing)
        }
    }

    pub fn is_newer_than(&self, other: &Source) -> bool {
        let known = &self.source.resource_version;
        other.resource_version.is_older_than(known)
    }

    /// Whether it has to be found out whether this is the newest version of the source.
    pub fn is_to_be_checked(&self) -> bool {
        !self.is_newest && !self.waiting.is_empty()
    }

    /// Whether that task has an object that isn't remembered yet.
    pub fn has_made(&self, task_id: &str) -> bool {
        self.made.iter().any(|made| *made.task_id == *task_id)
    }

    /// What the status remembers needn't be kept beside it.
    pub fn forget_recorded(&mut self) {
        let recent = &self.source.status.recent;
        self.made
            .retain(|made| !recent.contains(Mark::of(&made.task_id)));
        self.waiting
            .retain(|task| !recent.contains(Mark::of(&task.task_id)));
    }

    /// Notes which remembered tasks are old: also those that were remembered for a day, unless the list shows them
    /// without a time.
    pub fn note_outdated(&mut self, list: &Listing, now: Duration) {
        let recent = &self.source.status.recent;
        self.recent_since.retain(|task, _| recent.contains(*task));
        for task in recent.marks() {
            let since = *self.recent_since.entry(task).or_insert(now);
            if now.saturating_sub(since) >= OUTDATED && !list.shows_ageless(task) {
                self.outdated.insert(task);
            }
        }
        self.going_since
            .retain(|_, since| now.saturating_sub(*since) < OUTDATED);
    }

    /// Whether the same is asked in the same way of the same cluster: somebody may have edited the object.
    pub fn speaks_of(&self, object: &Object, policy: &Policy) -> bool {
        let source = &self.source;
        object.region(policy) == source.region(policy)
            && object.spec.secret_name() == source.spec.secret_name.as_deref()
            && object.spec.cluster_id() == Some(&*source.spec.cluster_id)
    }

    /// Moves the clock's zero forward.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        self.planned = self.planned.map(earlier);
        self.making_since = self.making_since.map(earlier);
        self.begun_at = self.begun_at.and_then(|at| at.checked_sub(by));
        for at in self.going_since.values_mut() {
            *at = earlier(*at);
        }
        // How old they are counts after a day only.
        for at in self.recent_since.values_mut() {
            *at = earlier(*at);
        }
        self.events_used_until = earlier(self.events_used_until);
        self.poll.rebase(by);
        if let Some(SourceWriteStage::BackingOff(at)) =
            self.write.as_mut().map(|write| &mut write.stage)
        {
            *at = earlier(*at);
        }
    }
}

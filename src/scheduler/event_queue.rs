//! Events: queued once the status is written, and never in its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use super::{
    Effect, Kind, NoteId, Publication, Record, Scheduler,
    fair_queue::Place,
    input::{EventResult, Now},
    limits::Fairness,
    shares::Shares,
    tracked::WritePriority,
    work_queue::WorkQueue,
};
use crate::rules::{EventNote, Object, ObjectKey, ResourceVersion, Source, Uid};

/// Events under way at the same time. One namespace has half of them.
const SLOTS: usize = 16;
/// Events that may wait; of one namespace half as many. What comes then is dropped, for the status
/// says it too.
const WAITING_MAX: usize = 20_000;
/// How long an Event waits at most while statuses of its namespace are written.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pauses between attempts: an Event that isn't taken by then is dropped.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// An object that flaps has this many Events in a row, and then one in each period.
const IN_A_ROW: u32 = 10;
const PERIOD: Duration = Duration::from_mins(1);

/// Which Events go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventPriority {
    /// It has waited for [`PATIENCE`].
    Late,
    /// Statuses of its namespace go first.
    New,
}

/// Events that wait or are under way.
#[derive(Clone, Debug)]
pub struct EventQueue {
    fairness: Fairness,
    work: WorkQueue<EventPriority>,
    notes: BTreeMap<NoteId, Note>,
    last_id: NoteId,
    waiting: Shares,
    /// When a note is late, or retried.
    timers: BTreeSet<(Duration, NoteId)>,
    dropped: u64,
    /// Whether Events wait for no statuses any more.
    hurries: bool,
}

/// Whom an Event is about.
pub struct Regarding {
    kind: Kind,
    key: ObjectKey,
    uid: Uid,
    resource_version: ResourceVersion,
    /// Its task; a source's cluster.
    subject: Box<str>,
}

impl Regarding {
    pub fn object(object: &Object) -> Self {
        Self {
            kind: Kind::Task,
            key: object.key.clone(),
            uid: object.uid.clone(),
            resource_version: object.resource_version.clone(),
            subject: object.spec.task_id.clone(),
        }
    }

    pub fn source(source: &Source) -> Self {
        Self {
            kind: Kind::Source,
            key: source.key.clone(),
            uid: source.uid.clone(),
            resource_version: source.resource_version.clone(),
            subject: source.spec.cluster_id.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Note {
    publication: Publication,
    attempts: usize,
    /// Where it waits; none while it is under way, or waits to be retried.
    place: Option<Place<EventPriority>>,
    /// When it is late, or retried.
    due: Option<Duration>,
}

impl EventQueue {
    pub fn new(fairness: Fairness) -> Self {
        Self {
            fairness,
            work: WorkQueue::new(SLOTS, fairness),
            notes: BTreeMap::new(),
            last_id: 0,
            waiting: Shares::new(WAITING_MAX, fairness),
            timers: BTreeSet::new(),
            dropped: 0,
            hurries: false,
        }
    }

    /// Takes on the Event for a change that is written, and says what to log and count at once. `used_until`: up to
    /// when the object's allowance of Events is used up.
    pub fn record(
        &mut self,
        regarding: Regarding,
        used_until: &mut Duration,
        note: EventNote,
        now: Now,
    ) -> Effect {
        let Regarding {
            kind,
            key,
            uid,
            resource_version,
            subject,
        } = regarding;
        let effect = Effect::Record(Box::new(Record {
            kind,
            key: key.clone(),
            subject,
            note: note.clone(),
        }));
        let is_final = note.reason.is_final();
        let may_publish = take_allowance(used_until, now.monotonic) || is_final;
        let namespace = &key.namespace;
        if !may_publish {
            return effect;
        }
        if !self.waiting.has_room(namespace) {
            self.dropped += 1;
            return effect;
        }
        self.waiting.take(namespace);
        self.last_id += 1;
        let publication = Publication {
            id: self.last_id,
            kind,
            key,
            uid,
            resource_version,
            note,
            at: now.wall,
            is_last_attempt: false,
        };
        let note = Note {
            publication,
            attempts: 0,
            place: None,
            due: None,
        };
        self.notes.insert(self.last_id, note);
        self.push(self.last_id, EventPriority::New);
        self.set_due(self.last_id, Some(now.monotonic + PATIENCE));
        effect
    }

    fn push(&mut self, id: NoteId, priority: EventPriority) {
        if let Some(note) = self.notes.get_mut(&id) {
            let namespace = &note.publication.key.namespace;
            if let Some(place) = note.place.take() {
                self.work.remove(namespace, place);
            }
            note.place = Some(self.work.push(namespace, id, priority));
        }
    }

    fn set_due(&mut self, id: NoteId, due: Option<Duration>) {
        if let Some(note) = self.notes.get_mut(&id) {
            if let Some(at) = note.due.take() {
                self.timers.remove(&(at, id));
            }
            note.due = due;
            self.timers.extend(due.map(|at| (at, id)));
        }
    }

    /// The next Event to publish. `is_writing` says in which namespaces statuses wait or are being
    /// written.
    fn start(&mut self, now: Duration, is_writing: impl Fn(&str) -> bool) -> Option<Publication> {
        self.fire_timers(now);
        let late = EventPriority::Late..=EventPriority::Late;
        let all = EventPriority::Late..=EventPriority::New;
        let hurries = self.hurries;
        let may_start = |namespace: &str| hurries || !is_writing(namespace);
        let first = if self.work.len_of(EventPriority::Late) > 0 {
            self.work.start(late, |_| true)
        } else {
            None
        };
        let started = first.or_else(|| self.work.start(all, may_start))?;
        self.set_due(started.id, None);
        let note = self.notes.get_mut(&started.id)?;
        note.place = None;
        Some(Publication {
            is_last_attempt: note.attempts >= PAUSES.len(),
            ..note.publication.clone()
        })
    }

    fn fire_timers(&mut self, now: Duration) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.set_due(id, None);
            self.push(id, EventPriority::Late);
        }
    }

    /// An Event was published, or not.
    pub fn ended(&mut self, id: NoteId, result: EventResult, now: Duration) {
        if !self.work.ended(id) {
            return;
        }
        let Some(note) = self.notes.get_mut(&id) else {
            return;
        };
        let pause = PAUSES.get(note.attempts).copied();
        if let (EventResult::Failed, Some(pause)) = (result, pause) {
            note.attempts += 1;
            return self.set_due(id, Some(now + pause));
        }
        self.waiting.give_back(&note.publication.key.namespace);
        self.notes.remove(&id);
        if self.notes.is_empty() {
            self.last_id = 0;
        }
    }

    /// Drops all: the lead is lost.
    pub fn abandon(&mut self) {
        let lost = u64::try_from(self.notes.len()).unwrap_or_default();
        *self = Self {
            dropped: self.dropped + lost,
            ..Self::new(self.fairness)
        };
    }

    /// From now on Events wait for no statuses.
    pub fn hurry(&mut self) {
        self.hurries = true;
    }

    pub fn next_wake(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub fn is_idle(&self) -> bool {
        self.notes.is_empty()
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn rebase(&mut self, by: Duration) {
        self.timers = mem::take(&mut self.timers)
            .into_iter()
            .map(|(at, id)| (at.saturating_sub(by), id))
            .collect();
        for note in self.notes.values_mut() {
            note.due = note.due.map(|at| at.saturating_sub(by));
        }
    }
}

impl Scheduler {
    pub(super) fn start_events(&mut self, now: Now) {
        let writes = &self.writes;
        while let Some(publication) = self.events.start(now.monotonic, |namespace| {
            writes.is_busy(namespace, WritePriority::Change)
        }) {
            self.effects.push(Effect::Publish(Box::new(publication)));
        }
    }
}

/// Whether an object may have another Event now: so many in a row, and one in each period.
fn take_allowance(until: &mut Duration, now: Duration) -> bool {
    let used = (*until).max(now);
    if used.saturating_sub(now) > PERIOD * (IN_A_ROW - 1) {
        return false;
    }
    *until = used + PERIOD;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_flaps_has_ten_events_in_a_row_and_then_one_a_minute() {
        let mut until = Duration::ZERO;
        let mut taken = |second: u64| {
            let now = Duration::from_secs(1000 + second);
            (0..100).filter(|_| take_allowance(&mut until, now)).count()
        };
        assert_eq!(taken(0), 10);
        assert_eq!(taken(59), 0);
        assert_eq!(taken(60), 1);
        assert_eq!(taken(61), 0);
        assert_eq!(taken(60 + 3600), 10);
    }
}

//! Making the objects of found tasks.

use std::{collections::BTreeSet, time::Duration};

use super::super::{
    Creation, CreationId, CreationResult, Effect, ObjectId, Scheduler, Timer, fair_queue::Place,
    input::Now,
};
use crate::{
    api::{name_with_hash, object_name},
    rules::{
        Candidate, Made, Mark, Object, ObjectKey, Source, WriteFailure, manifest, write_retry_delay,
    },
};

/// From so many failed attempts on, the source shows that an object can't be made,
const SHOWN_FROM: u32 = 3;
/// in these words, where the API server doesn't say why.
const UNKNOWN: &str = "the API server is in trouble; the controller's log says more";
/// How long a status waits for creations.
const PATIENCE: Duration = Duration::from_mins(1);

/// The object of a task that is gone, and that the source made, as in `found`.
fn gone(source: &Source, task: &Candidate, now: Now) -> Made {
    Made {
        task_id: task.task_id.clone(),
        name: object_name(&task.task_id).into(),
        at: now.wall,
        is_own: !source.status.recent.is_full(),
        born: task.born,
    }
}

/// An object that is being made, or waits to be.
#[derive(Clone, Debug)]
pub(super) struct PendingCreation {
    source: ObjectId,
    task: Candidate,
    /// Whether another task's object has the usual name.
    is_name_taken: bool,
    stage: Stage,
    /// Attempts that failed.
    attempts: u32,
    /// Why the API server refused it.
    refusal: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Queued(Place<()>),
    UnderWay,
    /// It failed, and is retried then.
    BackingOff(Duration),
}

impl PendingCreation {
    fn name(&self) -> String {
        if self.is_name_taken {
            name_with_hash(&self.task.task_id)
        } else {
            object_name(&self.task.task_id)
        }
    }

    pub fn rebase(&mut self, by: Duration) {
        if let Stage::BackingOff(at) = &mut self.stage {
            *at = at.saturating_sub(by);
        }
    }
}

impl Scheduler {
    /// Has objects made of these tasks, but of those that have one or had.
    pub(super) fn make(&mut self, id: ObjectId, candidates: Vec<Candidate>, now: Now) {
        self.drop_creations(id, |task, source| !task.is_asked_for(source, now.wall));
        if let Some(tracked) = self.sources.tracked.get_mut(&id) {
            tracked.waiting.clear();
        }
        let mut names = self.names_being_made(id);
        for task in candidates {
            let mark = Mark::of(&task.task_id);
            let Some(tracked) = self.sources.tracked.get(&id).filter(|_| !self.stopping) else {
                return;
            };
            if tracked.has_made(&task.task_id) || tracked.creations.contains_key(&mark) {
                continue;
            }
            if self.sources.is_gone(&tracked.source, mark) {
                let made = gone(&tracked.source, &task, now);
                self.note_made(id, made);
                continue;
            }
            let name = object_name(&task.task_id);
            let usual = self.object_named(id, &name);
            let is_other = usual.is_some_and(|other| other.spec.task_id != task.task_id);
            let is_name_taken = is_other || names.contains(&name);
            // It may have got its name while another task's object had the usual one.
            let with_hash = self.object_named(id, &name_with_hash(&task.task_id));
            let mut there = usual.into_iter().chain(with_hash);
            let there = there.find(|object| object.spec.task_id == task.task_id);
            if let Some(object) = there.cloned() {
                self.take(id, &object, now);
            } else if self.is_newest(id) {
                names.insert(name);
                self.await_creation(id, task, is_name_taken);
            } else if let Some(tracked) = self.sources.tracked.get_mut(&id) {
                tracked.waiting.push(task);
            }
        }
    }

    /// Whether this is known to be the newest version of the source. Without other replicas it is; else what another
    /// one had it remember may be missing, until a write shows that nobody has changed it since.
    fn is_newest(&self, id: ObjectId) -> bool {
        let is_alone = self.leads_until == Duration::MAX;
        let tracked = self.sources.tracked.get(&id);
        is_alone || tracked.is_some_and(|tracked| tracked.is_newest)
    }

    /// The source is known to be the newest.
    pub(super) fn make_what_waits(&mut self, id: ObjectId, now: Now) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        tracked.is_newest = true;
        let waiting = std::mem::take(&mut tracked.waiting);
        if !waiting.is_empty() {
            self.make(id, waiting, now);
        }
    }

    /// The names of objects that are being made: IDs may differ in case alone.
    fn names_being_made(&self, source: ObjectId) -> BTreeSet<String> {
        let tracked = self.sources.tracked.get(&source);
        let creations = tracked.into_iter().flat_map(|one| one.creations.values());
        let pending = creations.filter_map(|id| self.sources.creations.get(id));
        pending.map(PendingCreation::name).collect()
    }

    fn object_named(&self, source: ObjectId, name: &str) -> Option<&Object> {
        let tracked = self.sources.tracked.get(&source)?;
        let key = ObjectKey {
            namespace: tracked.source.key.namespace.clone(),
            name: name.into(),
        };
        Some(&self.objects.get(&self.ids.get(&key)?)?.object)
    }

    /// An object that is there: the source's own, if the status lacks it since the process ended before that was
    /// written; but not if it may have been forgotten for lack of room.
    pub(super) fn found(&self, source: ObjectId, object: &Object, now: Now) -> Made {
        let source = self.sources.tracked.get(&source).map(|one| &one.source);
        let is_own = source.is_some_and(|source| {
            object.source.as_deref() == Some(&source.uid) && !source.status.recent.is_full()
        });
        Made {
            task_id: object.spec.task_id.clone(),
            name: (&*object.key.name).into(),
            at: now.wall,
            is_own,
            // No younger than that, anyhow.
            born: Some(object.created_at),
        }
    }

    /// Takes an object for that of its task, but one that is about to go: the next list finds it gone, or orphaned.
    fn take(&mut self, id: ObjectId, object: &Object, now: Now) {
        if !self.sources.is_going(object, id, now.monotonic) {
            let made = self.found(id, object, now);
            self.note_made(id, made);
        }
    }

    pub(super) fn note_made(&mut self, id: ObjectId, made: Made) {
        if let Some(tracked) = self.sources.tracked.get_mut(&id)
            && !tracked.has_made(&made.task_id)
        {
            tracked.made.push(made);
        }
    }

    fn await_creation(&mut self, id: ObjectId, task: Candidate, is_name_taken: bool) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        self.last_id += 1;
        let creation = self.last_id;
        tracked.creations.insert(Mark::of(&task.task_id), creation);
        let namespace = &tracked.source.key.namespace;
        let place = self.creations.push(namespace, creation, ());
        let pending = PendingCreation {
            source: id,
            task,
            is_name_taken,
            stage: Stage::Queued(place),
            attempts: 0,
            refusal: None,
        };
        self.sources.creations.insert(creation, pending);
    }

    pub(in crate::scheduler) fn start_creations(&mut self, now: Now) {
        while !self.stopping
            && let Some(started) = self.creations.start(()..=(), |_| true)
        {
            let source = self.sources.creations.get(&started.id);
            let source = source.map(|pending| pending.source);
            if let Some(source) = source.filter(|_| self.was_made(started.id)) {
                // By an attempt whose answer was lost, and somebody may have deleted it since.
                self.creations.ended(started.id);
                self.end_creation(started.id);
                self.write_source_if_settled(source, now);
                continue;
            }
            let pending = self.sources.creations.get_mut(&started.id);
            let tracked = source.and_then(|source| self.sources.tracked.get(&source));
            let (Some(pending), Some(tracked)) = (pending, tracked) else {
                self.creations.ended(started.id);
                self.sources.creations.remove(&started.id);
                continue;
            };
            pending.stage = Stage::UnderWay;
            let (source, name) = (&tracked.source, pending.name());
            let object = manifest(source, &self.config.policy, &name, &pending.task);
            self.effects.push(Effect::Create(Box::new(Creation {
                id: started.id,
                key: ObjectKey {
                    namespace: source.key.namespace.clone(),
                    name: name.as_str().into(),
                },
                object,
                attempts: pending.attempts,
            })));
        }
    }

    /// Whether the object was seen meanwhile.
    fn was_made(&self, id: CreationId) -> bool {
        let Some(pending) = self.sources.creations.get(&id) else {
            return false;
        };
        let task = Mark::of(&pending.task.task_id);
        let tracked = self.sources.tracked.get(&pending.source);
        tracked.is_some_and(|tracked| {
            tracked.has_made(&pending.task.task_id)
                || tracked.source.status.recent.contains(task)
                || self.sources.is_gone(&tracked.source, task)
        })
    }

    pub(super) fn creation_ended(&mut self, id: CreationId, result: CreationResult, now: Now) {
        self.creations.ended(id);
        let Some(pending) = self.sources.creations.get(&id) else {
            return;
        };
        let (source, task_id) = (pending.source, pending.task.task_id.clone());
        match result {
            CreationResult::Created => self.created(id, now),
            CreationResult::Exists(object) if object.spec.task_id == task_id => {
                self.end_creation(id);
                self.take(source, &object, now);
            }
            // Nothing more is made.
            _ if !self.may_make(source, now) => self.end_creation(id),
            CreationResult::Exists(object) => self.name_taken(id, &object, now),
            CreationResult::Refused(refusal) => self.refused(id, refusal, now),
            CreationResult::Failed => self.create_later(id, WriteFailure::Transient, now),
        }
        self.write_source_if_settled(source, now);
    }

    fn created(&mut self, id: CreationId, now: Now) {
        let Some(pending) = self.sources.creations.get(&id) else {
            return;
        };
        let (source, task_id) = (pending.source, pending.task.task_id.clone());
        let made = Made {
            name: pending.name().into(),
            task_id,
            at: now.wall,
            is_own: true,
            born: pending.task.born,
        };
        self.end_creation(id);
        self.effects.push(Effect::CountMade);
        self.note_made(source, made);
    }

    /// Another task's object has the name.
    fn name_taken(&mut self, id: CreationId, other: &Object, now: Now) {
        let Some(pending) = self.sources.creations.get_mut(&id) else {
            return;
        };
        if pending.is_name_taken {
            let name = &other.key.name;
            let refusal = format!("objects of other tasks have its names, such as {name}");
            return self.refused(id, refusal, now);
        }
        pending.is_name_taken = true;
        self.queue_creation(id);
    }

    /// The words that come first are kept, for others may be counted or timed.
    fn refused(&mut self, id: CreationId, refusal: String, now: Now) {
        if let Some(pending) = self.sources.creations.get_mut(&id) {
            pending.refusal.get_or_insert_with(|| refusal.into());
        }
        self.create_later(id, WriteFailure::Refused, now);
    }

    /// Whether the source is there, and may list.
    fn may_make(&self, source: ObjectId, now: Now) -> bool {
        let verdict = self.judge_source(source, now);
        verdict.is_some_and(|verdict| verdict.next.is_some()) && !self.stopping
    }

    fn end_creation(&mut self, id: CreationId) {
        if let Some(pending) = self.sources.creations.remove(&id)
            && let Some(tracked) = self.sources.tracked.get_mut(&pending.source)
        {
            let task = Mark::of(&pending.task.task_id);
            tracked.creations.remove(&task);
        }
    }

    fn create_later(&mut self, id: CreationId, failure: WriteFailure, now: Now) {
        let seed = self.seed(id, now);
        let source = self.sources.creations.get(&id).map(|one| one.source);
        let tracked = source.and_then(|source| self.sources.tracked.get(&source));
        // Where many are refused, about two a second are tried.
        let others = tracked.map_or(0, |tracked| tracked.creations.len());
        let spread = match failure {
            WriteFailure::Refused => {
                Duration::from_secs(1) * u32::try_from(others).unwrap_or(u32::MAX) / 2
            }
            WriteFailure::Transient => Duration::ZERO,
        };
        if let Some(pending) = self.sources.creations.get_mut(&id) {
            let wait = write_retry_delay(pending.attempts, failure, seed).max(spread);
            let at = now.monotonic + wait;
            pending.attempts = pending.attempts.saturating_add(1);
            if pending.attempts >= SHOWN_FROM {
                pending.refusal.get_or_insert_with(|| UNKNOWN.into());
            }
            pending.stage = Stage::BackingOff(at);
            self.timers.insert((at, id, Timer::Create));
        }
    }

    /// It is tried again.
    pub(in crate::scheduler) fn queue_creation(&mut self, id: CreationId) {
        let Some(pending) = self.sources.creations.get_mut(&id) else {
            return;
        };
        if let Some(tracked) = self.sources.tracked.get(&pending.source) {
            let namespace = &tracked.source.key.namespace;
            pending.stage = Stage::Queued(self.creations.push(namespace, id, ()));
        } else {
            self.sources.creations.remove(&id);
        }
    }

    /// Takes back what wasn't begun, of those of which that is so. What is under way ends by itself.
    pub(super) fn drop_creations(
        &mut self,
        id: ObjectId,
        is_dropped: impl Fn(&Candidate, &Source) -> bool,
    ) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let source = &tracked.source;
        tracked.waiting.retain(|task| !is_dropped(task, source));
        let namespace = tracked.source.key.namespace.clone();
        let creations = tracked.creations.values().copied();
        let is_dropped = |creation: &CreationId| {
            let pending = self.sources.creations.get(creation);
            pending.is_some_and(|pending| is_dropped(&pending.task, &tracked.source))
        };
        let creations: Vec<CreationId> = creations.filter(is_dropped).collect();
        for creation in creations {
            match self.sources.creations.get(&creation).map(|one| one.stage) {
                Some(Stage::Queued(place)) => self.creations.remove(&namespace, place),
                Some(Stage::BackingOff(at)) => {
                    self.timers.remove(&(at, creation, Timer::Create));
                }
                Some(Stage::UnderWay) | None => continue,
            }
            self.end_creation(creation);
        }
    }

    /// Whether objects are made that didn't fail before: the status waits for them, to be written once, but not for
    /// long.
    pub(super) fn is_making(&mut self, id: ObjectId, now: Now) -> bool {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return false;
        };
        let mut pending = tracked
            .creations
            .values()
            .filter_map(|id| self.sources.creations.get(id));
        let is_making =
            pending.any(|one| !matches!(one.stage, Stage::BackingOff(_)) && one.attempts == 0);
        if !is_making {
            tracked.making_since = None;
            return false;
        }
        let since = *tracked.making_since.get_or_insert(now.monotonic);
        let is_over = now.monotonic.saturating_sub(since) >= PATIENCE;
        if is_over {
            tracked.making_since = None;
        }
        !is_over
    }

    /// Why the API server refuses to create an object of that source, if it does.
    pub(super) fn refusal(&self, id: ObjectId) -> Option<&str> {
        let creations = self.sources.tracked.get(&id)?.creations.values();
        let mut pending = creations.filter_map(|id| self.sources.creations.get(id));
        pending.find_map(|one| one.refusal.as_deref())
    }
}

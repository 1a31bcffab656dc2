//! Making the objects of found tasks.

use std::time::Duration;

use super::super::{
    Creation, CreationId, CreationResult, Effect, ObjectId, Scheduler, Timer, fair_queue::Place,
    input::Now,
};
use crate::{
    api::{name_with_hash, object_name},
    rules::{Candidate, Made, Mark, Object, ObjectKey, WriteFailure, manifest, write_retry_delay},
};

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
    /// Has objects made of these tasks, but of those that have one.
    pub(super) fn make(&mut self, id: ObjectId, candidates: Vec<Candidate>, now: Now) {
        for task in candidates {
            let mark = Mark::of(&task.task_id);
            let Some(tracked) = self.sources.tracked.get(&id).filter(|_| !self.stopping) else {
                return;
            };
            let is_made = tracked.made.iter().any(|made| made.task_id == task.task_id);
            if is_made || tracked.creations.contains_key(&mark) {
                continue;
            }
            let usual = self.object_named(id, &object_name(&task.task_id));
            let is_name_taken = usual.is_some_and(|other| other.spec.task_id != task.task_id);
            let there = if is_name_taken {
                self.object_named(id, &name_with_hash(&task.task_id))
            } else {
                usual
            };
            if let Some(object) = there.filter(|object| object.spec.task_id == task.task_id) {
                if self.sources.is_going(object, id) {
                    // The next list finds it gone, or orphaned.
                    continue;
                }
                let made = self.found(id, object, now);
                self.note_made(id, made);
            } else {
                self.await_creation(id, task, is_name_taken);
            }
        }
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
    fn found(&self, source: ObjectId, object: &Object, now: Now) -> Made {
        let source = self.sources.tracked.get(&source).map(|one| &one.source);
        let is_own = source.is_some_and(|source| {
            object.source.as_deref() == Some(&source.uid) && !source.status.recent.is_full()
        });
        Made {
            task_id: object.spec.task_id.clone(),
            name: (&*object.key.name).into(),
            at: now.wall,
            is_own,
        }
    }

    fn note_made(&mut self, id: ObjectId, made: Made) {
        if let Some(tracked) = self.sources.tracked.get_mut(&id)
            && !tracked.made.iter().any(|one| one.task_id == made.task_id)
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

    pub(in crate::scheduler) fn start_creations(&mut self) {
        while !self.stopping
            && let Some(started) = self.creations.start(()..=(), |_| true)
        {
            let pending = self.sources.creations.get_mut(&started.id);
            let tracked = pending.as_ref().map(|pending| pending.source);
            let tracked = tracked.and_then(|source| self.sources.tracked.get(&source));
            let (Some(pending), Some(tracked)) = (pending, tracked) else {
                self.creations.ended(started.id);
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

    pub(super) fn creation_ended(&mut self, id: CreationId, result: CreationResult, now: Now) {
        self.creations.ended(id);
        let Some(pending) = self.sources.creations.get_mut(&id) else {
            return;
        };
        let (source, task_id) = (pending.source, pending.task.task_id.clone());
        let is_there = matches!(&result, CreationResult::Created | CreationResult::Exists(_));
        if !is_there && !self.may_make(source, now) {
            return self.end_creation(id);
        }
        let Some(pending) = self.sources.creations.get_mut(&id) else {
            return;
        };
        match result {
            CreationResult::Created => {
                let name = pending.name().into();
                self.end_creation(id);
                self.effects.push(Effect::CountMade);
                let (at, is_own) = (now.wall, true);
                let made = Made {
                    task_id,
                    name,
                    at,
                    is_own,
                };
                self.note_made(source, made);
            }
            CreationResult::Exists(object) if object.spec.task_id == task_id => {
                self.end_creation(id);
                if !self.sources.is_going(&object, source) {
                    let made = self.found(source, &object, now);
                    self.note_made(source, made);
                }
            }
            CreationResult::Exists(_) if !pending.is_name_taken => {
                pending.is_name_taken = true;
                self.queue_creation(id);
            }
            CreationResult::Exists(object) => {
                let name = &object.key.name;
                let refusal = format!("objects of other tasks have its names, such as {name}");
                pending.refusal = Some(refusal.into());
                self.create_later(id, WriteFailure::Refused, now);
            }
            CreationResult::Refused(refusal) => {
                pending.refusal = Some(refusal.into());
                self.create_later(id, WriteFailure::Refused, now);
            }
            CreationResult::Failed => self.create_later(id, WriteFailure::Transient, now),
        }
        self.write_source_if_settled(source, now);
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
        if let Some(pending) = self.sources.creations.get_mut(&id) {
            let at = now.monotonic + write_retry_delay(pending.attempts, failure, seed);
            pending.attempts = pending.attempts.saturating_add(1);
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
        }
    }

    /// Takes back what wasn't begun. What is under way ends by itself.
    pub(super) fn drop_creations(&mut self, id: ObjectId) {
        let Some(tracked) = self.sources.tracked.get(&id) else {
            return;
        };
        let namespace = tracked.source.key.namespace.clone();
        let creations: Vec<CreationId> = tracked.creations.values().copied().collect();
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

    /// Whether objects are made that weren't refused before: the status waits for them, to be written once.
    pub(super) fn is_making(&self, id: ObjectId) -> bool {
        let tracked = self.sources.tracked.get(&id);
        let creations = tracked.into_iter().flat_map(|one| one.creations.values());
        let mut pending = creations.filter_map(|id| self.sources.creations.get(id));
        pending.any(|one| !matches!(one.stage, Stage::BackingOff(_)) && one.attempts == 0)
    }

    /// Why the API server refuses to create an object of that source, if it does.
    pub(super) fn refusal(&self, id: ObjectId) -> Option<&str> {
        let creations = self.sources.tracked.get(&id)?.creations.values();
        let mut pending = creations.filter_map(|id| self.sources.creations.get(id));
        pending.find_map(|one| one.refusal.as_deref())
    }
}

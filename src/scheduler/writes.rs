//! Writes of status: which wait, what is decided when a slot is free, and what follows from their ends.

use std::{sync::Arc, time::Duration};

use super::{
    Effect, ObjectId, Scheduler, Timer, Write,
    decisions::AFTER_PANIC,
    event_queue::Regarding,
    fair_queue::Place,
    input::{Now, WriteResult},
    tracked::{Overdue, PendingWrite, WritePriority, WriteStage},
};
use crate::rules::{EventNote, Occasion, Verdict, WriteFailure, write_retry_delay};

/// An object to which the API server answers 404 this often in a row is gone.
pub(super) const GONE_AFTER: u32 = 5;

impl Scheduler {
    /// Has a status written as soon as a slot is free. What it says is decided then, from `occasion`.
    pub(super) fn await_write(&mut self, id: ObjectId, occasion: Occasion, now: Now) {
        let since = match &occasion {
            Occasion::Polled { started_at, .. } => {
                let took = now.wall.duration_since(*started_at);
                let took = Duration::try_from(took).unwrap_or_default();
                now.monotonic.saturating_sub(took)
            }
            Occasion::Seen | Occasion::Waited => now.monotonic,
        };
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let is_answer = occasion.is_poll();
        let write = match &mut tracked.write {
            Some(write) => {
                write.occasion = occasion;
                write
            }
            none => none.insert(Box::new(PendingWrite::new(occasion, since))),
        };
        if is_answer && !write.holds_answer {
            write.holds_answer = true;
            let namespace = tracked.object.key.namespace.clone();
            self.answers.take(&namespace);
            if !self.answers.has_room(&namespace) {
                self.congested.insert(namespace);
            }
        }
        self.queue_write(id);
    }

    /// Ends what was to be written: it is, or needn't be.
    pub(super) fn end_write(&mut self, id: ObjectId) -> Option<Box<PendingWrite>> {
        self.leave_write_queue(id);
        let tracked = self.objects.get_mut(&id)?;
        let write = tracked.write.take()?;
        if write.attempts > 0 {
            self.writes_failing -= 1;
        }
        if write.holds_answer {
            let namespace = tracked.object.key.namespace.clone();
            self.free_answer(&namespace);
        }
        Some(write)
    }

    /// Puts a write into its queue: what failed before waits apart, so that what the API server
    /// doesn't take from some objects holds up no others.
    pub(super) fn queue_write(&mut self, id: ObjectId) {
        self.leave_write_queue(id);
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let is_first_look = tracked.object.shown().is_none();
        let namespace = tracked.object.key.namespace.clone();
        let Some(write) = &mut tracked.write else {
            return;
        };
        if write.attempts > 0 {
            let place = self.retries.push(&namespace, id, ());
            write.stage = WriteStage::QueuedAgain(place);
            return;
        }
        let priority = match write.occasion {
            Occasion::Waited if is_first_look => WritePriority::Pending,
            _ => WritePriority::Change,
        };
        write.stage = WriteStage::Queued(self.writes.push(&namespace, id, priority));
    }

    /// Takes back a write that hasn't begun.
    pub(super) fn leave_write_queue(&mut self, id: ObjectId) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let namespace = tracked.object.key.namespace.clone();
        let Some(write) = &mut tracked.write else {
            return;
        };
        match write.stage {
            WriteStage::Queued(place) => {
                write.stage = WriteStage::Open;
                self.writes.remove(&namespace, place);
            }
            WriteStage::QueuedAgain(place) => {
                write.stage = WriteStage::Open;
                self.retries.remove(&namespace, place);
            }
            WriteStage::BackingOff { until } => {
                write.stage = WriteStage::Open;
                self.timers.remove(&(until, id, Timer::Retry));
            }
            WriteStage::Open | WriteStage::UnderWay { .. } => {}
        }
    }

    /// An answer waits no more. A namespace is called about again once at most half as many of its
    /// answers wait as places are free.
    fn free_answer(&mut self, namespace: &Arc<str>) {
        self.answers.give_back(namespace);
        let answers = &self.answers;
        let before = self.congested.len();
        self.congested
            .retain(|namespace| 2 * answers.held_by(namespace) > answers.free());
        if self.congested.len() < before {
            self.calls.release_held();
        }
    }

    /// Drops the write of `Pending` that waits, or is about to.
    pub(super) fn drop_pending(&mut self, id: ObjectId) {
        self.end_overdue(id);
        let write = self.objects.get(&id).and_then(|one| one.write.as_ref());
        if let Some(WriteStage::Queued(place)) = write.map(|write| write.stage)
            && place.priority == WritePriority::Pending
        {
            self.end_write(id);
        }
    }

    pub(super) fn start_writes(&mut self, now: Now) {
        let all = WritePriority::Change..=WritePriority::Pending;
        loop {
            let started = self.writes.start(all.clone(), |_| true);
            let id = if let Some(started) = started {
                if !self.take_up(started.id, started.place, now) {
                    self.end_slot(started.id);
                    continue;
                }
                started.id
            } else if let Some(started) = self.retries.start(()..=(), |_| true) {
                started.id
            } else {
                break;
            };
            if !self.start_write(id, now) {
                self.end_slot(id);
            }
        }
    }

    /// Takes up the write behind a place in the queue; false if there is none. An overdue object gets
    /// its write now, unless another waits elsewhere, which shows more.
    fn take_up(&mut self, id: ObjectId, place: Place<WritePriority>, now: Now) -> bool {
        if self.sources.contains(id) {
            return true;
        }
        let Some(tracked) = self.objects.get_mut(&id) else {
            return false;
        };
        if tracked.overdue != Overdue::Queued(place) {
            return true;
        }
        tracked.overdue = Overdue::No;
        if tracked.write.is_some() {
            return false;
        }
        let write = PendingWrite::new(Occasion::Waited, now.monotonic);
        tracked.write = Some(Box::new(write));
        true
    }

    /// Decides what to write, on the newest version of the object; whether anything is.
    fn start_write(&mut self, id: ObjectId, now: Now) -> bool {
        if self.sources.contains(id) {
            return self.start_source_write(id, now);
        }
        let Some(write) = self.objects.get_mut(&id).and_then(|one| one.write.as_mut()) else {
            return false;
        };
        write.stage = WriteStage::Open;
        let occasion = write.occasion.clone();
        let Some(verdict) = self.judge(id, &occasion, now) else {
            self.end_write(id);
            self.plan(id, AFTER_PANIC, now);
            return false;
        };
        if self.changes_nothing(id, &verdict) {
            self.settle_unwritten(id, &verdict, now);
            return false;
        }
        self.begin_write(id, verdict);
        true
    }

    fn begin_write(&mut self, id: ObjectId, verdict: Verdict) {
        if verdict.next.is_some() {
            self.unplan(id);
        }
        // An ID must not be under way twice, and most writes show more than Pending would.
        self.end_overdue(id);
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let Some(write) = &mut tracked.write else {
            return;
        };
        write.stage = WriteStage::UnderWay {
            memory: verdict.memory,
            next: verdict.next,
        };
        write.sent = Some(Box::new(verdict.status.clone()));
        let reason = verdict.status.conditions.reason();
        let owed = write.note.take();
        write.note = verdict
            .note
            .or_else(|| owed.filter(|owed| reason == Some(owed.reason)));
        self.effects.push(Effect::Write(Box::new(Write {
            id,
            object: tracked.object.clone(),
            status: verdict.status,
            task: verdict.task,
            attempts: write.attempts,
            since: write.since,
        })));
    }

    /// Gives back the slot of a write.
    pub(super) fn end_slot(&mut self, id: ObjectId) {
        if !self.writes.ended(id) {
            self.retries.ended(id);
        }
    }

    pub(super) fn write_ended(&mut self, id: ObjectId, result: WriteResult, now: Now) {
        self.end_slot(id);
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let Some(write) = tracked.write.as_mut().filter(|one| one.is_under_way()) else {
            return;
        };
        let stage = write.stage;
        match result {
            WriteResult::Written(object) => {
                tracked.is_written = true;
                let write = self.end_write(id);
                if let Some(note) = write.as_ref().and_then(|write| write.note.clone()) {
                    self.record(id, note, now);
                }
                let sent = write.as_ref().and_then(|write| write.sent.clone());
                if let Some(sent) = sent
                    && self.deviations.written(id, *sent, &object.status)
                {
                    let key = object.key.clone();
                    self.effects.push(Effect::TellAltered(key));
                }
                self.accept(id, *object, now);
                if let WriteStage::UnderWay { memory, next } = stage {
                    self.settle(id, memory, next, now);
                }
                // It may have been the echo of a poll request, and no more.
                self.await_answer(id, now);
                if let Some(occasion) = write.and_then(|write| write.meanwhile) {
                    self.decide(id, *occasion, now);
                }
                self.reconsider(id, now);
            }
            WriteResult::Conflict(object) => {
                let is_first = !write.had_conflict && write.attempts == 0;
                write.had_conflict = true;
                write.reopen();
                self.accept(id, *object, now);
                if is_first {
                    self.queue_write(id);
                    self.reconsider(id, now);
                } else {
                    // Over and over: not at the network's speed.
                    self.retry_later(id, WriteFailure::Transient, now);
                }
            }
            // The watch shows it; but one that began with a list may have missed it.
            WriteResult::Gone if write.attempts >= GONE_AFTER => self.forget(id),
            WriteResult::Gone | WriteResult::Failed => {
                // It may have landed all the same.
                tracked.is_written = false;
                write.reopen();
                self.retry_later(id, WriteFailure::Transient, now);
            }
            WriteResult::Refused => {
                write.reopen();
                if !write.refused && write.attempts > 0 {
                    self.writes_failing -= 1;
                    write.attempts = 0;
                }
                write.refused = true;
                self.retry_later(id, WriteFailure::Refused, now);
            }
        }
    }

    fn retry_later(&mut self, id: ObjectId, failure: WriteFailure, now: Now) {
        let seed = self.seed(id, now);
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let Some(write) = &mut tracked.write else {
            return;
        };
        let at = now.monotonic + write_retry_delay(write.attempts, failure, seed);
        self.writes_failing += usize::from(write.attempts == 0);
        write.attempts = write.attempts.saturating_add(1);
        write.stage = WriteStage::BackingOff { until: at };
        self.timers.insert((at, id, Timer::Retry));
    }

    pub(super) fn retry_write(&mut self, id: ObjectId, at: Duration) {
        let write = self.objects.get(&id).and_then(|one| one.write.as_ref());
        let stage = write.map(|write| write.stage);
        if stage == Some(WriteStage::BackingOff { until: at }) {
            self.queue_write(id);
        }
    }

    /// A change of reason is written: it is logged, counted, and its Event is queued.
    pub(super) fn record(&mut self, id: ObjectId, note: EventNote, now: Now) {
        if let Some(tracked) = self.objects.get_mut(&id) {
            let regarding = Regarding::object(&tracked.object);
            let allowance = &mut tracked.events_used_until;
            let effect = self.events.record(regarding, allowance, note, now);
            self.effects.push(effect);
        }
    }
}

//! Writes of a source's status. What it says is decided when a slot is free, on the newest version of the source.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tracing::error;

use super::{
    super::{
        Effect, ObjectId, Scheduler, SourceWrite, Timer, WriteResult, event_queue::Regarding,
        input::Now, tracked::WritePriority, writes::GONE_AFTER,
    },
    tracked::{SourceWriteStage, SourceWriteState},
};
use crate::rules::{
    EventNote, Made, Mark, ObjectKey, Source, SourceCase, SourceStatus, SourceVerdict,
    WriteFailure, write_retry_delay,
};

impl Scheduler {
    /// The verdict of the rules; none if they panicked, which must not end all else.
    pub(super) fn judge_source(&self, id: ObjectId, now: Now) -> Option<SourceVerdict> {
        let tracked = self.sources.tracked.get(&id)?;
        let case = SourceCase {
            policy: &self.config.policy,
            source: &tracked.source,
            memory: tracked.memory,
            heard: &tracked.heard,
            heard_at: tracked.heard_at,
            made: &tracked.made,
            outdated: &tracked.outdated,
            refusal: self.refusal(id),
            now: now.wall,
            seed: self.seed(id, now),
        };
        let verdict = catch_unwind(AssertUnwindSafe(|| (self.observe_source)(&case)));
        if verdict.is_err() {
            let ObjectKey { namespace, name } = &tracked.source.key;
            error!(
                %namespace,
                %name, "deciding about the source panicked; it is retried later: please report it"
            );
        }
        verdict.ok()
    }

    /// Has the status written if it differs, once all objects were made that can be.
    pub(super) fn write_source_if_settled(&mut self, id: ObjectId, now: Now) {
        if self.may_write_source(id, now) {
            let verdict = self.judge_source(id, now);
            self.queue_source_write(id, verdict.as_ref().map(|verdict| &verdict.status));
        }
    }

    /// Whether a write of the status may be queued now, and none is.
    pub(super) fn may_write_source(&mut self, id: ObjectId, now: Now) -> bool {
        let is_settled = self.leads && !self.is_making(id, now);
        let tracked = self.sources.tracked.get(&id);
        is_settled && tracked.is_some_and(|tracked| tracked.write.is_none())
    }

    /// Has the status written if it isn't `status`, or if it isn't known to be the newest.
    pub(super) fn queue_source_write(&mut self, id: ObjectId, status: Option<&SourceStatus>) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let differs = status.is_some_and(|status| *status != tracked.source.status);
        if !differs && !tracked.is_to_be_checked() {
            return;
        }
        let namespace = &tracked.source.key.namespace;
        let place = self.writes.push(namespace, id, WritePriority::Change);
        tracked.write = Some(Box::new(SourceWriteState {
            stage: SourceWriteStage::Queued(place),
            attempts: 0,
            sent: None,
            counted: BTreeSet::new(),
            note: None,
        }));
    }

    /// A slot is free. Returns whether anything is written.
    pub(in crate::scheduler) fn start_source_write(&mut self, id: ObjectId, now: Now) -> bool {
        let verdict = self.judge_source(id, now);
        if verdict.is_none() {
            self.end_source_write(id);
            return false;
        }
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return false;
        };
        // A write that changes nothing fails where the source isn't the newest.
        let is_to_be_checked = tracked.is_to_be_checked();
        let counts = |one: &SourceVerdict| is_to_be_checked || one.status != tracked.source.status;
        let Some(verdict) = verdict.filter(counts) else {
            // It may be written, and the answer was lost.
            let reason = tracked.source.reason();
            let note = self.end_source_write(id).and_then(|write| write.note);
            if let Some(note) = note.filter(|note| reason == Some(note.reason)) {
                self.record_source(id, note, now);
            }
            return false;
        };
        let Some(write) = &mut tracked.write else {
            return false;
        };
        let reason = verdict.status.conditions.reason();
        let owed = write.note.take();
        write.note = verdict
            .note
            .or_else(|| owed.filter(|owed| reason == Some(owed.reason)));
        write.stage = SourceWriteStage::UnderWay;
        write.sent = Some(Box::new(verdict.status.clone()));
        let made = tracked.made.iter();
        write.counted = made.map(|made| Mark::of(&made.task_id)).collect();
        self.effects.push(Effect::WriteSource(Box::new(SourceWrite {
            id,
            source: tracked.source.clone(),
            status: verdict.status,
            attempts: write.attempts,
        })));
        true
    }

    pub(super) fn source_write_ended(
        &mut self,
        id: ObjectId,
        result: WriteResult<Source>,
        now: Now,
    ) {
        self.end_slot(id);
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let Some(write) = &mut tracked.write else {
            return;
        };
        if write.stage != SourceWriteStage::UnderWay {
            return;
        }
        match result {
            WriteResult::Written(source) => self.source_written(id, *source, now),
            // The watch shows it; but one that began with a list may have missed it.
            WriteResult::Gone if write.attempts >= GONE_AFTER => self.forget_source(id, now),
            // The watch brings what it is now.
            WriteResult::Conflict(_) | WriteResult::Gone | WriteResult::Failed => {
                self.write_source_later(id, WriteFailure::Transient, now);
            }
            WriteResult::Refused => self.write_source_later(id, WriteFailure::Refused, now),
        }
    }

    fn source_written(&mut self, id: ObjectId, source: Source, now: Now) {
        let Some(write) = self.end_source_write(id) else {
            return;
        };
        if let Some(tracked) = self.sources.tracked.get_mut(&id) {
            let is_counted = |made: &Made| write.counted.contains(&Mark::of(&made.task_id));
            tracked.made.retain(|made| !is_counted(made));
            tracked.written_in = self.sources.listings.get(&tracked.watch).copied();
        }
        if let Some(note) = write.note {
            self.record_source(id, note, now);
        }
        let is_altered = write.sent.is_some_and(|sent| *sent != source.status);
        self.accept_source(id, source);
        self.reconsider_source(id, now);
        self.make_what_waits(id, now);
        if is_altered {
            // It would be altered again: that waits for the next list.
            let tracked = self.sources.tracked.get(&id);
            let key = tracked.map(|tracked| tracked.source.key.clone());
            self.effects.extend(key.map(Effect::TellAltered));
        } else {
            self.write_source_if_settled(id, now);
        }
    }

    /// Takes the source that a write returned, unless the watch was faster.
    fn accept_source(&mut self, id: ObjectId, source: Source) {
        let tracked = self.sources.tracked.get(&id);
        let is_newer =
            tracked.is_some_and(|one| one.source.uid == source.uid && !one.is_newer_than(&source));
        if is_newer {
            self.replace_source(id, source);
        }
    }

    fn write_source_later(&mut self, id: ObjectId, failure: WriteFailure, now: Now) {
        let seed = self.seed(id, now);
        let tracked = self.sources.tracked.get_mut(&id);
        if let Some(write) = tracked.and_then(|tracked| tracked.write.as_mut()) {
            let at = now.monotonic + write_retry_delay(write.attempts, failure, seed);
            self.writes_failing += usize::from(write.attempts == 0);
            write.attempts = write.attempts.saturating_add(1);
            write.stage = SourceWriteStage::BackingOff(at);
            self.timers.insert((at, id, Timer::WriteSource));
        }
    }

    /// A failed write is tried again.
    pub(in crate::scheduler) fn write_source_again(&mut self, id: ObjectId) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        if let Some(write) = &mut tracked.write
            && matches!(write.stage, SourceWriteStage::BackingOff(_))
        {
            let namespace = &tracked.source.key.namespace;
            write.stage = SourceWriteStage::QueuedAgain(self.retries.push(namespace, id, ()));
        }
    }

    /// The source was edited: its status needn't wait for the retry.
    pub(super) fn hurry_source_write(&mut self, id: ObjectId) {
        let write = self
            .sources
            .tracked
            .get(&id)
            .and_then(|one| one.write.as_ref());
        if let Some(SourceWriteStage::BackingOff(at)) = write.map(|write| write.stage) {
            self.timers.remove(&(at, id, Timer::WriteSource));
            self.write_source_again(id);
        }
    }

    /// No write is under way any more, and none waits.
    pub(super) fn end_source_write(&mut self, id: ObjectId) -> Option<Box<SourceWriteState>> {
        let tracked = self.sources.tracked.get_mut(&id)?;
        let write = tracked.write.take()?;
        self.writes_failing -= usize::from(write.attempts > 0);
        let namespace = &tracked.source.key.namespace;
        match write.stage {
            SourceWriteStage::Queued(place) => self.writes.remove(namespace, place),
            SourceWriteStage::QueuedAgain(place) => self.retries.remove(namespace, place),
            SourceWriteStage::BackingOff(at) => {
                self.timers.remove(&(at, id, Timer::WriteSource));
            }
            SourceWriteStage::UnderWay => {}
        }
        Some(write)
    }

    /// A change of reason is written: it is logged, and its Event is queued.
    fn record_source(&mut self, id: ObjectId, note: EventNote, now: Now) {
        if let Some(tracked) = self.sources.tracked.get_mut(&id) {
            let regarding = Regarding::source(&tracked.source);
            let allowance = &mut tracked.events_used_until;
            let effect = self.events.record(regarding, allowance, note, now);
            self.effects.push(effect);
        }
    }
}

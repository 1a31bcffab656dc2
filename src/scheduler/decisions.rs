//! Deciding about an object: what is written, and what is planned.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tracing::error;

use super::{
    ObjectId, Scheduler, Timer,
    input::Now,
    tracked::{Change, Overdue, Tracked, WritePriority, WriteStage},
};
use crate::rules::{CLOCK_WAIT, Case, Memory, Next, ObjectKey, Occasion, SLOW_RETRY, Verdict};

/// What made the rules panic may be gone by then.
pub(super) const AFTER_PANIC: Next = Next::Call {
    after: SLOW_RETRY,
    requested: false,
};

impl Scheduler {
    /// Looks at an object again if what its schedule was decided on has changed.
    pub(super) fn reconsider(&mut self, id: ObjectId, now: Now) {
        let Some(tracked) = self.objects.get_mut(&id).filter(|_| self.leads) else {
            return;
        };
        if tracked
            .write
            .as_ref()
            .is_some_and(|write| write.is_under_way())
        {
            // The end of the write decides anew. What was planned before is no longer so.
            match tracked.peek_change() {
                Change::Object => self.unplan(id),
                Change::PollRequest => self.request_call(id, now),
                Change::Nodes | Change::None => {}
            }
            return;
        }
        let change = tracked.note_change();
        if let Some(write) = &mut tracked.write {
            if change == Change::Object {
                let occasion = mem::replace(&mut write.occasion, Occasion::Seen);
                write.occasion = occasion.or_seen();
            }
            let is_passing = !write.refused && !write.had_conflict;
            // The API server answers again: no need to wait for the retry.
            let backs_off = matches!(write.stage, WriteStage::BackingOff { .. });
            if backs_off && (is_passing || change == Change::Object) {
                self.queue_write(id);
            }
            if change == Change::Object {
                // What was planned before is no longer so: the write decides anew.
                self.unplan(id);
            }
        } else if matches!(change, Change::Object | Change::Nodes) {
            self.decide(id, Occasion::Seen, now);
        }
        if change == Change::PollRequest {
            self.request_call(id, now);
        }
    }

    /// Decides what follows from `occasion`: the status is queued to be written if it differs, else
    /// the plan is made.
    pub(super) fn decide(&mut self, id: ObjectId, mut occasion: Occasion, now: Now) {
        let Some(tracked) = self.objects.get_mut(&id).filter(|_| self.leads) else {
            return;
        };
        if let Some(write) = &mut tracked.write {
            if write.is_under_way() {
                // A wait that ended meanwhile is nothing new once the write is through.
                if occasion.is_poll() {
                    write.meanwhile = Some(Box::new(occasion));
                }
                return;
            }
            // An answer that waits to be written isn't given up for anything but another.
            if write.occasion.is_poll() && !occasion.is_poll() {
                occasion = write.occasion.clone();
            }
        }
        let Some(verdict) = self.judge(id, &occasion, now) else {
            return self.plan(id, AFTER_PANIC, now);
        };
        if self.changes_nothing(id, &verdict) {
            return self.settle_unwritten(id, &verdict, now);
        }
        if verdict.next.is_some() {
            // What was planned before is no longer so, whether or not the write succeeds.
            self.unplan(id);
        }
        self.await_write(id, occasion, now);
    }

    pub(super) fn changes_nothing(&self, id: ObjectId, verdict: &Verdict) -> bool {
        let tracked = self.objects.get(&id);
        tracked.is_none_or(|tracked| verdict.status == tracked.object.status)
    }

    /// What follows where nothing is to be written: also where a write that nobody heard of has
    /// succeeded, or somebody else wrote the same.
    pub(super) fn settle_unwritten(&mut self, id: ObjectId, verdict: &Verdict, now: Now) {
        let write = self.end_write(id);
        // One of Pending alone that shows nothing would do so over and over.
        let is_first_pending = write.as_ref().is_some_and(|write| {
            write.occasion == Occasion::Waited && write.attempts == 0 && !write.had_conflict
        });
        let note = write.and_then(|write| write.note);
        let tracked = self.objects.get(&id);
        let reason = tracked.and_then(|tracked| tracked.object.reason());
        // It may be that the write never landed, and never will.
        if let Some(note) = note.filter(|note| reason == Some(note.reason)) {
            self.record(id, note, now);
        }
        self.settle(id, verdict.memory, verdict.next, now);
        if !is_first_pending {
            self.await_answer(id, now);
        }
    }

    pub(super) fn settle(&mut self, id: ObjectId, memory: Memory, next: Option<Next>, now: Now) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        tracked.memory = memory;
        tracked.note_end();
        let is_idle = tracked.is_idle();
        if tracked.object.shown().is_some() {
            self.end_overdue(id);
        }
        match next {
            Some(next) => self.plan(id, next, now),
            // A wait that leaves the plan as it is, where there is none.
            None if is_idle => self.decide(id, Occasion::Seen, now),
            None => {}
        }
    }

    /// An object without an answer for too long shows that it waits, unless it will show more.
    pub(super) fn is_overdue(&mut self, id: ObjectId) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        tracked.overdue = Overdue::No;
        let shows_nothing = tracked.object.shown().is_none() && !tracked.object.deleting;
        if tracked.write.is_none() && shows_nothing {
            let namespace = &tracked.object.key.namespace;
            let place = self.writes.push(namespace, id, WritePriority::Pending);
            tracked.overdue = Overdue::Queued(place);
        }
    }

    /// It shows more, or will.
    pub(super) fn end_overdue(&mut self, id: ObjectId) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        match mem::replace(&mut tracked.overdue, Overdue::No) {
            Overdue::No => {}
            Overdue::At(at) => drop(self.timers.remove(&(at, id, Timer::Overdue))),
            Overdue::Queued(place) => self.writes.remove(&tracked.object.key.namespace, place),
        }
    }

    /// Whether the object may end by the calendar: it is confirmed, and Nodes that the object waits for have
    /// been seen, or neither came for long.
    fn may_end(&self, tracked: &Tracked, now: Now) -> bool {
        let object = &tracked.object;
        let waits = object.spec.wait_for_nodes && !object.is_finished();
        let nodes_since = self.node_waits.unlisted_since.filter(|_| waits);
        let since = nodes_since.map_or(self.led_since, |since| since.max(self.led_since));
        let is_known = now.is_confirmed && (!waits || self.node_waits.nodes.are_listed());
        is_known || now.monotonic.saturating_sub(since) >= CLOCK_WAIT
    }

    /// The verdict of the rules; none if they panicked, which must not end the tracking of other
    /// objects.
    pub(super) fn judge(&self, id: ObjectId, occasion: &Occasion, now: Now) -> Option<Verdict> {
        let tracked = self.objects.get(&id)?;
        let case = Case {
            policy: &self.config.policy,
            object: &tracked.object,
            nodes: &self.node_waits.nodes,
            listed_every: self.listed_every(&tracked.object),
            memory: tracked.memory,
            occasion,
            now: now.wall,
            ends_by: self.may_end(tracked, now).then(|| now.earliest()),
            seed: self.seed(id, now),
        };
        let verdict = catch_unwind(AssertUnwindSafe(|| (self.observe)(&case)));
        if verdict.is_err() {
            let ObjectKey { namespace, name } = &tracked.object.key;
            error!(
                %namespace,
                %name, "deciding about the object panicked; it is retried later: please report it"
            );
        }
        verdict.ok()
    }
}

//! Lists of a cluster's tasks: planned, read page by page, and what of the source's objects is asked about.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::super::{
    Effect, ListCall, ListingEnd, ObjectId, QueueId, Scheduler, Timer,
    call_queues::Priority,
    input::Now,
    tracked::{Planned, PollState},
};
use crate::rules::{
    Heard, ListedTask, Listing, Mark, PageResult, PollError, Progress, Reason, SLOW_RETRY,
    is_listed_as_answered, is_looked_after,
};

/// No two lists begin in a shorter time.
const PERIOD_MIN: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Looks at a source again if its spec has changed, or for the first time in this term.
    pub(in crate::scheduler) fn reconsider_source(&mut self, id: ObjectId, now: Now) {
        let may_list = |watch| self.leads && self.sources.objects_listed.contains(&watch);
        let Some(tracked) = self.sources.tracked.get(&id) else {
            return;
        };
        let state = Some((tracked.source.generation, tracked.source.deleting));
        if !may_list(tracked.watch) || tracked.decided_on == state {
            return;
        }
        self.end_listing(id);
        // What the new spec wants is found again.
        self.drop_creations(id, |_, _| true);
        self.hurry_source_write(id);
        if let Some(tracked) = self.sources.tracked.get_mut(&id) {
            tracked.decided_on = state;
            tracked.heard = Heard::Nothing;
        }
        self.decide_source(id, now);
    }

    /// Decides what a source shows and when it is listed next.
    pub(super) fn decide_source(&mut self, id: ObjectId, now: Now) {
        let Some(verdict) = self.judge_source(id, now) else {
            return self.plan_listing(id, Some(SLOW_RETRY), now);
        };
        if verdict.next.is_none() {
            self.end_listing(id);
            self.drop_creations(id, |_, _| true);
        }
        if let Some(tracked) = self.sources.tracked.get_mut(&id) {
            tracked.next_memory = verdict.memory;
        }
        self.set_lists(id, verdict.lists, now);
        self.plan_listing(id, verdict.next, now);
        if self.may_write_source(id, now) {
            self.queue_source_write(id, Some(&verdict.status));
        }
    }

    fn plan_listing(&mut self, id: ObjectId, after: Option<Duration>, now: Now) {
        self.unplan_listing(id);
        let after = after.filter(|_| !self.stopping);
        if let Some(after) = after
            && let Some(tracked) = self.sources.tracked.get_mut(&id)
        {
            // However often somebody edits the source.
            let is_edit = tracked.heard == Heard::Nothing;
            let begun_at = tracked.begun_at.filter(|_| is_edit);
            let least = begun_at.map(|at| at.saturating_add(PERIOD_MIN));
            let at = now
                .monotonic
                .saturating_add(after)
                .max(least.unwrap_or_default());
            tracked.planned = Some(at);
            self.timers.insert((at, id, Timer::List));
        }
    }

    fn unplan_listing(&mut self, id: ObjectId) {
        if let Some(tracked) = self.sources.tracked.get_mut(&id)
            && let Some(at) = tracked.planned.take()
        {
            self.timers.remove(&(at, id, Timer::List));
        }
    }

    /// Takes back what is planned, and gives up the list that is being read.
    pub(super) fn end_listing(&mut self, id: ObjectId) {
        self.unplan_listing(id);
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        tracked.reading = None;
        tracked.unseen.clear();
        self.leave_call_queue(id);
    }

    /// A list is due.
    pub(in crate::scheduler) fn begin_listing(&mut self, id: ObjectId, at: Duration, now: Now) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        tracked.planned = None;
        // One that broke off goes on where it did.
        if tracked.reading.is_none() {
            tracked.begun_at = Some(now.monotonic);
            tracked.reading = Some(Box::new(Listing::new(now.wall)));
            let unseen = self.under_way(id);
            if let Some(tracked) = self.sources.tracked.get_mut(&id) {
                tracked.unseen = unseen;
            }
        }
        self.begin_page(id, at, now);
    }

    /// The objects of the source whose tasks its list is to show.
    fn under_way(&self, id: ObjectId) -> BTreeSet<ObjectId> {
        let Some(tracked) = self.sources.tracked.get(&id) else {
            return BTreeSet::new();
        };
        let policy = &self.config.policy;
        let members = self.sources.members_of(&tracked.source.uid);
        // Of those that nobody asks about in their turn a list can tell nothing.
        let is_under_way = |member: &ObjectId| {
            self.objects.get(member).is_some_and(|one| {
                let object = &one.object;
                let is_own = self.sources.id_of(object) == Some(id);
                let is_asked_about =
                    one.has_call() || matches!(one.planned, Some((_, Planned::Call(_))));
                let is_well = is_looked_after(object, &one.memory);
                is_own && is_asked_about && is_well && tracked.speaks_of(object, policy)
            })
        };
        members.into_iter().filter(is_under_way).collect()
    }

    /// Lets the call for the next page wait for its turn.
    pub(in crate::scheduler) fn begin_page(&mut self, id: ObjectId, at: Duration, now: Now) {
        let Some(tracked) = self.sources.tracked.get(&id) else {
            return;
        };
        let priority = if tracked.was_throttled {
            Priority::Throttled
        } else {
            Priority::Due
        };
        self.begin_call(id, at, priority, now);
    }

    /// The call's turn has come. Returns whether there is one to make.
    pub(in crate::scheduler) fn start_page(
        &mut self,
        id: ObjectId,
        queue: QueueId,
        now: Now,
    ) -> bool {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return false;
        };
        let (PollState::Queued { due, .. }, Some(reading)) = (&tracked.poll, &tracked.reading)
        else {
            return false;
        };
        let source = &tracked.source;
        let region = source.region(&self.config.policy);
        let call = ListCall {
            source: id,
            queue,
            key: source.key.clone(),
            region: region.unwrap_or_default().into(),
            cluster_id: source.spec.cluster_id.clone(),
            page: reading.next_page(),
            secret: source.secret(),
            lag: now.monotonic.saturating_sub(*due),
        };
        tracked.poll = PollState::Calling {
            secret: call.secret.clone().map(Box::new),
        };
        self.effects.push(Effect::List(call));
        true
    }

    /// The call for a page ended.
    pub(super) fn page_ended(
        &mut self,
        id: ObjectId,
        (queue, page): (QueueId, u32),
        result: PageResult,
        started_at: Timestamp,
        now: Now,
    ) {
        let cluster = self.sources.tracked.get(&id);
        let cluster = cluster.map(|tracked| tracked.source.spec.cluster_id.clone());
        let error = result.as_ref().err();
        self.queue_answered(queue, cluster.as_deref(), error, now);
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        tracked.was_throttled = error.is_some_and(|error| error.reason == Reason::Throttled);
        let poll = std::mem::replace(&mut tracked.poll, PollState::Idle);
        let Some(reading) = &tracked.reading else {
            return;
        };
        let is_of_secret = matches!(&poll, PollState::Calling { secret }
            if secret.as_deref() == tracked.source.secret().as_ref());
        if !is_of_secret || reading.next_page() != page {
            // Got with credentials that the spec no longer names, or for a list that was given up.
            return self.begin_page(id, now.monotonic, now);
        }
        match result {
            Ok(page) => self.read_page(id, &page, started_at, now),
            // There is no such page.
            Err(error) if error.reason.is_about_request() && reading.may_be_over() => {
                self.read_page(id, &[], started_at, now);
            }
            Err(error) => self.listing_failed(id, error, now),
        }
    }

    fn read_page(&mut self, id: ObjectId, page: &[ListedTask], started_at: Timestamp, now: Now) {
        for task in page {
            self.compare(id, task, now);
        }
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let Some(reading) = &mut tracked.reading else {
            return;
        };
        if reading.next_page() == 1 {
            reading.began_at = started_at;
        }
        let all_seen = tracked.unseen.is_empty();
        let progress = reading.take(page, &tracked.source, all_seen, now.wall);
        match progress {
            Progress::Next => self.begin_page(id, now.monotonic, now),
            Progress::Done => self.listing_done(id, now),
        }
    }

    /// Has the objects of a listed task asked about if it changed.
    fn compare(&mut self, id: ObjectId, task: &ListedTask, now: Now) {
        let Some(tracked) = self.sources.tracked.get(&id) else {
            return;
        };
        let task_mark = Mark::of(&task.task_id);
        for member in self.sources.members_for(&tracked.source, task_mark) {
            if let Some(tracked) = self.sources.tracked.get_mut(&id) {
                tracked.unseen.remove(&member);
            }
            self.look_after_list(member, Some(task), now);
        }
    }

    fn look_after_list(&mut self, member: ObjectId, listed: Option<&ListedTask>, now: Now) {
        let Some(tracked) = self.objects.get(&member) else {
            return;
        };
        let object = &tracked.object;
        let is_listed = self.listed_every(object).is_some();
        if is_listed
            && is_looked_after(object, &tracked.memory)
            && !is_listed_as_answered(object, listed)
        {
            self.hasten_call(member, now.monotonic);
        }
    }

    fn listing_done(&mut self, id: ObjectId, now: Now) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let Some(mut reading) = tracked.reading.take() else {
            return;
        };
        let unseen = std::mem::take(&mut tracked.unseen);
        tracked.outdated = std::mem::take(&mut reading.outdated);
        tracked.note_outdated(&reading, now.monotonic);
        let candidates = reading.candidates(&tracked.source);
        let heard = Heard::Listed {
            asked_at: reading.began_at,
            unmakeable: reading.unmakeable,
        };
        self.hear(id, heard, now);
        for member in unseen {
            self.look_after_list(member, None, now);
        }
        self.make(id, candidates, now);
        self.decide_source(id, now);
    }

    /// What was found on the pages before is made all the same. Where the trouble passes by itself, the list goes on
    /// with the page that failed.
    pub(in crate::scheduler) fn listing_failed(
        &mut self,
        id: ObjectId,
        error: PollError,
        now: Now,
    ) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let passes = matches!(error.reason, Reason::Throttled | Reason::TaskApiUnavailable);
        let reading = tracked.reading.as_mut();
        let found = reading.map(|reading| reading.candidates(&tracked.source));
        if !passes {
            tracked.reading = None;
            tracked.unseen.clear();
        }
        self.hear(id, Heard::Failed(error), now);
        self.make(id, found.unwrap_or_default(), now);
        self.decide_source(id, now);
    }

    /// A list ended.
    fn hear(&mut self, id: ObjectId, heard: Heard, now: Now) {
        let Some(tracked) = self.sources.tracked.get_mut(&id) else {
            return;
        };
        let region = tracked.source.region(&self.config.policy);
        self.effects.push(Effect::RecordListing(ListingEnd {
            region: region.unwrap_or_default().into(),
            error: match &heard {
                Heard::Failed(error) => Some(error.reason),
                _ => None,
            },
        }));
        tracked.memory = tracked.next_memory;
        tracked.heard = heard;
        tracked.heard_at = now.wall;
    }

    /// Has a planned call made earlier.
    fn hasten_call(&mut self, id: ObjectId, at: Duration) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        if let Some((planned_at, Planned::Call(priority))) = tracked.planned
            && at < planned_at
        {
            // A poll request has a time of its own.
            let priority = priority.max(Priority::Throttled);
            self.timers.remove(&(planned_at, id, Timer::Planned));
            tracked.planned = Some((at, Planned::Call(priority)));
            self.timers.insert((at, id, Timer::Planned));
        }
    }

    /// No list stands for polls of the object any more.
    pub(in crate::scheduler) fn poll_in_turn(&mut self, id: ObjectId, now: Now) {
        let Some(tracked) = self.objects.get(&id).filter(|_| self.leads) else {
            return;
        };
        let object = &tracked.object;
        if is_looked_after(object, &tracked.memory) {
            let after = object.until_turn(&self.config.policy, now.wall);
            self.hasten_call(id, now.monotonic + after);
        }
    }
}

//! Whose turn it is: a state machine over all objects, driven by events and answered by commands.
//!
//! The tracker does no I/O and reads no clock. The shell feeds it what happened
//! ([`Tracker::handle`]) and carries out what it asks for.

mod entry;
mod message;

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tracing::error;

use self::entry::{Entry, Pending, Timer, Trigger, Turn};
pub use self::message::{Call, Command, Config, EntryId, Event, Now, Write, WriteResult};
use super::{
    Input, LaneId, Memory, Next, OVERDUE_AFTER, Object, ObjectKey, Outcome, Policy, Reason,
    SLOW_RETRY, Verdict, census::Census, lanes::Lanes, observe,
};

/// How long a failed write or deletion waits before it is tried again, doubling from the first.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// All objects and their turns.
#[derive(Debug)]
pub struct Tracker {
    config: Config,
    entries: HashMap<EntryId, Entry>,
    by_key: HashMap<ObjectKey, EntryId>,
    last_id: EntryId,
    listings: HashMap<usize, u64>,
    timers: BTreeSet<(Duration, EntryId, Timer)>,
    lanes: Lanes,
    census: Census,
    decisions: u64,
    commands: Vec<Command>,
}

impl Tracker {
    /// A tracker that knows no object yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            lanes: Lanes::new(config.limits),
            config,
            entries: HashMap::new(),
            by_key: HashMap::new(),
            last_id: 0,
            listings: HashMap::new(),
            timers: BTreeSet::new(),
            census: Census::default(),
            decisions: 0,
            commands: Vec::new(),
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Command> {
        match event {
            Event::Relisting(watch) => *self.listings.entry(watch).or_default() += 1,
            Event::Listed(watch, object) => self.apply(watch, *object, true, now),
            Event::ListingDone(watch) => self.drop_unlisted(watch),
            Event::Applied(watch, object) => self.apply(watch, *object, false, now),
            Event::Gone(key) => {
                if let Some(id) = self.by_key.get(&key) {
                    self.forget(*id);
                }
            }
            Event::CallEnded {
                entry,
                lane,
                outcome,
                started_at,
                poll_request,
            } => {
                self.call_ended(lane, &outcome, now);
                let input = Input::Called {
                    outcome,
                    started_at,
                    poll_request,
                };
                if let Some(known) = self.entries.get_mut(&entry) {
                    known.calling = false;
                    self.decide(entry, input, now);
                }
            }
            Event::WriteEnded(entry, result) => self.write_ended(entry, result, now),
            Event::DeleteFailed(entry) => self.delete_failed(entry, now),
            Event::Tick => {}
        }
        self.fire_timers(now);
        self.dispatch(now);
        mem::take(&mut self.commands)
    }

    /// When [`Event::Tick`] is due, as monotonic time.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, ..)| *at);
        timer.into_iter().chain(self.lanes.next_opening()).min()
    }

    /// How many objects there are of each kind.
    #[must_use]
    pub fn census(&self) -> &Census {
        &self.census
    }

    fn apply(&mut self, watch: usize, object: Object, listed: bool, now: Now) {
        let listing = self.listings.get(&watch).copied().unwrap_or_default();
        let known = self.by_key.get(&object.key).copied();
        let id = match known.and_then(|id| Some((id, self.entries.get_mut(&id)?))) {
            Some((id, entry)) if entry.object.uid == object.uid => {
                entry.listing = listing;
                // A listing that began before the last write may show what was before it. Else a
                // list is always right, also where it goes back: the cluster's data may have been
                // restored.
                let goes_back = listed && entry.written_in != Some(listing);
                if goes_back || !is_older(&object, &entry.object) {
                    entry.replace(object, &mut self.census);
                }
                id
            }
            Some((id, _)) => {
                self.forget(id);
                self.admit(watch, listing, object, now)
            }
            None => self.admit(watch, listing, object, now),
        };
        self.reconsider(id, now);
    }

    /// A new entry. Its trigger is none that an object can have, so that the first look decides
    /// everything.
    fn admit(&mut self, watch: usize, listing: u64, object: Object, now: Now) -> EntryId {
        self.last_id += 1;
        let id = self.last_id;
        let overdue_at = object
            .ready()
            .is_none()
            .then(|| now.monotonic + OVERDUE_AFTER);
        if let Some(at) = overdue_at {
            self.timers.insert((at, id, Timer::Overdue));
        }
        self.by_key.insert(object.key.clone(), id);
        self.census.replace(None, Some(&object));
        let entry = Entry {
            object,
            watch,
            listing,
            written_in: None,
            memory: Memory::default(),
            trigger: Trigger {
                generation: -1,
                ..Trigger::default()
            },
            turn: None,
            overdue_at,
            queued_at: None,
            calling: false,
            pending: None,
            retry_at: None,
        };
        self.entries.insert(id, entry);
        id
    }

    fn forget(&mut self, id: EntryId) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.by_key.remove(&entry.object.key);
        self.census.replace(Some(&entry.object), None);
        for (at, timer) in entry.timers() {
            self.timers.remove(&(at, id, timer));
        }
    }

    fn drop_unlisted(&mut self, watch: usize) {
        let listing = self.listings.get(&watch).copied().unwrap_or_default();
        let gone: Vec<EntryId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.watch == watch && entry.listing != listing)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.forget(id);
        }
    }

    /// Looks at an entry again if what its schedule was decided on has changed.
    fn reconsider(&mut self, id: EntryId, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry
            .pending
            .as_ref()
            .is_some_and(|pending| pending.in_flight)
        {
            return;
        }
        let trigger = entry.trigger();
        let changed = trigger.is_news_after(&entry.trigger);
        entry.trigger = trigger;
        let pending = entry.pending.as_ref().map(|pending| pending.input.clone());
        match pending {
            // The API server answers again: no need to wait for the retry.
            Some(input) if changed => self.decide(id, input.or_seen(), now),
            Some(input) => self.decide(id, input, now),
            None if changed => self.decide(id, Input::Seen, now),
            None => {}
        }
    }

    /// Lets the core decide, and has the status written if it differs.
    fn decide(&mut self, id: EntryId, mut input: Input, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let mut attempts = 0;
        if let Some(pending) = &mut entry.pending {
            if pending.in_flight {
                // A wait that ended meanwhile is nothing new once the write is through.
                if input.is_answer() {
                    pending.meanwhile = Some(input);
                }
                return;
            }
            attempts = pending.attempts;
            // An answer that waits to be written isn't given up for anything but another.
            if pending.input.is_answer() && !input.is_answer() {
                input = pending.input.clone();
            }
        }
        self.decisions += 1;
        let seed = self.config.seed ^ (id << 32) ^ self.decisions;
        let Some(verdict) = judge(&self.config.policy, entry, &input, now, seed) else {
            return self.schedule(
                id,
                Next::Call {
                    after: SLOW_RETRY,
                    urgent: false,
                },
                now,
            );
        };
        if verdict.status == entry.object.status {
            entry.pending = None;
            return self.settle(id, verdict.memory, verdict.next, now);
        }
        let object = entry.object.clone();
        if verdict.next.is_some() {
            // What was planned before is no longer so, whether or not the write succeeds.
            self.unschedule(id);
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.pending = Some(Pending {
            input,
            memory: verdict.memory,
            next: verdict.next,
            in_flight: true,
            attempts,
            meanwhile: None,
        });
        let write = Write {
            entry: id,
            object,
            status: verdict.status,
            notice: verdict.notice,
            attempts,
        };
        self.commands.push(Command::Write(Box::new(write)));
    }

    fn write_ended(&mut self, id: EntryId, result: WriteResult, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some(pending) = entry.pending.take() else {
            return;
        };
        match result {
            WriteResult::Written(object) => {
                self.accept(id, *object);
                self.settle(id, pending.memory, pending.next, now);
                if let Some(input) = pending.meanwhile {
                    self.decide(id, input, now);
                }
                self.reconsider(id, now);
            }
            WriteResult::Conflict(object) => {
                self.accept(id, *object);
                let mut pending = pending.reopened();
                if pending.attempts > 0 {
                    // Over and over: not at the network's speed.
                    return self.retry_later(id, pending, now);
                }
                pending.attempts = 1;
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.pending = Some(pending);
                }
                self.reconsider(id, now);
            }
            // Only the watch knows whether it's gone for good.
            WriteResult::Gone | WriteResult::Failed => {
                self.retry_later(id, pending.reopened(), now);
            }
        }
    }

    fn retry_later(&mut self, id: EntryId, mut pending: Pending, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let wait = RETRY_FIRST * 2_u32.pow(pending.attempts.min(8));
        pending.attempts += 1;
        let at = now.monotonic + wait.min(RETRY_MAX);
        entry.pending = Some(pending);
        entry.retry_at = Some(at);
        self.timers.insert((at, id, Timer::Retry));
    }

    /// Takes the object that a write returned, unless the watch was faster.
    fn accept(&mut self, id: EntryId, object: Object) {
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.object.uid == object.uid
            && !is_older(&object, &entry.object)
        {
            entry.replace(object, &mut self.census);
            entry.written_in = self.listings.get(&entry.watch).copied();
        }
    }

    fn settle(&mut self, id: EntryId, memory: Memory, next: Option<Next>, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.memory = memory;
        // The end was decided here: it is no news when the watch brings it.
        entry.trigger.finished = entry.object.is_finished();
        if let Some(at) = entry.overdue_at.take_if(|_| entry.object.ready().is_some()) {
            self.timers.remove(&(at, id, Timer::Overdue));
        }
        match next {
            Some(next) => self.schedule(id, next, now),
            // A wait that leaves the plan as it is, where there is none.
            None if entry.is_idle() => self.decide(id, Input::Seen, now),
            None => {}
        }
    }

    /// The object may have changed since: later it is decided anew whether to delete it.
    fn delete_failed(&mut self, id: EntryId, now: Now) {
        if self.entries.get(&id).is_some_and(Entry::is_idle) {
            self.schedule(id, Next::Wait(RETRY_MAX), now);
        }
    }

    fn unschedule(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.queued_at = None;
            if let Some((at, _)) = entry.turn.take() {
                self.timers.remove(&(at, id, Timer::Turn));
            }
        }
    }

    fn schedule(&mut self, id: EntryId, next: Next, now: Now) {
        self.unschedule(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (after, turn) = match next {
            Next::Rest => return,
            Next::Wait(after) => (after, Turn::Wait),
            Next::Call { after, urgent } => (after, Turn::Call { urgent }),
            Next::Delete(after) => (after, Turn::Delete),
        };
        let at = now.monotonic.saturating_add(after);
        entry.turn = Some((at, turn));
        self.timers.insert((at, id, Timer::Turn));
    }

    fn fire_timers(&mut self, now: Now) {
        while let Some((at, id, timer)) = self.timers.first().copied() {
            if at > now.monotonic {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Turn => self.take_turn(id, at, now),
                Timer::Overdue => {
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.overdue_at = None;
                        self.decide(id, Input::Waited, now);
                    }
                }
                Timer::Retry => {
                    let entry = self.entries.get_mut(&id);
                    let retried = entry.and_then(|entry| {
                        entry.retry_at.take_if(|retry_at| *retry_at == at)?;
                        let pending = entry
                            .pending
                            .as_mut()
                            .filter(|pending| !pending.in_flight)?;
                        Some(pending.input.clone())
                    });
                    if let Some(input) = retried {
                        self.decide(id, input, now);
                    }
                }
            }
        }
    }

    fn take_turn(&mut self, id: EntryId, at: Duration, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some((_, turn)) = entry.turn.take() else {
            return;
        };
        match turn {
            Turn::Wait => self.decide(id, Input::Waited, now),
            // A call under way decides what comes next; a write under way waits for its end.
            Turn::Call { .. } if entry.calling => {}
            Turn::Call { urgent } => {
                let Some(region) = self.config.region_of(&entry.object) else {
                    return;
                };
                entry.queued_at = Some(at);
                let lane = self.lanes.lane(region, now.monotonic);
                self.lanes.push(lane, id, urgent);
            }
            Turn::Delete => {
                let object = &entry.object;
                self.commands.push(Command::Delete {
                    entry: id,
                    key: object.key.clone(),
                    uid: object.uid.clone(),
                    resource_version: object.resource_version.clone(),
                });
            }
        }
    }

    fn dispatch(&mut self, now: Now) {
        let entries = &mut self.entries;
        while let Some((lane, id)) = self.lanes.pop(now.monotonic, |id| {
            entries
                .get(&id)
                .is_some_and(|entry| entry.queued_at.is_some())
        }) {
            let Some(entry) = entries.get_mut(&id) else {
                continue;
            };
            let Some(queued_at) = entry.queued_at.take() else {
                continue;
            };
            entry.calling = true;
            let region = self.config.region_of(&entry.object);
            self.commands.push(Command::Call(Call {
                entry: id,
                lane,
                key: entry.object.key.clone(),
                region: region.unwrap_or_default().to_owned(),
                task_id: entry.object.spec.task_id.clone(),
                poll_request: entry.object.pending_poll_request().map(str::to_owned),
                lag: now.monotonic.saturating_sub(queued_at),
            }));
        }
    }

    fn call_ended(&mut self, lane: LaneId, outcome: &Outcome, now: Now) {
        self.lanes.ended(lane);
        if let Outcome::Trouble(trouble) = outcome
            && (trouble.reason == Reason::Throttled || trouble.retry_after.is_some())
        {
            self.lanes
                .throttled(lane, now.monotonic, trouble.retry_after);
        }
    }
}

/// The core's verdict; none if it panicked, which must not end the tracking of other objects.
fn judge(policy: &Policy, entry: &Entry, input: &Input, now: Now, seed: u64) -> Option<Verdict> {
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        observe(policy, &entry.object, entry.memory, input, now.wall, seed)
    }));
    if verdict.is_err() {
        let ObjectKey { namespace, name } = &entry.object.key;
        error!(
            namespace,
            name, "deciding about the object panicked; it is tried again later"
        );
    }
    verdict.ok()
}

/// Whether `one` is surely an older version than `other`. Versions of one resource are numbers that
/// grow; where they aren't, nothing is known.
fn is_older(one: &Object, other: &Object) -> bool {
    let version = |object: &Object| object.resource_version.parse::<u128>().ok();
    matches!((version(one), version(other)), (Some(one), Some(other)) if one < other)
}

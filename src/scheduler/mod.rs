//! Whose turn it is: a state machine over all objects. What happens goes in as an [`Input`]; what is
//! to be done comes out as an [`Effect`].
//!
//! The scheduler does no I/O and reads no clock. One that doesn't lead takes in what the watches
//! show and asks for nothing.

mod call_queues;
mod caller;
mod decisions;
mod deletions;
mod deviations;
mod effect;
mod election;
mod event_queue;
mod fair_queue;
mod input;
mod limits;
mod nodes;
mod object_counts;
mod object_ids;
mod objects;
mod polls;
mod rate_limiter;
mod shares;
mod sources;
mod tracked;
mod work_queue;
mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use self::{
    call_queues::CallQueues,
    deviations::Deviations,
    event_queue::EventQueue,
    nodes::NodeWaits,
    object_counts::Row,
    object_ids::ObjectIds,
    shares::Shares,
    sources::Sources,
    tracked::{Planned, PollState, Timer, Tracked, WritePriority},
    work_queue::WorkQueue,
};
pub use self::{
    call_queues::{Account, QueueId},
    effect::{
        Call, Creation, Deletion, Effect, Kind, ListCall, ListingEnd, Publication, Record,
        SourceWrite, Write,
    },
    election::{
        Election, LEASE_DURATION, LeaseRecord, LeaseStep, RENEW_DEADLINE, RETRY_PERIOD,
        STANDBY_PERIOD,
    },
    input::{
        CreationResult, DeletionResult, EventResult, Input, NodeInput, Now, SourceInput,
        WriteResult,
    },
    limits::{CallLimits, Fairness, Slots},
    object_counts::ObjectCounts,
    rate_limiter::RateLimiter,
};
use crate::{
    rules::{ObjectKey, Observe, ObserveSource, Policy, observe, observe_source},
    task_api::endpoint::Endpoints,
};

/// One object over its life; another object of the same name has another.
pub type ObjectId = u64;
/// One Event that is to be published.
pub type NoteId = u64;
/// One object that is to be created. No object or source has the same.
pub type CreationId = u64;

/// Timers that fire in one turn. More would hold up what else happens.
const TIMERS_A_TURN: usize = 1000;

/// A calendar that moves by less against the monotonic clock is only slewed.
const CALENDAR_STEP: SignedDuration = SignedDuration::from_secs(30);

/// What the scheduler decides by.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The rules for what is shown.
    pub policy: Policy,
    /// Which host answers for a region.
    pub endpoints: Endpoints,
    /// How many calls may be made.
    pub limits: CallLimits,
    /// How many requests to the API server may be under way.
    pub slots: Slots,
    /// The rules of fairness.
    pub fairness: Fairness,
    /// Scatters delays; another for each process.
    pub seed: u64,
}

/// All objects, and what is due about them.
#[derive(Clone, Debug)]
pub struct Scheduler {
    config: Config,
    observe: Observe,
    observe_source: ObserveSource,
    objects: BTreeMap<ObjectId, Box<Tracked>>,
    ids: ObjectIds,
    last_id: ObjectId,
    /// How often each watch began a list.
    listings: BTreeMap<usize, u32>,
    timers: BTreeSet<(Duration, ObjectId, Timer)>,
    secrets: WorkQueue<()>,
    calls: CallQueues,
    writes: WorkQueue<WritePriority>,
    retries: WorkQueue<()>,
    deletions: WorkQueue<()>,
    creations: WorkQueue<()>,
    events: EventQueue,
    /// Answers that wait to be written.
    answers: Shares,
    /// Namespaces whose calls wait until fewer of their answers do.
    congested: BTreeSet<Arc<str>>,
    counts: ObjectCounts,
    deviations: Deviations,
    node_waits: NodeWaits,
    sources: Sources,
    /// Objects whose status couldn't be written at the last try.
    writes_failing: usize,
    leads: bool,
    leads_until: Duration,
    /// When this replica began to lead.
    led_since: Duration,
    /// What the calendar said when the monotonic clock was at zero, by the last input.
    calendar_zero: Option<Timestamp>,
    /// Counts the times at which this replica began or ceased to lead.
    term: u64,
    stopping: bool,
    effects: Vec<Effect>,
}

impl Scheduler {
    /// A scheduler that knows no object yet, and stands by.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_rules(config, observe)
    }

    /// A scheduler with other rules than [`observe`]'s: tests of the tests break some.
    #[must_use]
    pub fn with_rules(config: Config, observe: Observe) -> Self {
        let (slots, fairness) = (config.slots, config.fairness);
        Self {
            calls: CallQueues::new(config.limits, fairness),
            config,
            observe,
            observe_source,
            objects: BTreeMap::new(),
            ids: ObjectIds::default(),
            last_id: 0,
            listings: BTreeMap::new(),
            timers: BTreeSet::new(),
            secrets: WorkQueue::new(slots.secrets, fairness),
            writes: WorkQueue::new(slots.writes, fairness),
            retries: WorkQueue::new(slots.retries, fairness),
            deletions: WorkQueue::new(slots.deletions, fairness),
            creations: WorkQueue::new(slots.creations, fairness),
            events: EventQueue::new(fairness),
            answers: Shares::new(slots.answers, fairness),
            congested: BTreeSet::new(),
            counts: ObjectCounts::default(),
            deviations: Deviations::default(),
            node_waits: NodeWaits::default(),
            sources: Sources::default(),
            writes_failing: 0,
            leads: false,
            leads_until: Duration::ZERO,
            led_since: Duration::ZERO,
            calendar_zero: None,
            term: 0,
            stopping: false,
            effects: Vec::new(),
        }
    }

    /// The same with other rules than [`observe_source`]'s.
    #[must_use]
    pub fn with_source_rules(mut self, observe_source: ObserveSource) -> Self {
        self.observe_source = observe_source;
        self
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        // A lead that ran out is over, also where the first that is heard of it is the next one.
        if self.leads && now.monotonic >= self.leads_until {
            self.stand_by();
        }
        if let Input::LeadsUntil(until) = input {
            self.leads_until = until;
        }
        match (self.leads, now.monotonic < self.leads_until) {
            (false, true) => self.take_the_lead(now),
            (true, false) => self.stand_by(),
            _ => {}
        }
        self.follow_calendar(now);
        self.take_in(input, now);
        if self.leads {
            self.do_what_is_due(now);
            if !self.stopping {
                self.start_identifications();
                self.start_calls(now);
                self.start_creations(now);
            }
            self.start_events(now);
        }
        mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is due, as monotonic time.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, ..)| *at);
        let end = (self.leads && self.leads_until < Duration::MAX).then_some(self.leads_until);
        let opening = self.calls.next_opening().filter(|_| !self.stopping);
        let event = self.events.next_wake();
        let all = [timer, end, opening, event];
        all.into_iter().flatten().min()
    }

    /// Whether it asks for anything.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// Changes whenever this replica begins or ceases to lead. What was begun in another term is
    /// nothing to this one.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whether no write and no Event waits, is under way or is to be retried.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let mut timers = self.timers.iter();
        self.writes.is_idle()
            && self.retries.is_idle()
            && self.events.is_idle()
            && self.sources_are_settled()
            && !timers.any(|(_, _, timer)| *timer == Timer::Retry)
    }

    /// Whether a status of that object waits to be written, or is being written.
    #[must_use]
    pub fn awaits_write(&self, object: ObjectId) -> bool {
        let tracked = self.objects.get(&object);
        tracked.is_some_and(|tracked| tracked.write.is_some())
    }

    /// Whether a call about that object is due and waits for its turn. For model checkers.
    #[must_use]
    pub fn waits_for_call(&self, key: &ObjectKey) -> bool {
        let id = self.ids.get(key);
        let tracked = id.and_then(|id| self.objects.get(&id));
        tracked.is_some_and(|tracked| matches!(tracked.poll, PollState::Queued { .. }))
    }

    /// How many objects there are by reason and state.
    #[must_use]
    pub fn counts(&self) -> &ObjectCounts {
        &self.counts
    }

    /// How many objects have a status that couldn't be written at the last try.
    #[must_use]
    pub fn writes_failing(&self) -> usize {
        self.writes_failing
    }

    /// How many calls are under way, and how many wait for their turn.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        (self.calls.in_flight(), self.calls.waiting())
    }

    /// How many Events were dropped since the process began, for too many waited or the lead was
    /// lost.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.events.dropped()
    }

    /// Moves the monotonic clock's zero forward. For model checkers, to which states that differ
    /// in their age only are the same.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        if self.leads_until < Duration::MAX {
            self.leads_until = earlier(self.leads_until);
        }
        self.led_since = earlier(self.led_since);
        self.calendar_zero = None;
        self.calls.rebase(by);
        self.events.rebase(by);
        self.deviations.rebase(by);
        self.timers = mem::take(&mut self.timers)
            .into_iter()
            .map(|(at, id, timer)| (earlier(at), id, timer))
            .collect();
        for tracked in self.objects.values_mut() {
            tracked.rebase(by);
        }
        self.sources.rebase(by);
    }

    fn take_in(&mut self, input: Input, now: Now) {
        match input {
            Input::Relisting(watch) => *self.listings.entry(watch).or_default() += 1,
            Input::Listed(watch, object) => self.apply(watch, *object, true, now),
            Input::ListingDone(watch) => {
                self.drop_unlisted(watch);
                self.objects_are_listed(watch, now);
            }
            Input::Applied(watch, object) => self.apply(watch, *object, false, now),
            Input::Gone(key) => {
                if let Some(id) = self.ids.get(&key) {
                    self.forget(id);
                }
            }
            Input::Identified {
                object,
                secret,
                account,
            } => self.identified(object, &secret, account, now),
            Input::CallEnded {
                object,
                queue,
                result,
                started_at,
                poll_request,
            } => {
                let task_id = self.objects.get(&object);
                let task_id = task_id.map(|tracked| tracked.object.spec.task_id.clone());
                let error = result.as_ref().err();
                self.queue_answered(queue, task_id.as_deref(), error, now);
                self.call_ended(object, result, started_at, poll_request, now);
            }
            Input::WriteEnded(object, result) => self.write_ended(object, result, now),
            Input::DeletionEnded(object, result) => self.deletion_ended(object, result, now),
            Input::Nodes(input) => self.take_in_nodes(input, now),
            Input::Source(input) => self.take_in_source(input, now),
            Input::EventEnded(note, result) => self.events.ended(note, result, now.monotonic),
            Input::Stopping => self.stop(now),
            Input::LeadsUntil(_) | Input::Tick => {}
        }
    }

    /// Where the calendar was set, what ends by it is decided anew.
    fn follow_calendar(&mut self, now: Now) {
        let Ok(zero) = now.earliest().checked_sub(now.monotonic) else {
            return;
        };
        let before = self.calendar_zero.replace(zero);
        if before.is_none_or(|before| zero.duration_since(before).abs() <= CALENDAR_STEP) {
            return;
        }
        let by_calendar = |planned| matches!(planned, Planned::Wait | Planned::Delete);
        for (id, tracked) in &mut self.objects {
            if let Some((at, planned)) = tracked.planned
                && by_calendar(planned)
            {
                tracked.planned = Some((now.monotonic, planned));
                self.timers.remove(&(at, *id, Timer::Planned));
                self.timers.insert((now.monotonic, *id, Timer::Planned));
            }
        }
    }

    /// Everything is looked at as after a restart, some in each turn.
    fn take_the_lead(&mut self, now: Now) {
        self.leads = true;
        self.led_since = now.monotonic;
        self.term += 1;
        let look = |id: &ObjectId| (now.monotonic, *id, Timer::Look);
        self.timers.extend(self.objects.keys().map(look));
        self.look_at_all_sources(now);
    }

    /// Objects get new IDs, so that the end of what is still under way is nothing to this term.
    fn stand_by(&mut self) {
        let (slots, fairness) = (self.config.slots, self.config.fairness);
        self.leads = false;
        self.term += 1;
        self.timers.clear();
        self.calls.abandon();
        self.secrets = WorkQueue::new(slots.secrets, fairness);
        self.writes = WorkQueue::new(slots.writes, fairness);
        self.retries = WorkQueue::new(slots.retries, fairness);
        self.deletions = WorkQueue::new(slots.deletions, fairness);
        self.creations = WorkQueue::new(slots.creations, fairness);
        self.answers = Shares::new(slots.answers, fairness);
        self.congested.clear();
        self.deviations = Deviations::default();
        self.node_waits.clear();
        self.writes_failing = 0;
        self.events.abandon();
        self.reset_sources();
        for mut tracked in mem::take(&mut self.objects).into_values() {
            self.last_id += 1;
            self.ids.insert(&mut tracked.object.key, self.last_id);
            self.sources.add_member(self.last_id, &tracked.object);
            self.objects.insert(self.last_id, Box::new(tracked.reset()));
        }
    }

    /// Shutting down: what is known is written and its Events are published; nothing else begins. No
    /// further object shows `Pending`: real results need the time.
    fn stop(&mut self, now: Now) {
        self.stopping = true;
        self.events.hurry();
        self.timers
            .retain(|(_, _, timer)| matches!(timer, Timer::Retry | Timer::WriteSource));
        let ids: Vec<ObjectId> = self.objects.keys().copied().collect();
        for id in ids {
            self.drop_pending(id);
        }
        self.stop_sources(now);
    }

    /// Fires timers and starts writes. A write may turn out to change nothing and leave a timer that is
    /// due now: hence the loop.
    fn do_what_is_due(&mut self, now: Now) {
        let mut left = TIMERS_A_TURN;
        loop {
            while left > 0
                && let Some((at, id, timer)) = self.timers.first().copied()
                && at <= now.monotonic
            {
                self.timers.pop_first();
                left -= 1;
                match timer {
                    Timer::Look if self.sources.contains(id) => self.reconsider_source(id, now),
                    Timer::Look => {
                        left = left.saturating_sub(self.cost_of_look(id));
                        self.look_at(id, now);
                    }
                    Timer::Planned => self.is_due(id, at, now),
                    Timer::Overdue => self.is_overdue(id),
                    Timer::NodesOverdue => self.count_overdue_nodes(id),
                    Timer::Retry => self.retry_write(id, at),
                    Timer::List => self.begin_listing(id, at, now),
                    Timer::Create => self.queue_creation(id),
                    Timer::WriteSource => self.write_source_again(id),
                }
            }
            self.start_writes(now);
            self.start_deletions(now);
            let due = self.timers.first();
            if left == 0 || due.is_none_or(|(at, ..)| *at > now.monotonic) {
                break;
            }
        }
    }

    /// The seed of jitter. It depends on object and time only, so that a run with the same clock has the
    /// same delays.
    fn seed(&self, id: ObjectId, now: Now) -> u64 {
        let nanos = now.monotonic.as_nanos() & u128::from(u64::MAX);
        self.config.seed ^ (id << 32) ^ u64::try_from(nanos).unwrap_or_default()
    }
}

//! One replica: the core as it is, and the shell around it as simple as can be.

use std::{collections::VecDeque, time::Duration};

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::{
    rules::{Object, PageResult, Policy, PollError, PollResult, Reason},
    scheduler::{
        Call, CallLimits, Config, Creation, CreationResult, DeletionResult, Effect, Election,
        EventResult, Input, LeaseStep, ListCall, NodeInput, Now, RENEW_DEADLINE, Scheduler, Slots,
        SourceInput, Write, WriteResult,
    },
};

use crate::{
    cluster::index_of,
    promise::Promise,
    request::{Knows, Reply, Request, Stage, What},
    setting::Setting,
    variant::Variant,
};

/// Now, by the monotonic clock, in every state: so that states that differ in their age only are
/// the same. What happened longer ago counts as just so long ago.
pub const NOW: Duration = Duration::from_secs(30);

pub const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Which watches tell nothing for a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stalled {
    pub objects: bool,
    pub sources: bool,
}

#[derive(Clone, Debug)]
pub struct Process {
    pub scheduler: Scheduler,
    pub election: Option<Election>,
    variant: Variant,
    /// What the watch has yet to tell.
    pub news: VecDeque<Input>,
    /// What the watch of Nodes has yet to tell.
    pub node_news: VecDeque<NodeInput>,
    /// What the watch of sources has yet to tell.
    pub source_news: VecDeque<SourceInput>,
    pub stalled: Stalled,
    /// By SIGSTOP.
    pub frozen: bool,
    pub requests: Vec<Request>,
    /// Sent, but given up here.
    pub orphans: Vec<Request>,
    /// The objects as this replica was last told of them.
    known: Vec<Option<Object>>,
    /// Of which tasks it heard that there is an object.
    heard_of: Vec<bool>,
    /// When its last successful renewal was sent.
    renewed_at: Option<Duration>,
    /// The version of the Lease that it knows.
    pub lease_version: Option<String>,
    pub synced: bool,
    limits: CallLimits,
    write_slots: usize,
    /// How many calls about other namespaces began while an object waited for its own.
    passed_over: Vec<usize>,
    /// The objects that waited, without a poll request, when a requested call began last.
    put_off: Vec<usize>,
    pub broken: Option<Promise>,
}

impl Process {
    pub fn start(setting: &Setting, identity: String, now: Now) -> Self {
        let config = Config {
            policy: Policy {
                default_region: Some("r".to_owned()),
                poll_interval: POLL_INTERVAL,
                nodes: !setting.nodes.is_empty(),
                sources: setting.source.is_some(),
                ..Policy::default()
            },
            limits: setting.variant.limits(setting.limits),
            slots: Slots {
                writes: setting.write_slots,
                ..Slots::default()
            },
            fairness: setting.variant.fairness(),
            ..Config::default()
        };
        let mut process = Self {
            scheduler: Scheduler::with_rules(config, setting.variant.rules())
                .with_source_rules(setting.variant.source_rules()),
            election: setting.elects.then(|| Election::new(identity)),
            variant: setting.variant,
            news: VecDeque::new(),
            node_news: VecDeque::new(),
            source_news: VecDeque::new(),
            stalled: Stalled::default(),
            frozen: false,
            requests: Vec::new(),
            orphans: Vec::new(),
            known: vec![None; setting.objects.len()],
            heard_of: vec![false; setting.objects.len()],
            renewed_at: None,
            lease_version: None,
            synced: false,
            limits: setting.limits,
            write_slots: setting.write_slots,
            passed_over: vec![0; setting.objects.len()],
            put_off: Vec::new(),
            broken: None,
        };
        process.look_at_lead(now);
        process
    }

    pub fn leads_until(&self) -> Duration {
        self.variant.leads_until(self.election.as_ref())
    }

    pub fn leads(&self) -> bool {
        !self.frozen && self.leads_until() > NOW
    }

    fn breaks(&mut self, promise: Promise) {
        self.broken = self.broken.or(Some(promise));
    }

    /// Tells the scheduler, and takes on what it asks for.
    fn feed(&mut self, input: Input, now: Now) {
        let led = self.scheduler.leads();
        let Some(input) = self.variant.heard(input, led) else {
            return;
        };
        let term = self.scheduler.term();
        let mut effects: VecDeque<Effect> = self.scheduler.handle(input, now).into();
        if led && self.scheduler.term() != term {
            self.abandon(now);
        }
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Call(call) => self.call(call, now),
                Effect::Write(write) => self.write(write, now),
                Effect::Delete(deletion) => self.ask(What::Delete(deletion), now),
                // Events are part of no state here: each is there at once.
                Effect::Publish(publication) => {
                    let created = Input::EventEnded(publication.id, EventResult::Created);
                    effects.extend(self.scheduler.handle(created, now));
                }
                // No world here has Secrets, nor anything to tell but by its state.
                Effect::Identify { .. }
                | Effect::Record(_)
                | Effect::TellAltered(_)
                | Effect::TellForeign(_)
                | Effect::RecordListing(_)
                | Effect::CountMade => {}
                Effect::List(call) => self.ask(What::List(call), now),
                Effect::Create(creation) => effects.extend(self.create(creation, now)),
                Effect::WriteSource(write) if self.variant.takes_as_written(&write) => {
                    let written = WriteResult::Written(Box::new(write.source));
                    let ended = Input::Source(SourceInput::WriteEnded(write.id, written));
                    effects.extend(self.scheduler.handle(ended, now));
                }
                Effect::WriteSource(write) => self.ask(What::WriteSource(write), now),
            }
        }
        if self.scheduler.leads() && self.is_past_its_time() {
            self.breaks(Promise::NoLeadBeyondItsTime);
        }
    }

    fn is_past_its_time(&self) -> bool {
        let in_time = self.renewed_at.is_some_and(|at| NOW < at + RENEW_DEADLINE);
        self.election.is_some() && !in_time
    }

    fn ask(&mut self, what: What, now: Now) {
        let stage = if what.is_fenced() && self.election.is_some() {
            Stage::Decided
        } else {
            Stage::Sent
        };
        self.requests.push(Request {
            what,
            stage,
            sent_at: NOW,
            started_at: now.wall,
        });
    }

    fn call(&mut self, call: Call, now: Now) {
        match &self.known[index_of(&call.key)] {
            None => self.breaks(Promise::GoneIsNeverPolled),
            Some(object) if object.is_suspended() => self.breaks(Promise::SuspendedIsNeverPolled),
            Some(object) if object.is_finished() && call.poll_request.is_none() => {
                self.breaks(Promise::FinishedIsNeverPolled);
            }
            Some(_) => {}
        }
        let is_about_the_same = |other: &Request| matches!(&other.what, What::Call(other) if other.object == call.object);
        if self.requests.iter().any(is_about_the_same) {
            self.breaks(Promise::OneCallAtATime);
        }
        let (in_flight, _) = self.scheduler.calls();
        if in_flight > self.limits.max_calls {
            self.breaks(Promise::CallsAreBounded);
        }
        self.look_at_turns(&call);
        self.ask(What::Call(call), now);
    }

    /// Whether those that wait were passed over by more than they should. Told where one call is
    /// made at a time.
    fn look_at_turns(&mut self, call: &Call) {
        let waiting = self.known.iter().enumerate().filter_map(|(index, object)| {
            let object = object.as_ref()?;
            let waits = self.scheduler.waits_for_call(&object.key);
            waits.then_some((index, object))
        });
        let waiting: Vec<(usize, &Object)> = waiting.collect();
        let mut passed_over = vec![0; self.passed_over.len()];
        for (index, object) in &waiting {
            let is_other = object.key.namespace != call.key.namespace;
            passed_over[*index] = self.passed_over[*index] + usize::from(is_other);
        }
        let put_off = waiting
            .iter()
            .filter(|(_, object)| call.is_requested && object.pending_poll_request().is_none())
            .map(|(index, _)| *index);
        let put_off: Vec<usize> = put_off.collect();
        let again = put_off.iter().any(|index| self.put_off.contains(index));
        let is_unfair = passed_over.iter().any(|times| *times > 1);
        self.passed_over = passed_over;
        self.put_off = put_off;
        if self.limits.max_calls == 1 && is_unfair {
            self.breaks(Promise::NamespacesTakeTurns);
        }
        if self.limits.max_calls == 1 && again {
            self.breaks(Promise::RequestsTakeTurns);
        }
    }

    fn write(&mut self, write: Box<Write>, now: Now) {
        let namespace = &write.object.key.namespace;
        let is_alike = |request: &&Request| match &request.what {
            What::Write(other) => other.object.key.namespace == *namespace && other.attempts == 0,
            _ => false,
        };
        let under_way = self.requests.iter().filter(is_alike).count();
        if write.attempts == 0 && 2 * under_way >= self.write_slots {
            self.breaks(Promise::NamespacesShareSlots);
        }
        self.ask(What::Write(write), now);
    }

    /// Returns what follows at once, which is nothing unless the variant takes an answer for granted.
    fn create(&mut self, creation: Box<Creation>, now: Now) -> Vec<Effect> {
        let task_id = &creation.object.spec.task_id;
        let is_alike = |request: &Request| matches!(&request.what, What::Create(other, _) if other.object.spec.task_id == *task_id);
        if self.requests.iter().any(is_alike) {
            self.breaks(Promise::OneCreationAtATime);
        }
        if !self.synced {
            self.breaks(Promise::ObjectsAreKnownFirst);
        }
        let knows = if self.heard_of[index_of(&creation.key)] {
            Knows::OfOne
        } else {
            Knows::Nothing
        };
        let foretold = self.variant.foretold(creation.id);
        self.ask(What::Create(creation, knows), now);
        let foretold = foretold.map(|input| self.scheduler.handle(Input::Source(input), now));
        foretold.unwrap_or_default()
    }

    /// The shell drops calls when the lead ends, and hears no more of writes.
    fn abandon(&mut self, now: Now) {
        for request in std::mem::take(&mut self.requests) {
            match &request.what {
                What::ReadLease | What::Claim(_) => self.requests.push(request),
                What::Call(_) | What::List(_) => {}
                _ => self.give_up(request, now),
            }
        }
    }

    /// The next of what the watch of Nodes tells.
    pub fn hear_of_node(&mut self, now: Now) {
        if let Some(event) = self.node_news.pop_front() {
            self.feed(Input::Nodes(event), now);
            self.strive(now);
        }
    }

    /// The next of what the watch of sources tells.
    pub fn hear_of_source(&mut self, now: Now) {
        let Some(event) = self.source_news.pop_front() else {
            return;
        };
        self.stalled.sources &= !self.source_news.is_empty();
        self.feed(Input::Source(event), now);
        self.strive(now);
    }

    /// The next of what the watch tells.
    pub fn hear(&mut self, now: Now) {
        let Some(event) = self.news.pop_front() else {
            return;
        };
        self.stalled.objects &= !self.news.is_empty();
        if let Some(first) = self
            .variant
            .misheard(&event, |key| self.known[index_of(key)].clone())
        {
            self.feed(first, now);
        }
        match &event {
            Input::Applied(_, object) | Input::Listed(_, object) => {
                self.heard_of[index_of(&object.key)] = true;
                self.know(object);
            }
            Input::Gone(key) => self.known[index_of(key)] = None,
            Input::ListingDone(_) => self.synced = true,
            _ => {}
        }
        self.feed(event, now);
        self.strive(now);
    }

    fn know(&mut self, object: &Object) {
        let version = |object: &Object| object.resource_version.to_string().parse::<u64>().unwrap();
        let known = &mut self.known[index_of(&object.key)];
        if known
            .as_ref()
            .is_none_or(|known| version(known) <= version(object))
        {
            *known = Some(object.clone());
        }
    }

    /// The next step of the election, if one is due.
    fn strive(&mut self, now: Now) {
        let Some(election) = &self.election else {
            return;
        };
        // Who doesn't know the objects leaves the lead to others.
        if !self.synced || self.frozen || self.requests.iter().any(is_about_lease) {
            return;
        }
        match election.next(NOW) {
            LeaseStep::WaitUntil(_) => {}
            LeaseStep::Read => self.ask(What::ReadLease, now),
            LeaseStep::Claim(record) => self.ask(What::Claim(record), now),
        }
    }

    /// What was decided on passes the fence, or doesn't.
    pub fn send(&mut self, index: usize, now: Now) {
        if self.leads_until() > NOW {
            if self.is_past_its_time() {
                self.breaks(Promise::NoLeadBeyondItsTime);
            }
            self.requests[index].stage = Stage::Sent;
            self.requests[index].sent_at = NOW;
        } else {
            let request = self.requests.remove(index);
            self.answer(request, Reply::Nothing, now);
        }
    }

    /// Nobody waits for it any more, but it may still arrive.
    pub fn give_up(&mut self, request: Request, now: Now) {
        let is_under_way = matches!(request.stage, Stage::Sent | Stage::Late);
        if is_under_way && request.what.has_effect() {
            self.orphans.push(request.clone());
        }
        self.answer(request, Reply::Nothing, now);
    }

    /// A request ended.
    pub fn answer(&mut self, request: Request, reply: Reply, now: Now) {
        let Request {
            what,
            sent_at,
            started_at,
            ..
        } = request;
        match (what, reply) {
            (What::Call(call), reply) => {
                let result = match reply {
                    Reply::Called(result) => *result,
                    _ => Err(PollError::new(Reason::TaskApiUnavailable)),
                };
                self.called(call, result, started_at, now);
            }
            (What::Write(write), reply) => self.written(&write, reply, now),
            (What::Delete(deletion), reply) => {
                let result = match reply {
                    Reply::Deleted { done: true } => DeletionResult::Deleted,
                    _ => DeletionResult::Failed,
                };
                self.feed(Input::DeletionEnded(deletion.object, result), now);
            }
            (What::List(call), reply) => {
                let result = match reply {
                    Reply::Listed(result) => result,
                    _ => Err(PollError::new(Reason::TaskApiUnavailable)),
                };
                self.page_ended(&call, result, started_at, now);
            }
            (What::Create(creation, _), reply) => self.created(&creation, reply, now),
            (What::WriteSource(write), reply) => {
                let result = match reply {
                    Reply::SourceWritten(result) => result,
                    _ => WriteResult::Failed,
                };
                let ended = SourceInput::WriteEnded(write.id, result);
                self.feed(Input::Source(ended), now);
            }
            (What::ReadLease | What::Claim(_), reply) => self.lease_heard(reply, sent_at, now),
        }
    }

    fn called(&mut self, call: Call, result: PollResult, started_at: Timestamp, now: Now) {
        let input = Input::CallEnded {
            object: call.object,
            queue: call.queue,
            result,
            started_at,
            poll_request: call.poll_request,
        };
        self.feed(input, now);
    }

    fn written(&mut self, write: &Write, reply: Reply, now: Now) {
        let result = match reply {
            Reply::Written(result) => result,
            _ => WriteResult::Failed,
        };
        if let WriteResult::Written(object) | WriteResult::Conflict(object) = &result {
            // What was deleted since isn't known again by an answer that is older.
            if self.known[index_of(&object.key)].is_some() {
                self.know(object);
            }
        }
        self.feed(Input::WriteEnded(write.id, result), now);
    }

    fn page_ended(&mut self, call: &ListCall, result: PageResult, started_at: Timestamp, now: Now) {
        let ended = SourceInput::PageEnded {
            source: call.source,
            queue: call.queue,
            page: call.page,
            result,
            started_at,
        };
        self.feed(Input::Source(ended), now);
    }

    fn created(&mut self, creation: &Creation, reply: Reply, now: Now) {
        let result = match reply {
            Reply::Created(result) => result,
            _ => CreationResult::Failed,
        };
        if !matches!(result, CreationResult::Failed) {
            self.heard_of[index_of(&creation.key)] = true;
        }
        let ended = SourceInput::CreationEnded(creation.id, result);
        self.feed(Input::Source(ended), now);
    }

    fn lease_heard(&mut self, reply: Reply, sent_at: Duration, now: Now) {
        let variant = self.variant;
        let Some(election) = &mut self.election else {
            return;
        };
        match reply {
            Reply::Lease(record) => {
                self.lease_version = record.as_ref().map(|record| record.version.clone());
                election.read(variant.read(record), NOW);
            }
            Reply::Claimed(Some(record)) => {
                self.lease_version = Some(record.version.clone());
                self.renewed_at = Some(sent_at);
                election.claimed(record, variant.renewed_at(sent_at));
            }
            Reply::Claimed(None) => election.refused(NOW),
            _ => election.failed(sent_at, NOW),
        }
        self.look_at_lead(now);
        self.strive(now);
    }

    fn look_at_lead(&mut self, now: Now) {
        self.feed(Input::LeadsUntil(self.leads_until()), now);
    }

    /// When something happens here by itself.
    pub fn next_moment(&self) -> Option<Duration> {
        if self.frozen {
            return None;
        }
        let lease = self.election.as_ref().filter(|_| self.synced);
        let lease = lease.filter(|_| !self.requests.iter().any(is_about_lease));
        let lease = lease.and_then(|election| match election.next(NOW) {
            LeaseStep::WaitUntil(at) => Some(at),
            LeaseStep::Read | LeaseStep::Claim(_) => None,
        });
        let ends = self.requests.iter();
        let ends = ends.map(|request| request.sent_at + request.what.patience());
        let wake = self.scheduler.next_wake();
        ends.chain(lease).chain(wake).min()
    }

    /// Whether time may pass: nothing is left to do or to hear that doesn't take its time.
    pub fn waits(&self) -> bool {
        let is_slow = |request: &Request| match request.stage {
            Stage::Decided => self.frozen,
            Stage::Sent => false,
            Stage::Late | Stage::Answered(_) => true,
        };
        let is_told = self.stalled.objects || self.news.is_empty();
        let is_told = is_told && (self.stalled.sources || self.source_news.is_empty());
        let is_told = self.frozen || is_told && self.node_news.is_empty();
        self.requests.iter().all(is_slow) && is_told
    }

    /// So much time has passed.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        self.scheduler.rebase(by);
        if let Some(election) = &mut self.election {
            election.rebase(by);
        }
        for request in self.requests.iter_mut().chain(&mut self.orphans) {
            request.sent_at = earlier(request.sent_at);
        }
        self.renewed_at = self.renewed_at.map(earlier);
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Now) {
        self.feed(Input::Tick, now);
        while let Some(index) = self
            .requests
            .iter()
            .position(|request| request.sent_at + request.what.patience() <= NOW)
        {
            let request = self.requests.remove(index);
            self.give_up(request, now);
        }
        self.strive(now);
    }
}

fn is_about_lease(request: &Request) -> bool {
    matches!(request.what, What::ReadLease | What::Claim(_))
}

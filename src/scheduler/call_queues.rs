//! Calls of the task API: a queue for each account and host, each with its own rate, so that trouble
//! with one delays nobody in another.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use super::{
    RateLimiter,
    fair_queue::{FairQueue, Place, Started},
    limits::{CallLimits, Fairness},
};

/// Which queue. Never used again for another.
pub type QueueId = u64;

/// Queues that are as new ones would be are dropped once there are this many.
const SWEEP_FROM: usize = 64;

/// A host that answered is known to do so for this long.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Whose calls the API counts together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// That of the controller's own credentials.
    Default,
    /// That of a Secret. Its namespace is part of it, so that a tenant who copies another's key ID
    /// can't use up that one's rate.
    Secret {
        /// The Secret's namespace.
        namespace: Arc<str>,
        /// The ID of the access key in it.
        access_key_id: String,
    },
}

/// Which calls go first within a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A person asked for it.
    Requested,
    /// The API refused it when its turn came: it doesn't wait for all others again.
    Throttled,
    /// It is due.
    Due,
}

/// What a queue waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// For a call to come, or one of its own to end.
    Idle,
    /// For its turn among those whose host answers, in which accounts take turns: those of Secrets by namespace, for
    /// who makes many Secrets has many queues.
    Ready(Place<()>),
    /// For its turn among the others, of which namespaces take turns too: who names many hosts that
    /// hang leaves a new one of another namespace the next turn but one.
    Silent(Arc<str>, Place<()>),
    /// For its rate to let the next call through.
    Closed(Duration),
    /// For room for the answers of its namespaces.
    Held,
}

#[derive(Clone, Debug)]
struct CallQueue {
    /// Whose account it is: the Secret's namespace, or empty for the controller's own.
    owner: Arc<str>,
    waiting: FairQueue<Priority>,
    limiter: RateLimiter,
    in_flight: usize,
    state: State,
    /// Whether its host answered the last call. While it doesn't, a call may take the whole
    /// `--request-timeout`.
    answers: bool,
    /// When its last call began.
    used_at: Duration,
    /// Whether the last call was a requested one.
    was_requested: bool,
    /// The task a call about which last ended in a 5xx that asked for a wait, and until when.
    waits_after_error: Option<(Box<str>, Duration)>,
}

/// All queues.
#[derive(Clone, Debug)]
pub struct CallQueues {
    limits: CallLimits,
    fairness: Fairness,
    by_key: BTreeMap<(Account, String), QueueId>,
    queues: BTreeMap<QueueId, CallQueue>,
    last_id: QueueId,
    /// Queues whose next call may start, in their turn: of hosts that answer, by whose account it is, and of others by
    /// the namespace whose call is next.
    answering: FairQueue<()>,
    silent: FairQueue<()>,
    /// Whether the last call was to a host that doesn't answer: both kinds take turns.
    was_silent: bool,
    /// Queues that open at that time.
    closed: BTreeSet<(Duration, QueueId)>,
    held: BTreeSet<QueueId>,
    in_flight: usize,
    /// Of these, calls to hosts that didn't answer yet, or not the last time.
    silent_in_flight: usize,
    waiting: usize,
    sweep_at: usize,
}

/// A call that may start.
pub struct NextCall {
    pub queue: QueueId,
    pub started: Started<Priority>,
}

impl CallQueues {
    pub fn new(limits: CallLimits, fairness: Fairness) -> Self {
        Self {
            limits,
            fairness,
            by_key: BTreeMap::new(),
            queues: BTreeMap::new(),
            last_id: 0,
            answering: FairQueue::new(fairness),
            silent: FairQueue::new(fairness),
            was_silent: false,
            closed: BTreeSet::new(),
            held: BTreeSet::new(),
            in_flight: 0,
            silent_in_flight: 0,
            waiting: 0,
            sweep_at: SWEEP_FROM,
        }
    }

    /// The queue of an account at a host, made where it's new.
    pub fn queue(&mut self, account: Account, host: String, now: Duration) -> QueueId {
        let key = (account, host);
        if let Some(queue) = self.by_key.get(&key) {
            return *queue;
        }
        // Users choose hosts and accounts, so queues come and go.
        if self.queues.len() >= self.sweep_at {
            self.drop_rested(now);
            self.sweep_at = SWEEP_FROM.max(2 * self.queues.len());
        }
        let limiter = RateLimiter::new(self.limits.requests_per_second, now);
        self.open(key, limiter)
    }

    fn open(&mut self, key: (Account, String), limiter: RateLimiter) -> QueueId {
        self.last_id += 1;
        let owner = match &key.0 {
            Account::Default => "".into(),
            Account::Secret { namespace, .. } => namespace.clone(),
        };
        let queue = CallQueue {
            owner,
            waiting: FairQueue::new(self.fairness),
            limiter,
            in_flight: 0,
            state: State::Idle,
            answers: false,
            used_at: Duration::ZERO,
            was_requested: false,
            waits_after_error: None,
        };
        self.queues.insert(self.last_id, queue);
        self.by_key.insert(key, self.last_id);
        self.last_id
    }

    /// Drops queues that are as new ones would be.
    fn drop_rested(&mut self, now: Duration) {
        self.queues.retain(|_, queue| {
            let is_remembered = queue.answers && now < queue.used_at.saturating_add(REMEMBERED);
            let is_busy = !queue.waiting.is_empty() || queue.in_flight > 0;
            is_busy || is_remembered || !queue.limiter.is_rested(now)
        });
        let queues = &self.queues;
        self.by_key.retain(|_, id| queues.contains_key(id));
    }

    /// Forgets what waits and what is under way, but not how fast each queue may go. Calls under way
    /// end in queues that are no more.
    pub fn abandon(&mut self) {
        let last_id = self.last_id;
        let before = mem::replace(self, Self::new(self.limits, self.fairness));
        self.last_id = last_id;
        let mut queues = before.queues;
        for (key, id) in before.by_key {
            if let Some(before) = queues.remove(&id) {
                let id = self.open(key, before.limiter);
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.answers = before.answers;
                    queue.used_at = before.used_at;
                }
            }
        }
    }

    /// Moves the clock's zero forward.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        self.closed = mem::take(&mut self.closed)
            .into_iter()
            .map(|(at, id)| (earlier(at), id))
            .collect();
        for queue in self.queues.values_mut() {
            if let State::Closed(at) = &mut queue.state {
                *at = earlier(*at);
            }
            let error = queue.waits_after_error.take();
            queue.waits_after_error = error
                .map(|(id, until)| (id, earlier(until)))
                .filter(|(_, until)| !until.is_zero());
            queue.used_at = earlier(queue.used_at);
            queue.limiter.rebase(by);
        }
    }

    /// Lets a call wait in a queue.
    pub fn push(
        &mut self,
        id: QueueId,
        namespace: &Arc<str>,
        object: u64,
        priority: Priority,
    ) -> Option<Place<Priority>> {
        let queue = self.queues.get_mut(&id)?;
        let place = queue.waiting.push(namespace, object, priority);
        self.waiting += 1;
        // Another namespace may have room for an answer.
        if matches!(queue.state, State::Idle | State::Held) {
            self.refresh(id);
        }
        Some(place)
    }

    /// A call that waits becomes a requested one. Its namespace keeps its turn.
    pub fn request(
        &mut self,
        id: QueueId,
        namespace: &str,
        place: Place<Priority>,
    ) -> Place<Priority> {
        let Some(queue) = self.queues.get_mut(&id) else {
            return place;
        };
        queue
            .waiting
            .prioritize(namespace, place, Priority::Requested)
    }

    /// Takes a call back that waits.
    pub fn remove(&mut self, id: QueueId, namespace: &str, place: Place<Priority>) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let before = queue.waiting.len();
        queue.waiting.remove(namespace, place);
        self.waiting -= before - queue.waiting.len();
        if queue.waiting.is_empty() {
            self.refresh(id);
        }
    }

    /// The next call that may start. `has_room` says whether the answers of a namespace have room.
    pub fn start(&mut self, now: Duration, has_room: impl Fn(&str) -> bool) -> Option<NextCall> {
        self.open_closed(now);
        while self.in_flight < self.limits.max_calls
            && let Some(id) = self.next_ready()
        {
            let Some(queue) = self.queues.get_mut(&id) else {
                break;
            };
            // It has had its turn.
            let turns = if matches!(queue.state, State::Silent(..)) {
                &mut self.silent
            } else {
                &mut self.answering
            };
            turns.pop(()..=(), |_| true);
            queue.state = State::Idle;
            queue.used_at = now;
            if let Err(at) = queue.limiter.check(now) {
                self.set_state(id, State::Closed(at));
                continue;
            }
            let Some(started) = queue.start(self.fairness, &has_room) else {
                self.set_state(id, State::Held);
                continue;
            };
            self.waiting -= 1;
            self.in_flight += 1;
            self.was_silent = !queue.answers;
            self.silent_in_flight += usize::from(!queue.answers);
            // To the end of the turns.
            self.refresh(id);
            return Some(NextCall { queue: id, started });
        }
        None
    }

    /// Hosts that don't answer hold at most half of all calls, however many there are.
    fn next_ready(&self) -> Option<QueueId> {
        let answering = self.answering.first();
        let may_be_silent = self.silent_in_flight < (self.limits.max_calls / 2).max(1);
        let silent = self.silent.first().filter(|_| may_be_silent);
        if self.was_silent {
            answering.or(silent)
        } else {
            silent.or(answering)
        }
    }

    /// A call of that queue ended. `answered` is false where the host, or the service that the
    /// credentials come from, gave no answer or was in trouble without saying for how long.
    pub fn ended(&mut self, id: QueueId, answered: bool) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if queue.in_flight == 0 {
            return;
        }
        queue.in_flight -= 1;
        self.in_flight -= 1;
        // What is under way counts as its queue does now.
        self.silent_in_flight -= usize::from(!queue.answers);
        if queue.answers != answered {
            queue.answers = answered;
            if answered {
                self.silent_in_flight -= queue.in_flight;
            } else {
                self.silent_in_flight += queue.in_flight;
            }
        }
        if matches!(
            queue.state,
            State::Idle | State::Ready(_) | State::Silent(..)
        ) {
            self.refresh(id);
        }
    }

    /// The API asked that queue for fewer calls.
    pub fn throttled(&mut self, id: QueueId, now: Duration) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.limiter.throttled(now);
        }
    }

    /// The API asked that queue to wait.
    pub fn pause(&mut self, id: QueueId, now: Duration, pause: Duration) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.limiter.pause(now, pause);
        }
    }

    /// The API asked for a wait beside a 5xx. That may be about one task: only where the same is said about a second
    /// one within the wait, the whole queue waits.
    pub fn failed(&mut self, id: QueueId, task_id: &str, now: Duration, wait: Duration) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let until = now.saturating_add(wait);
        match &queue.waits_after_error {
            Some((other, end)) if **other != *task_id && now < *end => {
                queue.limiter.pause(now, wait);
            }
            _ => queue.waits_after_error = Some((task_id.into(), until)),
        }
    }

    /// Some namespace has room for answers again.
    pub fn release_held(&mut self) {
        for id in mem::take(&mut self.held) {
            self.refresh(id);
        }
    }

    /// When a queue opens next in which something waits.
    pub fn next_opening(&self) -> Option<Duration> {
        self.closed.first().map(|(at, _)| *at)
    }

    /// How many calls are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many calls wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn open_closed(&mut self, now: Duration) {
        while let Some((at, id)) = self.closed.first().copied()
            && at <= now
        {
            self.refresh(id);
        }
    }

    /// Puts a queue where it belongs; one whose next call may start, at the end of the turns, unless its host answers and
    /// it has one.
    fn refresh(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get(&id) else {
            return;
        };
        let next = queue.waiting.next_namespace();
        let next = next.filter(|_| queue.in_flight < self.limits.concurrency);
        if matches!(queue.state, State::Ready(_)) && queue.answers && next.is_some() {
            return;
        }
        let (next, owner, answers) = (next.cloned(), queue.owner.clone(), queue.answers);
        self.set_state(id, State::Idle);
        let state = match next {
            None => State::Idle,
            Some(_) if answers => State::Ready(self.answering.push(&owner, id, ())),
            Some(namespace) => {
                let place = self.silent.push(&namespace, id, ());
                State::Silent(namespace, place)
            }
        };
        self.set_state(id, state);
    }

    fn set_state(&mut self, id: QueueId, state: State) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        match &state {
            State::Idle | State::Ready(_) | State::Silent(..) => {}
            State::Closed(at) => drop(self.closed.insert((*at, id))),
            State::Held => drop(self.held.insert(id)),
        }
        match mem::replace(&mut queue.state, state) {
            State::Idle => {}
            State::Ready(place) => self.answering.remove(&queue.owner, place),
            State::Silent(namespace, place) => self.silent.remove(&namespace, place),
            State::Closed(at) => drop(self.closed.remove(&(at, id))),
            State::Held => drop(self.held.remove(&id)),
        }
    }
}

impl CallQueue {
    /// Requested calls are at most every second one while others wait.
    fn start(
        &mut self,
        fairness: Fairness,
        has_room: impl Fn(&str) -> bool,
    ) -> Option<Started<Priority>> {
        let others_wait = self.waiting.len() > self.waiting.len_of(Priority::Requested);
        let first = if self.was_requested && others_wait && fairness.requests_take_turns {
            Priority::Throttled
        } else {
            Priority::Requested
        };
        // Others may wait for room only.
        let started = self
            .waiting
            .pop(first..=Priority::Due, &has_room)
            .or_else(|| {
                self.waiting
                    .pop(Priority::Requested..=Priority::Due, &has_room)
            })?;
        self.was_requested = started.place.priority == Priority::Requested;
        self.limiter.spend();
        self.in_flight += 1;
        Some(started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn queues(max_calls: usize) -> CallQueues {
        let limits = CallLimits {
            requests_per_second: 1e6,
            concurrency: 4,
            max_calls,
        };
        CallQueues::new(limits, Fairness::default())
    }

    fn push(queues: &mut CallQueues, host: &str, object: u64, priority: Priority) -> QueueId {
        let id = queues.queue(Account::Default, host.to_owned(), NOW);
        queues.push(id, &"ns".into(), object, priority);
        id
    }

    fn start(queues: &mut CallQueues) -> Option<u64> {
        queues.start(NOW, |_| true).map(|call| call.started.id)
    }

    #[test]
    fn queues_take_turns_within_their_concurrency_and_that_of_all() {
        let mut queues = queues(9);
        for object in 0..10 {
            push(&mut queues, "one", object, Priority::Due);
            push(&mut queues, "two", 100 + object, Priority::Due);
        }
        let ids = [
            queues.queue(Account::Default, "one".to_owned(), NOW),
            queues.queue(Account::Default, "two".to_owned(), NOW),
        ];
        let started: Vec<_> = std::iter::from_fn(|| start(&mut queues)).collect();
        assert_eq!(started, [0, 100, 1, 101], "hosts that never answered");
        for id in ids {
            queues.ended(id, true);
        }
        let started: Vec<_> = std::iter::from_fn(|| start(&mut queues)).collect();
        assert_eq!(started, [2, 102, 3, 103, 4, 104], "four of each at most");
        assert_eq!((queues.in_flight(), queues.waiting()), (8, 10));
    }

    /// A session of STS has a key ID of its own, so keys cost a tenant nothing.
    #[test]
    fn a_thousand_accounts_of_one_namespace_leave_others_every_second_turn() {
        let mut queues = queues(16);
        let mut answering = Vec::new();
        for number in 0..1000 {
            let account = Account::Secret {
                namespace: "greedy".into(),
                access_key_id: number.to_string(),
            };
            let id = queues.queue(account, "host".to_owned(), NOW);
            queues.queues.get_mut(&id).unwrap().answers = true;
            queues.push(id, &"greedy".into(), number, Priority::Due);
            answering.push(id);
        }
        let mut under_way: std::collections::VecDeque<QueueId> =
            std::iter::from_fn(|| queues.start(NOW, |_| true).map(|call| call.queue)).collect();
        assert_eq!(under_way.len(), 16);
        let id = push(&mut queues, "host", 5000, Priority::Due);
        queues.queues.get_mut(&id).unwrap().answers = true;
        queues.refresh(id);
        let mut started = Vec::new();
        for object in 5001..5004 {
            for _ in 0..2 {
                queues.ended(under_way.pop_front().unwrap(), true);
                let call = queues.start(NOW, |_| true).unwrap();
                under_way.push_back(call.queue);
                started.push(call.started.id);
            }
            push(&mut queues, "host", object, Priority::Due);
        }
        let others = started.iter().filter(|object| **object >= 5000).count();
        assert!(others >= 3, "{started:?}");
    }

    #[test]
    fn hosts_that_hang_leave_half_of_all_calls_to_those_that_answer() {
        let mut queues = queues(16);
        let healthy = push(&mut queues, "healthy", 0, Priority::Due);
        assert_eq!(start(&mut queues), Some(0));
        queues.ended(healthy, true);
        for host in 0..1000 {
            push(
                &mut queues,
                &format!("hangs-{host}"),
                1 + host,
                Priority::Due,
            );
        }
        let hang = std::iter::from_fn(|| start(&mut queues)).count();
        assert_eq!(hang, 8);
        push(&mut queues, "healthy", 5000, Priority::Due);
        assert_eq!(start(&mut queues), Some(5000), "at once");
    }

    #[test]
    fn a_new_host_of_another_namespace_is_called_before_more_that_hang() {
        let mut queues = queues(16);
        for host in 0..1000 {
            push(&mut queues, &format!("hangs-{host}"), host, Priority::Due);
        }
        let hang: Vec<NextCall> = std::iter::from_fn(|| queues.start(NOW, |_| true)).collect();
        assert_eq!(hang.len(), 8);
        let id = queues.queue(Account::Default, "new".to_owned(), NOW);
        queues.push(id, &"other".into(), 5000, Priority::Due);
        let mut started = Vec::new();
        for call in &hang[..2] {
            queues.ended(call.queue, false);
            started.extend(start(&mut queues));
        }
        assert!(started.contains(&5000), "{started:?}");
    }

    #[test]
    fn requested_calls_are_every_second_one_while_others_wait() {
        let mut queues = queues(64);
        let id = push(&mut queues, "one", 0, Priority::Requested);
        queues.queues.get_mut(&id).unwrap().answers = true;
        for object in 1..4 {
            push(&mut queues, "one", object, Priority::Requested);
        }
        for object in 10..12 {
            push(&mut queues, "one", object, Priority::Due);
        }
        let mut started = Vec::new();
        while let Some(object) = start(&mut queues) {
            started.push(object);
            queues.ended(id, true);
        }
        assert_eq!(started, [0, 10, 1, 11, 2, 3]);
    }

    #[test]
    fn a_namespace_without_room_waits_and_holds_no_other_back() {
        let mut queues = queues(64);
        let id = push(&mut queues, "one", 0, Priority::Due);
        assert!(queues.start(NOW, |_| false).is_none());
        assert!(queues.start(NOW, |_| true).is_none(), "held until released");
        queues.push(id, &"other".into(), 1, Priority::Due);
        let call = queues.start(NOW, |namespace| namespace == "other");
        assert_eq!(call.unwrap().started.id, 1);
        queues.release_held();
        assert_eq!(start(&mut queues), Some(0));
    }

    #[test]
    fn a_wait_beside_a_5xx_holds_the_queue_from_the_second_task_on() {
        let wait = Duration::from_secs(30);
        let mut queues = queues(64);
        let id = push(&mut queues, "one", 0, Priority::Due);
        assert_eq!(start(&mut queues), Some(0));
        queues.ended(id, true);
        queues.failed(id, "T-0", NOW, wait);
        queues.failed(id, "T-0", NOW, wait);
        push(&mut queues, "one", 1, Priority::Due);
        assert_eq!(start(&mut queues), Some(1), "one task's own trouble");
        queues.ended(id, true);
        queues.failed(id, "T-1", NOW, wait);
        push(&mut queues, "one", 2, Priority::Due);
        assert_eq!(start(&mut queues), None);
        assert_eq!(queues.next_opening(), Some(NOW + wait));
    }

    #[test]
    fn queues_that_rest_are_dropped() {
        let mut queues = queues(10_000);
        for host in 0..10_000 {
            let now = Duration::from_secs(host);
            let id = queues.queue(Account::Default, host.to_string(), now);
            queues.push(id, &"ns".into(), host, Priority::Due);
            assert!(queues.start(now, |_| true).is_some());
            queues.ended(id, false);
        }
        assert!(
            queues.queues.len() <= 2 * SWEEP_FROM,
            "{}",
            queues.queues.len()
        );
    }
}

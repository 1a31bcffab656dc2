//! What one object shows next, and when it is looked at again.

mod waiting;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    Denial, EventNote, Mark, Nodes, NodesShown, Object, ObjectStatus, Policy, PollError,
    PollResult, Ready, Reason, Summary, Task, TaskChange, TaskState,
    backoff::{SLOW_RETRY, next_poll, phase, slow_delay},
    messages::{self, Subject},
    node_wait::NodeLook,
    source::look_interval,
    task_status::{is_final, task_status},
    time::{elapsed, floor_to_second},
    trouble::Trouble,
};
use crate::api::ScaleOutTaskStatus;

/// How long a new object may be without an answer before it shows [`Reason::Pending`].
pub const OVERDUE_AFTER: Duration = Duration::from_secs(2);

/// How long a new leader waits for an answer that confirms its calendar, before that ends or deletes anything.
pub const CLOCK_WAIT: Duration = Duration::from_secs(15);

/// Why an object is looked at.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are the large one, and few exist at a time"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It appeared, or its spec, its poll request or a Node that it waits for changed.
    Seen,
    /// [`OVERDUE_AFTER`] passed, or its deadline.
    Waited,
    /// A call about it ended.
    Polled {
        /// How.
        result: PollResult,
        /// When the call began.
        started_at: Timestamp,
        /// The poll request that the call acts on.
        poll_request: Option<Box<str>>,
    },
}

impl Occasion {
    /// Whether a call ended.
    #[must_use]
    pub fn is_poll(&self) -> bool {
        matches!(self, Self::Polled { .. })
    }

    /// Why a call brought no answer about the task, if it didn't.
    #[must_use]
    pub fn poll_error(&self) -> Option<&PollError> {
        match self {
            Self::Polled { result, .. } => result.as_ref().err(),
            Self::Seen | Self::Waited => None,
        }
    }

    /// What to decide on instead once the object has changed: an answer still counts, a wait that
    /// ended doesn't.
    #[must_use]
    pub fn or_seen(self) -> Self {
        match self {
            Self::Polled { .. } => self,
            Self::Seen | Self::Waited => Self::Seen,
        }
    }
}

/// The little that is remembered between calls and may be lost at a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Calls in a row that ended in a transient error.
    pub failures: u32,
    /// When the API first said in this run that it knows no such task.
    pub not_found_since: Option<Timestamp>,
    /// When the object's Secret was first missed in this run.
    pub secret_missed_since: Option<Timestamp>,
}

/// When an object is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Not before something happens to it.
    Rest,
    /// As [`Occasion::Waited`], after this time.
    Wait(Duration),
    /// Call the task API.
    Call {
        /// After this time; [`Duration::MAX`] where it isn't due by itself.
        after: Duration,
        /// Whether a poll request or an edit asks for it at once.
        requested: bool,
    },
    /// Delete the object after this time.
    Delete(Duration),
}

/// What follows from an [`Occasion`].
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The status that the object should have; equal to the one it has if nothing is to be written.
    pub status: ObjectStatus,
    /// What becomes of what the status shows of the task.
    pub task: TaskChange,
    /// The Event to publish once the status is written.
    pub note: Option<EventNote>,
    /// What to remember.
    pub memory: Memory,
    /// When to look again; `None` leaves the schedule as it is.
    pub next: Option<Next>,
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What the operator decided.
    pub policy: &'a Policy,
    /// The object as it is.
    pub object: &'a Object,
    /// The Nodes that are seen.
    pub nodes: &'a Nodes,
    /// How often its source lists it, where that stands for polls.
    pub listed_every: Option<Duration>,
    /// What is remembered of it.
    pub memory: Memory,
    /// Why it is looked at.
    pub occasion: &'a Occasion,
    /// The time by the calendar.
    pub now: Timestamp,
    /// What is over by this time may end or be deleted; none before the calendar is confirmed, or wasn't within
    /// [`CLOCK_WAIT`].
    pub ends_by: Option<Timestamp>,
    /// Scatters delays.
    pub seed: u64,
}

/// The type of [`observe`].
pub type Observe = fn(&Case<'_>) -> Verdict;

/// Decides what the object shows and when it is looked at again.
///
/// Pure: equal cases give equal verdicts.
#[must_use]
pub fn observe(case: &Case<'_>) -> Verdict {
    let Case {
        object,
        memory,
        occasion,
        now,
        ..
    } = *case;
    let mut decision = Decision {
        case,
        object,
        asked_at: match occasion {
            Occasion::Polled { started_at, .. } => *started_at,
            Occasion::Seen | Occasion::Waited => now,
        },
        status: object.status.clone(),
        task: TaskChange::None,
        nodes: None,
        memory,
    };
    let next = if object.deleting {
        Some(Next::Rest)
    } else if let Some(denial) = case.policy.denial(object) {
        Some(decision.not_allowed(denial))
    } else if decision.shows_foreign_task() && decision.own_task().is_none() {
        Some(decision.narrowed())
    } else if object.is_finished() {
        Some(decision.finished())
    } else {
        decision.unfinished()
    };
    decision.into_verdict(next)
}

/// A verdict in the making.
struct Decision<'a> {
    case: &'a Case<'a>,
    object: &'a Object,
    /// When the call began that ended now; else now.
    asked_at: Timestamp,
    status: ObjectStatus,
    task: TaskChange,
    /// The nodes to show, where the task stays as it is.
    nodes: Option<NodesShown>,
    memory: Memory,
}

impl<'a> Decision<'a> {
    fn into_verdict(self, next: Option<Next>) -> Verdict {
        let before = &self.object.status;
        let task = if self.status.task == before.task {
            let nodes = self.nodes.map(Box::new);
            nodes.map_or(TaskChange::None, TaskChange::Nodes)
        } else {
            self.task
        };
        let error = self.case.occasion.poll_error();
        Verdict {
            note: EventNote::for_change(&before.conditions, &self.status.conditions, error),
            status: self.status,
            task,
            memory: self.memory,
            next,
        }
    }

    fn unfinished(&mut self) -> Option<Next> {
        if let Some(task) = self.own_task().filter(|task| is_final(task)) {
            self.echo();
            return Some(self.answered(task));
        }
        if let Some(next) = self.decide_without_call() {
            return Some(next);
        }
        if let Some(wait) = self.wait_without_answer() {
            self.echo();
            return Some(self.still_waits(wait));
        }
        let expired = self.expired_at(self.case.now);
        match self.case.occasion {
            Occasion::Seen => Some(self.seen(expired)),
            Occasion::Waited => self.waited(expired),
            Occasion::Polled {
                result, started_at, ..
            } => {
                self.echo();
                let last = self.expired_at(*started_at);
                Some(self.polled(result, last))
            }
        }
    }

    /// The operator's rules don't let the object ask: nothing of the task is shown, no answer counts, and no
    /// call is made. It holds for what has ended too.
    fn not_allowed(&mut self, denial: Denial) -> Next {
        self.echo();
        self.memory = Memory::default();
        self.status.set_task(&ScaleOutTaskStatus::default());
        self.task = TaskChange::Clear;
        if self.object.is_suspended() {
            self.show(&messages::suspended(Ready::Unknown));
        } else {
            self.show(&messages::not_allowed(denial));
        }
        Next::Rest
    }

    /// Whether what is shown is of a cluster that is no longer expected or allowed.
    fn shows_foreign_task(&self) -> bool {
        let status = &self.object.status;
        let is = |id: &str| status.cluster == Some(Mark::of(id));
        let expected = self.object.spec.cluster_id();
        let allowed = &self.case.policy.allowed_cluster_ids;
        status.was_read()
            && (expected.is_some_and(|id| !is(id))
                || !allowed.is_empty() && !allowed.iter().any(|id| is(id)))
    }

    /// The spec or the operator's rules became narrower: what is shown goes, as if the last answer had come
    /// now.
    fn narrowed(&mut self) -> Next {
        self.echo();
        if self.object.is_suspended() || self.blocked().is_some() {
            self.status.set_task(&ScaleOutTaskStatus::default());
            self.task = TaskChange::Clear;
            return self.decide_without_call().unwrap_or(Next::Rest);
        }
        self.mismatched()
    }

    /// What follows where no call may be made; none where one may. The answer to a call that was
    /// already under way counts all the same.
    fn decide_without_call(&mut self) -> Option<Next> {
        let mut summary = self.suspended().or_else(|| self.blocked())?;
        if let Some(task) = self.own_task() {
            self.echo();
            self.memory = Memory::default();
            self.show_task(task_status(task).0);
            summary.ready = Ready::False;
        }
        Some(self.rest_with(&summary))
    }

    /// Shows that until something happens, or the time is over.
    fn rest_with(&mut self, summary: &Summary) -> Next {
        if self.expired_at(self.case.now) {
            return self.timed_out();
        }
        self.show(summary);
        self.until_deadline().map_or(Next::Rest, Next::Wait)
    }

    fn suspended(&self) -> Option<Summary> {
        let never_polled = match self.object.reason() {
            // No call was made, or none was answered.
            Some(Reason::RegionMissing | Reason::NodesNotWatched | Reason::CredentialsInvalid) => {
                !self.object.status.was_read()
            }
            _ => self.kept_ready() == Ready::Unknown,
        };
        let ready = if never_polled {
            Ready::Unknown
        } else {
            Ready::False
        };
        self.object
            .is_suspended()
            .then(|| messages::suspended(ready))
    }

    /// Why no call is made at all.
    fn blocked(&self) -> Option<Summary> {
        let sees_no_nodes = self.object.spec.wait_for_nodes && !self.case.policy.nodes;
        self.unaskable()
            .or_else(|| sees_no_nodes.then(messages::nodes_not_watched))
    }

    /// Why no call can be made.
    fn unaskable(&self) -> Option<Summary> {
        if self.object.region(self.case.policy).is_none() {
            return Some(messages::region_missing());
        }
        let needs_secret = self.object.spec.secret_name().is_some();
        if needs_secret && !self.case.policy.secret_credentials {
            return Some(messages::secret_credentials_off());
        }
        None
    }

    fn seen(&self, expired: bool) -> Next {
        let spec_changed = self.status.observed_generation != Some(self.object.generation);
        let is_edit = spec_changed && self.object.shown().is_some();
        let in_trouble = self.object.reason().is_some_and(Reason::is_trouble);
        let in_trouble = in_trouble || self.object.reason().is_some_and(Reason::is_about_nodes);
        let is_listed = self.case.listed_every.is_some() && self.status.was_read();
        if !expired && is_listed && !is_edit && !in_trouble {
            return self.call(phase(self.poll_interval(), &self.object.uid, self.case.now));
        }
        if expired || !(is_edit || in_trouble) {
            return self.call(Duration::ZERO);
        }
        let interval = self.object.poll_interval(self.case.policy).min(SLOW_RETRY);
        let next = self.call(phase(interval, &self.object.uid, self.case.now));
        // An edit puts the call forward as a poll request does, and no more often.
        match next {
            Next::Call { after, .. } if is_edit => Next::Call {
                after,
                requested: true,
            },
            next => next,
        }
    }

    fn waited(&mut self, expired: bool) -> Option<Next> {
        if self.object.shown().is_none() {
            self.show(&messages::pending());
        }
        // The deadline of an object that was held up to now.
        expired.then(|| self.call(Duration::ZERO))
    }

    /// `last`: whether the call began at the deadline or after it.
    fn polled(&mut self, result: &PollResult, last: bool) -> Next {
        if let Err(error) = result
            && error.reason == Reason::ClockSkewed
        {
            return self.skewed(error);
        }
        let next = match result {
            Ok(task) if self.is_own(task) => self.answered(task),
            Ok(_) => self.mismatched(),
            Err(_) if last => Next::Rest,
            Err(error) => self.failed(error),
        };
        if last { self.timed_out() } else { next }
    }

    /// Our clock is off: it can't tell whether the time is over, so a deadline that it sees behind it neither
    /// ends the tracking nor puts a call forward.
    fn skewed(&mut self, error: &PollError) -> Next {
        self.show(&messages::stalled(error, Subject::Task));
        let left = self.until_deadline().filter(|left| !left.is_zero());
        let after = slow_delay(self.case.seed);
        Next::Call {
            after: left.map_or(after, |left| after.min(left)),
            requested: self.poll_request_waits(),
        }
    }

    fn answered(&mut self, task: &Task) -> Next {
        self.memory = Memory::default();
        let (shown, mut summary) = task_status(task);
        if summary.reason == Reason::TaskSucceeded && self.follows_nodes() {
            return self.succeeded(shown, task.results.others());
        }
        self.show_task(shown);
        if !summary.reason.is_final() && self.is_elsewhere(self.status.cluster) {
            summary = messages::nodes_elsewhere();
        }
        self.show(&summary);
        if summary.reason.is_final() {
            return self.finish(summary.reason);
        }
        self.next_poll()
    }

    fn next_poll(&self) -> Next {
        let uid = &self.object.uid;
        let wait = next_poll(self.poll_interval(), uid, self.asked_at, self.case.now);
        self.call(wait)
    }

    /// How often to ask. Where its source lists the task, the list tells of changes.
    fn poll_interval(&self) -> Duration {
        let own = self.object.poll_interval(self.case.policy);
        let listed_every = self.case.listed_every;
        listed_every.map_or(own, |every| own.max(look_interval(every)))
    }

    fn mismatched(&mut self) -> Next {
        self.memory = Memory::default();
        self.status.set_task(&ScaleOutTaskStatus::default());
        self.task = TaskChange::Clear;
        self.show(&messages::cluster_mismatch());
        self.call(slow_delay(self.case.seed))
    }

    fn failed(&mut self, error: &PollError) -> Next {
        let trouble = Trouble {
            error,
            subject: Subject::Task,
            shown: self.object.shown(),
            kept_ready: self.kept_ready(),
            now: self.case.now,
            seed: self.case.seed,
        };
        let (summary, after) = trouble.follow(&mut self.memory);
        if let Some(summary) = summary {
            self.show(&summary);
        }
        self.call(after)
    }

    fn timed_out(&mut self) -> Next {
        let shown = self.object.status.nodes.as_deref().map(NodeLook::shown);
        self.timed_out_at(shown.as_ref())
    }

    /// `look`: the nodes of a task that succeeded.
    fn timed_out_at(&mut self, look: Option<&NodeLook>) -> Next {
        self.memory = Memory::default();
        let timeout = self.object.spec.timeout().unwrap_or_default();
        let summary = if self.status.state == TaskState::Success {
            messages::timed_out_without_nodes(timeout, look)
        } else {
            messages::timed_out(timeout)
        };
        self.show(&summary);
        self.finish(Reason::TimedOut)
    }

    /// Only a change of spec or a poll request touch a finished object.
    fn finished(&mut self) -> Next {
        if self.status.observed_generation != Some(self.object.generation) {
            self.status.observed_generation = Some(self.object.generation);
            self.status.conditions.acknowledge(self.object.generation);
        }
        let was_requested = matches!(
            self.case.occasion,
            Occasion::Polled {
                poll_request: Some(_),
                ..
            }
        );
        if was_requested {
            self.echo();
            let timed_out = self.object.reason() == Some(Reason::TimedOut);
            if let Some(task) = self.own_task()
                && (!timed_out || is_final(task))
            {
                let stopped = if is_final(task) {
                    None
                } else {
                    self.decide_without_call()
                };
                return stopped.unwrap_or_else(|| self.answered(task));
            }
        }
        self.after_the_end()
    }

    fn finish(&mut self, reason: Reason) -> Next {
        // An answer that confirms the end doesn't move its time.
        let confirmed = self.object.is_finished() && self.object.reason() == Some(reason);
        if self.status.finished_at.is_none() || !confirmed {
            self.status.finished_at = Some(floor_to_second(self.case.now));
        }
        self.after_the_end()
    }

    fn after_the_end(&self) -> Next {
        if self.poll_request_waits() && !self.object.is_suspended() && self.unaskable().is_none() {
            return Next::Call {
                after: Duration::MAX,
                requested: true,
            };
        }
        match (self.object.spec.ttl(), self.status.finished_at) {
            (Some(ttl), Some(finished_at)) => {
                let left = ttl.saturating_sub(elapsed(finished_at, self.ends_by()));
                Next::Delete(left.max(self.clock_wait()))
            }
            _ => Next::Rest,
        }
    }

    /// The task that a call found, if it belongs to a cluster that may be shown.
    fn own_task(&self) -> Option<&'a Task> {
        match self.case.occasion {
            Occasion::Polled {
                result: Ok(task), ..
            } if self.is_own(task) => Some(task),
            _ => None,
        }
    }

    fn is_own(&self, task: &Task) -> bool {
        let cluster = task.cluster_id.as_deref();
        let expected = self.object.spec.cluster_id();
        let allowed = &self.case.policy.allowed_cluster_ids;
        (expected.is_none() || cluster == expected)
            && (allowed.is_empty() || cluster.is_some_and(|id| allowed.iter().any(|own| own == id)))
    }

    /// The status of `Ready` while nothing new is known: `Unknown` until the task was first read.
    fn kept_ready(&self) -> Ready {
        match self.object.shown() {
            Some(shown) if shown.ready != Ready::Unknown => Ready::False,
            _ => Ready::Unknown,
        }
    }

    fn show_task(&mut self, shown: ScaleOutTaskStatus) {
        self.status.set_task(&shown);
        self.task = TaskChange::Set(Box::new(shown));
    }

    fn show(&mut self, summary: &Summary) {
        let generation = self.object.generation;
        if !summary.reason.is_final() {
            self.status.finished_at = None;
        }
        if summary.reason != Reason::WaitingForNodes {
            self.status.nodes = None;
        }
        self.status.observed_generation = Some(generation);
        self.status.conditions.show(
            &self.object.status.conditions,
            summary,
            generation,
            floor_to_second(self.case.now),
        );
    }

    /// Records that the poll request behind this call was acted on.
    fn echo(&mut self) {
        if let Occasion::Polled {
            poll_request: Some(request),
            ..
        } = self.case.occasion
        {
            self.status.last_handled_poll_request = Some(request.clone());
        }
    }

    fn expired_at(&self, time: Timestamp) -> bool {
        let deadline = self.object.deadline();
        let ends = deadline.zip(self.case.ends_by);
        ends.is_some_and(|(deadline, by)| deadline <= time.min(by))
    }

    fn ends_by(&self) -> Timestamp {
        self.case.ends_by.unwrap_or(self.case.now)
    }

    /// Nothing ends by the calendar before that.
    fn clock_wait(&self) -> Duration {
        if self.case.ends_by.is_some() {
            Duration::ZERO
        } else {
            CLOCK_WAIT
        }
    }

    fn until_deadline(&self) -> Option<Duration> {
        let left = |deadline| elapsed(self.ends_by(), deadline).max(self.clock_wait());
        self.object.deadline().map(left)
    }

    /// A call after `after`, or at the deadline if that comes first.
    fn call(&self, after: Duration) -> Next {
        Next::Call {
            after: self.until_deadline().map_or(after, |left| after.min(left)),
            requested: self.poll_request_waits(),
        }
    }

    /// Whether there is a poll request that the status, as decided so far, doesn't echo.
    fn poll_request_waits(&self) -> bool {
        let request = self.object.poll_request.as_deref();
        request.is_some() && request != self.status.last_handled_poll_request.as_deref()
    }
}

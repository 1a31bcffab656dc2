//! What one object shows next, and when it is looked at again.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    Object, Outcome, Policy, Reason, Severity, Task, Trouble,
    backoff::{SLOW_RETRY, next_poll, phase, slow_delay, transient_delay},
    conditions::{self, Situation},
    report,
    time::{elapsed, floor_to_second},
};
use crate::{api::ScaleOutTaskStatus, core::messages};

/// How long a task may be unknown to the API before the object stalls: a new task's ID may be known
/// to the caller before the API finds it.
pub const NOT_FOUND_GRACE: Duration = Duration::from_mins(2);
/// How long a new object may be without an answer before it says [`Reason::Pending`].
pub const OVERDUE_AFTER: Duration = Duration::from_secs(2);
const NOTE_BYTES: usize = 1024;

/// What just happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// It appeared, or its spec or poll request changed.
    Seen,
    /// [`OVERDUE_AFTER`] passed, or its deadline.
    Waited,
    /// A call about it ended.
    Called {
        /// How.
        outcome: Outcome,
        /// When the call began.
        started_at: Timestamp,
        /// The poll request that the call acts on.
        poll_request: Option<String>,
    },
}

impl Input {
    /// Whether a call ended.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Called { .. })
    }

    /// Why a call brought no answer, if it is that.
    pub(super) fn trouble(&self) -> Option<Reason> {
        match self {
            Self::Called {
                outcome: Outcome::Trouble(trouble),
                ..
            } => Some(trouble.reason),
            _ => None,
        }
    }

    /// What to decide on instead once the object has changed: an answer still counts, a wait that
    /// ended doesn't.
    pub(super) fn or_seen(self) -> Self {
        match self {
            Self::Called { .. } => self,
            Self::Seen | Self::Waited => Self::Seen,
        }
    }
}

/// The little that is remembered between calls and may be lost at a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Calls that ended in transient trouble since the last answer about the task.
    pub failures: u32,
    /// When the API first said in this run that it knows no such task.
    pub not_found_since: Option<Timestamp>,
}

/// When an object's turn comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Not before something happens to it.
    Rest,
    /// As [`Input::Waited`], after so long.
    Wait(Duration),
    /// Call the task API after so long; `urgent` goes before others.
    Call {
        /// From now.
        after: Duration,
        /// Whether a person waits for it.
        urgent: bool,
    },
    /// Delete the object after so long.
    Delete(Duration),
}

/// Something to tell by an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Normal or Warning.
    pub severity: Severity,
    /// The new reason of `Ready`.
    pub reason: Reason,
    /// Its message.
    pub message: String,
}

/// What follows from an [`Input`].
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The status the object should have; equal to the one it has if nothing is to be written.
    pub status: ScaleOutTaskStatus,
    /// The Event to publish once the status is written.
    pub notice: Option<Notice>,
    /// What to remember.
    pub memory: Memory,
    /// When to come back; `None` leaves the schedule as it is.
    pub next: Option<Next>,
}

/// The type of [`observe`].
pub type Observe = fn(&Policy, &Object, Memory, &Input, Timestamp, u64) -> Verdict;

/// Decides what `object` shows and when it is looked at again, now that `input` happened.
///
/// Pure: the same arguments give the same verdict. `seed` scatters delays.
#[must_use]
pub fn observe(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut decision = Decision {
        policy,
        object,
        now,
        asked_at: match input {
            Input::Called { started_at, .. } => *started_at,
            Input::Seen | Input::Waited => now,
        },
        seed,
        status: object.status.clone(),
        memory,
    };
    let next = if object.deleting {
        Some(Next::Rest)
    } else if object.is_finished() {
        Some(decision.finished(input))
    } else {
        decision.unfinished(input)
    };
    Verdict {
        notice: notice(object, &decision.status),
        status: decision.status,
        memory: decision.memory,
        next,
    }
}

/// An Event is owed when the reason of `Ready` changes.
fn notice(object: &Object, status: &ScaleOutTaskStatus) -> Option<Notice> {
    let ready = conditions::find(status, "Ready")?;
    let reason = Reason::parse(&ready.reason)?;
    if object.reason() == Some(reason) {
        return None;
    }
    Some(Notice {
        severity: reason.severity()?,
        reason,
        message: note(&ready.message).to_owned(),
    })
}

/// The API server refuses notes of Events over 1,024 bytes, where conditions count characters.
fn note(message: &str) -> &str {
    &message[..message.floor_char_boundary(NOTE_BYTES)]
}

/// A verdict in the making.
struct Decision<'a> {
    policy: &'a Policy,
    object: &'a Object,
    now: Timestamp,
    /// When the call began that brought the news; else now.
    asked_at: Timestamp,
    seed: u64,
    status: ScaleOutTaskStatus,
    memory: Memory,
}

impl Decision<'_> {
    fn unfinished(&mut self, input: &Input) -> Option<Next> {
        if let Some(task) = self.own_task(input).filter(|task| report::is_final(task)) {
            self.echo(input);
            return Some(self.answered(task));
        }
        if let Some(next) = self.held(input) {
            return Some(next);
        }
        let expired = self.expired_at(self.now);
        match input {
            Input::Seen => Some(self.seen(expired)),
            Input::Waited => self.waited(expired),
            Input::Called {
                outcome,
                started_at,
                ..
            } => {
                self.echo(input);
                let last = self.expired_at(*started_at);
                Some(self.called(outcome, last))
            }
        }
    }

    /// What follows where no call is to be made. What a call that was already under way brought is
    /// taken all the same.
    fn held(&mut self, input: &Input) -> Option<Next> {
        let mut situation = self.suspended().or_else(|| self.blocked())?;
        if let Some(task) = self.own_task(input) {
            self.echo(input);
            self.memory = Memory::default();
            report::fill(&mut self.status, task);
            situation.ready = "False";
        }
        if self.expired_at(self.now) {
            return Some(self.timed_out());
        }
        self.show(&situation);
        Some(self.until_deadline().map_or(Next::Rest, Next::Wait))
    }

    fn suspended(&self) -> Option<Situation> {
        let never_polled = match self.object.reason() {
            // No call was made, or none was answered.
            Some(Reason::RegionMissing | Reason::CredentialsInvalid) => {
                self.object.status.state.is_none()
            }
            _ => self.kept_ready() == "Unknown",
        };
        let ready = if never_polled { "Unknown" } else { "False" };
        self.object
            .is_suspended()
            .then(|| messages::suspended(ready))
    }

    /// Why no call can be made at all.
    fn blocked(&self) -> Option<Situation> {
        let spec = &self.object.spec;
        if spec.region.is_none() && !self.policy.has_default_region {
            return Some(messages::region_missing());
        }
        if spec.credentials_secret_ref.is_some() && !self.policy.secret_credentials {
            return Some(messages::secret_credentials_off());
        }
        None
    }

    fn seen(&self, expired: bool) -> Next {
        let spec_changed = self.status.observed_generation != Some(self.object.generation);
        let in_trouble = self.object.reason().is_some_and(Reason::is_trouble);
        let after = if in_trouble && !expired && !spec_changed {
            let interval = self.object.poll_interval(self.policy).min(SLOW_RETRY);
            phase(interval, &self.object.uid, self.now)
        } else {
            Duration::ZERO
        };
        self.call(after)
    }

    fn waited(&mut self, expired: bool) -> Option<Next> {
        if self.object.ready().is_none() {
            self.show(&messages::pending());
        }
        // The deadline of an object that was held up to now.
        expired.then(|| self.call(Duration::ZERO))
    }

    fn called(&mut self, outcome: &Outcome, last: bool) -> Next {
        let next = match outcome {
            Outcome::Answer(task) if self.is_own(task) => self.answered(task),
            Outcome::Answer(_) => self.mismatched(),
            Outcome::Trouble(_) if last => Next::Rest,
            Outcome::Trouble(trouble) => self.troubled(trouble),
        };
        if last { self.timed_out() } else { next }
    }

    fn answered(&mut self, task: &Task) -> Next {
        self.memory = Memory::default();
        let situation = report::fill(&mut self.status, task);
        self.show(&situation);
        if situation.reason.is_final() {
            return self.finish(situation.reason);
        }
        let interval = self.object.poll_interval(self.policy);
        self.call(next_poll(
            interval,
            &self.object.uid,
            self.asked_at,
            self.now,
        ))
    }

    fn mismatched(&mut self) -> Next {
        self.memory = Memory::default();
        report::clear(&mut self.status);
        self.show(&messages::cluster_mismatch());
        self.call(slow_delay(self.seed))
    }

    fn troubled(&mut self, trouble: &Trouble) -> Next {
        if self.stalls(trouble.reason) {
            self.show(&messages::stalled(trouble));
            return self.call(slow_delay(self.seed));
        }
        self.memory.failures = self.memory.failures.saturating_add(1);
        if self.memory.failures >= 2 {
            self.show(&messages::transient(trouble.reason, self.kept_ready()));
        }
        let backoff = transient_delay(self.memory.failures, self.seed);
        let delay = backoff.max(trouble.retry_after.unwrap_or_default());
        self.call(delay.min(self.grace_left(trouble.reason)))
    }

    /// Whether only a person can mend this.
    fn stalls(&mut self, reason: Reason) -> bool {
        match reason {
            Reason::AccessDenied
            | Reason::CredentialsInvalid
            | Reason::ClockSkewed
            | Reason::RequestRejected => true,
            Reason::TaskNotFound => {
                let since = self.memory.not_found_since.get_or_insert(self.now);
                // A clock that was set back must not draw the grace out.
                *since = (*since).min(self.now);
                let since = *since;
                let stalled = conditions::find(&self.status, "Stalled");
                let already = stalled.is_some_and(|stalled| stalled.reason == reason.as_str());
                already || elapsed(since, self.now) >= NOT_FOUND_GRACE
            }
            _ => false,
        }
    }

    /// An unknown task is looked for again when its grace ends, at the latest.
    fn grace_left(&self, reason: Reason) -> Duration {
        match self.memory.not_found_since {
            Some(since) if reason == Reason::TaskNotFound => {
                NOT_FOUND_GRACE.saturating_sub(elapsed(since, self.now))
            }
            _ => Duration::MAX,
        }
    }

    fn timed_out(&mut self) -> Next {
        self.memory = Memory::default();
        let timeout = self.object.spec.timeout.as_deref().unwrap_or_default();
        self.show(&messages::timed_out(timeout));
        self.finish(Reason::TimedOut)
    }

    /// Only a change of spec or a poll request touch a finished object.
    fn finished(&mut self, input: &Input) -> Next {
        if self.status.observed_generation != Some(self.object.generation) {
            conditions::acknowledge(&mut self.status, self.object.generation);
        }
        if let Input::Called {
            poll_request: Some(_),
            ..
        } = input
        {
            self.echo(input);
            let timed_out = self.object.reason() == Some(Reason::TimedOut);
            if let Some(task) = self.own_task(input)
                && (!timed_out || report::is_final(task))
            {
                let held = if report::is_final(task) {
                    None
                } else {
                    self.held(input)
                };
                return held.unwrap_or_else(|| self.answered(task));
            }
        }
        self.after_the_end()
    }

    fn finish(&mut self, reason: Reason) -> Next {
        // A word that confirms the end doesn't move its time.
        let confirmed = self.object.is_finished() && self.object.reason() == Some(reason);
        if self.status.finished_at.is_none() || !confirmed {
            self.status.finished_at = Some(Time(floor_to_second(self.now)));
        }
        self.after_the_end()
    }

    fn after_the_end(&self) -> Next {
        if self.poll_request_waits() && !self.object.is_suspended() && self.blocked().is_none() {
            return self.call(Duration::ZERO);
        }
        let ttl = self.object.spec.ttl_seconds_after_finished;
        let ttl = ttl.and_then(|seconds| u64::try_from(seconds).ok());
        match (ttl, &self.status.finished_at) {
            (Some(ttl), Some(finished_at)) => Next::Delete(
                Duration::from_secs(ttl).saturating_sub(elapsed(finished_at.0, self.now)),
            ),
            _ => Next::Rest,
        }
    }

    /// The task that a call found, if it belongs to a cluster that may be shown.
    fn own_task<'i>(&self, input: &'i Input) -> Option<&'i Task> {
        match input {
            Input::Called {
                outcome: Outcome::Answer(task),
                ..
            } if self.is_own(task) => Some(task),
            _ => None,
        }
    }

    fn is_own(&self, task: &Task) -> bool {
        let cluster = task.cluster_id.as_deref();
        let expected = self.object.spec.cluster_id.as_deref();
        let allowed = &self.policy.allowed_cluster_ids;
        (expected.is_none() || cluster == expected)
            && (allowed.is_empty() || cluster.is_some_and(|id| allowed.iter().any(|own| own == id)))
    }

    /// The status of `Ready` while there is no news: unknown until the object was told anything.
    fn kept_ready(&self) -> &'static str {
        match self.object.ready() {
            Some(ready) if ready.status != "Unknown" => "False",
            _ => "Unknown",
        }
    }

    fn show(&mut self, situation: &Situation) {
        let now = floor_to_second(self.now);
        if !situation.reason.is_final() {
            self.status.finished_at = None;
        }
        let before = &self.object.status;
        conditions::set(
            &mut self.status,
            before,
            situation,
            self.object.generation,
            now,
        );
    }

    fn echo(&mut self, input: &Input) {
        if let Input::Called {
            poll_request: Some(request),
            ..
        } = input
        {
            self.status.last_handled_poll_request = Some(request.clone());
        }
    }

    fn expired_at(&self, time: Timestamp) -> bool {
        self.object
            .deadline()
            .is_some_and(|deadline| deadline <= time)
    }

    fn until_deadline(&self) -> Option<Duration> {
        self.object
            .deadline()
            .map(|deadline| elapsed(self.now, deadline))
    }

    /// A call after `after`, or at the deadline if that comes first; at once for a poll request.
    fn call(&self, after: Duration) -> Next {
        if self.poll_request_waits() {
            return Next::Call {
                after: Duration::ZERO,
                urgent: true,
            };
        }
        let after = self.until_deadline().map_or(after, |left| after.min(left));
        Next::Call {
            after,
            urgent: false,
        }
    }

    /// Whether there is a poll request that the status, as decided so far, doesn't echo.
    fn poll_request_waits(&self) -> bool {
        let request = self.object.poll_request.as_deref();
        request.is_some() && request != self.status.last_handled_poll_request.as_deref()
    }
}

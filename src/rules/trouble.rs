//! What follows from a call that brought no answer.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    Abnormal, Memory, PollError, Ready, Reason, Shown, Summary,
    backoff::{slow_delay, transient_delay},
    messages::{self, Subject},
    time::elapsed,
};

/// How long a task may be unknown to the API, or a Secret missing, before the object stalls: a new
/// task's ID may be known to the caller before the API finds it, and Git may bring a Secret a moment
/// after its object.
pub const GRACE: Duration = Duration::from_mins(2);
/// How often a missing Secret is looked for in that time.
const MISSING_SECRET_RETRY: Duration = Duration::from_secs(10);
/// How often later.
const MISSING_SECRET_SLOW_RETRY: Duration = Duration::from_mins(1);

/// A call that ended in an error, and what was known before.
pub struct Trouble<'a> {
    pub error: &'a PollError,
    pub subject: Subject,
    /// What is shown.
    pub shown: Option<&'a Shown>,
    /// The status of `Ready` while nothing new is known.
    pub kept_ready: Ready,
    pub now: Timestamp,
    pub seed: u64,
}

impl Trouble<'_> {
    /// What is to be shown, if anything, and after which time to ask again.
    pub fn follow(&self, memory: &mut Memory) -> (Option<Summary>, Duration) {
        let error = self.error;
        let grace_left = self.grace_left(memory);
        let stalls = match grace_left {
            Some(left) => left.is_zero() || self.is_stalled_by(error.reason),
            None => error.reason.needs_a_person(),
        };
        if stalls {
            let after = if error.is_missing_secret {
                MISSING_SECRET_SLOW_RETRY
            } else {
                slow_delay(self.seed)
            };
            return (Some(messages::stalled(error, self.subject)), after);
        }
        memory.failures = memory.failures.saturating_add(1);
        // A single failure shows nothing: a blip costs no write.
        let is_blip = memory.failures < 2;
        let summary = messages::transient(error, self.kept_ready, self.subject);
        let delay = if error.is_missing_secret {
            MISSING_SECRET_RETRY
        } else {
            let backoff = transient_delay(memory.failures, self.seed);
            backoff.max(error.retry_after.unwrap_or_default())
        };
        // What is missing is looked for again when its grace ends, at the latest.
        let after = delay.min(grace_left.unwrap_or(Duration::MAX));
        (Some(summary).filter(|_| !is_blip), after)
    }

    /// How much of its grace is left to a task or Secret that is missing, from the first answer that it
    /// is; none for any other error.
    fn grace_left(&self, memory: &mut Memory) -> Option<Duration> {
        let since = match self.error.reason {
            Reason::TaskNotFound => &mut memory.not_found_since,
            _ if self.error.is_missing_secret => &mut memory.secret_missed_since,
            _ => return None,
        };
        // A clock that was set back must not draw the grace out.
        let first = since.unwrap_or(self.now).min(self.now);
        *since = Some(first);
        Some(GRACE.saturating_sub(elapsed(first, self.now)))
    }

    fn is_stalled_by(&self, reason: Reason) -> bool {
        self.shown.is_some_and(|shown| {
            shown.abnormal == Abnormal::Stalled && shown.reason == Some(reason)
        })
    }
}

//! The functional core: every rule of what is shown, when to ask again and what to leave alone.
//!
//! Nothing here does I/O or reads a clock or a random source. [`observe`] decides for one object.
//! [`Tracker`] decides whose turn it is.

mod backoff;
mod census;
mod conditions;
mod duration;
mod lanes;
mod lease;
mod limiter;
mod messages;
mod object;
mod observe;
mod reason;
mod report;
mod task;
mod time;
mod tracker;

pub use backoff::{RETRY_AFTER_MAX, SLOW_RETRY};
pub use census::{Census, STATES};
pub use duration::{DurationError, parse_duration};
pub use lanes::{Account, LaneId, LaneLimits};
pub use lease::{
    Election, LEASE_DURATION, LeaseRecord, LeaseStep, RENEW_DEADLINE, RETRY_PERIOD, STANDBY_PERIOD,
};
pub use limiter::Limiter;
pub use object::{Object, ObjectKey, Policy};
pub use observe::{
    Input, Memory, NOT_FOUND_GRACE, Next, Notice, OVERDUE_AFTER, Observe, Verdict, observe,
};
pub use reason::{Reason, Severity};
pub use report::MAX_RESULTS;
pub use task::{Instance, Outcome, Task, Trouble};
pub use tracker::{
    Call, Command, Config, Deletion, EntryId, Event, Now, Tracker, Write, WriteResult,
};

/// The first `max` characters of `text`.
#[must_use]
pub fn bounded(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

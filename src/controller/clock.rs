//! One monotonic clock for all parts, so that their times compare.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use crate::scheduler::Now;

/// Time since the process began its work.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been running.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The time of both clocks.
    pub fn now(self) -> Now {
        Now {
            wall: Timestamp::now(),
            monotonic: self.elapsed(),
        }
    }

    /// The moment at which it shows `at`.
    pub fn instant(self, at: Duration) -> Option<Instant> {
        self.0.checked_add(at)
    }
}

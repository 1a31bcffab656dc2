//! One monotonic clock for the whole process, so that times can be compared.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use crate::scheduler::Now;

/// Measures the time since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The current wall-clock time and monotonic time.
    pub fn now(self) -> Now {
        Now {
            wall: Timestamp::now(),
            monotonic: self.elapsed(),
        }
    }

    /// The moment at which `at` has elapsed since the start.
    pub fn instant(self, at: Duration) -> Option<Instant> {
        self.0.checked_add(at)
    }
}

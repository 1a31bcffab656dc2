//! What time it is: one monotonic clock for the whole process, so that times can be compared, and the calendar, by
//! the task API's word where this machine's clock is off.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::scheduler::Now;

/// Clocks that differ by no more count as equal: an answer takes its time, and its `Date` has no fractions.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);
/// For so long, what was heard last outweighs a server that contradicts it.
const WORD_HOLDS: Duration = Duration::from_mins(10);

/// Measures the time since it was started. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    calendar: Arc<Mutex<Calendar>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            calendar: Arc::default(),
        }
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The current wall-clock time and monotonic time.
    #[must_use]
    pub fn now(&self) -> Now {
        let (local, at) = (Timestamp::now(), self.elapsed());
        let calendar = self.calendar();
        let wall = calendar.wall(local, at);
        Now {
            wall,
            local: (local != wall).then_some(local),
            monotonic: at,
            is_confirmed: calendar.word.is_some(),
        }
    }

    /// The task API, or STS, says what time it is.
    pub fn heard(&self, server: SystemTime) {
        let Ok(server) = Timestamp::try_from(server) else {
            return;
        };
        let (local, at) = (Timestamp::now(), self.elapsed());
        let mut calendar = self.calendar();
        calendar.heard(server, local, at);
        calendar.tell(local, at);
    }

    /// How far this machine's clock is ahead of the one that counts; zero where they agree.
    #[must_use]
    pub fn skew(&self) -> SignedDuration {
        let (local, at) = (Timestamp::now(), self.elapsed());
        self.calendar().skew(local, at)
    }

    /// The moment at which `at` has elapsed since the start.
    #[must_use]
    pub fn instant(&self, at: Duration) -> Option<Instant> {
        self.start.checked_add(at)
    }

    fn calendar(&self) -> MutexGuard<'_, Calendar> {
        self.calendar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the calendar says, by this machine and by the task API. Times since the start are monotonic.
#[derive(Debug, Default)]
struct Calendar {
    /// What it said at that time since the start, as last confirmed.
    word: Option<(Timestamp, Duration)>,
    /// Whether it is told that this machine's clock is off.
    is_told: bool,
}

impl Calendar {
    /// Once confirmed, it goes by the monotonic clock: whoever sets this machine's clock changes nothing.
    fn wall(&self, local: Timestamp, at: Duration) -> Timestamp {
        let since = |(wall, then): (Timestamp, Duration)| wall.checked_add(at.saturating_sub(then));
        self.word.and_then(|word| since(word).ok()).unwrap_or(local)
    }

    fn heard(&mut self, server: Timestamp, local: Timestamp, at: Duration) {
        let is_near = |time: Timestamp| server.duration_since(time).abs() <= TOLERANCE;
        let known = self.wall(local, at);
        let is_fresh = self
            .word
            .is_some_and(|(_, then)| at.saturating_sub(then) < WORD_HOLDS);
        let wall = if is_near(local) {
            local
        } else if is_near(known) {
            known
        } else if is_fresh {
            // One server's clock alone is off.
            return;
        } else {
            server
        };
        self.word = Some((wall, at));
    }

    fn skew(&self, local: Timestamp, at: Duration) -> SignedDuration {
        let skew = local.duration_since(self.wall(local, at));
        if skew.abs() <= TOLERANCE {
            return SignedDuration::ZERO;
        }
        skew
    }

    fn tell(&mut self, local: Timestamp, at: Duration) {
        let skew = self.skew(local, at);
        if skew.is_zero() == self.is_told {
            self.is_told = !skew.is_zero();
            if self.is_told {
                let seconds = skew.as_secs();
                warn!(
                    ahead_seconds = seconds,
                    "this machine's clock differs from the task API's, whose time counts: synchronise it"
                );
            } else {
                info!("this machine's clock agrees with the task API's again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The right time so long after the start.
    fn right(seconds: u64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + at(seconds)
    }

    #[test]
    fn unheard_the_machines_clock_counts() {
        let calendar = Calendar::default();
        assert_eq!(calendar.wall(right(5), at(5)), right(5));
    }

    #[test]
    fn a_clock_that_is_off_at_the_start_is_corrected_by_the_first_answer() {
        for off in [DAY * 2, DAY * -2, SignedDuration::from_secs(61)] {
            let mut calendar = Calendar::default();
            calendar.heard(right(1), right(1) + off, at(1));
            assert_eq!(calendar.wall(right(9) + off, at(9)), right(9), "{off}");
            assert_eq!(calendar.skew(right(9) + off, at(9)), off);
            // It is set right.
            calendar.heard(right(10), right(10), at(10));
            assert_eq!(calendar.skew(right(11), at(11)), SignedDuration::ZERO);
        }
    }

    #[test]
    fn a_clock_that_jumps_is_followed_only_once_the_api_agrees() {
        let mut calendar = Calendar::default();
        calendar.heard(right(1), right(1), at(1));
        assert_eq!(calendar.wall(right(5) + DAY, at(5)), right(5));
        calendar.heard(right(6), right(6) + DAY, at(6));
        assert_eq!(calendar.wall(right(7) + DAY, at(7)), right(7));
        // The machine slept for a day, and its monotonic clock with it.
        calendar.heard(right(8) + DAY, right(8) + DAY, at(8));
        assert_eq!(calendar.wall(right(9) + DAY, at(9)), right(9) + DAY);
    }

    #[test]
    fn one_server_that_contradicts_all_others_changes_nothing() {
        let mut calendar = Calendar::default();
        for second in 0..2000 {
            let odd = DAY * i32::try_from(second % 2).unwrap();
            let server = right(second) + odd;
            calendar.heard(server, right(second), at(second));
            assert_eq!(calendar.wall(right(second), at(second)), right(second));
        }
        // Alone, it is all that is known after a while.
        calendar.heard(right(3000) + DAY, right(3000), at(3000));
        assert_eq!(calendar.wall(right(3001), at(3001)), right(3001) + DAY);
    }

    #[test]
    fn small_differences_are_none() {
        let mut calendar = Calendar::default();
        calendar.heard(right(0), right(59), at(0));
        assert_eq!(calendar.wall(right(60), at(1)), right(60));
    }
}

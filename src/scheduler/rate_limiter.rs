//! How fast one account may be asked at one host: a token bucket whose rate falls when the API
//! throttles and recovers by itself.

use std::time::Duration;

/// How much of the full rate comes back each second: a minute from standstill.
const RECOVERY: f64 = 1.0 / 60.0;
/// Between 90% and 110% of the rate at which it was last throttled, it recovers at a tenth of the
/// speed.
const NEAR: f64 = 0.9;
const PAST: f64 = 1.1;
const CAREFUL: f64 = 0.1;
/// The rate never falls below one call in ten seconds, or recovery would go unnoticed.
const FLOOR: f64 = 0.1;
/// Answers to calls already under way speak of the same overload.
const FALL_ONCE_IN: Duration = Duration::from_secs(1);
/// The calls of this many seconds may come at once.
const BURST_SECONDS: f64 = 0.1;

/// A token bucket. Times are those of one monotonic clock.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    full_rate: f64,
    rate: f64,
    /// The rate at which it was throttled last.
    ceiling: f64,
    tokens: f64,
    updated_at: Duration,
    fell_at: Option<Duration>,
    paused_until: Duration,
}

impl RateLimiter {
    /// A limiter of `rate` calls a second.
    #[must_use]
    pub fn new(rate: f64, now: Duration) -> Self {
        Self {
            full_rate: rate,
            rate,
            ceiling: rate,
            tokens: burst(rate),
            updated_at: now,
            fell_at: None,
            paused_until: Duration::ZERO,
        }
    }

    /// Takes one token, or says when one will be there.
    ///
    /// # Errors
    /// With the time at which to try again.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.check(now)?;
        self.spend();
        Ok(())
    }

    /// Says whether a token is there, or when one will be.
    pub(super) fn check(&mut self, now: Duration) -> Result<(), Duration> {
        if now < self.paused_until {
            return Err(self.paused_until);
        }
        self.refill(now);
        if self.tokens >= 1.0 {
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / self.rate);
        // Rounding must not wake anyone a hair too early, over and over.
        Err(now + wait.max(Duration::from_millis(1)))
    }

    /// Spends a token that is there.
    pub(super) fn spend(&mut self) {
        self.tokens -= 1.0;
    }

    /// The API asked for no calls for that time.
    pub fn pause(&mut self, now: Duration, pause: Duration) {
        self.paused_until = self.paused_until.max(now + pause);
    }

    /// The API asked for fewer calls: the rate halves.
    pub fn throttled(&mut self, now: Duration) {
        self.refill(now);
        if self
            .fell_at
            .is_some_and(|fell_at| now < fell_at + FALL_ONCE_IN)
        {
            return;
        }
        self.ceiling = self.rate;
        self.rate = (self.rate / 2.0).max(FLOOR.min(self.full_rate));
        self.tokens = self.tokens.min(burst(self.rate));
        self.fell_at = Some(now);
    }

    /// Whether it is as a new one would be.
    pub fn is_rested(&mut self, now: Duration) -> bool {
        self.refill(now);
        now >= self.paused_until
            && self.rate >= self.full_rate
            && self.tokens >= burst(self.full_rate)
    }

    /// Moves the clock's zero forward.
    pub(super) fn rebase(&mut self, by: Duration) {
        let is_full = self.rate >= self.full_rate && self.tokens >= burst(self.full_rate);
        // A full bucket has no age.
        self.updated_at = if is_full {
            Duration::ZERO
        } else {
            self.updated_at.saturating_sub(by)
        };
        self.fell_at = self.fell_at.and_then(|at| at.checked_sub(by));
        self.paused_until = self.paused_until.saturating_sub(by);
    }

    fn refill(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.updated_at).as_secs_f64();
        self.tokens = (self.tokens + seconds * self.rate).min(burst(self.rate));
        self.recover(seconds);
        self.updated_at = now;
    }

    /// Fast up to near where it was too fast, slowly past that, and fast again: so it stays most of
    /// the time just below what the API allows, and finds out when that is more.
    fn recover(&mut self, seconds: f64) {
        let fast = self.full_rate * RECOVERY;
        let mut left = seconds;
        for (end, speed) in [
            (self.ceiling * NEAR, fast),
            (self.ceiling * PAST, self.ceiling * RECOVERY * CAREFUL),
            (self.full_rate, fast),
        ] {
            let end = end.min(self.full_rate);
            if self.rate < end {
                let reached = (self.rate + left * speed).min(end);
                left -= (reached - self.rate) / speed;
                self.rate = reached;
            }
        }
    }
}

fn burst(rate: f64) -> f64 {
    (rate * BURST_SECONDS).max(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many calls a caller who always has one ready gets in `seconds`.
    fn calls_in(limiter: &mut RateLimiter, from: Duration, seconds: u64) -> u32 {
        let (mut now, mut calls) = (from, 0);
        while now < from + Duration::from_secs(seconds) {
            match limiter.take(now) {
                Ok(()) => calls += 1,
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        calls
    }

    #[test]
    fn the_full_rate_holds_over_time() {
        let mut limiter = RateLimiter::new(20.0, Duration::ZERO);
        let calls = calls_in(&mut limiter, Duration::ZERO, 60);
        assert!((1180..=1204).contains(&calls), "{calls}");
    }

    #[test]
    fn throttling_halves_the_rate_once_and_it_recovers() {
        let mut limiter = RateLimiter::new(20.0, Duration::ZERO);
        let now = Duration::from_secs(1);
        for _ in 0..50 {
            limiter.throttled(now);
        }
        let calls = calls_in(&mut limiter, now, 1);
        assert!((9..=13).contains(&calls), "{calls}");
        let later = Duration::from_mins(2);
        let calls = calls_in(&mut limiter, later, 10);
        assert!((195..=204).contains(&calls), "{calls}");
    }

    /// A caller with a full rate five times what the API allows.
    #[test]
    fn it_settles_just_below_what_the_api_allows() {
        let allowed = Duration::from_millis(50);
        let mut limiter = RateLimiter::new(100.0, Duration::ZERO);
        let (mut now, mut api_free_at) = (Duration::ZERO, Duration::ZERO);
        let (mut calls, mut refused) = (0_u32, 0_u32);
        let (settled, end) = (Duration::from_secs(30), Duration::from_secs(630));
        while now < end {
            if let Err(at) = limiter.take(now) {
                now = at;
                continue;
            }
            let counts = u32::from(now >= settled);
            calls += counts;
            // The API lets twenty calls a second through, and one second's worth at once.
            if api_free_at > now + Duration::from_secs(1) {
                refused += counts;
                limiter.throttled(now);
            } else {
                api_free_at = api_free_at.max(now) + allowed;
            }
        }
        assert!((600 * 17..600 * 21).contains(&calls), "{calls}");
        assert!(refused < calls / 100, "{refused} of {calls}");
    }

    #[test]
    fn retry_after_pauses_for_its_length() {
        let mut limiter = RateLimiter::new(20.0, Duration::ZERO);
        limiter.pause(Duration::from_secs(1), Duration::from_secs(30));
        assert_eq!(
            limiter.take(Duration::from_secs(2)),
            Err(Duration::from_secs(31))
        );
        assert_eq!(limiter.take(Duration::from_secs(31)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_history_lets_more_through_than_the_full_rate(
            rate in 0.1_f64..500.0,
            throttles in prop::collection::vec(0_u64..20, 0..20),
        ) {
            let mut limiter = RateLimiter::new(rate, Duration::ZERO);
            let mut calls = 0;
            for second in 0..20 {
                let now = Duration::from_secs(second);
                for _ in throttles.iter().filter(|at| **at == second) {
                    limiter.throttled(now);
                }
                calls += calls_in(&mut limiter, now, 1);
            }
            prop_assert!(f64::from(calls) <= rate * 20.0 + burst(rate) + 1.0);
        }
    }
}

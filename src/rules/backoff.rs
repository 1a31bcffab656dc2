//! When to ask again, and the deterministic scatter in it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use super::{Uid, time::elapsed};

/// The longest pause that an answer can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// How often an object is asked about that only a person can mend, ± 10%.
pub const SLOW_RETRY: Duration = Duration::from_mins(5);

const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(5);

/// Exponential backoff with full jitter: anything up to 1 s after the first failure, doubling up to
/// 5 min. `failures` counts from 1.
pub fn transient_delay(failures: u32, seed: u64) -> Duration {
    let exponent = failures.saturating_sub(1).min(16);
    let ceiling = (BACKOFF_BASE * 2_u32.pow(exponent)).min(BACKOFF_MAX);
    ceiling.mul_f64(unit(seed))
}

/// How a write of status, or a deletion, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// The API server can't be reached, is in trouble, or somebody else was faster.
    Transient,
    /// It refuses the write, and will until somebody mends something.
    Refused,
}

/// How long a failed write or deletion waits until it is retried: from 0.2 s, doubling up to 5 s, or
/// up to a minute where it was refused; less up to half of it. `attempts` counts from 0.
#[must_use]
pub fn write_retry_delay(attempts: u32, failure: WriteFailure, seed: u64) -> Duration {
    let ceiling = match failure {
        WriteFailure::Transient => Duration::from_secs(5),
        WriteFailure::Refused => Duration::from_mins(1),
    };
    let wait = Duration::from_millis(200) * 2_u32.pow(attempts.min(16));
    wait.min(ceiling).mul_f64(1.0 - 0.5 * unit(seed))
}

/// 5 min ± 10%.
pub fn slow_delay(seed: u64) -> Duration {
    SLOW_RETRY.mul_f64(0.9 + 0.2 * unit(seed))
}

/// How long from a poll to the next: to the object's own moment of the interval, so that objects
/// stay spread evenly, however many began at once. A moment that is about now has been used.
fn poll_delay(interval: Duration, uid: &Uid, asked_at: Timestamp) -> Duration {
    let wait = phase(interval, uid, asked_at);
    if wait < interval.mul_f64(0.05) {
        interval
    } else {
        wait
    }
}

/// How long from `now` to the next poll. Counted from when the API was asked: the answer may have
/// waited to be written.
pub fn next_poll(interval: Duration, uid: &Uid, asked_at: Timestamp, now: Timestamp) -> Duration {
    poll_delay(interval, uid, asked_at).saturating_sub(elapsed(asked_at, now))
}

/// How long until an object's own moment within its interval, by UID. The moment is one of the
/// calendar, so that no number of restarts puts it off.
pub fn phase(interval: Duration, uid: &Uid, now: Timestamp) -> Duration {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    let moment = interval.mul_f64(unit(hasher.finish())).as_nanos();
    let since_epoch = u128::try_from(now.as_nanosecond()).unwrap_or_default();
    let interval = interval.as_nanos().max(1);
    let wait = (moment + interval - since_epoch % interval) % interval;
    Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

/// `seed` as a number in [0, 1), well scattered also for neighbouring seeds (`SplitMix64`).
fn unit(seed: u64) -> f64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // 32 bits are scatter enough and convert without loss.
    f64::from(u32::try_from(mixed >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scatter_is_even() {
        let mean = (0..10_000).map(unit).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    proptest! {
        #[test]
        fn delays_stay_within_their_bounds(failures in 0_u32.., seed: u64, secs in 1_u64..=3600) {
            let ceiling = 1_u64.checked_shl(failures.saturating_sub(1).min(40)).unwrap_or(300).min(300);
            prop_assert!(transient_delay(failures, seed) <= Duration::from_secs(ceiling));
            prop_assert!((270.0..=330.0).contains(&slow_delay(seed).as_secs_f64()));
            let interval = Duration::from_secs(secs);
            let now = Timestamp::from_second(i64::from(failures)).unwrap();
            let delay = poll_delay(interval, &seed.to_string().into(), now);
            prop_assert!(delay <= interval && delay >= interval.mul_f64(0.049));
            // From then on, the delay is the interval, also where a timer fires a bit off.
            let moment = now + delay;
            let next = poll_delay(interval, &seed.to_string().into(), moment - Duration::from_millis(1));
            prop_assert!(next <= interval && next >= interval.mul_f64(0.949));
            let wait = phase(interval, &seed.to_string().into(), now);
            prop_assert!(wait < interval);
            // A restart shortly before the moment doesn't put it off.
            let half = phase(interval, &seed.to_string().into(), now + wait / 2);
            prop_assert!(half + wait / 2 == wait);
        }
    }
}

//! Statistics of samples and times.

use std::time::{Duration, Instant};

/// The mean of the samples.
pub fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / number(samples.len())
}

/// The smallest sample that is not exceeded by this percentage of all samples.
pub fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    let index = rank.saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The largest number of times within any interval of this width. `times` must be sorted.
pub fn most_within(times: &[Instant], width: Duration) -> usize {
    let (mut most, mut oldest) = (0, 0);
    for (newest, time) in times.iter().enumerate() {
        while time.duration_since(times[oldest]) >= width {
            oldest += 1;
        }
        most = most.max(newest + 1 - oldest);
    }
    most
}

/// All pairs of successive times whose second isn't before `from`.
pub fn gaps(times: &[Instant], from: Instant) -> impl Iterator<Item = (Instant, Instant)> {
    let pairs = times.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.filter(move |(_, end)| *end >= from)
}

/// The time from the first to the second, in seconds. Zero if the second is earlier.
pub fn seconds((begin, end): (Instant, Instant)) -> f64 {
    end.saturating_duration_since(begin).as_secs_f64()
}

/// A count as a floating-point number.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

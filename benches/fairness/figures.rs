//! Figures from what the simulated API recorded.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use simulator::Request;
use testbed::harness::{Usage, gaps, mean, most_within, number, percentile, seconds};

use crate::scenario::{ALLOWED, FREE_POLL_INTERVAL};

/// Widths of the windows in which calls are counted, in seconds.
pub const WIDTHS: [u32; 3] = [10, 5, 1];
/// The baseline's noise is how much its parts differ.
const PARTS: u32 = 3;

pub struct Figures {
    /// None where the throttling account has no objects.
    pub throttled: Option<ThrottledRegion>,
    pub free: FreeRegion,
    pub status_writes: f64,
    /// How much of one processor.
    pub cpu: f64,
    pub usage: Usage,
}

#[derive(Clone, Copy)]
pub struct Window {
    pub begin: Instant,
    pub end: Instant,
}

impl Window {
    pub fn seconds(self) -> f64 {
        seconds((self.begin, self.end))
    }

    fn contains(self, time: Instant) -> bool {
        (self.begin..self.end).contains(&time)
    }

    fn parts(self) -> impl Iterator<Item = Self> {
        let width = self.end.duration_since(self.begin) / PARTS;
        (0..PARTS).map(move |part| Self {
            begin: self.begin + width * part,
            end: self.begin + width * (part + 1),
        })
    }
}

pub struct ThrottledRegion {
    /// Calls in a second.
    pub rate: f64,
    /// The most calls within each of [`WIDTHS`], as a part of what is allowed in that time.
    pub peaks: [f64; 3],
    /// Which part of the calls was answered 429.
    pub refused: f64,
    /// Seconds between an object's answered polls: the mean of all objects' means, the greatest of
    /// these, and the longest of all.
    pub interval: f64,
    pub slowest: f64,
    pub longest: f64,
    /// How often the object was refused within the longest.
    pub refused_in_longest: usize,
}

impl ThrottledRegion {
    pub fn of(log: &[Request], window: Window) -> Self {
        let calls: Vec<&Request> = log.iter().filter(|call| window.contains(call.at)).collect();
        let times: Vec<Instant> = calls.iter().map(|call| call.at).collect();
        let refused = calls.iter().filter(|call| call.answered == Some(429));
        let spacings: Vec<Spacing> = by_object(log)
            .values()
            .map(|calls| Spacing::of(calls, window))
            .collect();
        let means: Vec<f64> = spacings.iter().map(|spacing| spacing.mean).collect();
        let longest = spacings
            .iter()
            .max_by(|one, other| one.longest.total_cmp(&other.longest));
        Self {
            rate: number(calls.len()) / window.seconds(),
            peaks: WIDTHS.map(|width| {
                let most = most_within(&times, Duration::from_secs(width.into()));
                number(most) / f64::from(width * ALLOWED)
            }),
            refused: number(refused.count()) / number(calls.len()),
            interval: mean(&means),
            slowest: percentile(&means, 100),
            longest: longest.map_or(f64::NAN, |spacing| spacing.longest),
            refused_in_longest: longest.map_or(0, |spacing| spacing.refused_in_longest),
        }
    }
}

/// How an object's answered polls follow each other, in seconds.
struct Spacing {
    mean: f64,
    longest: f64,
    refused_in_longest: usize,
}

impl Spacing {
    /// Of the intervals that end in the window. The one still open at its end counts where that
    /// makes the object look slower.
    fn of(calls: &[&Request], window: Window) -> Self {
        let is_answered = |call: &&&Request| call.answered == Some(200) && call.at < window.end;
        let times: Vec<Instant> = calls
            .iter()
            .filter(is_answered)
            .map(|call| call.at)
            .collect();
        let mut intervals: Vec<(Instant, Instant)> = gaps(&times, window.begin).collect();
        let mean_of = |intervals: &[(Instant, Instant)]| {
            let lengths: Vec<f64> = intervals.iter().copied().map(seconds).collect();
            mean(&lengths)
        };
        // An object that was never answered waits since its first call.
        let last = times.last().or(calls.first().map(|call| &call.at));
        let open = (last.copied().unwrap_or(window.begin), window.end);
        if intervals.is_empty() || seconds(open) > mean_of(&intervals) {
            intervals.push(open);
        }
        let by_length = intervals.iter().copied();
        let longest = by_length.max_by(|one, other| seconds(*one).total_cmp(&seconds(*other)));
        let (begin, end) = longest.unwrap_or(open);
        let within = calls.iter().filter(|call| (begin..end).contains(&call.at));
        Self {
            mean: mean_of(&intervals),
            longest: seconds((begin, end)),
            refused_in_longest: within.filter(|call| call.answered == Some(429)).count(),
        }
    }
}

pub struct FreeRegion {
    pub calls: usize,
    pub lag: Lag,
    /// The same for each part of the window.
    pub parts: Vec<Lag>,
}

/// How much longer than its poll interval an object waited for its next call, in milliseconds.
/// Below zero where a call came after one that was late.
pub struct Lag {
    pub median: f64,
    pub p99: f64,
    pub most: f64,
}

impl Lag {
    pub fn highest<'a>(lags: impl IntoIterator<Item = &'a Self>) -> Self {
        let none = Self {
            median: f64::NEG_INFINITY,
            p99: f64::NEG_INFINITY,
            most: f64::NEG_INFINITY,
        };
        lags.into_iter().fold(none, |highest, lag| Self {
            median: highest.median.max(lag.median),
            p99: highest.p99.max(lag.p99),
            most: highest.most.max(lag.most),
        })
    }
}

impl FreeRegion {
    pub fn of(log: &[Request], window: Window) -> Self {
        let mut lags = Vec::new();
        for calls in by_object(log).values() {
            let times: Vec<Instant> = calls.iter().map(|call| call.at).collect();
            let nominal = FREE_POLL_INTERVAL.as_secs_f64();
            let lag = |gap: (Instant, Instant)| (gap.1, (seconds(gap) - nominal) * 1000.0);
            lags.extend(gaps(&times, window.begin).map(lag));
        }
        let lag_in = |window: Window| {
            let within = lags.iter().filter(|(at, _)| window.contains(*at));
            let lags: Vec<f64> = within.map(|(_, lag)| *lag).collect();
            Lag {
                median: percentile(&lags, 50),
                p99: percentile(&lags, 99),
                most: percentile(&lags, 100),
            }
        };
        Self {
            calls: log.iter().filter(|call| window.contains(call.at)).count(),
            lag: lag_in(window),
            parts: window.parts().map(lag_in).collect(),
        }
    }
}

fn by_object(log: &[Request]) -> BTreeMap<&str, Vec<&Request>> {
    let mut objects: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for call in log {
        objects.entry(&call.task_id).or_default().push(call);
    }
    objects
}

//! How objects are polled, by the requests that the simulated task API recorded.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use simulator::Request;

/// How often a time is measured that is too long: something else may keep the machine busy for a while.
pub const ROUNDS: usize = 3;

/// A time in which requests count.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The first moment that counts.
    pub begin: Instant,
    /// The first that counts no more.
    pub end: Instant,
}

impl Window {
    /// Lets this much time pass, and returns it.
    pub async fn pass(length: Duration) -> Self {
        let begin = Instant::now();
        tokio::time::sleep(length).await;
        Self {
            begin,
            end: Instant::now(),
        }
    }

    /// Its length in seconds.
    pub fn seconds(self) -> f64 {
        self.end.duration_since(self.begin).as_secs_f64()
    }

    /// Whether the time is in it.
    pub fn contains(self, time: Instant) -> bool {
        (self.begin..self.end).contains(&time)
    }

    /// How many requests a second came in it about tasks whose IDs begin so.
    pub fn rate(self, log: &[Request], prefix: &str) -> f64 {
        let is_counted =
            |call: &&Request| self.contains(call.at) && call.task_id.starts_with(prefix);
        let calls = log.iter().filter(is_counted).count();
        crate::harness::number(calls) / self.seconds()
    }

    /// The times between two requests about each task whose ID begins so, where they end in the
    /// window. The one that is still open at its end counts too where the task has no longer one.
    pub fn intervals(self, log: &[Request], prefix: &str) -> BTreeMap<String, Vec<Duration>> {
        let mut times: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
        let counted = log
            .iter()
            .filter(|call| call.at < self.end && call.task_id.starts_with(prefix));
        for call in counted {
            times.entry(&call.task_id).or_default().push(call.at);
        }
        let intervals = |(task, times): (&str, Vec<Instant>)| {
            let ended = times.windows(2).filter(|pair| pair[1] >= self.begin);
            let mut intervals: Vec<Duration> =
                ended.map(|pair| pair[1].duration_since(pair[0])).collect();
            let open = times.last().map(|last| self.end.duration_since(*last));
            if open > intervals.iter().max().copied() {
                intervals.extend(open);
            }
            (task.to_owned(), intervals)
        };
        times.into_iter().map(intervals).collect()
    }
}

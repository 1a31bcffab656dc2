//! One lane for each account and region: its own queue, workers and rate, so that trouble in one
//! delays nobody in another.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::Limiter;

/// Which lane.
pub type LaneId = usize;

/// How much each lane may do.
#[derive(Clone, Copy, Debug)]
pub struct LaneLimits {
    /// Calls a second.
    pub requests_per_second: f64,
    /// Calls under way at the same time.
    pub concurrency: usize,
}

#[derive(Debug)]
struct Lane {
    limiter: Limiter,
    in_flight: usize,
    urgent: VecDeque<u64>,
    queue: VecDeque<u64>,
    /// When the limiter lets the next call through.
    open_at: Duration,
}

/// All lanes. Entries that lost interest stay queued until their turn; the caller skips them.
#[derive(Debug)]
pub struct Lanes {
    limits: LaneLimits,
    by_region: HashMap<String, LaneId>,
    all: Vec<Lane>,
}

impl Lanes {
    pub fn new(limits: LaneLimits) -> Self {
        Self {
            limits,
            by_region: HashMap::new(),
            all: Vec::new(),
        }
    }

    /// The lane of a region, made where it's new.
    pub fn lane(&mut self, region: &str, now: Duration) -> LaneId {
        if let Some(lane) = self.by_region.get(region) {
            return *lane;
        }
        self.all.push(Lane {
            limiter: Limiter::new(self.limits.requests_per_second, now),
            in_flight: 0,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            open_at: Duration::ZERO,
        });
        let id = self.all.len() - 1;
        self.by_region.insert(region.to_owned(), id);
        id
    }

    /// Puts an entry at the end of a lane; urgent ones go before all others.
    pub fn push(&mut self, lane: LaneId, entry: u64, urgent: bool) {
        if let Some(lane) = self.all.get_mut(lane) {
            let queue = if urgent {
                &mut lane.urgent
            } else {
                &mut lane.queue
            };
            queue.push_back(entry);
        }
    }

    /// The next entry that may be called about now, with its lane. `waits` tells whether a queued
    /// entry still waits.
    pub fn pop(&mut self, now: Duration, waits: impl Fn(u64) -> bool) -> Option<(LaneId, u64)> {
        let concurrency = self.limits.concurrency;
        self.all.iter_mut().enumerate().find_map(|(id, lane)| {
            if lane.in_flight >= concurrency {
                return None;
            }
            lane.skip_to(&waits);
            if lane.is_empty() || now < lane.open_at {
                return None;
            }
            if let Err(at) = lane.limiter.take(now) {
                lane.open_at = at;
                return None;
            }
            lane.in_flight += 1;
            let entry = lane.urgent.pop_front().or_else(|| lane.queue.pop_front())?;
            Some((id, entry))
        })
    }

    /// A call of that lane ended.
    pub fn ended(&mut self, lane: LaneId) {
        if let Some(lane) = self.all.get_mut(lane) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
    }

    /// The API asked that lane for fewer calls.
    pub fn throttled(&mut self, lane: LaneId, now: Duration, retry_after: Option<Duration>) {
        if let Some(lane) = self.all.get_mut(lane) {
            lane.limiter.throttled(now, retry_after);
        }
    }

    /// When a waiting entry's lane opens next.
    pub fn next_opening(&self) -> Option<Duration> {
        self.all
            .iter()
            .filter(|lane| !lane.is_empty() && lane.in_flight < self.limits.concurrency)
            .map(|lane| lane.open_at)
            .min()
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.queue.is_empty()
    }

    /// Drops those at the front that no longer wait.
    fn skip_to(&mut self, waits: impl Fn(u64) -> bool) {
        for queue in [&mut self.urgent, &mut self.queue] {
            while queue.front().is_some_and(|entry| !waits(*entry)) {
                queue.pop_front();
            }
        }
    }
}

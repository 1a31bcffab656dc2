//! One lane for each account and region: its own queue, workers and rate, so that trouble in one
//! delays nobody in another.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    time::Duration,
};

use super::Limiter;

/// Which lane. Never used again for another.
pub type LaneId = u64;

/// Whose calls the API counts together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// That of the controller's own credentials.
    Default,
    /// That of a Secret's access key, by its ID.
    AccessKey(String),
}

/// How much each lane may do.
#[derive(Clone, Copy, Debug)]
pub struct LaneLimits {
    /// Calls a second.
    pub requests_per_second: f64,
    /// Calls under way at the same time.
    pub concurrency: usize,
}

/// Where an entry waits in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before all others: a person waits for it.
    Urgent,
    /// Before those whose turn comes now: the API refused it when its turn came.
    Again,
    /// At the end.
    InTurn,
}

#[derive(Clone, Debug)]
struct Lane {
    limiter: Limiter,
    in_flight: usize,
    urgent: VecDeque<u64>,
    again: VecDeque<u64>,
    in_turn: VecDeque<u64>,
    /// When the limiter lets the next call through.
    open_at: Duration,
}

/// All lanes. Entries that lost interest stay queued until their turn; the caller skips them.
#[derive(Clone, Debug)]
pub struct Lanes {
    limits: LaneLimits,
    by_key: BTreeMap<(Account, String), LaneId>,
    all: BTreeMap<LaneId, Lane>,
    last_id: LaneId,
}

impl Lanes {
    pub fn new(limits: LaneLimits) -> Self {
        Self {
            limits,
            by_key: BTreeMap::new(),
            all: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// The lane of an account in a region, made where it's new.
    pub fn lane(&mut self, account: Account, region: &str, now: Duration) -> LaneId {
        let key = (account, region.to_owned());
        if let Some(lane) = self.by_key.get(&key) {
            return *lane;
        }
        // Users choose regions and accounts, so lanes come and go.
        self.drop_rested(now);
        self.open(key, Limiter::new(self.limits.requests_per_second, now))
    }

    fn open(&mut self, key: (Account, String), limiter: Limiter) -> LaneId {
        self.last_id += 1;
        let lane = Lane {
            limiter,
            in_flight: 0,
            urgent: VecDeque::new(),
            again: VecDeque::new(),
            in_turn: VecDeque::new(),
            open_at: Duration::ZERO,
        };
        self.all.insert(self.last_id, lane);
        self.by_key.insert(key, self.last_id);
        self.last_id
    }

    /// Drops lanes that are as new ones would be.
    fn drop_rested(&mut self, now: Duration) {
        self.all.retain(|_, lane| {
            !lane.is_empty() || lane.in_flight > 0 || !lane.limiter.is_rested(now)
        });
        let all = &self.all;
        self.by_key.retain(|_, lane| all.contains_key(lane));
    }

    /// Forgets who waits and what is under way, but not how fast each lane may go. Calls under way
    /// end in lanes that are no more.
    pub fn abandon(&mut self) {
        let mut before = mem::take(&mut self.all);
        for (key, id) in mem::take(&mut self.by_key) {
            if let Some(lane) = before.remove(&id) {
                self.open(key, lane.limiter);
            }
        }
    }

    /// Moves the clock's zero forward.
    pub fn rebase(&mut self, by: Duration) {
        for lane in self.all.values_mut() {
            lane.open_at = lane.open_at.saturating_sub(by);
            lane.limiter.rebase(by);
        }
    }

    /// Puts an entry into a lane, behind those that wait in the same place.
    pub fn push(&mut self, lane: LaneId, entry: u64, place: Place) {
        if let Some(lane) = self.all.get_mut(&lane) {
            let queue = match place {
                Place::Urgent => &mut lane.urgent,
                Place::Again => &mut lane.again,
                Place::InTurn => &mut lane.in_turn,
            };
            queue.push_back(entry);
        }
    }

    /// The next entry that may be called about now, with its lane. `waits` tells whether an entry
    /// still waits in a lane.
    pub fn pop(
        &mut self,
        now: Duration,
        waits: impl Fn(LaneId, u64) -> bool,
    ) -> Option<(LaneId, u64)> {
        let concurrency = self.limits.concurrency;
        self.all.iter_mut().find_map(|(id, lane)| {
            if lane.in_flight >= concurrency {
                return None;
            }
            lane.skip_to(|entry| waits(*id, entry));
            if lane.is_empty() || now < lane.open_at {
                return None;
            }
            if let Err(at) = lane.limiter.take(now) {
                lane.open_at = at;
                return None;
            }
            lane.in_flight += 1;
            let mut queues = lane.queues().into_iter();
            Some((*id, queues.find_map(VecDeque::pop_front)?))
        })
    }

    /// A call of that lane ended.
    pub fn ended(&mut self, lane: LaneId) {
        if let Some(lane) = self.all.get_mut(&lane) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
    }

    /// The API asked that lane for fewer calls.
    pub fn throttled(&mut self, lane: LaneId, now: Duration) {
        if let Some(lane) = self.all.get_mut(&lane) {
            lane.limiter.throttled(now);
        }
    }

    /// The API asked that lane to pause.
    pub fn pause(&mut self, lane: LaneId, now: Duration, pause: Duration) {
        if let Some(lane) = self.all.get_mut(&lane) {
            lane.limiter.pause(now, pause);
        }
    }

    /// When a waiting entry's lane opens next.
    pub fn next_opening(&self) -> Option<Duration> {
        self.all
            .values()
            .filter(|lane| !lane.is_empty() && lane.in_flight < self.limits.concurrency)
            .map(|lane| lane.open_at)
            .min()
    }
}

impl Lane {
    /// The first in the first comes first.
    fn queues(&mut self) -> [&mut VecDeque<u64>; 3] {
        [&mut self.urgent, &mut self.again, &mut self.in_turn]
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.again.is_empty() && self.in_turn.is_empty()
    }

    /// Drops those at the front that no longer wait.
    fn skip_to(&mut self, waits: impl Fn(u64) -> bool) {
        for queue in self.queues() {
            while queue.front().is_some_and(|entry| !waits(*entry)) {
                queue.pop_front();
            }
        }
    }
}

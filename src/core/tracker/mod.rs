//! Whose turn it is: a state machine over all objects, driven by events and answered by commands.
//!
//! The tracker does no I/O and reads no clock. The shell feeds it what happened
//! ([`Tracker::handle`]) and carries out what it asks for. A tracker that doesn't lead takes in what
//! the watches tell and asks for nothing.

mod decisions;
mod entry;
mod kept;
mod message;
mod objects;
mod pool;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

pub use self::message::{Call, Command, Config, Deletion, EntryId, Event, Now, Write, WriteResult};
use self::{
    entry::{Entry, Timer},
    kept::Kept,
    pool::Pools,
};
use super::{Input, ObjectKey, Observe, census::Census, lanes::Lanes, observe};

/// All objects and their turns.
#[derive(Clone, Debug)]
pub struct Tracker {
    config: Config,
    observe: Observe,
    entries: BTreeMap<EntryId, Box<Entry>>,
    by_key: BTreeMap<Arc<ObjectKey>, EntryId>,
    pools: Pools,
    last_id: EntryId,
    listings: BTreeMap<usize, u64>,
    timers: BTreeSet<(Duration, EntryId, Timer)>,
    lanes: Lanes,
    census: Census,
    leads: bool,
    leads_until: Duration,
    /// Entries whose statuses are being written, at the first attempt.
    writing: BTreeSet<EntryId>,
    /// Entries that have waited too long for their first answer and haven't said so yet.
    overdue: BTreeSet<EntryId>,
    commands: Vec<Command>,
}

impl Tracker {
    /// A tracker that knows no object yet, and stands by.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_rules(config, observe)
    }

    /// A tracker with other rules than [`observe`]'s: tests of the tests break some.
    #[must_use]
    pub fn with_rules(config: Config, observe: Observe) -> Self {
        Self {
            lanes: Lanes::new(config.limits),
            config,
            observe,
            entries: BTreeMap::new(),
            by_key: BTreeMap::new(),
            pools: Pools::default(),
            last_id: 0,
            listings: BTreeMap::new(),
            timers: BTreeSet::new(),
            census: Census::default(),
            leads: false,
            leads_until: Duration::ZERO,
            writing: BTreeSet::new(),
            overdue: BTreeSet::new(),
            commands: Vec::new(),
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Command> {
        // A lead that ran out is over, also where the first that is heard of it is the next one.
        if self.leads && now.monotonic >= self.leads_until {
            self.stand_by();
        }
        if let Event::LeadsUntil(until) = event {
            self.leads_until = until;
        }
        match (self.leads, now.monotonic < self.leads_until) {
            (false, true) => self.take_the_lead(now),
            (true, false) => self.stand_by(),
            _ => {}
        }
        self.take_in(event, now);
        if self.leads {
            self.fire_timers(now);
            self.dispatch(now);
        }
        mem::take(&mut self.commands)
    }

    /// When [`Event::Tick`] is due, as monotonic time.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, ..)| *at);
        let end = (self.leads && self.leads_until < Duration::MAX).then_some(self.leads_until);
        let opening = self.lanes.next_opening();
        timer.into_iter().chain(opening).chain(end).min()
    }

    /// Whether it asks for anything.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// The end is near: nobody says any more that it waits for its first answer, which would take
    /// the time of what is known.
    pub fn wind_up(&mut self) {
        self.overdue.clear();
        self.timers
            .retain(|(_, _, timer)| !matches!(timer, Timer::Overdue));
    }

    /// How many objects there are of each kind.
    #[must_use]
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// Moves the monotonic clock's zero forward. For model checkers, to which states that differ
    /// in their age only are the same.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        if self.leads_until < Duration::MAX {
            self.leads_until = earlier(self.leads_until);
        }
        self.lanes.rebase(by);
        self.timers = mem::take(&mut self.timers)
            .into_iter()
            .map(|(at, id, timer)| (earlier(at), id, timer))
            .collect();
        for entry in self.entries.values_mut() {
            entry.rebase(by);
        }
    }

    fn take_in(&mut self, event: Event, now: Now) {
        match event {
            Event::Relisting(watch) => *self.listings.entry(watch).or_default() += 1,
            Event::Listed(watch, object) => self.apply(watch, *object, true, now),
            Event::ListingDone(watch) => self.drop_unlisted(watch),
            Event::Applied(watch, object) => self.apply(watch, *object, false, now),
            Event::Gone(key) => {
                if let Some(id) = self.by_key.get(&key) {
                    self.forget(*id);
                }
            }
            Event::Identified {
                entry,
                secret,
                account,
            } => self.identified(entry, &secret, account, now),
            Event::CallEnded {
                entry,
                lane,
                outcome,
                started_at,
                poll_request,
            } => {
                self.lane_heard(lane, &outcome, now);
                let input = Input::Called {
                    outcome,
                    started_at,
                    poll_request,
                };
                self.call_ended(entry, input, now);
            }
            Event::WriteEnded(entry, result) => self.write_ended(entry, result, now),
            Event::DeleteFailed { entry, refused } => self.delete_failed(entry, refused, now),
            Event::LeadsUntil(_) | Event::Tick => {}
        }
    }

    /// Everything is looked at as after a restart.
    fn take_the_lead(&mut self, now: Now) {
        self.leads = true;
        let ids: Vec<EntryId> = self.entries.keys().copied().collect();
        for id in ids {
            self.welcome(id, now);
        }
    }

    /// Entries get new IDs, so that the end of what is still under way is nobody's news.
    fn stand_by(&mut self) {
        self.leads = false;
        self.timers.clear();
        self.writing.clear();
        self.overdue.clear();
        self.lanes.abandon();
        for entry in mem::take(&mut self.entries).into_values() {
            self.last_id += 1;
            self.by_key.insert(entry.object.key.clone(), self.last_id);
            let entry = Box::new(entry.abandoned());
            self.entries.insert(self.last_id, entry);
        }
    }

    fn fire_timers(&mut self, now: Now) {
        loop {
            self.say_who_waits(now);
            let due = self.timers.first().copied();
            let Some((at, id, timer)) = due.filter(|(at, ..)| *at <= now.monotonic) else {
                break;
            };
            self.timers.pop_first();
            match timer {
                Timer::Turn => self.take_turn(id, at, now),
                Timer::Overdue => self.is_overdue(id),
                Timer::Retry => self.retry_write(id, at, now),
            }
        }
    }
}

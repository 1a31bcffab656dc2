//! What the tracker knows of one object.

use std::time::Duration;

use crate::core::{Census, Input, Memory, Next, Object};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The entry's next turn.
    Turn,
    /// The entry has been without an answer for too long.
    Overdue,
    /// A failed write is tried again.
    Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Wait,
    Call { urgent: bool },
    Delete,
}

/// What an entry's schedule was last decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trigger {
    pub generation: i64,
    pub poll_request: Option<String>,
    pub deleting: bool,
    pub finished: bool,
}

impl Trigger {
    /// A poll request that was acted on or removed is no news.
    pub fn is_news_after(&self, before: &Self) -> bool {
        let request_is_new =
            self.poll_request.is_some() && self.poll_request != before.poll_request;
        request_is_new
            || self.generation != before.generation
            || self.deleting != before.deleting
            || self.finished != before.finished
    }
}

/// A status that is being written, or waits to be.
#[derive(Debug)]
pub struct Pending {
    pub input: Input,
    pub memory: Memory,
    pub next: Option<Next>,
    pub in_flight: bool,
    pub attempts: u32,
    /// A call that ended meanwhile.
    pub meanwhile: Option<Input>,
}

#[derive(Debug)]
pub struct Entry {
    pub object: Object,
    pub watch: usize,
    /// The listing of its watch that last showed it.
    pub listing: u64,
    /// The listing during which its status was last written.
    pub written_in: Option<u64>,
    pub memory: Memory,
    pub trigger: Trigger,
    pub turn: Option<(Duration, Turn)>,
    pub overdue_at: Option<Duration>,
    /// Since when it waits in a lane.
    pub queued_at: Option<Duration>,
    pub calling: bool,
    pub pending: Option<Pending>,
    pub retry_at: Option<Duration>,
}

impl Pending {
    /// To be decided again: on a call that ended meanwhile, if one did.
    pub fn reopened(self) -> Self {
        Self {
            input: self.meanwhile.unwrap_or(self.input),
            meanwhile: None,
            in_flight: false,
            ..self
        }
    }
}

impl Entry {
    pub fn trigger(&self) -> Trigger {
        Trigger {
            generation: self.object.generation,
            poll_request: self.object.pending_poll_request().map(str::to_owned),
            deleting: self.object.deleting,
            finished: self.object.is_finished(),
        }
    }

    /// Takes a newer view of the object.
    pub fn replace(&mut self, object: Object, census: &mut Census) {
        census.replace(Some(&self.object), Some(&object));
        self.object = object;
    }

    /// Whether nothing is planned or under way.
    pub fn is_idle(&self) -> bool {
        self.turn.is_none() && self.queued_at.is_none() && !self.calling && self.pending.is_none()
    }

    pub fn timers(&self) -> impl Iterator<Item = (Duration, Timer)> {
        let turn = self.turn.map(|(at, _)| (at, Timer::Turn));
        let overdue = self.overdue_at.map(|at| (at, Timer::Overdue));
        let retry = self.retry_at.map(|at| (at, Timer::Retry));
        turn.into_iter().chain(overdue).chain(retry)
    }
}

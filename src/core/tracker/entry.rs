//! What the tracker knows of one object.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::Kept;
use crate::core::{
    Census, Input, LaneId, Memory, Next, Notice, OVERDUE_AFTER, ObjectKey, Outcome, Reason,
};

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

/// How far a call has come that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// None is.
    Idle,
    /// It isn't known whose account this Secret's credentials are.
    Identifying {
        due: Duration,
        urgent: bool,
        secret: Box<ObjectKey>,
    },
    /// It waits in this lane.
    Queued { due: Duration, lane: LaneId },
    /// It is under way, with that Secret's credentials or the controller's own.
    Calling { secret: Option<Box<ObjectKey>> },
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
    /// None that an object can have, so that the first look decides everything.
    fn none() -> Self {
        Self {
            generation: -1,
            ..Self::default()
        }
    }

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
#[derive(Clone, Debug)]
pub struct Pending {
    pub input: Input,
    pub memory: Memory,
    pub next: Option<Next>,
    pub in_flight: bool,
    pub attempts: u32,
    /// Whether the API server refused it: then it is tried ever more seldom.
    pub refused: bool,
    /// A call that ended meanwhile.
    pub meanwhile: Option<Input>,
    /// What is told once it is written: also where nobody heard that it was.
    pub notice: Option<Notice>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub object: Kept,
    pub watch: usize,
    /// The listing of its watch that last showed it.
    pub listing: u64,
    /// The listing during which its status was last written.
    pub written_in: Option<u64>,
    pub memory: Memory,
    pub trigger: Trigger,
    pub turn: Option<(Duration, Turn)>,
    pub overdue_at: Option<Duration>,
    pub course: Course,
    /// Whether the API refused its last call for being one too many.
    pub was_throttled: bool,
    pub pending: Option<Box<Pending>>,
    pub retry_at: Option<Duration>,
    /// Deletions in a row that this version of the object was refused.
    pub refused_deletions: u32,
    /// The answer that changed nothing about the object as it is now, as a number.
    pub known_answer: Option<u64>,
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
    pub fn new(object: Kept, watch: usize, listing: u64) -> Self {
        Self {
            object,
            watch,
            listing,
            written_in: None,
            memory: Memory::default(),
            trigger: Trigger::none(),
            turn: None,
            overdue_at: None,
            course: Course::Idle,
            was_throttled: false,
            pending: None,
            retry_at: None,
            refused_deletions: 0,
            known_answer: None,
        }
    }

    /// As it would be after a restart, but for what is known of the object.
    pub fn abandoned(self) -> Self {
        Self {
            written_in: self.written_in,
            ..Self::new(self.object, self.watch, self.listing)
        }
    }

    /// From when on it shows that it waits for its first answer.
    pub fn overdue_from(&self, now: Duration) -> Option<Duration> {
        let waits = !self.object.has_ready();
        waits.then(|| now.saturating_add(OVERDUE_AFTER))
    }

    pub fn trigger(&self) -> Trigger {
        Trigger {
            generation: self.object.generation,
            poll_request: self.object.pending_poll_request().map(str::to_owned),
            deleting: self.object.deleting,
            finished: self.object.finished,
        }
    }

    /// Takes a newer view of the object.
    pub fn replace(&mut self, object: Kept, census: &mut Census) {
        census.replace(Some(self.object.kind), Some(object.kind));
        self.known_answer = None;
        if object.resource_version != self.object.resource_version {
            self.refused_deletions = 0;
        }
        self.object = object;
    }

    /// Notes that `input` changed nothing and the next call comes in its turn. Where time alone may
    /// bring a change, each answer is decided on.
    pub fn learn(&mut self, input: &Input, next: Option<Next>) {
        let running = matches!(
            self.object.reason,
            Some(Reason::TaskRunning | Reason::TaskPaused | Reason::TaskStateUnknown)
        );
        let in_turn = matches!(next, Some(Next::Call { urgent: false, .. }));
        self.known_answer = number_of(input)
            .filter(|_| running && in_turn && !self.object.has_timeout())
            .filter(|_| self.memory == Memory::default());
    }

    /// Whether nothing follows from `input` but the next call in its turn: so it was when the same
    /// answer came before, and neither the object nor what is remembered has changed since.
    pub fn knows(&self, input: &Input) -> bool {
        self.known_answer.is_some()
            && self.pending.is_none()
            && self.memory == Memory::default()
            && self.known_answer == number_of(input)
    }

    /// Whether nothing is planned or under way.
    pub fn is_idle(&self) -> bool {
        self.turn.is_none() && self.course == Course::Idle && self.pending.is_none()
    }

    /// Whether a call is under way.
    pub fn is_calling(&self) -> bool {
        matches!(self.course, Course::Calling { .. })
    }

    /// Takes back a call that hasn't begun.
    pub fn leave_queue(&mut self) {
        if !self.is_calling() {
            self.course = Course::Idle;
        }
    }

    /// Moves the clock's zero forward.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        self.turn = self.turn.map(|(at, turn)| (earlier(at), turn));
        self.overdue_at = self.overdue_at.map(earlier);
        self.retry_at = self.retry_at.map(earlier);
        match &mut self.course {
            Course::Identifying { due, .. } | Course::Queued { due, .. } => *due = earlier(*due),
            Course::Idle | Course::Calling { .. } => {}
        }
    }

    pub fn timers(&self) -> impl Iterator<Item = (Duration, Timer)> {
        let turn = self.turn.map(|(at, _)| (at, Timer::Turn));
        let overdue = self.overdue_at.map(|at| (at, Timer::Overdue));
        let retry = self.retry_at.map(|at| (at, Timer::Retry));
        turn.into_iter().chain(overdue).chain(retry)
    }
}

/// A number for an answer about the task that acts on no poll request. Two answers that differ have
/// the same one once in 2⁶⁴ times.
fn number_of(input: &Input) -> Option<u64> {
    let Input::Called {
        outcome: Outcome::Answer(task),
        poll_request: None,
        ..
    } = input
    else {
        return None;
    };
    let mut hasher = DefaultHasher::new();
    task.hash(&mut hasher);
    Some(hasher.finish())
}

//! What the scheduler knows of one object.

use std::{sync::Arc, time::Duration};

use super::{
    QueueId,
    call_queues::{CallQueues, Priority},
    fair_queue::Place,
    nodes::Concern,
    object_counts::{ObjectCounts, Row},
    work_queue::WorkQueue,
};
use crate::rules::{
    EventNote, Memory, Next, OVERDUE_AFTER, Object, ObjectKey, ObjectStatus, Occasion,
};

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The object is looked at: for the first time in this term, or for a Node changed.
    Look,
    /// What is planned for the object.
    Planned,
    /// The object has been without an answer for too long.
    Overdue,
    /// A failed write is retried.
    Retry,
    /// The object has waited for its nodes for too long.
    NodesOverdue,
    /// The tasks of a source are listed.
    List,
    /// A failed creation is tried again.
    Create,
    /// A failed write of a source's status is tried again.
    WriteSource,
}

/// What is planned for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planned {
    /// To decide again.
    Wait,
    /// To call the task API.
    Call(Priority),
    /// To delete the object.
    Delete,
}

/// How far a call has come that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollState {
    /// None is.
    Idle,
    /// It isn't known whose account the Secret's credentials are, and that waits to be found out.
    Unidentified {
        due: Duration,
        priority: Priority,
        place: Place<()>,
    },
    /// That is being found out. None where no call is due any more.
    Identifying { due: Option<(Duration, Priority)> },
    /// It waits in this queue.
    Queued {
        due: Duration,
        queue: QueueId,
        place: Place<Priority>,
    },
    /// It is under way, with that Secret's credentials or the controller's own.
    Calling { secret: Option<Box<ObjectKey>> },
}

impl PollState {
    /// Takes back a call that hasn't begun.
    pub fn take_back(
        &mut self,
        namespace: &Arc<str>,
        secrets: &mut WorkQueue<()>,
        calls: &mut CallQueues,
    ) {
        match self {
            Self::Unidentified { place, .. } => secrets.remove(namespace, *place),
            Self::Queued { queue, place, .. } => calls.remove(*queue, namespace, *place),
            Self::Identifying { due } => {
                *due = None;
                return;
            }
            Self::Idle | Self::Calling { .. } => return,
        }
        *self = Self::Idle;
    }

    /// Moves the clock's zero forward.
    pub fn rebase(&mut self, by: Duration) {
        match self {
            Self::Unidentified { due, .. }
            | Self::Identifying {
                due: Some((due, _)),
            }
            | Self::Queued { due, .. } => *due = due.saturating_sub(by),
            Self::Identifying { due: None } | Self::Idle | Self::Calling { .. } => {}
        }
    }
}

/// What an object's schedule was last decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecidedOn {
    generation: i64,
    poll_request: Option<Box<str>>,
    deleting: bool,
    finished: bool,
    node_changes: u32,
}

/// In what an object differs from what its schedule was decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// In nothing that counts: a poll request that was acted on or removed doesn't.
    None,
    /// In a new poll request only.
    PollRequest,
    /// In the Nodes that concern it.
    Nodes,
    /// In more.
    Object,
}

impl DecidedOn {
    /// What no object can have, so that the first look decides everything.
    fn nothing() -> Self {
        Self {
            generation: -1,
            ..Self::default()
        }
    }

    fn of(tracked: &Tracked) -> Self {
        let object = &tracked.object;
        Self {
            generation: object.generation,
            poll_request: object.pending_poll_request().map(Into::into),
            deleting: object.deleting,
            finished: object.is_finished(),
            node_changes: tracked.node_changes,
        }
    }

    fn change_since(&self, before: &Self) -> Change {
        let is_requested = self.poll_request.is_some() && self.poll_request != before.poll_request;
        let is_object = self.generation != before.generation
            || self.deleting != before.deleting
            || self.finished != before.finished;
        let is_nodes = self.node_changes != before.node_changes;
        match (is_object, is_requested, is_nodes) {
            (true, ..) | (_, true, true) => Change::Object,
            (_, true, _) => Change::PollRequest,
            (.., true) => Change::Nodes,
            _ => Change::None,
        }
    }
}

/// Which writes go first within a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WritePriority {
    /// Something changed.
    Change,
    /// That the object waits for its first answer, which is better news.
    Pending,
}

/// A status that is being written, or waits to be. What it says is decided when it is written.
#[derive(Clone, Debug)]
pub struct PendingWrite {
    /// What was last heard of the object.
    pub occasion: Occasion,
    /// When the call or the change began that led to it.
    pub since: Duration,
    pub stage: WriteStage,
    /// Attempts that failed.
    pub attempts: u32,
    /// Whether the object changed before one landed. Once, that counts as no attempt.
    pub had_conflict: bool,
    /// Whether the API server refused it: then it is retried ever more seldom.
    pub refused: bool,
    /// The status that was sent last.
    pub sent: Option<Box<ObjectStatus>>,
    /// Whether it holds a place for answers that wait.
    pub holds_answer: bool,
    /// A call that ended while it is under way.
    pub meanwhile: Option<Box<Occasion>>,
    /// The Event to publish after the write. It is kept over retries: a write may succeed and its
    /// answer be lost.
    pub note: Option<EventNote>,
}

/// How far a write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStage {
    /// Nothing is done about it.
    Open,
    /// It waits for a slot, for the first time.
    Queued(Place<WritePriority>),
    /// The same after it failed.
    QueuedAgain(Place<()>),
    /// It is under way; this follows if it succeeds.
    UnderWay { memory: Memory, next: Option<Next> },
    /// It failed, and is retried then.
    BackingOff { until: Duration },
}

impl PendingWrite {
    pub fn new(occasion: Occasion, since: Duration) -> Self {
        Self {
            occasion,
            since,
            stage: WriteStage::Open,
            attempts: 0,
            had_conflict: false,
            refused: false,
            sent: None,
            holds_answer: false,
            meanwhile: None,
            note: None,
        }
    }

    pub fn is_under_way(&self) -> bool {
        matches!(self.stage, WriteStage::UnderWay { .. })
    }

    /// To be decided again: on a call that ended meanwhile, if one did.
    pub fn reopen(&mut self) {
        if let Some(occasion) = self.meanwhile.take() {
            self.occasion = *occasion;
        }
        self.stage = WriteStage::Open;
    }
}

/// Whether an object that was never answered shows that it waits: it does after [`OVERDUE_AFTER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It shows something, or will as soon as it can; or nobody asks about it in this term.
    No,
    /// From then on, if no answer comes.
    At(Duration),
    /// That waits to be written, behind all else of its namespace.
    Queued(Place<WritePriority>),
}

#[derive(Clone, Debug)]
pub struct Tracked {
    pub object: Object,
    pub watch: usize,
    /// The listing of its watch that last showed it.
    pub listing: u32,
    /// The listing during which its status was last written.
    pub written_in: Option<u32>,
    /// Whether its status is known to be one that was written in this term.
    pub is_written: bool,
    pub memory: Memory,
    /// What of the Nodes concerns it.
    pub concern: Option<Box<Concern>>,
    /// Counts the changes of those Nodes.
    pub node_changes: u32,
    pub decided_on: DecidedOn,
    pub planned: Option<(Duration, Planned)>,
    pub overdue: Overdue,
    pub poll: PollState,
    /// Whether the API throttled its last call.
    pub was_throttled: bool,
    /// When the last call began that a poll request put forward.
    pub requested_at: Option<Duration>,
    pub write: Option<Box<PendingWrite>>,
    /// Deletions in a row that this version of the object was refused.
    pub refused_deletions: u32,
    /// Whether a deletion waits or is under way.
    pub is_being_deleted: bool,
    /// Up to when its allowance of Events is used up.
    pub events_used_until: Duration,
}

impl Tracked {
    pub fn new(object: Object, watch: usize, listing: u32) -> Self {
        Self {
            object,
            watch,
            listing,
            written_in: None,
            is_written: false,
            memory: Memory::default(),
            concern: None,
            node_changes: 0,
            decided_on: DecidedOn::nothing(),
            planned: None,
            overdue: Overdue::No,
            poll: PollState::Idle,
            was_throttled: false,
            requested_at: None,
            write: None,
            refused_deletions: 0,
            is_being_deleted: false,
            events_used_until: Duration::ZERO,
        }
    }

    /// As it would be after a restart, but for what is known of the object.
    pub fn reset(self) -> Self {
        Self {
            written_in: self.written_in,
            events_used_until: self.events_used_until,
            ..Self::new(self.object, self.watch, self.listing)
        }
    }

    /// From when on it shows that it waits for its first answer.
    pub fn overdue_from(&self, now: Duration) -> Option<Duration> {
        let waits = self.object.shown().is_none();
        waits.then(|| now.saturating_add(OVERDUE_AFTER))
    }

    /// Compares the object with what was last decided on, and remembers it as decided on.
    pub fn note_change(&mut self) -> Change {
        let now = DecidedOn::of(self);
        let change = now.change_since(&self.decided_on);
        self.decided_on = now;
        change
    }

    /// Compares without remembering.
    pub fn peek_change(&self) -> Change {
        DecidedOn::of(self).change_since(&self.decided_on)
    }

    /// The end was decided here: the watch that shows it brings nothing new.
    pub fn note_end(&mut self) {
        self.decided_on.finished = self.object.is_finished();
    }

    /// Whether what its status shows was written by this replica, and nothing else of it is about to be.
    pub fn was_written_by_us(&self) -> bool {
        self.is_written && self.write.is_none()
    }

    /// Takes a newer version of the object.
    pub fn replace(&mut self, object: Object, counts: &mut ObjectCounts) {
        counts.replace(Some(Row::of(&self.object)), Some(Row::of(&object)));
        if object.resource_version != self.object.resource_version {
            self.refused_deletions = 0;
        }
        // Equal, and shared with whatever else holds it.
        let key = self.object.key.clone();
        self.object = Object { key, ..object };
    }

    /// Whether a call is under way, waits, or waits for its account to be looked up.
    pub fn has_call(&self) -> bool {
        !matches!(
            self.poll,
            PollState::Idle | PollState::Identifying { due: None }
        )
    }

    /// Whether nothing is planned or under way.
    pub fn is_idle(&self) -> bool {
        self.planned.is_none() && !self.has_call() && self.write.is_none()
    }

    /// Moves the clock's zero forward.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        self.planned = self.planned.map(|(at, planned)| (earlier(at), planned));
        if let Overdue::At(at) = &mut self.overdue {
            *at = earlier(*at);
        }
        if let Some(at) = self
            .concern
            .as_mut()
            .and_then(|concern| concern.overdue_at.as_mut())
        {
            *at = earlier(*at);
        }
        if let Some(WriteStage::BackingOff { until }) =
            self.write.as_mut().map(|one| &mut one.stage)
        {
            *until = earlier(*until);
        }
        self.requested_at = self.requested_at.and_then(|at| at.checked_sub(by));
        self.events_used_until = earlier(self.events_used_until);
        self.poll.rebase(by);
    }

    pub fn timers(&self) -> impl Iterator<Item = (Duration, Timer)> {
        let planned = self.planned.map(|(at, _)| (at, Timer::Planned));
        // A look that is left finds no object.
        let overdue = match self.overdue {
            Overdue::At(at) => Some((at, Timer::Overdue)),
            Overdue::No | Overdue::Queued(_) => None,
        };
        let retry = match self.write.as_ref().map(|write| write.stage) {
            Some(WriteStage::BackingOff { until }) => Some((until, Timer::Retry)),
            _ => None,
        };
        let nodes = self.concern.as_ref().and_then(|concern| concern.overdue_at);
        let nodes = nodes.map(|at| (at, Timer::NodesOverdue));
        planned.into_iter().chain(overdue).chain(retry).chain(nodes)
    }
}

//! What the scheduler is told.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{CreationId, NoteId, ObjectId, QueueId};
use crate::rules::{Node, Object, ObjectKey, PageResult, PollError, PollResult, Source};

/// The time, of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What the calendar says: for what is shown.
    pub wall: Timestamp,
    /// What this machine's own clock says, where that is something else.
    pub local: Option<Timestamp>,
    /// Since any fixed moment, never backwards: for what is waited for.
    pub monotonic: Duration,
    /// Whether the task API has confirmed the calendar since the process began.
    pub is_confirmed: bool,
}

impl Now {
    /// What ends by the calendar must be over by this: by all that is known.
    pub(super) fn earliest(&self) -> Timestamp {
        self.local.map_or(self.wall, |local| local.min(self.wall))
    }
}

/// Something that happened.
#[expect(
    clippy::large_enum_variant,
    reason = "the large ones are the usual ones, and one exists at a time"
)]
#[derive(Clone, Debug)]
pub enum Input {
    /// This replica leads until that time, which may lie in the past: then it stands by.
    LeadsUntil(Duration),
    /// A watch lists all its objects from the start. Watches are numbered.
    Relisting(usize),
    /// One of them.
    Listed(usize, Box<Object>),
    /// That was all: what wasn't listed is gone.
    ListingDone(usize),
    /// A watch saw an object appear or change.
    Applied(usize, Box<Object>),
    /// An object is gone, or can't be read any more.
    Gone(ObjectKey),
    /// What [`Effect::Identify`](super::Effect::Identify) asked for was found out, or can't be.
    Identified {
        /// For this object.
        object: ObjectId,
        /// The Secret.
        secret: ObjectKey,
        /// The ID of its access key.
        account: Result<String, PollError>,
    },
    /// A call ended.
    CallEnded {
        /// About this object.
        object: ObjectId,
        /// In this queue.
        queue: QueueId,
        /// How.
        result: PollResult,
        /// When it began.
        started_at: Timestamp,
        /// The poll request that it acted on.
        poll_request: Option<Box<str>>,
    },
    /// The watch of Nodes saw something.
    Nodes(NodeInput),
    /// Something happened to a source.
    Source(SourceInput),
    /// A write of status ended.
    WriteEnded(ObjectId, WriteResult),
    /// A deletion ended. That the object is gone shows as [`Input::Gone`].
    DeletionEnded(ObjectId, DeletionResult),
    /// An Event was published, or not.
    EventEnded(NoteId, EventResult),
    /// The process is about to end: nothing new is begun, what is known is written.
    Stopping,
    /// The time that [`Scheduler::next_wake`](super::Scheduler::next_wake) named has come.
    Tick,
}

/// What the watch of Nodes saw.
#[derive(Clone, Debug)]
pub enum NodeInput {
    /// It lists all Nodes from the start.
    Relisting,
    /// One was listed, appeared or changed.
    Applied(Node),
    /// That was all: what wasn't listed is gone.
    ListingDone,
    /// The Node of that name is gone.
    Gone(Box<str>),
}

/// What happened to a source. Its watches have the numbers of the objects' watches of the same namespaces.
#[derive(Clone, Debug)]
pub enum SourceInput {
    /// A watch lists all its sources from the start.
    Relisting(usize),
    /// One of them.
    Listed(usize, Box<Source>),
    /// That was all: what wasn't listed is gone.
    ListingDone(usize),
    /// A watch saw a source appear or change.
    Applied(usize, Box<Source>),
    /// A source is gone, or can't be read any more.
    Gone(ObjectKey),
    /// A call for a page of its tasks ended.
    PageEnded {
        /// For this source.
        source: ObjectId,
        /// In this queue.
        queue: QueueId,
        /// For the page of this number.
        page: u32,
        /// How.
        result: PageResult,
        /// When it began.
        started_at: Timestamp,
    },
    /// A creation ended.
    CreationEnded(CreationId, CreationResult),
    /// A write of its status ended.
    WriteEnded(ObjectId, WriteResult<Source>),
}

/// How the creation of an object ended.
#[derive(Clone, Debug)]
pub enum CreationResult {
    /// The object is there.
    Created,
    /// One of that name was there: this one.
    Exists(Box<Object>),
    /// The API server refused it, in these words, as it will again unless somebody mends something.
    Refused(String),
    /// It failed, or nobody knows how it ended.
    Failed,
}

/// How a write of status ended.
#[derive(Clone, Debug)]
pub enum WriteResult<T = Object> {
    /// The object as it is now.
    Written(Box<T>),
    /// Somebody else was faster: the object as it is now.
    Conflict(Box<T>),
    /// There is no such object, or not any more.
    Gone,
    /// The API server refused it, as it will again unless somebody mends something.
    Refused,
    /// It failed, or nobody knows how it ended.
    Failed,
}

/// How a deletion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionResult {
    /// The object is gone.
    Deleted,
    /// The API server refused it, as it will again unless somebody mends something.
    Refused,
    /// It failed, or nobody knows how it ended.
    Failed,
}

/// How the publication of an Event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventResult {
    /// The Event is there.
    Created,
    /// The API server refused it, as it will again: it is dropped.
    Refused,
    /// It failed, or nobody knows how it ended.
    Failed,
}

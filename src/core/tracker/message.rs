//! What goes into the tracker and what comes out of it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::Kept;
use crate::{
    api::ScaleOutTaskStatus,
    core::{LaneId, LaneLimits, Notice, Object, ObjectKey, Outcome, Policy, Trouble},
};

/// One object over its life; another object of the same name has another.
pub type EntryId = u64;

/// The time, of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What the calendar says: for what is shown.
    pub wall: Timestamp,
    /// Since any fixed moment, never backwards: for what is waited for.
    pub monotonic: Duration,
}

/// What the tracker decides by.
#[derive(Clone, Debug)]
pub struct Config {
    /// The rules for what is shown.
    pub policy: Policy,
    /// The region of objects that name none.
    pub default_region: Option<String>,
    /// How much each lane may do.
    pub limits: LaneLimits,
    /// Scatters delays; another for each process.
    pub seed: u64,
}

impl Config {
    /// Where to ask about an object; none where nothing says.
    pub(super) fn region_of<'a>(&'a self, object: &'a Kept) -> Option<&'a str> {
        let own = object.region.as_deref();
        own.or(self.default_region.as_deref())
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
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
    /// It is known, or can't be, what [`Command::Identify`] asked for.
    Identified {
        /// For this entry.
        entry: EntryId,
        /// The Secret.
        secret: ObjectKey,
        /// The ID of its access key.
        account: Result<String, Trouble>,
    },
    /// A call ended.
    CallEnded {
        /// Of this entry.
        entry: EntryId,
        /// In this lane.
        lane: LaneId,
        /// How.
        outcome: Outcome,
        /// When it began.
        started_at: Timestamp,
        /// The poll request that it acted on.
        poll_request: Option<String>,
    },
    /// A write of status ended.
    WriteEnded(EntryId, WriteResult),
    /// A deletion failed. A success shows as [`Event::Gone`].
    DeleteFailed {
        /// Of this entry.
        entry: EntryId,
        /// Whether the API server refused it, as it will again unless somebody mends something.
        refused: bool,
    },
    /// The time that [`Tracker::next_wake`](super::Tracker::next_wake) named has come.
    Tick,
}

/// How a write of status ended.
#[derive(Clone, Debug)]
pub enum WriteResult {
    /// The object as it is now.
    Written(Box<Object>),
    /// Somebody else was faster: the object as it is now.
    Conflict(Box<Object>),
    /// There is no such object, or not any more.
    Gone,
    /// The API server refused it, as it will again unless somebody mends something.
    Refused,
    /// It failed, or nobody knows how it ended.
    Failed,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Find out whose account a Secret's credentials are, and answer with [`Event::Identified`].
    Identify {
        /// For this entry.
        entry: EntryId,
        /// The Secret.
        secret: ObjectKey,
    },
    /// Ask the task API, and answer with [`Event::CallEnded`].
    Call(Call),
    /// Write a status, and answer with [`Event::WriteEnded`].
    Write(Box<Write>),
    /// Tell of a change whose write turned out to have succeeded.
    Tell(Box<Object>, Notice),
    /// Delete the object, and answer with [`Event::DeleteFailed`] if that fails.
    Delete(Deletion),
}

/// An object to delete.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// For this entry.
    pub entry: EntryId,
    /// The object's name.
    pub key: Arc<ObjectKey>,
    /// A precondition.
    pub uid: String,
    /// A precondition.
    pub resource_version: String,
    /// How often it was refused before.
    pub attempts: u32,
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// For this entry.
    pub entry: EntryId,
    /// In this lane.
    pub lane: LaneId,
    /// The object's name.
    pub key: Arc<ObjectKey>,
    /// Where to ask.
    pub region: String,
    /// What about.
    pub task_id: String,
    /// The Secret whose credentials to use; none for the controller's own.
    pub secret: Option<ObjectKey>,
    /// The poll request it acts on.
    pub poll_request: Option<String>,
    /// How late it starts.
    pub lag: Duration,
}

/// A status to write.
#[derive(Clone, Debug)]
pub struct Write {
    /// For this entry.
    pub entry: EntryId,
    /// The object as it was decided on.
    pub object: Object,
    /// The status it should have.
    pub status: ScaleOutTaskStatus,
    /// The Event to publish then.
    pub notice: Option<Notice>,
    /// How often this was tried before.
    pub attempts: u32,
}

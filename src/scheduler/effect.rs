//! What the scheduler asks for.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{CreationId, NoteId, ObjectId, QueueId};
use crate::{
    api::ScaleOutTask,
    rules::{
        EventNote, Object, ObjectKey, ObjectStatus, Reason, ResourceVersion, Source, SourceStatus,
        TaskChange, Uid,
    },
};

/// Something to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Find out whose account a Secret's credentials are, and answer with
    /// [`Input::Identified`](super::Input::Identified).
    Identify {
        /// For this object.
        object: ObjectId,
        /// The Secret.
        secret: ObjectKey,
    },
    /// Ask the task API, and answer with [`Input::CallEnded`](super::Input::CallEnded).
    Call(Call),
    /// Ask for a page of a cluster's tasks, and answer with
    /// [`SourceInput::PageEnded`](super::SourceInput::PageEnded).
    List(ListCall),
    /// Count a list of tasks that ended.
    RecordListing(ListingEnd),
    /// Create an object, and answer with [`SourceInput::CreationEnded`](super::SourceInput::CreationEnded).
    Create(Box<Creation>),
    /// Count an object that was made of a found task.
    CountMade,
    /// Write a source's status, and answer with [`SourceInput::WriteEnded`](super::SourceInput::WriteEnded).
    WriteSource(Box<SourceWrite>),
    /// Write a status, and answer with [`Input::WriteEnded`](super::Input::WriteEnded).
    Write(Box<Write>),
    /// Delete the object, and answer with [`Input::DeletionEnded`](super::Input::DeletionEnded).
    Delete(Deletion),
    /// Log and count a change of reason that is written. Its Event comes by itself.
    Record(Box<Record>),
    /// Say that the API server keeps another status of that object than was written.
    TellAltered(ObjectKey),
    /// Say that somebody else changed the status of that object.
    TellForeign(ObjectKey),
    /// Publish an Event, and answer with [`Input::EventEnded`](super::Input::EventEnded).
    Publish(Box<Publication>),
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// About this object.
    pub object: ObjectId,
    /// In this queue.
    pub queue: QueueId,
    /// The object's name.
    pub key: ObjectKey,
    /// Where to ask.
    pub region: Box<str>,
    /// What about.
    pub task_id: Box<str>,
    /// The Secret whose credentials to use; none for the controller's own.
    pub secret: Option<ObjectKey>,
    /// The only cluster whose task counts; any other's is none. None for any.
    pub only_cluster: Option<Box<str>>,
    /// The poll request that it acts on.
    pub poll_request: Option<Box<str>>,
    /// How late it starts.
    pub lag: Duration,
    /// Whether a poll request put it forward.
    pub is_requested: bool,
}

/// A call for a page of a cluster's tasks.
#[derive(Clone, Debug)]
pub struct ListCall {
    /// For this source.
    pub source: ObjectId,
    /// In this queue.
    pub queue: QueueId,
    /// The source's name.
    pub key: ObjectKey,
    /// Where to ask.
    pub region: Box<str>,
    /// Whose tasks.
    pub cluster_id: Box<str>,
    /// The number of the page; the first is 1.
    pub page: u32,
    /// The Secret whose credentials to use; none for the controller's own.
    pub secret: Option<ObjectKey>,
    /// How late it starts.
    pub lag: Duration,
}

/// How a list of tasks ended.
#[derive(Clone, Debug)]
pub struct ListingEnd {
    /// Where it was asked for.
    pub region: Box<str>,
    /// Why it ended early, if it did.
    pub error: Option<Reason>,
}

/// An object to create.
#[derive(Clone, Debug)]
pub struct Creation {
    /// Its number.
    pub id: CreationId,
    /// The object's name.
    pub key: ObjectKey,
    /// The object.
    pub object: ScaleOutTask,
    /// How often this was tried before.
    pub attempts: u32,
}

/// A source's status to write.
#[derive(Clone, Debug)]
pub struct SourceWrite {
    /// Of this source.
    pub id: ObjectId,
    /// The source as it was decided on.
    pub source: Source,
    /// The status that it should have.
    pub status: SourceStatus,
    /// How often this was tried before.
    pub attempts: u32,
}

/// A status to write.
#[derive(Clone, Debug)]
pub struct Write {
    /// Of this object.
    pub id: ObjectId,
    /// The object as it was decided on.
    pub object: Object,
    /// The status that it should have.
    pub status: ObjectStatus,
    /// What becomes of what the status shows of the task.
    pub task: TaskChange,
    /// How often this was tried before.
    pub attempts: u32,
    /// When the call or the change began that led to it, as monotonic time.
    pub since: Duration,
}

/// An object to delete.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// This object.
    pub object: ObjectId,
    /// The object's name.
    pub key: ObjectKey,
    /// A precondition.
    pub uid: Uid,
    /// A precondition.
    pub resource_version: ResourceVersion,
    /// How often it was refused before.
    pub attempts: u32,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A `ScaleOutTask`.
    Task,
    /// A `ScaleOutTaskSource`.
    Source,
}

/// A change of reason that is written.
#[derive(Clone, Debug)]
pub struct Record {
    /// Of an object of this kind.
    pub kind: Kind,
    /// Its name.
    pub key: ObjectKey,
    /// Its task; a source's cluster.
    pub subject: Box<str>,
    /// What the Event says.
    pub note: EventNote,
}

/// An Event to publish.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its number.
    pub id: NoteId,
    /// What it is about.
    pub kind: Kind,
    /// The object that it is about.
    pub key: ObjectKey,
    /// That object's UID.
    pub uid: Uid,
    /// The version of the object before the change: with UID and reason it makes the Event's name,
    /// so that an Event that is published again is the same.
    pub resource_version: ResourceVersion,
    /// What it says.
    pub note: EventNote,
    /// When the change was seen to be written.
    pub at: Timestamp,
    /// Whether it is dropped if this attempt fails.
    pub is_last_attempt: bool,
}

impl Publication {
    /// The reason of the change.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.note.reason
    }
}

//! What is never broken, in no state that can be reached.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::{
    rules::{Object, Reason},
    scheduler::{Deletion, Write},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    NoStaleWrite,
    NoLeadBeyondItsTime,
    OneLeader,
    FinishedIsNeverPolled,
    SuspendedIsNeverPolled,
    GoneIsNeverPolled,
    OneCallAtATime,
    OnlyFinishedIsDeleted,
    PollRequestIsActedOn,
    WhatIsKnownStays,
    FinishedStaysSo,
    NodesWereReady,
    MadeOnce,
    NoneMissed,
    MadeIsCounted,
    RememberedFirst,
    NothingIsForgotten,
    OneCreationAtATime,
    ObjectsAreKnownFirst,
    CallsAreBounded,
    NamespacesTakeTurns,
    NamespacesShareSlots,
    RequestsTakeTurns,
    /// Left alone, everything shows the truth within a bounded number of steps.
    Converges,
    /// And then costs no more than it should.
    ComesToRest,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStaleWrite => "a stale write never lands over a newer one",
            Self::NoLeadBeyondItsTime => {
                "nothing is done later than 10 s after the last renewal was sent"
            }
            Self::OneLeader => "no two replicas lead at a time",
            Self::FinishedIsNeverPolled => "a finished object is never polled",
            Self::SuspendedIsNeverPolled => "a suspended object is never polled",
            Self::GoneIsNeverPolled => "an object that is gone is never polled",
            Self::OneCallAtATime => "there is one call about an object at a time",
            Self::OnlyFinishedIsDeleted => {
                "only a finished object is deleted, as it was decided on, its time over"
            }
            Self::PollRequestIsActedOn => "a poll request is echoed after a call, not before",
            Self::WhatIsKnownStays => "trouble takes nothing away that was shown",
            Self::FinishedStaysSo => "a finished object stays so",
            Self::NodesWereReady => {
                "an object shows NodesReady only after all nodes were Ready at one time"
            }
            Self::MadeOnce => {
                "no second object is made of a task, unless a person deleted the first, and either the source didn't \
                 remember it and who makes the second never heard of it, or the second was under way"
            }
            Self::NoneMissed => "while a source lists, each task of the list has an object, or had one",
            Self::MadeIsCounted => "a source counts the objects that were made",
            Self::RememberedFirst => {
                "an object is deleted for its age only once its source remembers its task"
            }
            Self::NothingIsForgotten => "what a source remembers it remembers until it is old",
            Self::OneCreationAtATime => "one object is made of a task at a time",
            Self::ObjectsAreKnownFirst => "nothing is made before it is known what objects there are",
            Self::CallsAreBounded => "no more calls are under way than may be",
            Self::NamespacesTakeTurns => {
                "while an object waits, another namespace gets one call at most"
            }
            Self::NamespacesShareSlots => "a namespace leaves slots for the writes of others",
            Self::RequestsTakeTurns => {
                "of two calls in a row that were requested, no other object waited for the second"
            }
            Self::Converges => "left alone, every object comes to show the truth",
            Self::ComesToRest => "shown the truth, an object costs no write, and calls only if due",
        })
    }
}

/// What a write breaks that lands on `stored`; `polled` are the poll requests that calls were
/// made for.
pub fn broken_by_write(stored: &Object, write: &Write, polled: &[Box<str>]) -> Option<Promise> {
    let after = Object {
        status: write.status.clone(),
        ..stored.clone()
    };
    let request = after.status.last_handled_poll_request.as_ref();
    let echoes = request != stored.status.last_handled_poll_request.as_ref();
    let loses = stored.status.was_read() && !after.status.was_read();
    if stored.resource_version != write.object.resource_version {
        return Some(Promise::NoStaleWrite);
    }
    let was_asked_for = request.is_some_and(|request| polled.contains(request));
    if echoes && !was_asked_for {
        return Some(Promise::PollRequestIsActedOn);
    }
    if loses && after.reason() != Some(Reason::ClusterMismatch) {
        return Some(Promise::WhatIsKnownStays);
    }
    // A call that was asked for may find that the task runs again.
    let goes_back = stored.is_finished() && !after.is_finished();
    (goes_back && !was_asked_for).then_some(Promise::FinishedStaysSo)
}

/// What a deletion breaks that lands on `stored`.
pub fn broken_by_deletion(stored: &Object, deletion: &Deletion, now: Timestamp) -> Option<Promise> {
    let end = stored.status.finished_at;
    let due = end.zip(stored.spec.ttl()).map(|(end, ttl)| end + ttl);
    let is_right = stored.is_finished()
        && stored.resource_version == deletion.resource_version
        && due.is_some_and(|due| due <= now);
    (!is_right).then_some(Promise::OnlyFinishedIsDeleted)
}

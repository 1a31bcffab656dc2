//! What a replica asks of the task API and the API server, and what can become of it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::{
    rules::{PageResult, PollResult, Source},
    scheduler::{
        Call, Creation, CreationResult, Deletion, LeaseRecord, ListCall, SourceWrite, Write,
        WriteResult,
    },
};

/// A request of one replica.
#[derive(Clone, Debug)]
pub struct Request {
    pub what: What,
    pub stage: Stage,
    /// When it was sent, by the clock that every replica shares here.
    pub sent_at: Duration,
    /// The same by the calendar.
    pub started_at: Timestamp,
}

#[derive(Clone, Debug)]
pub enum What {
    Call(Call),
    Write(Box<Write>),
    Delete(Deletion),
    List(ListCall),
    Create(Box<Creation>, Knows),
    WriteSource(Box<SourceWrite>),
    ReadLease,
    Claim(LeaseRecord),
}

/// What the sender of a creation can know of an object that was made of the task before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// It never heard of one.
    Nothing,
    /// It heard of one.
    OfOne,
    /// A person deleted one since the creation was decided on.
    TooLate,
}

#[derive(Clone, Debug)]
pub enum Stage {
    /// Decided on, but still on this side of the fence.
    Decided,
    /// It arrives before time passes.
    Sent,
    /// It arrives some time.
    Late,
    /// It was answered. The answer comes some time.
    Answered(Reply),
}

#[derive(Clone, Debug)]
pub enum Reply {
    Called(Box<PollResult>),
    Written(WriteResult),
    Listed(PageResult),
    Created(CreationResult),
    SourceWritten(WriteResult<Source>),
    Deleted {
        done: bool,
    },
    Lease(Option<LeaseRecord>),
    /// The Lease as it is now; none where it wasn't as the claim said.
    Claimed(Option<LeaseRecord>),
    /// Nobody knows how it ended.
    Nothing,
}

/// What becomes of a request. All but the first are faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It has its effect, and its answer comes.
    Done,
    /// It never arrives.
    Fails,
    /// It has its effect, but its answer is lost.
    Unheard,
    /// It has its effect, but its answer takes its time.
    Slow,
    /// It takes its time to arrive.
    Late,
    /// It is refused until somebody mends something.
    Refused,
    /// It is too much for the task API.
    Throttled,
}

impl Request {
    pub fn is_decided(&self) -> bool {
        matches!(self.stage, Stage::Decided)
    }
}

impl What {
    /// How long its sender waits for the end of it.
    pub fn patience(&self) -> Duration {
        match self {
            Self::ReadLease | Self::Claim(_) => Duration::from_secs(3),
            _ => Duration::from_secs(10),
        }
    }

    /// Whether it can do anything after its sender has given it up.
    pub fn has_effect(&self) -> bool {
        !matches!(self, Self::Call(_) | Self::List(_) | Self::ReadLease)
    }

    /// Whether it needs the lead.
    pub fn is_fenced(&self) -> bool {
        !matches!(
            self,
            Self::Call(_) | Self::List(_) | Self::ReadLease | Self::Claim(_)
        )
    }

    /// Whether this fault can befall it.
    pub fn suffers(&self, fate: Fate) -> bool {
        match fate {
            Fate::Refused => matches!(self, Self::Call(_) | Self::Write(_)),
            Fate::Throttled => matches!(self, Self::Call(_)),
            // What has no effect is the same, lost on its way there or back.
            Fate::Unheard => self.has_effect(),
            _ => true,
        }
    }
}

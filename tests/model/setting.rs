//! Which world it is: its objects, and how much may go wrong.

use std::time::Duration;

use scaleouttask_controller::{api::ScaleOutTaskSpec, rules::Reason, scheduler::CallLimits};

use crate::{request::Fate, source::Specify, variant::Variant, world::World};

#[derive(Clone, Debug)]
pub struct Setting {
    pub name: &'static str,
    /// Two replicas under a Lease; else one that always leads.
    pub elects: bool,
    /// The objects; where there is a source, its tasks, of which it makes them.
    pub objects: Vec<Plan>,
    pub source: Option<Specify>,
    /// How the world begins.
    pub begin: fn(&Setting) -> World,
    /// What each Node goes through, in turn. Where there are any, each task has an instance for each.
    pub nodes: &'static [&'static [NodeTruth]],
    /// How many faults there are at most, and of which kinds.
    pub faults: usize,
    pub fates: &'static [Fate],
    pub accidents: &'static [Accident],
    /// How often users do something at most, and what.
    pub edits: usize,
    pub edit_kinds: &'static [Edit],
    /// After so long the calendar goes round and round within a poll interval, so that states
    /// recur.
    pub calendar: Duration,
    /// How many calls may be made, and how many writes.
    pub limits: CallLimits,
    pub write_slots: usize,
    pub variant: Variant,
}

/// One object and its task.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub specify: fn(&mut ScaleOutTaskSpec),
    /// What the task goes through, in turn.
    pub truths: &'static [Truth],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Missing,
    State(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeTruth {
    Gone,
    NotReady,
    Ready,
}

/// What can happen to a whole replica, its watch, or the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accident {
    /// SIGKILL.
    Crash,
    /// SIGTERM.
    Stop,
    /// SIGSTOP.
    Freeze,
    /// The watch tells nothing for a while.
    Stall,
    /// The watch starts over.
    Relist,
    /// That of Nodes does.
    RelistNodes,
    /// The watch of sources tells nothing for a while.
    StallSources,
    /// It starts over.
    RelistSources,
    /// Somebody else takes the Lease.
    Steal,
    /// Somebody deletes the Lease.
    Unlease,
}

/// What users do to an object, or to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    ToggleSuspend,
    AskForPoll,
    LiftTimeout,
    SetTtl,
    Touch,
    DeleteOrCreate,
    Delete,
    /// These are about the source.
    SuspendSource,
    DeleteSource,
    OrphanSource,
}

pub const RUNNING: Truth = Truth::State("running");
pub const SUCCESS: Truth = Truth::State("success");

impl Edit {
    pub fn is_about_source(self) -> bool {
        matches!(
            self,
            Self::SuspendSource | Self::DeleteSource | Self::OrphanSource
        )
    }
}

impl Truth {
    /// What an object shows in the end that nobody holds up.
    pub fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::TaskNotFound,
            Self::State("success") => Reason::TaskSucceeded,
            Self::State("fail") => Reason::TaskFailed,
            Self::State("paused") => Reason::TaskPaused,
            Self::State(_) => Reason::TaskRunning,
        }
    }
}

impl Setting {
    /// One replica, one task that ends well, and nothing that goes wrong.
    pub fn plain(name: &'static str) -> Self {
        Self {
            name,
            elects: false,
            objects: vec![Plan {
                specify: |_| {},
                truths: &[RUNNING, SUCCESS],
            }],
            source: None,
            begin: World::new,
            nodes: &[],
            faults: 0,
            fates: &[],
            accidents: &[],
            edits: 0,
            edit_kinds: &[],
            calendar: Duration::ZERO,
            limits: CallLimits {
                requests_per_second: 1000.0,
                concurrency: 2,
                max_calls: 2,
            },
            write_slots: 8,
            variant: Variant::None,
        }
    }
}

//! A task as the API describes it.

use k8s_openapi::jiff::Timestamp;

use super::{Mark, task_state::normal_result, text::shorten};
use crate::api::InstanceCounts;

/// How many instances the status lists.
pub const MAX_RESULTS: usize = 1000;
/// Of how many instances more their nodes can be waited for: more than a cluster has.
pub const MAX_OTHERS: usize = 10_000;
/// How many stages the status shows.
pub const MAX_STAGES: usize = 20;

/// The longest word: an ID, a state or a type, in characters.
pub const WORD_CHARS: usize = 64;
pub(super) const INSTANCE_ID_CHARS: usize = 128;
pub(super) const ERROR_CODE_CHARS: usize = 128;
pub(super) const ERROR_MESSAGE_CHARS: usize = 1024;
pub(super) const STAGE_TIME_CHARS: usize = 32;
pub(super) const STAGE_MESSAGE_CHARS: usize = 256;
pub(super) const EVENT_LEVEL_CHARS: usize = 32;
pub(super) const EVENT_MESSAGE_CHARS: usize = 512;

/// A task as the API describes it, not yet normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Task {
    /// The task's ID, where the API repeats it.
    pub task_id: Option<String>,
    /// The cluster it belongs to.
    pub cluster_id: Option<String>,
    /// What kind of task it is.
    pub task_type: Option<String>,
    /// What it is doing now.
    pub current_stage: Option<String>,
    /// Its state; never empty.
    pub state: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it last changed.
    pub updated: Option<Timestamp>,
    /// Its instances, in the API's order.
    pub results: Instances,
    /// The task's own error: code and message.
    pub error: Option<(Option<String>, Option<String>)>,
    /// What it works on.
    pub target: Option<Target>,
    /// What it does one after the other, in the API's order.
    pub stages: Vec<Stage>,
    /// What it told of itself, in the API's order.
    pub events: Vec<TaskEvent>,
}

/// One instance of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The instance's ID.
    pub id: String,
    /// What became of it.
    pub status: String,
}

/// What a task works on, such as a node pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// What kind of thing it is.
    pub type_: Option<String>,
    /// Its ID.
    pub id: Option<String>,
}

/// One of the things that a task does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stage {
    /// How far it is.
    pub state: Option<String>,
    /// When it began, as the API writes it: often without a zone.
    pub start_time: Option<String>,
    /// When it ended, likewise.
    pub end_time: Option<String>,
    /// What it says.
    pub message: Option<String>,
}

/// Something that a task told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TaskEvent {
    /// When.
    pub time: Option<Timestamp>,
    /// How bad it is.
    pub level: Option<String>,
    /// Why, in a word.
    pub reason: Option<String>,
    /// What happened.
    pub message: Option<String>,
    /// Who tells.
    pub source: Option<String>,
}

/// The instances of a task: those that a status lists, and of all others what decides. A body has room for tens
/// of thousands, and many answers may wait to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instances {
    listed: Vec<Instance>,
    others: Vec<Mark>,
    counts: InstanceCounts,
}

impl Instances {
    /// The first [`MAX_RESULTS`], in the API's order.
    #[must_use]
    pub fn listed(&self) -> &[Instance] {
        &self.listed
    }

    /// The IDs of the others, [`MAX_OTHERS`] at most.
    #[must_use]
    pub fn others(&self) -> &[Mark] {
        &self.others
    }

    /// How many there are in all, and what became of them.
    #[must_use]
    pub fn counts(&self) -> InstanceCounts {
        self.counts
    }

    /// Adds the instances of a later part of the body.
    pub fn append(&mut self, other: Self) {
        let room = MAX_RESULTS - self.listed.len();
        let mut listed = other.listed.into_iter();
        self.listed.extend(listed.by_ref().take(room));
        let others = listed.map(|instance| Mark::of(&instance.id));
        let room = MAX_OTHERS - self.others.len();
        self.others.extend(others.chain(other.others).take(room));
        self.counts.total += other.counts.total;
        self.counts.succeeded += other.counts.succeeded;
        self.counts.failed += other.counts.failed;
        self.counts.pending += other.counts.pending;
    }
}

impl From<Instance> for Instances {
    fn from(mut instance: Instance) -> Self {
        let mut counts = InstanceCounts {
            total: 1,
            ..InstanceCounts::default()
        };
        match normal_result(&instance.status) {
            "success" => counts.succeeded = 1,
            "failed" => counts.failed = 1,
            _ => counts.pending = 1,
        }
        shorten(&mut instance.id, INSTANCE_ID_CHARS);
        shorten(&mut instance.status, WORD_CHARS);
        Self {
            listed: vec![instance],
            others: Vec::new(),
            counts,
        }
    }
}

impl FromIterator<Instance> for Instances {
    fn from_iter<I: IntoIterator<Item = Instance>>(instances: I) -> Self {
        let mut all = Self::default();
        for instance in instances {
            all.append(instance.into());
        }
        all
    }
}

impl Task {
    /// Shortens what a status would cut, for answers may wait to be written. What is too long stays too long, so
    /// that it never becomes equal to what it isn't.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let words = [
            &mut self.task_id,
            &mut self.cluster_id,
            &mut self.task_type,
            &mut self.current_stage,
        ];
        for word in words.into_iter().flatten() {
            shorten(word, WORD_CHARS);
        }
        shorten(&mut self.state, WORD_CHARS);
        if let Some((code, message)) = &mut self.error {
            shorten_any(code, ERROR_CODE_CHARS);
            shorten_any(message, ERROR_MESSAGE_CHARS);
        }
        if let Some(target) = &mut self.target {
            shorten_any(&mut target.type_, WORD_CHARS);
            shorten_any(&mut target.id, WORD_CHARS);
        }
        for stage in &mut self.stages {
            shorten_any(&mut stage.state, WORD_CHARS);
            shorten_any(&mut stage.start_time, STAGE_TIME_CHARS);
            shorten_any(&mut stage.end_time, STAGE_TIME_CHARS);
            shorten_any(&mut stage.message, STAGE_MESSAGE_CHARS);
        }
        for event in &mut self.events {
            shorten_any(&mut event.level, EVENT_LEVEL_CHARS);
            shorten_any(&mut event.reason, WORD_CHARS);
            shorten_any(&mut event.message, EVENT_MESSAGE_CHARS);
            shorten_any(&mut event.source, WORD_CHARS);
        }
        self
    }
}

fn shorten_any(text: &mut Option<String>, max: usize) {
    if let Some(text) = text {
        shorten(text, max);
    }
}

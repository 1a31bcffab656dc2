//! A task as a list of its cluster's tasks shows it: in short.

use k8s_openapi::jiff::Timestamp;

use super::{
    Mark, PollError, task::WORD_CHARS, task_state::normal_state, text::shown, time::floor_to_second,
};

/// One task of a list, not yet normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedTask {
    /// Its ID as the API writes it; empty where it has none.
    pub task_id: Box<str>,
    /// What kind of task it is.
    pub task_type: Option<Box<str>>,
    /// Its state; empty where it has none.
    pub state: Box<str>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it last changed.
    pub updated: Option<Timestamp>,
}

impl ListedTask {
    /// Stands for its state and the time of its last change, as [`ObjectStatus`](super::ObjectStatus) does; none
    /// where that can't be read.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let updated = floor_to_second(self.updated?);
        let state = shown(normal_state(&self.state), WORD_CHARS);
        Some(Mark::of_state(&state, updated.as_second()))
    }
}

/// How a call for one page of a list ended: with the tasks on it, in the API's order, or without.
pub type PageResult = Result<Vec<ListedTask>, PollError>;

//! Writes and deletions: under way, and not begun yet.

use std::{collections::VecDeque, time::Instant};

use super::{
    jobs::{Ended, Jobs},
    writes::Writer,
};
use crate::core::{Command, Event, WriteResult};

/// Work for the API server, so much of it at a time, first come first served.
pub struct Backlog {
    most: usize,
    under_way: Jobs,
    /// Commands and no jobs yet, which take many times the memory.
    waiting: VecDeque<(Command, Instant)>,
}

impl Backlog {
    /// No work yet; later, at most so much at the same time.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            under_way: Jobs::default(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes on a write or a deletion; `began` is when that began which led to it.
    pub fn push(&mut self, command: Command, began: Instant) {
        self.waiting.push_back((command, began));
    }

    /// Begins what may begin.
    pub fn begin(&mut self, writer: &Writer) {
        while self.under_way.len() < self.most
            && let Some((command, began)) = self.waiting.pop_front()
        {
            let writer = writer.clone();
            match command {
                Command::Write(write) => {
                    let entry = write.entry;
                    let otherwise = move || Event::WriteEnded(entry, WriteResult::Failed);
                    let job = writer.write(*write, began);
                    self.under_way.spawn(began, job, otherwise);
                }
                Command::Delete(deletion) => {
                    let (entry, refused) = (deletion.entry, false);
                    let otherwise = move || Event::DeleteFailed { entry, refused };
                    let job = writer.delete(deletion);
                    self.under_way.spawn(began, job, otherwise);
                }
                _ => {}
            }
        }
    }

    /// The next end of what is under way; waits for ever where nothing is.
    pub async fn next(&mut self) -> Ended {
        self.under_way.next().await
    }

    /// How much hasn't begun yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Forgets what hasn't begun.
    pub fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// Forgets the deletions that haven't begun.
    pub fn forget_deletions(&mut self) {
        self.waiting
            .retain(|(command, _)| !matches!(command, Command::Delete(_)));
    }

    /// Drops what is under way.
    pub fn abandon(&mut self) {
        self.under_way.abandon();
    }
}

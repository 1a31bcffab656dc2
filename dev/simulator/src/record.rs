//! The record of requests and answers.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

/// One request for a single task.
#[derive(Debug, Clone)]
pub struct Request {
    /// The task ID. Empty if the path has none.
    pub task_id: String,
    /// The region: the first segment of the path with `regionInPath`, else the `Host` header.
    pub region: String,
    /// When it was received.
    pub at: Instant,
    /// The status of the answer, once it began. `None` for a hang, a reset, or a client that closed the
    /// connection before.
    pub answered: Option<u16>,
    /// The state in the answer, if it describes the task.
    pub state: Option<String>,
    /// Whether it had an `Authorization` header.
    pub authorization: bool,
    /// The access key ID in that header.
    pub access_key_id: Option<String>,
}

/// One call for a page of a cluster's tasks.
#[derive(Debug, Clone)]
pub struct ListCall {
    /// The cluster.
    pub cluster_id: String,
    /// The region: the first segment of the path with `regionInPath`, else the `Host` header.
    pub region: String,
    /// `page_number`, if it is a number.
    pub page_number: Option<u64>,
    /// `page_size`, if it is a number.
    pub page_size: Option<u64>,
    /// When it was received.
    pub at: Instant,
    /// The status of the answer, once it began. `None` for a hang, a reset, or a client that closed the
    /// connection before.
    pub answered: Option<u16>,
    /// How many tasks are in the answer, if it is a page.
    pub tasks: Option<usize>,
    /// Whether it had an `Authorization` header.
    pub authorization: bool,
    /// The access key ID in that header.
    pub access_key_id: Option<String>,
}

/// How many calls of a kind are kept. The oldest are dropped first, but stay counted.
const KEPT: usize = 200_000;

/// Counts all calls, and keeps the newest.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) tasks: Calls<Request>,
    pub(crate) lists: Calls<ListCall>,
    overall: Load,
    by_region: HashMap<String, Load>,
}

/// The calls of a kind, counted by the ID that they name.
#[derive(Debug)]
pub(crate) struct Calls<T> {
    newest: VecDeque<T>,
    pub(crate) total: usize,
    by_id: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct Load {
    now: usize,
    most: usize,
}

impl Load {
    fn add(&mut self) {
        self.now += 1;
        self.most = self.most.max(self.now);
    }
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Self {
            newest: VecDeque::new(),
            total: 0,
            by_id: HashMap::new(),
        }
    }
}

impl<T: Clone> Calls<T> {
    /// Adds a call and returns its number.
    pub(crate) fn add(&mut self, id: &str, call: T) -> usize {
        *self.by_id.entry(id.to_owned()).or_default() += 1;
        if self.newest.len() == KEPT {
            self.newest.pop_front();
        }
        self.newest.push_back(call);
        self.total += 1;
        self.total - 1
    }

    /// The call with that number, if it is still kept.
    pub(crate) fn call(&mut self, number: usize) -> Option<&mut T> {
        let oldest = self.total - self.newest.len();
        self.newest.get_mut(number.checked_sub(oldest)?)
    }

    pub(crate) fn count(&self, id: &str) -> usize {
        self.by_id.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn log(&self) -> Vec<T> {
        self.newest.iter().cloned().collect()
    }
}

impl Record {
    /// Counts a call that is in flight from now on.
    pub(crate) fn arrived(&mut self, region: &str) {
        self.overall.add();
        self.by_region.entry(region.to_owned()).or_default().add();
    }

    pub(crate) fn left(&mut self, region: &str) {
        self.overall.now -= 1;
        if let Some(load) = self.by_region.get_mut(region) {
            load.now -= 1;
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.overall.now
    }

    pub(crate) fn max_in_flight(&self, region: Option<&str>) -> usize {
        match region {
            None => self.overall.most,
            Some(region) => self.by_region.get(region).map_or(0, |load| load.most),
        }
    }
}

//! The record of requests and answers.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

/// One request to the task API.
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

/// How many requests are kept. The oldest are dropped first, but stay counted.
const KEPT: usize = 200_000;

/// Counts all requests and keeps the newest.
#[derive(Debug, Default)]
pub(crate) struct Record {
    newest: VecDeque<Request>,
    pub(crate) total: usize,
    by_task: HashMap<String, usize>,
    overall: Load,
    by_region: HashMap<String, Load>,
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

impl Record {
    /// Records a request and returns its number.
    pub(crate) fn arrived(&mut self, request: Request) -> usize {
        self.overall.add();
        self.by_region
            .entry(request.region.clone())
            .or_default()
            .add();
        *self.by_task.entry(request.task_id.clone()).or_default() += 1;
        if self.newest.len() == KEPT {
            self.newest.pop_front();
        }
        self.newest.push_back(request);
        self.total += 1;
        self.total - 1
    }

    /// The request with that number, if it is still kept.
    pub(crate) fn request(&mut self, number: usize) -> Option<&mut Request> {
        let oldest = self.total - self.newest.len();
        self.newest.get_mut(number.checked_sub(oldest)?)
    }

    pub(crate) fn left(&mut self, region: &str) {
        self.overall.now -= 1;
        if let Some(load) = self.by_region.get_mut(region) {
            load.now -= 1;
        }
    }

    pub(crate) fn count(&self, task_id: &str) -> usize {
        self.by_task.get(task_id).copied().unwrap_or_default()
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.newest.iter().cloned().collect()
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

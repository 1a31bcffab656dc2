//! The state of the simulated API.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    fault::{Fault, Faults, Scope},
    keys::Keys,
    limit::Limiter,
    metadata::Metadata,
    record::Record,
    script::Script,
    sts::Exchange,
    task::{Start, Task},
    timeline::{self, Clock},
};

/// The state, behind one lock that is never held for long.
pub(crate) struct State {
    pub(crate) region_in_path: bool,
    tasks: HashMap<(Option<String>, String), TrackedTask>,
    pub(crate) unknown: Fault,
    pub(crate) faults: Faults,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) keys: Keys,
    pub(crate) sts_lifetime: Duration,
    pub(crate) metadata: Metadata,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) record: Record,
    /// How far its clock is ahead.
    pub(crate) ahead: SignedDuration,
}

pub(crate) type Shared = Arc<Mutex<State>>;

pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(crate) fn new(script: Script) -> Self {
        let now = Instant::now();
        let is_issued = script.sts.is_some() || script.metadata.is_some();
        let required = is_issued || !script.credentials.is_empty();
        let sts = script.sts.unwrap_or_default();
        let mut state = Self {
            region_in_path: script.region_in_path,
            tasks: HashMap::new(),
            unknown: script.unknown.unwrap_or_else(|| Fault::status(404)),
            faults: Faults::default(),
            limiter: script.rate_limit.map(Limiter::new),
            keys: Keys::new(script.credentials, required),
            sts_lifetime: sts.lifetime,
            metadata: script.metadata.unwrap_or_default(),
            exchanges: Vec::new(),
            record: Record::default(),
            ahead: SignedDuration::ZERO,
        };
        state.faults.set(Scope::AllTasks, script.faults, now);
        state.faults.set(Scope::Sts, sts.faults, now);
        for task in script.tasks {
            state.set_task(task);
        }
        state
    }

    /// Adds or replaces a task. Its clock and its faults start again.
    pub(crate) fn set_task(&mut self, mut task: Task) {
        let now = Instant::now();
        let region = task.region.clone().filter(|_| self.region_in_path);
        let faults = std::mem::take(&mut task.faults);
        let scope = Scope::Task(region.clone(), task.id.clone());
        self.faults.set(scope, faults, now);
        let key = (region, task.id.clone());
        self.tasks.insert(key, TrackedTask::new(task, now));
    }

    /// Removes a task and its faults in all regions.
    pub(crate) fn remove_task(&mut self, task_id: &str) {
        self.tasks.retain(|(_, id), _| id != task_id);
        self.faults.remove_task(task_id);
    }

    /// The task with that ID in that region, else the one for all regions.
    pub(crate) fn task(&mut self, region: &str, task_id: &str) -> Option<&mut TrackedTask> {
        let mut key = (Some(region.to_owned()), task_id.to_owned());
        if !self.tasks.contains_key(&key) {
            key.0 = None;
        }
        self.tasks.get_mut(&key)
    }
}

/// A task and its progress.
pub(crate) struct TrackedTask {
    pub(crate) task: Task,
    started: Option<(Instant, Timestamp)>,
    requests: u64,
    steps: usize,
    stepped: Duration,
}

impl TrackedTask {
    fn new(task: Task, now: Instant) -> Self {
        let started = (task.start == Start::StartUp).then(|| (now, Timestamp::now()));
        Self {
            task,
            started,
            requests: 0,
            steps: 0,
            stepped: Duration::ZERO,
        }
    }

    /// Counts a request, and returns the progress of the task for it.
    pub(crate) fn clock(&mut self, now: Instant) -> Clock {
        let (since, started) = *self.started.get_or_insert_with(|| (now, Timestamp::now()));
        let elapsed = now.duration_since(since);
        let steps = timeline::steps_reached(&self.task, elapsed, self.requests);
        if steps > self.steps {
            self.steps = steps;
            self.stepped = elapsed;
        }
        self.requests += 1;
        Clock {
            started,
            elapsed,
            steps: self.steps,
            stepped: self.stepped,
        }
    }
}

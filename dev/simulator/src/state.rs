//! The state of the simulated API.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::SignedDuration;

use crate::{
    fault::{Fault, Faults, Scope},
    keys::Keys,
    limit::Limiter,
    list::{List, Lists},
    metadata::Metadata,
    record::Record,
    script::Script,
    sts::Exchange,
    task::Task,
    tasks::Tasks,
};

/// The state, behind one lock that is never held for long.
pub(crate) struct State {
    pub(crate) region_in_path: bool,
    pub(crate) tasks: Tasks,
    pub(crate) lists: Lists,
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
            tasks: Tasks::default(),
            lists: Lists::default(),
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
        for list in script.lists {
            state.set_list(list);
        }
        state
    }

    /// Adds or replaces a task. Its clock and its faults start again.
    pub(crate) fn set_task(&mut self, mut task: Task) {
        let now = Instant::now();
        task.region = task.region.filter(|_| self.region_in_path);
        let faults = std::mem::take(&mut task.faults);
        let scope = Scope::Task(task.region.clone(), task.id.clone());
        self.faults.set(scope, faults, now);
        self.tasks.set(task, now);
    }

    /// Removes a task and its faults in all regions.
    pub(crate) fn remove_task(&mut self, task_id: &str) {
        self.tasks.remove(task_id);
        self.faults.remove_task(task_id);
    }

    /// Replaces what is set for a list. Its faults start again.
    pub(crate) fn set_list(&mut self, mut list: List) {
        let faults = std::mem::take(&mut list.faults);
        let scope = list.cluster_id.clone().map_or(Scope::AllLists, Scope::List);
        self.faults.set(scope, faults, Instant::now());
        self.lists.set(list);
    }
}

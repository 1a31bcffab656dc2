//! Requests to the API server: which wait, and which are under way.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use super::{
    fair_queue::{FairQueue, Place, Started},
    limits::Fairness,
    shares::Shares,
};

/// A fair queue whose namespaces share a number of slots.
#[derive(Clone, Debug)]
pub struct WorkQueue<P> {
    queue: FairQueue<P>,
    slots: Shares,
    /// The namespace of each ID that is under way.
    under_way: BTreeMap<u64, Arc<str>>,
}

impl<P: Copy + Ord> WorkQueue<P> {
    /// One that lets this many be under way at a time, half of them of one namespace.
    pub fn new(slots: usize, fairness: Fairness) -> Self {
        Self {
            queue: FairQueue::new(fairness),
            slots: Shares::new(slots, fairness),
            under_way: BTreeMap::new(),
        }
    }

    /// See [`FairQueue::push`].
    pub fn push(&mut self, namespace: &Arc<str>, id: u64, priority: P) -> Place<P> {
        self.queue.push(namespace, id, priority)
    }

    /// See [`FairQueue::remove`].
    pub fn remove(&mut self, namespace: &str, place: Place<P>) {
        self.queue.remove(namespace, place);
    }

    /// See [`FairQueue::len_of`].
    pub fn len_of(&self, priority: P) -> usize {
        self.queue.len_of(priority)
    }

    /// Whether anything of that namespace is under way, or waits with a priority of at least
    /// `priority`.
    pub fn is_busy(&self, namespace: &str, priority: P) -> bool {
        self.slots.held_by(namespace) > 0 || self.queue.waits(namespace, priority)
    }

    /// The next for which a slot is free.
    pub fn start(
        &mut self,
        priorities: RangeInclusive<P>,
        may_start: impl Fn(&str) -> bool,
    ) -> Option<Started<P>> {
        if self.queue.is_empty() || self.slots.free() == 0 {
            return None;
        }
        let slots = &self.slots;
        let started = self.queue.pop(priorities, |namespace| {
            slots.has_room(namespace) && may_start(namespace)
        })?;
        self.slots.take(&started.namespace);
        let before = self.under_way.insert(started.id, started.namespace.clone());
        debug_assert!(before.is_none(), "{} is under way twice", started.id);
        Some(started)
    }

    /// What was under way ended; whether it was.
    pub fn ended(&mut self, id: u64) -> bool {
        let namespace = self.under_way.remove(&id);
        if let Some(namespace) = &namespace {
            self.slots.give_back(namespace);
        }
        namespace.is_some()
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty()
    }
}

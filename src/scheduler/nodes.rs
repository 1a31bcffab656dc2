//! Which objects wait for which Nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    ObjectId, Scheduler, Timer,
    input::{NodeInput, Now},
};
use crate::rules::{Mark, NodeChange, Nodes, Object, Reason};

/// An object that waits for longer counts as overdue.
const OVERDUE_AFTER: Duration = Duration::from_mins(15);

/// The Nodes, and the objects that they concern.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeWaits {
    pub nodes: Nodes,
    /// The objects that wait for each instance.
    by_instance: BTreeMap<Mark, BTreeSet<ObjectId>>,
    /// All objects that wait, and those whose task is of another cluster.
    objects: BTreeSet<ObjectId>,
    /// How many have waited for long.
    overdue: usize,
}

/// What of the Nodes concerns an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeWait {
    /// The instances whose Nodes it waits for.
    instances: BTreeSet<Mark>,
    /// When its wait is overdue; none where it is, or where the object doesn't wait.
    pub overdue_at: Option<Duration>,
    is_overdue: bool,
}

impl NodeWait {
    /// The instances of that object's nodes; none where no Node concerns it.
    fn instances(object: &Object) -> Option<BTreeSet<Mark>> {
        match &object.status.nodes {
            // The instances that no status lists are known by the task's answer only.
            Some(wait) if wait.is_cut() => Some(BTreeSet::new()),
            Some(wait) => {
                let ids = wait.results.iter().map(|result| Mark::of(&result.data));
                Some(ids.collect())
            }
            None => (object.reason() == Some(Reason::NodesElsewhere)).then(BTreeSet::new),
        }
    }
}

impl NodeWaits {
    /// No object is concerned any more.
    pub fn clear(&mut self) {
        self.by_instance.clear();
        self.objects.clear();
        self.overdue = 0;
    }

    fn add(&mut self, id: ObjectId, wait: &NodeWait) {
        self.objects.insert(id);
        self.overdue += usize::from(wait.is_overdue);
        for instance in &wait.instances {
            self.by_instance.entry(*instance).or_default().insert(id);
        }
    }

    fn remove(&mut self, id: ObjectId, wait: &NodeWait) {
        self.objects.remove(&id);
        self.overdue -= usize::from(wait.is_overdue);
        for instance in &wait.instances {
            if let Some(objects) = self.by_instance.get_mut(instance) {
                objects.remove(&id);
                if objects.is_empty() {
                    self.by_instance.remove(instance);
                }
            }
        }
    }

    fn concerned(&self, change: &NodeChange) -> BTreeSet<ObjectId> {
        if change.concerns_all {
            return self.objects.clone();
        }
        let instances = change.instances.iter();
        let waiting = instances.filter_map(|instance| self.by_instance.get(instance));
        waiting.flatten().copied().collect()
    }
}

impl Scheduler {
    /// How many objects have waited for their nodes for more than 15 minutes.
    #[must_use]
    pub fn nodes_overdue(&self) -> usize {
        self.node_waits.overdue
    }

    /// A change of the Nodes has those looked at again that wait for them.
    pub(super) fn take_in_nodes(&mut self, input: NodeInput, now: Now) {
        let nodes = &mut self.node_waits.nodes;
        let change = match input {
            NodeInput::Relisting => {
                nodes.relist();
                return;
            }
            NodeInput::ListingDone => nodes.listed(),
            NodeInput::Applied(node) => nodes.apply(node),
            NodeInput::Gone(name) => nodes.remove(&name),
        };
        for id in self.node_waits.concerned(&change) {
            if let Some(tracked) = self.objects.get_mut(&id) {
                tracked.node_changes = tracked.node_changes.wrapping_add(1);
            }
            self.reconsider(id, now);
        }
    }

    /// Follows from what an object shows which Nodes concern it.
    pub(super) fn follow_nodes(&mut self, id: ObjectId, now: Now) {
        let Some(tracked) = self.objects.get_mut(&id).filter(|_| self.leads) else {
            return;
        };
        let instances = NodeWait::instances(&tracked.object);
        if instances.as_ref() == tracked.node_wait.as_ref().map(|wait| &wait.instances) {
            return;
        }
        let waits = tracked.object.status.nodes.is_some();
        let before = tracked.node_wait.take();
        let was_overdue = before.as_ref().is_some_and(|wait| wait.is_overdue);
        let overdue_before = before.as_ref().and_then(|wait| wait.overdue_at);
        if let Some(before) = &before {
            self.node_waits.remove(id, before);
        }
        if let Some(at) = overdue_before {
            self.timers.remove(&(at, id, Timer::NodesOverdue));
        }
        let Some(instances) = instances else {
            return;
        };
        let is_overdue = waits && was_overdue;
        let overdue_at = overdue_before.unwrap_or(now.monotonic + OVERDUE_AFTER);
        let wait = NodeWait {
            instances,
            overdue_at: (waits && !is_overdue).then_some(overdue_at),
            is_overdue,
        };
        if let Some(at) = wait.overdue_at {
            self.timers.insert((at, id, Timer::NodesOverdue));
        }
        self.node_waits.add(id, &wait);
        tracked.node_wait = Some(Box::new(wait));
        if waits {
            // A Node may have changed before it was known that the object waits for it.
            tracked.node_changes = tracked.node_changes.wrapping_add(1);
        }
    }

    /// The object is gone.
    pub(super) fn forget_nodes(&mut self, id: ObjectId) {
        let tracked = self.objects.get_mut(&id);
        if let Some(wait) = tracked.and_then(|tracked| tracked.node_wait.take()) {
            self.node_waits.remove(id, &wait);
            if let Some(at) = wait.overdue_at {
                self.timers.remove(&(at, id, Timer::NodesOverdue));
            }
        }
    }

    /// An object waits for long.
    pub(super) fn nodes_are_overdue(&mut self, id: ObjectId) {
        let tracked = self.objects.get_mut(&id);
        if let Some(wait) = tracked.and_then(|tracked| tracked.node_wait.as_mut()) {
            wait.overdue_at = None;
            wait.is_overdue = true;
            self.node_waits.overdue += 1;
        }
    }
}

//! Which objects wait for which Nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    ObjectId, Scheduler, Timer,
    input::{NodeInput, Now},
};
use crate::rules::{Mark, NodeChange, NodeWait, Nodes, Reason};

/// An object that waits for longer counts as overdue.
const NODES_OVERDUE_AFTER: Duration = Duration::from_mins(15);

/// To look up so many instances takes as long as other timers do.
const INSTANCES_A_TIMER: usize = 16;

/// The Nodes, and the objects that they concern.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeWaits {
    pub nodes: Nodes,
    /// Since when a list goes on; none before the first, and where none does.
    pub unlisted_since: Option<Duration>,
    /// The objects that wait for each instance.
    by_instance: BTreeMap<Mark, BTreeSet<ObjectId>>,
    /// All objects that wait, and those whose task is of another cluster.
    objects: BTreeSet<ObjectId>,
    /// How many have waited for long.
    overdue: usize,
    /// What is shown of tasks, by their first instances.
    shown: BTreeMap<Mark, Weak<NodeWait>>,
    /// At which size of that the ones are dropped that nobody shows any more.
    sweep_at: usize,
}

/// What of the Nodes concerns an object.
#[derive(Clone, Debug)]
pub(super) struct Concern {
    /// What it waits for; none where it would if the Nodes were of another cluster.
    wait: Option<Arc<NodeWait>>,
    /// When its wait is overdue; none where it is, or where the object doesn't wait.
    pub overdue_at: Option<Duration>,
    is_overdue: bool,
    /// Whether a look because of a Node waits for its turn.
    pub look_waits: bool,
}

impl Concern {
    /// Whether the same Nodes concern an object that waits for that.
    fn is_of(&self, wait: Option<&Arc<NodeWait>>) -> bool {
        match (&self.wait, wait) {
            (Some(own), Some(wait)) => Arc::ptr_eq(own, wait) || instances(own).eq(instances(wait)),
            (own, wait) => own.is_none() && wait.is_none(),
        }
    }
}

/// The instances by whose Nodes a wait goes on. Those that no status lists are known by the task's answer only.
fn instances(wait: &NodeWait) -> impl Iterator<Item = Mark> {
    let results = wait.results.iter().filter(|_| !wait.is_cut());
    results.map(|result| Mark::of(&result.data))
}

impl NodeWaits {
    /// No object is concerned any more.
    pub fn clear(&mut self) {
        self.by_instance.clear();
        self.objects.clear();
        self.overdue = 0;
    }

    fn add(&mut self, id: ObjectId, concern: &Concern) {
        self.objects.insert(id);
        for instance in concern.wait.iter().flat_map(|wait| instances(wait)) {
            self.by_instance.entry(instance).or_default().insert(id);
        }
    }

    fn remove(&mut self, id: ObjectId, concern: &Concern) {
        self.objects.remove(&id);
        self.overdue -= usize::from(concern.is_overdue);
        for instance in concern.wait.iter().flat_map(|wait| instances(wait)) {
            if let Some(objects) = self.by_instance.get_mut(&instance) {
                objects.remove(&id);
                if objects.is_empty() {
                    self.by_instance.remove(&instance);
                }
            }
        }
    }

    /// The same wait, of which one copy is kept.
    fn shared(&mut self, wait: &Arc<NodeWait>) -> Arc<NodeWait> {
        let Some(first) = wait.results.first().map(|result| Mark::of(&result.data)) else {
            return wait.clone();
        };
        let known = self.shown.get(&first).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known == wait) {
            return known;
        }
        if self.shown.len() >= self.sweep_at {
            self.shown.retain(|_, known| known.strong_count() > 0);
            self.sweep_at = (2 * self.shown.len()).max(16);
        }
        self.shown.insert(first, Arc::downgrade(wait));
        wait.clone()
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
                if nodes.are_listed() {
                    self.node_waits.unlisted_since = Some(now.monotonic);
                }
                nodes.relist();
                return;
            }
            NodeInput::ListingDone => {
                self.node_waits.unlisted_since = None;
                nodes.listed()
            }
            NodeInput::Applied(node) => nodes.apply(node),
            NodeInput::Gone(name) => nodes.remove(&name),
        };
        for id in self.node_waits.concerned(&change) {
            if let Some(tracked) = self.objects.get_mut(&id) {
                tracked.node_changes = tracked.node_changes.wrapping_add(1);
                let concern = tracked.concern.as_mut();
                if concern.is_some_and(|concern| !mem::replace(&mut concern.look_waits, true)) {
                    self.timers.insert((now.monotonic, id, Timer::Look));
                }
            }
        }
    }

    /// What a look at an object costs more than others, in timers of a turn.
    pub(super) fn cost_of_look(&self, id: ObjectId) -> usize {
        let tracked = self.objects.get(&id);
        let wait = tracked.and_then(|tracked| tracked.object.status.nodes.as_ref());
        wait.map_or(0, |wait| wait.results.len() / INSTANCES_A_TIMER)
    }

    /// Follows from what an object shows which Nodes concern it.
    pub(super) fn follow_nodes(&mut self, id: ObjectId, now: Now) {
        self.share_wait(id);
        let Some(tracked) = self.objects.get_mut(&id).filter(|_| self.leads) else {
            return;
        };
        let wait = tracked.object.status.nodes.clone();
        let is_concerned =
            wait.is_some() || tracked.object.reason() == Some(Reason::NodesElsewhere);
        if let Some(mut before) = tracked.concern.take() {
            if is_concerned && before.is_of(wait.as_ref()) {
                before.wait = wait;
                tracked.concern = Some(before);
                return;
            }
            self.drop_concern(id, &before);
        }
        if is_concerned {
            self.begin_concern(id, wait, now);
        }
    }

    fn begin_concern(&mut self, id: ObjectId, wait: Option<Arc<NodeWait>>, now: Now) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        // They may have changed before it was known that they concern the object.
        let clusters = tracked
            .object
            .status
            .cluster
            .zip(self.node_waits.nodes.cluster());
        let may_be_over = match &wait {
            Some(wait) => !wait.is_cut(),
            None => clusters.is_none_or(|(own, seen)| own == seen),
        };
        if may_be_over {
            tracked.node_changes = tracked.node_changes.wrapping_add(1);
        }
        let overdue_at = wait.is_some().then(|| now.monotonic + NODES_OVERDUE_AFTER);
        if let Some(at) = overdue_at {
            self.timers.insert((at, id, Timer::NodesOverdue));
        }
        let concern = Concern {
            wait,
            overdue_at,
            is_overdue: false,
            look_waits: false,
        };
        self.node_waits.add(id, &concern);
        tracked.concern = Some(Box::new(concern));
    }

    fn drop_concern(&mut self, id: ObjectId, concern: &Concern) {
        self.node_waits.remove(id, concern);
        if let Some(at) = concern.overdue_at {
            self.timers.remove(&(at, id, Timer::NodesOverdue));
        }
    }

    /// Many objects may wait for one task.
    fn share_wait(&mut self, id: ObjectId) {
        if let Some(tracked) = self.objects.get_mut(&id)
            && let Some(wait) = &mut tracked.object.status.nodes
        {
            *wait = self.node_waits.shared(wait);
        }
    }

    /// The object is gone.
    pub(super) fn forget_nodes(&mut self, id: ObjectId) {
        let tracked = self.objects.get_mut(&id);
        if let Some(concern) = tracked.and_then(|tracked| tracked.concern.take()) {
            self.drop_concern(id, &concern);
        }
    }

    /// An object waits for long.
    pub(super) fn count_overdue_nodes(&mut self, id: ObjectId) {
        let tracked = self.objects.get_mut(&id);
        if let Some(concern) = tracked.and_then(|tracked| tracked.concern.as_mut()) {
            concern.overdue_at = None;
            concern.is_overdue = true;
            self.node_waits.overdue += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{ScaleOutTaskStatus, TaskResult},
        rules::ObjectStatus,
    };

    fn wait(first: &str, nodes: &str) -> Arc<NodeWait> {
        let ready = serde_json::json!([{ "type": "Ready", "status": "False", "reason": "WaitingForNodes",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
        let result = TaskResult {
            data: first.to_owned(),
            ..TaskResult::default()
        };
        let status = ScaleOutTaskStatus {
            conditions: serde_json::from_value(ready).unwrap(),
            task_result: Some(vec![result]),
            nodes: Some(nodes.to_owned()),
            ..ScaleOutTaskStatus::default()
        };
        ObjectStatus::from(status).nodes.unwrap()
    }

    #[test]
    fn what_many_objects_show_of_one_task_is_kept_once() {
        let mut waits = NodeWaits::default();
        let one = waits.shared(&wait("i-1", "0/1"));
        let two = waits.shared(&wait("i-1", "0/1"));
        assert!(Arc::ptr_eq(&one, &two));
        let later = waits.shared(&wait("i-1", "1/1"));
        assert!(!Arc::ptr_eq(&one, &later));
        assert!(Arc::ptr_eq(&later, &waits.shared(&wait("i-1", "1/1"))));
        // What nobody shows any more is dropped.
        for number in 0..1000 {
            waits.shared(&wait(&format!("i-{number}"), "0/1"));
        }
        assert!(waits.shown.len() < 64, "{}", waits.shown.len());
    }
}

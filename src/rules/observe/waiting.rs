//! Waiting for the nodes of a task that succeeded.

use std::{sync::Arc, time::Duration};

use super::{Decision, Next, Occasion};
use crate::{
    api::{ScaleOutTaskStatus, TaskResult},
    rules::{
        Mark, NodeWait, NodesShown, Ready, Reason, backoff::slow_delay, messages,
        node_wait::NodeLook,
    },
};

/// How soon a task is asked about again that succeeded before the Nodes were listed.
const UNTIL_LISTED: Duration = Duration::from_secs(1);

impl<'a> Decision<'a> {
    /// Whether a success is followed by a look at the nodes. What ended without one stays so.
    pub(super) fn follows_nodes(&self) -> bool {
        match self.object.reason().filter(|_| self.object.is_finished()) {
            Some(Reason::TaskSucceeded) => false,
            Some(Reason::NodesReady) => true,
            _ => self.object.spec.wait_for_nodes,
        }
    }

    /// Whether the object waits for nodes of a task whose cluster's nodes aren't seen.
    pub(super) fn is_elsewhere(&self, cluster: Option<Mark>) -> bool {
        let clusters = cluster.zip(self.case.nodes.cluster());
        self.object.spec.wait_for_nodes && clusters.is_some_and(|(own, seen)| own != seen)
    }

    /// The task succeeded for every instance; `others` are those that the status doesn't list.
    pub(super) fn succeeded(&mut self, shown: ScaleOutTaskStatus, others: &[Mark]) -> Next {
        if self.object.is_finished() && self.object.reason() == Some(Reason::NodesReady) {
            // For good, whatever becomes of the nodes later.
            let look = self.look_at(&shown, others);
            self.show_task_and_nodes(shown, &look.all_ready());
            return self.after_the_end();
        }
        if let Some(mut summary) = self.suspended().or_else(|| self.blocked()) {
            summary.ready = Ready::False;
            self.show_task(shown);
            return self.rest_with(&summary);
        }
        if self.is_elsewhere(shown.cluster_id.as_deref().map(Mark::of)) {
            self.show_task(shown);
            return self.elsewhere();
        }
        let look = self.look_at(&shown, others);
        if !self.is_known(&look) && self.case.ends_by.is_none() {
            // A start: the list of Nodes is on its way.
            return self.call(UNTIL_LISTED);
        }
        self.show_task_and_nodes(shown, &look);
        self.follow(&look)
    }

    /// What an object waits for that nothing new was heard of: of the nodes alone it depends how it goes on.
    pub(super) fn wait_without_answer(&self) -> Option<&'a NodeWait> {
        let wait = self.object.status.nodes.as_deref()?;
        let is_answered = matches!(self.case.occasion, Occasion::Polled { result: Ok(_), .. });
        let follows = self.object.spec.wait_for_nodes && !wait.is_cut();
        (follows && !is_answered).then_some(wait)
    }

    pub(super) fn still_waits(&mut self, wait: &NodeWait) -> Next {
        if self.is_elsewhere(self.status.cluster) {
            return self.elsewhere();
        }
        if self.case.nodes.are_listed() {
            return self.follow(&self.look(&wait.results, &[], wait.results.len()));
        }
        // What is shown is better than what is seen so far.
        if self.is_over() {
            return self.timed_out();
        }
        let generation = self.object.generation;
        self.status.observed_generation = Some(generation);
        self.status.conditions.acknowledge(generation);
        self.rest()
    }

    /// Whether all Nodes of the look are known; without instances there are none to know.
    fn is_known(&self, look: &NodeLook) -> bool {
        self.case.nodes.are_listed() || look.total == 0
    }

    fn look_at(&self, task: &ScaleOutTaskStatus, others: &[Mark]) -> NodeLook {
        let results = task.task_result.as_deref().unwrap_or_default();
        let counts = task.instances.unwrap_or_default();
        self.look(
            results,
            others,
            usize::try_from(counts.total).unwrap_or_default(),
        )
    }

    fn look(&self, results: &[TaskResult], others: &[Mark], total: usize) -> NodeLook {
        let region = self.object.spec.region.as_deref();
        NodeLook::at(self.case.nodes, results, others, total, region)
    }

    fn show_task_and_nodes(&mut self, mut shown: ScaleOutTaskStatus, look: &NodeLook) {
        shown.nodes = Some(look.column());
        if shown.task_result.is_some() {
            shown.task_result = Some(look.results.clone());
        }
        self.show_task(shown);
    }

    fn follow(&mut self, look: &NodeLook) -> Next {
        let wait = look.wait();
        if self.object.status.nodes.as_deref() != Some(&wait) {
            self.nodes = Some(NodesShown {
                task_result: look.results.clone(),
                nodes: look.column(),
            });
        }
        let is_known = self.is_known(look);
        if is_known && look.are_all_ready() {
            self.show(&messages::nodes_ready(look));
            return self.finish(Reason::NodesReady);
        }
        if self.is_over() {
            return self.timed_out_at(Some(look).filter(|_| is_known));
        }
        let is_cut = wait.is_cut();
        self.status.nodes = Some(Arc::new(wait));
        self.show(&messages::waiting_for_nodes(look, is_known));
        if is_cut {
            // The instances that the status doesn't list are known by the task's answer only.
            return self.next_poll();
        }
        self.rest()
    }

    fn elsewhere(&mut self) -> Next {
        if self.is_over() {
            return self.timed_out();
        }
        self.show(&messages::nodes_elsewhere());
        self.call(slow_delay(self.case.seed))
    }

    /// Until a node changes, a poll request comes, or the time is over.
    fn rest(&self) -> Next {
        if self.poll_request_waits() {
            return self.call(Duration::MAX);
        }
        let left = self.until_deadline();
        // Who can't tell the time can't tell that it is over.
        let left = left.map(|left| {
            if self.is_skewed() {
                left.max(slow_delay(self.case.seed))
            } else {
                left
            }
        });
        left.map_or(Next::Rest, Next::Wait)
    }

    /// An answer that our clock is off times nothing out.
    fn is_over(&self) -> bool {
        !self.is_skewed() && self.expired_at(self.case.now)
    }

    fn is_skewed(&self) -> bool {
        let error = self.case.occasion.poll_error();
        error.is_some_and(|error| error.reason == Reason::ClockSkewed)
    }
}

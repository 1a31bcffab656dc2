//! Waiting for the nodes of a task that succeeded.

use super::{Decision, Next};
use crate::{
    api::ScaleOutTaskStatus,
    rules::{
        Mark, NodeWait, NodesShown, Ready, Reason, backoff::slow_delay, messages,
        node_wait::NodeLook,
    },
};

impl<'a> Decision<'a> {
    /// Whether a success is followed by a look at the nodes. What ended without one stays so.
    pub(super) fn follows_nodes(&self) -> bool {
        match self.object.reason().filter(|_| self.object.is_finished()) {
            Some(Reason::TaskSucceeded) => false,
            Some(Reason::NodesReady) => true,
            _ => self.object.spec.wait_for_nodes,
        }
    }

    /// Whether the task that is shown belongs to a cluster whose nodes aren't seen.
    pub(super) fn waits_elsewhere(&self) -> bool {
        let seen = self.case.nodes.cluster();
        let clusters = self.status.cluster.zip(seen);
        self.object.spec.wait_for_nodes && clusters.is_some_and(|(own, seen)| own != seen)
    }

    /// The task succeeded for every instance; `others` are those that the status doesn't list.
    pub(super) fn succeeded(&mut self, shown: ScaleOutTaskStatus, others: &[Mark]) -> Next {
        if self.object.is_finished() && self.object.reason() == Some(Reason::NodesReady) {
            // For good, whatever becomes of the nodes later.
            self.show_task_and_nodes(shown, others);
            return self.after_the_end();
        }
        if let Some(mut summary) = self.suspended().or_else(|| self.blocked()) {
            summary.ready = Ready::False;
            self.show_task(shown);
            return self.rest_with(&summary);
        }
        self.status.set_task(&shown);
        if self.waits_elsewhere() {
            self.show_task(shown);
            return self.elsewhere();
        }
        let look = self.show_task_and_nodes(shown, others);
        self.follow(look)
    }

    /// What an object waits for that nothing new was heard of: of the nodes alone it depends how it goes on.
    pub(super) fn wait_without_answer(&self) -> Option<&'a NodeWait> {
        let wait = self.object.status.nodes.as_deref()?;
        let follows = self.object.spec.wait_for_nodes && !wait.is_cut();
        (follows && self.own_task().is_none()).then_some(wait)
    }

    pub(super) fn still_waits(&mut self, wait: &NodeWait) -> Next {
        if self.waits_elsewhere() {
            return self.elsewhere();
        }
        let look = self.look(&wait.results, &[]);
        if self.case.nodes.are_listed() {
            return self.follow(look);
        }
        // What is shown is better than what is seen so far.
        if self.is_over() {
            return self.timed_out();
        }
        self.rest()
    }

    fn look(&self, results: &[crate::api::TaskResult], others: &[Mark]) -> NodeLook {
        let region = self.object.spec.region.as_deref();
        NodeLook::at(self.case.nodes, results, others, region)
    }

    fn show_task_and_nodes(&mut self, mut shown: ScaleOutTaskStatus, others: &[Mark]) -> NodeLook {
        let look = self.look(shown.task_result.as_deref().unwrap_or_default(), others);
        shown.nodes = Some(look.column());
        if shown.task_result.is_some() {
            shown.task_result = Some(look.results.clone());
        }
        self.show_task(shown);
        look
    }

    fn follow(&mut self, look: NodeLook) -> Next {
        let wait = look.wait();
        if self.object.status.nodes.as_deref() != Some(&wait) {
            self.nodes = Some(NodesShown {
                task_result: look.results.clone(),
                nodes: look.column(),
            });
        }
        let is_known = self.case.nodes.are_listed() || look.total == 0;
        if is_known && look.are_all_ready() {
            self.show(&messages::nodes_ready(&look));
            return self.finish(Reason::NodesReady);
        }
        if self.is_over() {
            self.look = Some(look);
            return self.timed_out();
        }
        let is_cut = wait.is_cut();
        self.status.nodes = Some(Box::new(wait));
        self.show(&messages::waiting_for_nodes(
            &look,
            self.case.nodes.are_listed(),
        ));
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
            return self.call(std::time::Duration::MAX);
        }
        self.until_deadline().map_or(Next::Rest, Next::Wait)
    }

    /// An answer that our clock is off times nothing out.
    fn is_over(&self) -> bool {
        let error = self.case.occasion.poll_error();
        let is_skewed = error.is_some_and(|error| error.reason == Reason::ClockSkewed);
        !is_skewed && self.expired_at(self.case.now)
    }
}

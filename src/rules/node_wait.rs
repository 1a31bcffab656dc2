//! The nodes that an object waits for, as its status shows them.

use super::{Mark, Nodes};
use crate::api::{ScaleOutTaskStatus, TaskResult};

/// How many instances without a Ready Node a message names.
const NAMED: usize = 5;

/// What an object that waits shows of its nodes. Kept of those objects only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeWait {
    /// The instances that the status lists, with their Nodes.
    pub results: Vec<TaskResult>,
    /// Ready nodes of those waited for, such as 3/5.
    pub nodes: Option<String>,
    /// How many instances the task has: more than the status lists where that is cut.
    total: usize,
}

impl NodeWait {
    /// What that status shows.
    pub(super) fn of(status: &ScaleOutTaskStatus) -> Self {
        let counts = status.instances.unwrap_or_default();
        Self {
            results: status.task_result.clone().unwrap_or_default(),
            nodes: status.nodes.clone(),
            total: usize::try_from(counts.total).unwrap_or_default(),
        }
    }

    /// Whether some instances are known only while the task's answer is there. So it is also where somebody else
    /// changed what is shown.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.results.is_empty() || self.total != self.results.len()
    }
}

/// The nodes of a task's instances, as they are now.
#[derive(Clone, Debug)]
pub(super) struct NodeLook {
    /// The instances that the status lists, with their Nodes.
    pub results: Vec<TaskResult>,
    ready: usize,
    /// How many are waited for.
    pub total: usize,
}

impl NodeLook {
    /// Looks at the Nodes of the instances in `results`, and of those that no status lists, of `total` in all.
    pub fn at(
        nodes: &Nodes,
        results: &[TaskResult],
        others: &[Mark],
        total: usize,
        region: Option<&str>,
    ) -> Self {
        let region = region.map(Mark::of);
        let results = results.iter().map(|result| {
            let node = nodes.find(Mark::of(&result.data), region);
            TaskResult {
                node: node.map(|(name, _)| name.to_string()),
                node_ready: Some(node.is_some_and(|(_, is_ready)| is_ready)),
                ..result.clone()
            }
        });
        let results: Vec<TaskResult> = results.collect();
        let others_ready = others.iter().filter(|instance| {
            nodes
                .find(**instance, region)
                .is_some_and(|(_, is_ready)| is_ready)
        });
        Self {
            ready: results.iter().filter(|result| is_ready(result)).count() + others_ready.count(),
            total,
            results,
        }
    }

    /// What was last shown.
    pub fn shown(wait: &NodeWait) -> Self {
        let column = wait.nodes.as_deref().unwrap_or_default();
        let ready = column
            .split('/')
            .next()
            .and_then(|ready| ready.parse().ok());
        Self {
            ready: ready.unwrap_or_default(),
            total: wait.total,
            results: wait.results.clone(),
        }
    }

    pub fn are_all_ready(&self) -> bool {
        self.ready == self.total
    }

    /// The same as it was when all were Ready.
    pub fn all_ready(self) -> Self {
        let results = self.results.into_iter().map(|result| TaskResult {
            node_ready: Some(true),
            ..result
        });
        Self {
            results: results.collect(),
            ready: self.total,
            ..self
        }
    }

    /// What a status that waits shows of them.
    pub fn wait(&self) -> NodeWait {
        NodeWait {
            results: self.results.clone(),
            nodes: Some(self.column()),
            total: self.total,
        }
    }

    /// How many of how many, for the column.
    pub fn column(&self) -> String {
        format!("{}/{}", self.ready, self.total)
    }

    /// How many of how many, and some instances that are missing.
    pub fn sentence(&self) -> String {
        let Self { ready, total, .. } = self;
        if self.are_all_ready() {
            return match total {
                1 => "its node is Ready".to_owned(),
                _ => format!("all {total} nodes are Ready"),
            };
        }
        let missing = self.results.iter().filter(|result| !is_ready(result));
        let mut named: Vec<String> = missing.take(NAMED).map(name).collect();
        let more = total.saturating_sub(ready + named.len());
        if more > 0 {
            named.push(format!("{more} more"));
        }
        let last = named.pop().unwrap_or_default();
        let named = match named.join(", ") {
            others if others.is_empty() => last,
            others => format!("{others} and {last}"),
        };
        format!("{ready} of {total} nodes are Ready, missing: {named}")
    }
}

fn is_ready(result: &TaskResult) -> bool {
    result.node_ready == Some(true)
}

fn name(result: &TaskResult) -> String {
    let id = match &*result.data {
        "" => "an instance without ID",
        id => id,
    };
    match result.node {
        Some(_) => format!("{id} (not Ready)"),
        None => format!("{id} (no Node)"),
    }
}

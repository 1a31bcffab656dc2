//! Nodes that join the demo's own cluster, as kubelets and the cloud's controller would have them.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{cluster::Access, error::Error};

/// The reason of an object whose nodes are missing.
const WAITING: &str = "WaitingForNodes";

/// The names of the Nodes, and their provider IDs: `<region>.<instance ID>`.
const NODES: [(&str, &str); 2] = [
    ("cn-hangzhou.192.168.0.21", "cn-hangzhou.i-bp1app01"),
    ("cn-hangzhou.192.168.0.22", "cn-hangzhou.i-bp1app02"),
];

/// When each Node does the next step, after somebody was seen to wait.
const TIMES: [[Duration; 3]; 2] = [seconds([1, 2, 3]), seconds([3, 5, 6])];

/// What a Node does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It registers, not Ready and without a provider ID.
    Register,
    /// It is given its provider ID.
    GetProviderId,
    BecomeReady,
}

/// The Nodes that join while the demo runs.
#[derive(Default)]
pub(super) struct Nodes {
    began: Option<Instant>,
    done: usize,
}

impl Nodes {
    /// Does what is due, once the reasons show that an object waits.
    pub(super) fn join(&mut self, access: &Access, reasons: &str) -> Result<(), Error> {
        if self.began.is_none() && reasons.contains(WAITING) {
            self.began = Some(Instant::now());
        }
        let Some(began) = self.began else {
            return Ok(());
        };
        while let Some((at, node, step)) = plan().get(self.done).copied()
            && began.elapsed() >= at
        {
            step.take(access, node)?;
            self.done += 1;
        }
        Ok(())
    }
}

impl Step {
    fn take(self, access: &Access, (name, provider_id): (&str, &str)) -> Result<(), Error> {
        let done = match self {
            Self::Register => {
                let file = write(access, name)?;
                access.kubectl(&["create", "--filename", &file.to_string_lossy()])
            }
            Self::GetProviderId => {
                let patch = json!({ "spec": { "providerID": provider_id } }).to_string();
                access.kubectl(&["patch", "node", name, "--patch", &patch])
            }
            Self::BecomeReady => {
                let patch = json!({ "status": status("True") }).to_string();
                let status = "--subresource=status";
                access.kubectl(&["patch", "node", name, status, "--patch", &patch])
            }
        };
        done.map(drop)
    }
}

/// All steps in the order of time.
fn plan() -> Vec<(Duration, (&'static str, &'static str), Step)> {
    let steps = [Step::Register, Step::GetProviderId, Step::BecomeReady];
    let of_node = |(node, times): ((&'static str, &'static str), [Duration; 3])| {
        times
            .into_iter()
            .zip(steps)
            .map(move |(at, step)| (at, node, step))
    };
    let mut plan: Vec<_> = NODES.into_iter().zip(TIMES).flat_map(of_node).collect();
    plan.sort_by_key(|(at, ..)| *at);
    plan
}

fn write(access: &Access, name: &str) -> Result<PathBuf, Error> {
    let file = access.directory.join("node.json");
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "status": status("False"),
    });
    fs::write(&file, node.to_string()).map_err(Error::io("write a Node"))?;
    Ok(file)
}

fn status(ready: &str) -> Value {
    json!({ "conditions": [{ "type": "Ready", "status": ready, "reason": "Demo" }] })
}

const fn seconds(all: [u64; 3]) -> [Duration; 3] {
    let [first, second, third] = all;
    [
        Duration::from_secs(first),
        Duration::from_secs(second),
        Duration::from_secs(third),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use simulator::Script;

    use super::*;

    #[test]
    fn each_node_registers_then_gets_its_provider_id_then_is_ready() {
        let plan = plan();
        for node in NODES {
            let of_node = plan.iter().filter(|(_, other, _)| *other == node);
            let steps: Vec<Step> = of_node.map(|(.., step)| *step).collect();
            let order = [Step::Register, Step::GetProviderId, Step::BecomeReady];
            assert_eq!(steps, order, "{node:?}");
        }
        assert!(plan.is_sorted_by_key(|(at, ..)| *at));
    }

    #[test]
    fn the_nodes_are_those_of_the_instances_that_are_waited_for() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        let waiting = fs::read_to_string(demo.join("waiting.yaml")).unwrap();
        let script = Script::load(&demo.join("simulator.yaml")).unwrap();
        let mut tasks = script.tasks.iter();
        let task = tasks.find(|task| waiting.contains(&task.id)).unwrap();
        let expected = task.instances.iter();
        let expected: Vec<String> = expected
            .map(|instance| format!("cn-hangzhou.{}", instance.id))
            .collect();
        assert_eq!(NODES.map(|(_, provider_id)| provider_id).to_vec(), expected);
    }
}

//! An object that waits for a Node of the cluster, as its kubelet keeps it.

use std::{fs, io::Write};

use tempfile::NamedTempFile;

use super::{TASKS, expect};
use crate::cluster::{Cluster, DEMO, Error, Images, LIMIT, done, repository};

/// The provider ID that a Node is given.
const PROVIDER_ID: &str = "cn-hangzhou.i-bp1node01";
/// The task that adds its instance.
const TASK: &str = "T-5faa48fb31b6b8078d000005";

/// Prints name, `Ready` and provider ID of each Node.
const NODES: &str = r#"--output=jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status} {.spec.providerID}{"\n"}{end}"#;

const OBJECT: &str = "
apiVersion: scaleout.dev/v1alpha1
kind: ScaleOutTask
metadata: {name: node-pool}
spec: {taskId: T-5faa48fb31b6b8078d000005, waitForNodes: true}
";

/// The Node that is waited for.
pub struct Node {
    name: String,
    /// Its provider ID; none where it is given one while it is waited for.
    provider_id: Option<String>,
}

impl Node {
    /// One that is Ready and can be waited for, if there is one. A provider ID is for good, so only a Node that
    /// is this machine is given one.
    pub fn find(cluster: &Cluster, images: &Images) -> Result<Option<Self>, Error> {
        let may_give = matches!(images, Images::Import);
        let nodes = cluster.kubectl(TASKS, &["get", "nodes", NODES])?;
        Ok(nodes.lines().find_map(|line| Self::of(line, may_give)))
    }

    fn of(line: &str, may_give: bool) -> Option<Self> {
        let (name, provider_id) = match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [name, "True"] if may_give => (*name, None),
            [name, "True", id] if instance(id).is_some() => (*name, Some((*id).to_owned())),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            provider_id,
        })
    }

    /// The demo's tasks, and one that adds the instance of this Node.
    pub fn script(node: Option<&Self>) -> Result<NamedTempFile, Error> {
        let write = || {
            let mut file = NamedTempFile::new()?;
            file.write_all(&fs::read(repository().join(DEMO))?)?;
            if let Some(node) = node {
                let id = node.provider_id.as_deref().unwrap_or(PROVIDER_ID);
                let id = instance(id).unwrap_or_default();
                // Without a cluster of its own, whatever the Node's label says.
                writeln!(
                    file,
                    "\n  - id: {TASK}\n    omit: [cluster_id]\n    instances: [{{id: \"{id}\"}}]"
                )?;
            }
            Ok(file)
        };
        write().map_err(Error::Script)
    }

    /// Has an object wait for it.
    pub fn wait_for(&self, cluster: &Cluster) -> Result<(), Error> {
        cluster.kubectl_with(TASKS, &["apply"], OBJECT)?;
        if self.provider_id.is_none() {
            cluster.kubectl(TASKS, &wait("--for=jsonpath={.status.nodes}=0/1"))?;
            expect(cluster, TASKS, "node-pool", "WaitingForNodes")?;
            done("the object waits");
            let patch = format!("{{\"spec\":{{\"providerID\":\"{PROVIDER_ID}\"}}}}");
            cluster.kubectl(TASKS, &["patch", "node", &self.name, "--patch", &patch])?;
        }
        cluster.kubectl(TASKS, &wait("--for=condition=Ready"))?;
        expect(cluster, TASKS, "node-pool", "NodesReady")?;
        let shown = "--output=jsonpath={.status.taskResult[*].node}";
        let shown = cluster.kubectl(TASKS, &["get", "scaleouttask", "node-pool", shown])?;
        if shown != self.name {
            let said = format!("the object shows the node {shown:?}, not {:?}", self.name);
            return Err(Error::NotKept(said));
        }
        done(&format!("the object is Ready, with the node {shown}"));
        Ok(())
    }
}

fn wait(until: &str) -> [&str; 4] {
    ["wait", "scaleouttask/node-pool", until, LIMIT]
}

/// The instance that a provider ID names, as the controller reads it.
fn instance(provider_id: &str) -> Option<&str> {
    let id = provider_id.strip_prefix("alicloud://");
    let (region, instance) = id.unwrap_or(provider_id).split_once('.')?;
    let is_of_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_region = !region.is_empty() && region.chars().all(is_of_region);
    (is_region && !instance.is_empty()).then_some(instance)
}

#[cfg(test)]
mod tests {
    use simulator::Script;

    use super::*;

    fn of(line: &str, may_give: bool) -> Option<(String, Option<String>)> {
        Node::of(line, may_give).map(|node| (node.name, node.provider_id))
    }

    #[test]
    fn only_a_node_of_this_machine_is_given_a_provider_id() {
        let named = |id: Option<&str>| Some(("node1".to_owned(), id.map(str::to_owned)));
        assert_eq!(of("node1 True ", true), named(None));
        assert_eq!(of("node1 True ", false), None);
        assert_eq!(of("node1 False ", true), None);
        assert_eq!(of("node1 True kind://docker/a/b.c", true), None);
        let id = "cn-hangzhou.i-1";
        assert_eq!(of("node1 True cn-hangzhou.i-1", false), named(Some(id)));
    }

    #[test]
    fn the_script_has_the_task_of_that_node() {
        let node = Node::of("node1 True alicloud://cn-beijing.i-7", false);
        let file = Node::script(node.as_ref()).unwrap();
        let script = Script::load(file.path()).unwrap();
        let task = script.tasks.iter().find(|task| task.id == TASK).unwrap();
        let ids: Vec<&str> = task.instances.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["i-7"]);
        assert!(OBJECT.contains(TASK));
    }
}

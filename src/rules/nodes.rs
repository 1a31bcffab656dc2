//! The Nodes of the controller's own cluster, by the instance behind each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use super::Mark;

/// Before all names.
static NO_NAME: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

/// What is kept of a Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, which is shown and decides nothing: names are free, and used again.
    pub name: Arc<str>,
    /// The instance behind it; none before its provider ID is there, or where that is of another kind.
    pub instance: Option<NodeInstance>,
    /// Whether its condition `Ready` is True.
    pub is_ready: bool,
    /// The cluster that its label names.
    pub cluster: Option<Mark>,
}

/// An instance, as a Node's `spec.providerID` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInstance {
    id: Mark,
    region: Mark,
}

impl NodeInstance {
    /// Reads `<region>.<instance ID>`, after a leading `alicloud://`. Registered, edge and virtual Nodes have
    /// others.
    #[must_use]
    pub fn parse(provider_id: &str) -> Option<Self> {
        let id = provider_id
            .strip_prefix("alicloud://")
            .unwrap_or(provider_id);
        let (region, id) = id.split_once('.')?;
        let is_of_region = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let is_instance = !region.is_empty() && region.bytes().all(is_of_region) && !id.is_empty();
        is_instance.then(|| Self {
            id: Mark::of(id),
            region: Mark::of(region),
        })
    }
}

/// All Nodes that the watch has shown.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    by_name: BTreeMap<Arc<str>, Seen>,
    by_instance: BTreeSet<(Mark, Arc<str>)>,
    /// How many Nodes name each cluster.
    clusters: BTreeMap<Mark, usize>,
    /// The one that all name that tell.
    cluster: Option<Mark>,
    /// Counts the lists that the watch began.
    listing: u32,
    is_listed: bool,
}

#[derive(Clone, Debug)]
struct Seen {
    instance: Option<NodeInstance>,
    is_ready: bool,
    cluster: Option<Mark>,
    /// The list that last showed it.
    listing: u32,
}

/// What a change of Nodes may change for those who wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    /// The instances whose Nodes are others, or look different.
    pub instances: Vec<Mark>,
    /// Whether it concerns all: a list is done, or it is another cluster that is seen.
    pub concerns_all: bool,
}

impl Nodes {
    /// Whether all Nodes are known: from the end of a list to the beginning of the next.
    #[must_use]
    pub fn are_listed(&self) -> bool {
        self.is_listed
    }

    /// The cluster whose Nodes these are, as all that tell say. A list that goes on changes nothing before its end.
    #[must_use]
    pub fn cluster(&self) -> Option<Mark> {
        self.cluster
    }

    /// Returns whether it is another than before.
    fn follow_clusters(&mut self) -> bool {
        if !self.is_listed {
            return false;
        }
        let mut clusters = self.clusters.keys().copied();
        let cluster = clusters.next().filter(|_| clusters.next().is_none());
        std::mem::replace(&mut self.cluster, cluster) != cluster
    }

    /// Name and readiness of the Node of an instance, in any region where none is given. Of two, one that is
    /// Ready.
    #[must_use]
    pub fn find(&self, instance: Mark, region: Option<Mark>) -> Option<(&Arc<str>, bool)> {
        let start = (instance, NO_NAME.clone());
        let of_instance = self.by_instance.range(start..);
        let nodes = of_instance
            .take_while(|(id, _)| *id == instance)
            .filter_map(|(_, name)| Some((name, self.by_name.get(name)?)))
            .filter(|(_, node)| {
                let at = node.instance.map(|instance| instance.region);
                region.is_none() || at == region
            })
            .map(|(name, node)| (name, node.is_ready));
        // The first of the best.
        nodes.reduce(|best, other| if other.1 && !best.1 { other } else { best })
    }

    /// The watch lists all Nodes from the start. Up to its end, what was seen before stands beside what is seen now,
    /// and is no look at all Nodes.
    pub fn relist(&mut self) {
        self.listing += 1;
        self.is_listed = false;
    }

    /// That was all: what wasn't listed is gone.
    pub fn listed(&mut self) -> NodeChange {
        self.is_listed = true;
        let gone: Vec<Arc<str>> = self
            .by_name
            .iter()
            .filter(|(_, seen)| seen.listing != self.listing)
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.drop_seen(&name);
        }
        self.follow_clusters();
        NodeChange {
            instances: Vec::new(),
            concerns_all: true,
        }
    }

    /// A Node appeared or changed. A heartbeat changes nothing.
    pub fn apply(&mut self, node: Node) -> NodeChange {
        let Node {
            name,
            instance,
            is_ready,
            cluster,
        } = node;
        if let Some(seen) = self.by_name.get_mut(&name)
            && (seen.instance, seen.is_ready, seen.cluster) == (instance, is_ready, cluster)
        {
            seen.listing = self.listing;
            return NodeChange::default();
        }
        let name = self
            .by_name
            .get_key_value(&name)
            .map_or(name, |(name, _)| name.clone());
        let mut instances = self.drop_seen(&name);
        if let Some(instance) = instance {
            self.by_instance.insert((instance.id, name.clone()));
            instances.push(instance.id);
        }
        if let Some(cluster) = cluster {
            *self.clusters.entry(cluster).or_default() += 1;
        }
        let seen = Seen {
            instance,
            is_ready,
            cluster,
            listing: self.listing,
        };
        self.by_name.insert(name, seen);
        instances.dedup();
        self.change(instances)
    }

    /// A Node is gone.
    pub fn remove(&mut self, name: &str) -> NodeChange {
        let instances = self.drop_seen(name);
        self.change(instances)
    }

    /// A list that goes on tells nothing before its end.
    fn change(&mut self, instances: Vec<Mark>) -> NodeChange {
        if !self.is_listed {
            return NodeChange::default();
        }
        NodeChange {
            instances,
            concerns_all: self.follow_clusters(),
        }
    }

    /// The instance that was behind it.
    fn drop_seen(&mut self, name: &str) -> Vec<Mark> {
        let Some((name, seen)) = self.by_name.remove_entry(name) else {
            return Vec::new();
        };
        if let Some(cluster) = seen.cluster
            && let Some(count) = self.clusters.get_mut(&cluster)
        {
            *count -= 1;
            if *count == 0 {
                self.clusters.remove(&cluster);
            }
        }
        let Some(instance) = seen.instance else {
            return Vec::new();
        };
        self.by_instance.remove(&(instance.id, name));
        vec![instance.id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, provider_id: &str, is_ready: bool) -> Node {
        Node {
            name: name.into(),
            instance: NodeInstance::parse(provider_id),
            is_ready,
            cluster: None,
        }
    }

    fn found(nodes: &Nodes, instance: &str, region: Option<&str>) -> Option<(String, bool)> {
        let seen = nodes.find(Mark::of(instance), region.map(Mark::of));
        seen.map(|(name, is_ready)| (name.to_string(), is_ready))
    }

    #[test]
    fn provider_ids_of_instances_are_read_and_no_others() {
        let of = |region: &str, id: &str| {
            Some(NodeInstance {
                id: Mark::of(id),
                region: Mark::of(region),
            })
        };
        let rows = [
            ("cn-hangzhou.i-bp1", of("cn-hangzhou", "i-bp1")),
            ("alicloud://cn-hangzhou.i-bp1", of("cn-hangzhou", "i-bp1")),
            ("cn-hangzhou.i-bp1.x", of("cn-hangzhou", "i-bp1.x")),
            ("", None),
            ("i-bp1", None),
            (".i-bp1", None),
            ("cn-hangzhou.", None),
            ("ack-hybrid://cn-hangzhou.i-bp1", None),
            ("alicloud://alicloud://cn-hangzhou.i-bp1", None),
            ("ALICLOUD://cn-hangzhou.i-bp1", None),
            ("e01-cn.hangzhou", of("e01-cn", "hangzhou")),
            ("e01-0123456789", None),
        ];
        for (text, expected) in rows {
            assert_eq!(NodeInstance::parse(text), expected, "{text}");
        }
    }

    /// A cluster has thousands.
    #[test]
    fn what_is_kept_of_a_node_is_small() {
        assert_eq!(size_of::<Seen>(), 32);
    }

    #[test]
    fn a_node_is_found_by_its_instance_and_region_never_by_its_name() {
        let mut nodes = Nodes::default();
        nodes.apply(node("i-1", "cn-beijing.i-2", true));
        nodes.apply(node("a", "cn-hangzhou.i-1", false));
        nodes.apply(node("b", "alicloud://cn-hangzhou.i-1", true));
        let best = Some(("b".to_owned(), true));
        assert_eq!(found(&nodes, "i-1", None), best);
        assert_eq!(found(&nodes, "i-1", Some("cn-hangzhou")), best);
        assert_eq!(found(&nodes, "i-1", Some("cn-beijing")), None);
        nodes.remove("b");
        assert_eq!(found(&nodes, "i-1", None), Some(("a".to_owned(), false)));
    }

    #[test]
    fn what_changes_is_told_and_a_heartbeat_is_not() {
        let mut nodes = Nodes::default();
        nodes.listed();
        let touched = |change: NodeChange| (change.instances, change.concerns_all);
        let (one, two) = (Mark::of("i-1"), Mark::of("i-2"));
        let first = node("a", "cn.i-1", false);
        assert_eq!(touched(nodes.apply(first.clone())), (vec![one], false));
        assert_eq!(touched(nodes.apply(first)), (vec![], false));
        let ready = node("a", "cn.i-1", true);
        assert_eq!(touched(nodes.apply(ready)), (vec![one], false));
        let other = node("a", "cn.i-2", true);
        assert_eq!(touched(nodes.apply(other)), (vec![one, two], false));
        assert_eq!(touched(nodes.remove("a")), (vec![two], false));
        assert_eq!(touched(nodes.remove("a")), (vec![], false));
    }

    #[test]
    fn a_list_drops_what_it_does_not_show() {
        let mut nodes = Nodes::default();
        nodes.relist();
        nodes.apply(node("a", "cn.i-1", true));
        nodes.apply(node("b", "cn.i-2", true));
        assert!(nodes.listed().concerns_all);
        nodes.relist();
        nodes.apply(node("b", "cn.i-2", true));
        assert!(!nodes.are_listed(), "what was seen is no look at all");
        assert!(nodes.listed().concerns_all);
        assert_eq!(found(&nodes, "i-1", None), None);
        assert!(found(&nodes, "i-2", None).is_some());
    }

    #[test]
    fn the_cluster_is_what_all_nodes_that_tell_agree_on() {
        let mut nodes = Nodes::default();
        nodes.listed();
        let of = |name: &str, cluster: Option<&str>| Node {
            cluster: cluster.map(Mark::of),
            ..node(name, "", true)
        };
        assert_eq!(nodes.cluster(), None);
        assert!(nodes.apply(of("a", Some("c-1"))).concerns_all);
        assert!(!nodes.apply(of("b", None)).concerns_all);
        assert_eq!(nodes.cluster(), Some(Mark::of("c-1")));
        assert!(nodes.apply(of("b", Some("c-2"))).concerns_all);
        assert_eq!(nodes.cluster(), None);
        assert!(nodes.remove("a").concerns_all);
        assert_eq!(nodes.cluster(), Some(Mark::of("c-2")));
        // Half a list says nothing.
        nodes.relist();
        nodes.apply(of("b", Some("c-3")));
        assert_eq!(nodes.cluster(), Some(Mark::of("c-2")));
        nodes.listed();
        assert_eq!(nodes.cluster(), Some(Mark::of("c-3")));
    }
}

//! Watching the Nodes of the controller's own cluster.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, Resource, runtime::watcher};
use serde::{Deserialize, Deserializer};

use super::{
    listing::Listing,
    watch::{HoldsUpNothing, WATCH_SECONDS, logged},
    watch_log::{Kind, WatchLog},
};
use crate::{
    metrics::Metrics,
    rules::{Mark, Node, NodeInstance},
    scheduler::{Input, NodeInput},
};

/// Pages of a list where the API server can't stream one. Nodes are of one size, some 10 KiB.
const PAGE_SIZE: u32 = 100;

/// Watches all Nodes. Never ends; what fails is logged and retried.
pub fn watch(
    client: &Client,
    metrics: &Arc<Metrics>,
) -> impl Stream<Item = Result<Input, HoldsUpNothing>> + Send + use<> {
    let config = watcher::Config::default()
        .page_size(PAGE_SIZE)
        .timeout(WATCH_SECONDS);
    let api: Api<PartialNode> = Api::all(client.clone());
    let log = WatchLog::new(Kind::Nodes, metrics.clone());
    logged(Listing::watch(api, config), log).map(|event| Ok(Input::Nodes(input_of(event?))))
}

fn input_of(event: watcher::Event<PartialNode>) -> NodeInput {
    match event {
        watcher::Event::Init => NodeInput::Relisting,
        watcher::Event::InitDone => NodeInput::ListingDone,
        watcher::Event::InitApply(node) | watcher::Event::Apply(node) => {
            NodeInput::Applied(node.kept())
        }
        watcher::Event::Delete(node) => {
            NodeInput::Gone(node.metadata.name.unwrap_or_default().into())
        }
    }
}

/// A Node, read for what is kept of it and no more.
#[derive(Clone, Debug, Resource)]
#[resource(inherit = core::Node)]
struct PartialNode {
    /// Name and resource version.
    metadata: ObjectMeta,
    provider_id: Option<String>,
    cluster: Option<String>,
    is_ready: bool,
}

impl PartialNode {
    fn kept(self) -> Node {
        let cluster = self.cluster.as_deref().filter(|id| !id.is_empty());
        Node {
            name: self.metadata.name.as_deref().unwrap_or_default().into(),
            instance: self.provider_id.as_deref().and_then(NodeInstance::parse),
            is_ready: self.is_ready,
            cluster: cluster.map(Mark::of),
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    resource_version: Option<String>,
    labels: Option<Labels>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "ack.aliyun.com")]
    cluster: Option<String>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl<'de> Deserialize<'de> for PartialNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let conditions = wire.status.and_then(|status| status.conditions);
        let mut conditions = conditions.iter().flatten();
        Ok(Self {
            metadata: ObjectMeta {
                name: wire.metadata.name,
                resource_version: wire.metadata.resource_version,
                ..ObjectMeta::default()
            },
            provider_id: wire.spec.and_then(|spec| spec.provider_id),
            cluster: wire.metadata.labels.and_then(|labels| labels.cluster),
            is_ready: conditions.any(|one| one.type_ == "Ready" && one.status == "True"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kept(labels: &Value, spec: &Value, conditions: &Value) -> Node {
        let node = json!({
            "metadata": { "name": "n-1", "resourceVersion": "7", "labels": labels },
            "spec": spec,
            "status": { "conditions": conditions, "images": [{ "names": ["x"] }] },
        });
        let node: PartialNode = serde_json::from_str(&node.to_string()).unwrap();
        node.kept()
    }

    #[test]
    fn a_node_is_read_for_its_instance_readiness_and_cluster() {
        let ready = json!([{ "type": "MemoryPressure", "status": "False" }, { "type": "Ready", "status": "True" }]);
        let node = kept(
            &json!({ "ack.aliyun.com": "c-1", "other": "x" }),
            &json!({ "providerID": "cn-hangzhou.i-1", "podCIDR": "10.0.0.0/24" }),
            &ready,
        );
        let expected = Node {
            name: "n-1".into(),
            instance: NodeInstance::parse("cn-hangzhou.i-1"),
            is_ready: true,
            cluster: Some(Mark::of("c-1")),
        };
        assert_eq!(node, expected);
    }

    #[test]
    fn what_a_new_node_lacks_is_missing() {
        for conditions in [
            Value::Null,
            json!([]),
            json!([{ "type": "Ready", "status": "Unknown" }]),
        ] {
            let node = kept(&Value::Null, &json!({}), &conditions);
            let expected = Node {
                name: "n-1".into(),
                instance: None,
                is_ready: false,
                cluster: None,
            };
            assert_eq!(node, expected, "{conditions}");
        }
        assert_eq!(
            kept(&json!({ "ack.aliyun.com": "" }), &json!({}), &json!([])).cluster,
            None
        );
    }
}

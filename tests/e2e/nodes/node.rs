//! Nodes as kubelets and the cloud's controller make them.

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::world::World;

/// The Nodes of a test. Their names begin with that of its namespace.
pub struct Nodes {
    api: Api<Node>,
    prefix: String,
}

impl Nodes {
    pub fn of(world: &World) -> Self {
        Self {
            api: Api::all(world.client.clone()),
            prefix: world.namespace.clone(),
        }
    }

    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// What a Node of that region has as its provider ID.
    pub fn provider_id(&self, region: &str, name: &str) -> String {
        format!("{region}.i-{}", self.name(name))
    }

    /// A kubelet registers: no provider ID, no condition yet.
    pub async fn register(&self, name: &str) {
        self.create(name, json!({})).await;
    }

    pub async fn create(&self, name: &str, spec: Value) {
        let node = json!({ "metadata": { "name": self.name(name) }, "spec": spec });
        let node = serde_json::from_value(node).unwrap();
        self.api
            .create(&PostParams::default(), &node)
            .await
            .unwrap();
    }

    /// A Node with the provider ID of its instance.
    pub async fn join(&self, name: &str, is_ready: bool) {
        self.join_with(name, &self.provider_id("cn-hangzhou", name), is_ready)
            .await;
    }

    pub async fn join_with(&self, name: &str, provider_id: &str, is_ready: bool) {
        self.create(name, json!({ "providerID": provider_id }))
            .await;
        self.set_ready(name, is_ready).await;
    }

    /// The cloud's controller finds the instance.
    pub async fn identify(&self, name: &str, provider_id: &str) {
        self.patch(name, json!({ "spec": { "providerID": provider_id } }))
            .await;
    }

    pub async fn patch(&self, name: &str, patch: Value) {
        let (name, params) = (self.name(name), PatchParams::default());
        self.api
            .patch(&name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub async fn set_ready(&self, name: &str, is_ready: bool) {
        let status = if is_ready { "True" } else { "False" };
        self.beat(name, status, "2026-01-01T00:00:00Z").await;
    }

    /// A heartbeat, with what the kubelet says of itself.
    pub async fn beat(&self, name: &str, ready: &str, at: &str) {
        let ready = json!({
            "type": "Ready", "status": ready, "lastHeartbeatTime": at,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Test", "message": "test",
        });
        let address = json!({ "type": "InternalIP", "address": "192.168.0.21" });
        let patch = json!({ "status": { "conditions": [ready], "addresses": [address] } });
        let (name, params) = (self.name(name), PatchParams::default());
        self.api
            .patch_status(&name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub async fn delete(&self, name: &str) {
        let params = DeleteParams::default();
        self.api.delete(&self.name(name), &params).await.unwrap();
    }
}

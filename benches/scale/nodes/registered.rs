//! Nodes as kubelets have them.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use k8s_openapi::{api::core::v1::Node, jiff::Timestamp};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Request},
};
use serde_json::{Value, json};
use testbed::harness::{Cluster, Result};
use tokio::time::{Instant as Moment, sleep_until};

use super::instance;

/// Requests at the same time.
const AT_ONCE: u32 = 32;
/// What a kubelet lists: with these a Node has 11 KiB.
const IMAGES: usize = 45;
/// How many are deleted by one request.
const PAGE: u32 = 500;

/// Nodes, each of an instance of its own.
pub struct Registered {
    pub api: Api<Node>,
    count: usize,
}

impl Registered {
    /// None yet.
    pub fn new(cluster: &Cluster) -> Self {
        Self {
            api: Api::all(cluster.client().clone()),
            count: 0,
        }
    }

    /// So many more.
    pub async fn add(&mut self, more: usize, are_ready: bool) -> Result<()> {
        let create = |number| {
            let api = &self.api;
            async move {
                let node: Node = serde_json::from_value(node(number, are_ready))?;
                api.create(&PostParams::default(), &node).await?;
                Result::Ok(())
            }
        };
        stream::iter((self.count..self.count + more).map(create))
            .buffer_unordered(usize::try_from(AT_ONCE)?)
            .try_collect::<()>()
            .await?;
        self.count += more;
        Ok(())
    }

    /// So many heartbeats a second for so long, or as many as the API server takes. Returns how many it took.
    pub async fn beat(&self, rate: u32, length: Duration) -> Result<usize> {
        let begin = Instant::now();
        let step = Duration::from_secs(1) / rate;
        let worker = |first: u32| async move {
            let mut done = 0;
            for number in (first..).step_by(usize::try_from(AT_ONCE)?) {
                let at = begin + step * number;
                if at.max(Instant::now()) >= begin + length {
                    break;
                }
                sleep_until(Moment::from_std(at)).await;
                self.beat_once(usize::try_from(number)? % self.count)
                    .await?;
                done += 1;
            }
            Result::Ok(done)
        };
        let all = join_all((0..AT_ONCE).map(worker)).await;
        let done: Result<Vec<usize>> = all.into_iter().collect();
        Ok(done?.iter().sum())
    }

    /// Nothing but times changes.
    async fn beat_once(&self, number: usize) -> Result<()> {
        let now = Timestamp::now().to_string();
        let beat = |type_: &&str| json!({ "type": type_, "lastHeartbeatTime": now });
        let conditions: Vec<Value> = CONDITIONS.iter().map(beat).collect();
        self.patch_status(number, &json!({ "status": { "conditions": conditions } }))
            .await
    }

    pub async fn make_ready(&self, number: usize) -> Result<()> {
        let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady" });
        self.patch_status(number, &json!({ "status": { "conditions": [ready] } }))
            .await
    }

    /// By a strategic merge, as a kubelet does it; the answer isn't read.
    async fn patch_status(&self, number: usize, patch: &Value) -> Result<()> {
        let request = Request::new(Node::url_path(&(), None));
        let params = PatchParams::default();
        let request = request.patch_subresource(
            "status",
            &name(number),
            &params,
            &Patch::Strategic(patch),
        )?;
        self.api.clone().into_client().request_text(request).await?;
        Ok(())
    }

    /// Page by page: deleting them all takes longer than the API server lets one request take.
    pub async fn delete(&self) -> Result<()> {
        let page = ListParams::default().limit(PAGE);
        for _ in (0..self.count).step_by(usize::try_from(PAGE)?) {
            self.api
                .delete_collection(&DeleteParams::default(), &page)
                .await?;
        }
        Ok(())
    }
}

pub fn name(number: usize) -> String {
    format!("cn-hangzhou.10.{}.{}", number / 250, number % 250)
}

const CONDITIONS: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];

fn node(number: usize, is_ready: bool) -> Value {
    let condition = |type_: &&str| {
        let is_true = *type_ == "Ready" && is_ready;
        json!({
            "type": type_, "status": if is_true { "True" } else { "False" },
            "reason": "KubeletReports", "message": "what the kubelet says of this condition",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions: Vec<Value> = CONDITIONS.iter().map(condition).collect();
    let image = |number: usize| {
        let repository = format!("registry.example.com/team-{number}/service-{number}");
        let digest = format!("{repository}@sha256:{number:064}");
        let tag = format!("{repository}:1.{number}.0");
        json!({ "names": [digest, tag], "sizeBytes": 100_000_000 + number })
    };
    let images: Vec<Value> = (0..IMAGES).map(image).collect();
    let resources = json!({
        "cpu": "8", "memory": "32393192Ki", "pods": "110",
        "ephemeral-storage": "123722704Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
    });
    json!({
        "metadata": {
            "name": name(number),
            "labels": {
                "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": name(number),
                "node.kubernetes.io/instance-type": "ecs.g7.2xlarge",
                "topology.kubernetes.io/region": "cn-hangzhou",
                "topology.kubernetes.io/zone": "cn-hangzhou-k",
                "ack.aliyun.com": "c3fb96524f9274b4495df0f12a6b50000",
            },
        },
        "spec": { "providerID": format!("cn-hangzhou.{}", instance(number)) },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }],
            "capacity": resources, "allocatable": resources,
            "conditions": conditions, "images": images,
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "containerd://2.1.0",
                "kernelVersion": "5.10.134", "kubeProxyVersion": "", "kubeletVersion": "v1.33.0",
                "machineID": "", "operatingSystem": "linux", "osImage": "Linux 3", "systemUUID": "",
            },
        },
    })
}

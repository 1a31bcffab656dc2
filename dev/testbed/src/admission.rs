//! Rules that the API server follows in one namespace, until they are dropped.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use controlplane::ControlPlane;
use k8s_openapi::api::{
    admissionregistration::v1::{
        ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
    },
    events::v1::Event,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    hanging::HangingServers,
    harness::{Error, Result},
};

/// How long the API server may take until it follows a rule.
const LIMIT: Duration = Duration::from_secs(30);
/// How often it is tried, and how long one try may take.
const LOOK: Duration = Duration::from_millis(200);

/// A rule of the API server. It is removed when this is dropped.
pub struct Rule {
    removal: Command,
}

impl Drop for Rule {
    fn drop(&mut self) {
        match self.removal.output() {
            Ok(output) if output.status.success() => {}
            failed => eprintln!("a rule could not be removed: {failed:?}"),
        }
    }
}

impl Rule {
    /// Has the API server refuse all new Events of a namespace, and waits until it does.
    pub async fn refuse_events(
        plane: &ControlPlane,
        client: &Client,
        namespace: &str,
    ) -> Result<Self> {
        let what = json!({
            "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"],
            "resources": ["events"], "operations": ["CREATE"],
        });
        let rule = Self::refuse(plane, client, namespace, "events", what, "false").await?;
        let events: Api<Event> = Api::namespaced(client.clone(), namespace);
        let event = probe_event(namespace)?;
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        until("the API server refuses Events", async || {
            let created = events.create(&dry_run, &event).await;
            matches!(created, Err(kube::Error::Api(status)) if status.code == 403)
        })
        .await?;
        Ok(rule)
    }

    /// Has the API server refuse all deletions of objects of a namespace, and waits until it does.
    pub async fn refuse_deletions(
        plane: &ControlPlane,
        client: &Client,
        namespace: &str,
    ) -> Result<Self> {
        let what = json!({
            "apiGroups": ["scaleout.dev"], "apiVersions": ["v1alpha1"],
            "resources": ["scaleouttasks"], "operations": ["DELETE"],
        });
        let rule = Self::refuse(plane, client, namespace, "deletions", what, "false").await?;
        let objects: Api<ScaleOutTask> = Api::namespaced(client.clone(), namespace);
        objects.create(&PostParams::default(), &probe()).await?;
        let dry_run = DeleteParams::default().dry_run();
        until("the API server refuses deletions", async || {
            let deleted = objects.delete("probe", &dry_run).await;
            matches!(deleted, Err(kube::Error::Api(status)) if status.code == 403)
        })
        .await?;
        Ok(rule)
    }

    /// Has the API server refuse all new objects of a namespace whose task's ID begins so, and waits until it does.
    pub async fn refuse_tasks(
        plane: &ControlPlane,
        client: &Client,
        namespace: &str,
        prefix: &str,
    ) -> Result<Self> {
        let what = json!({
            "apiGroups": ["scaleout.dev"], "apiVersions": ["v1alpha1"],
            "resources": ["scaleouttasks"], "operations": ["CREATE"],
        });
        let allowed = format!("!object.spec.taskId.startsWith('{prefix}')");
        let rule = Self::refuse(plane, client, namespace, "tasks", what, &allowed).await?;
        let objects: Api<ScaleOutTask> = Api::namespaced(client.clone(), namespace);
        let mut refused = probe();
        prefix.clone_into(&mut refused.spec.task_id);
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        until("the API server refuses objects", async || {
            let created = objects.create(&dry_run, &refused).await;
            matches!(created, Err(kube::Error::Api(status)) if status.code == 403)
        })
        .await?;
        Ok(rule)
    }

    /// Has the API server refuse requests of that kind in a namespace, but what an expression allows.
    async fn refuse(
        plane: &ControlPlane,
        client: &Client,
        namespace: &str,
        kind: &str,
        what: Value,
        allowed: &str,
    ) -> Result<Self> {
        let name = format!("refuse-{kind}-{namespace}");
        let rule = Self::removed_by(
            plane,
            &[
                &format!("validatingadmissionpolicybinding/{name}"),
                &format!("validatingadmissionpolicy/{name}"),
            ],
        );
        let message = format!("no {kind} here");
        let policy = json!({
            "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": { "resourceRules": [what] },
                "validations": [{
                    "expression": allowed, "message": message, "reason": "Forbidden",
                }],
            },
        });
        create::<ValidatingAdmissionPolicy>(client, policy).await?;
        let binding = json!({
            "metadata": { "name": name },
            "spec": {
                "policyName": name, "validationActions": ["Deny"],
                "matchResources": { "namespaceSelector": selector(namespace) },
            },
        });
        create::<ValidatingAdmissionPolicyBinding>(client, binding).await?;
        Ok(rule)
    }

    /// Has the API server ask a server that never answers about every write of a status in a
    /// namespace, and waits until it does. Each write fails after ten seconds.
    pub async fn hang_status_writes(
        plane: &ControlPlane,
        client: &Client,
        namespace: &str,
        server: &HangingServers,
    ) -> Result<Self> {
        let name = format!("hang-status-writes-{namespace}");
        let rule = Self::removed_by(plane, &[&format!("validatingwebhookconfiguration/{name}")]);
        let address = server.addresses().first().ok_or("no server")?;
        let webhook = json!({
            "metadata": { "name": name },
            "webhooks": [{
                "name": "hangs.scaleout.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "clientConfig": { "url": format!("https://{address}/") },
                "namespaceSelector": selector(namespace),
                "rules": [{
                    "apiGroups": ["scaleout.dev"], "apiVersions": ["v1alpha1"],
                    "resources": ["scaleouttasks/status"], "operations": ["UPDATE"],
                }],
            }],
        });
        create::<ValidatingWebhookConfiguration>(client, webhook).await?;
        let objects: Api<ScaleOutTask> = Api::namespaced(client.clone(), namespace);
        objects.create(&PostParams::default(), &probe()).await?;
        let dry_run = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({ "status": { "state": "running" } }));
        until("the API server asks the webhook", async || {
            let patched = objects.patch_status("probe", &dry_run, &patch);
            let hangs = timeout(LOOK, patched).await.is_err();
            hangs && server.accepted() > 0
        })
        .await?;
        objects.delete("probe", &DeleteParams::default()).await?;
        Ok(rule)
    }

    fn removed_by(plane: &ControlPlane, names: &[&str]) -> Self {
        let mut removal = plane.kubectl();
        removal
            .args(["delete", "--ignore-not-found", "--wait=false"])
            .args(names);
        Self { removal }
    }
}

/// An object that nobody is called about.
fn probe() -> ScaleOutTask {
    let spec = ScaleOutTaskSpec {
        task_id: "probe".to_owned(),
        suspend: Some(true),
        ..ScaleOutTaskSpec::default()
    };
    ScaleOutTask::new("probe", spec)
}

/// The one namespace, by the label that every namespace has.
fn selector(namespace: &str) -> Value {
    json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } })
}

async fn create<K>(client: &Client, body: Value) -> Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let body: K = serde_json::from_value(body)?;
    let api: Api<K> = Api::all(client.clone());
    api.create(&PostParams::default(), &body).await?;
    Ok(())
}

fn probe_event(namespace: &str) -> Result<Event> {
    let event = json!({
        "metadata": { "name": "probe", "namespace": namespace },
        "eventTime": "2026-01-15T08:03:06.000000Z",
        "reportingController": "tests", "reportingInstance": "tests", "action": "Probe",
        "reason": "Probe", "type": "Normal",
        "regarding": { "apiVersion": "v1", "kind": "Pod", "name": "probe", "namespace": namespace },
    });
    Ok(serde_json::from_value(event)?)
}

async fn until(what: &str, probe: impl AsyncFn() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !probe().await {
        if begin.elapsed() > LIMIT {
            return Err(Error::from(format!("not within {LIMIT:?}: {what}")));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

//! What all runs share: clients of one control plane, and its audit log.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use controlplane::ControlPlane;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSource};
use serde_json::{Value, json};
use testbed::{
    witness::{PromiseCheck, Witness},
    world::{GROUP, USER, client_of, install},
};
use tokio::sync::OnceCell;

/// Access to a control plane.
#[derive(Clone)]
pub struct Cluster {
    /// The client of the administrator.
    pub client: Client,
    /// The client that the proxy uses for the controller. It doesn't retry, so that failures show.
    pub upstream: Client,
    /// The kubeconfig of a controller without a proxy.
    pub kubeconfig: PathBuf,
    audit_log: PathBuf,
    witness: Arc<Witness>,
}

impl Cluster {
    /// Uses the control plane that all tests share.
    pub async fn shared() -> Self {
        static WITNESS: OnceCell<Arc<Witness>> = OnceCell::const_new();
        let plane = tokio::task::spawn_blocking(controlplane::shared);
        let plane = plane.await.unwrap();
        let witness = WITNESS.get_or_init(|| prepare(plane)).await;
        Self::of(plane, witness.clone()).await
    }

    /// Uses a test's own control plane, and installs what the controller needs.
    pub async fn prepared(plane: &ControlPlane) -> Self {
        Self::of(plane, prepare(plane).await).await
    }

    async fn of(plane: &ControlPlane, witness: Arc<Witness>) -> Self {
        let client = client_of(plane).await;
        let kubeconfig = plane.user(USER, Some(GROUP)).unwrap();
        Self {
            client,
            upstream: client_without_retries(&kubeconfig).await,
            kubeconfig,
            audit_log: plane.audit_log().to_owned(),
            witness,
        }
    }

    /// Creates a namespace. All statuses in it are checked against the promises to GitOps tools.
    pub async fn create_namespace(&self, name: &str) -> PromiseCheck {
        let body = json!({ "metadata": { "name": name } });
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(body).unwrap();
        let params = PostParams::default();
        namespaces.create(&params, &namespace).await.unwrap();
        self.witness.check_at_end(name)
    }

    pub async fn create_object(&self, namespace: &str, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
            "metadata": { "name": name }, "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        let params = PostParams::default();
        self.objects(namespace)
            .create(&params, &object)
            .await
            .unwrap();
    }

    pub async fn patch_object(&self, namespace: &str, name: &str, patch: &Value) {
        let params = PatchParams::default();
        let api = self.objects(namespace);
        api.patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub async fn create_source(&self, namespace: &str, name: &str, spec: &Value) {
        let source = json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTaskSource",
            "metadata": { "name": name }, "spec": spec,
        });
        let source = serde_json::from_value(source).unwrap();
        let params = PostParams::default();
        self.sources(namespace)
            .create(&params, &source)
            .await
            .unwrap();
    }

    pub async fn patch_source(&self, namespace: &str, name: &str, patch: &Value) {
        let params = PatchParams::default();
        let api = self.sources(namespace);
        api.patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub fn sources(&self, namespace: &str) -> Api<ScaleOutTaskSource> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn objects(&self, namespace: &str) -> Api<ScaleOutTask> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The same, with another user for the controller.
    pub async fn acting_as(&self, user: &str) -> Self {
        let kubeconfig = controlplane::shared().user(user, None).unwrap();
        Self {
            upstream: client_without_retries(&kubeconfig).await,
            kubeconfig,
            ..self.clone()
        }
    }

    /// The current end of the audit log.
    pub fn audit_end(&self) -> u64 {
        self.audit_log.metadata().unwrap().len()
    }

    /// The controller's requests for objects and sources of the namespace, from `start` in the audit log.
    pub fn audited(&self, start: u64, namespace: &str) -> Vec<Audited> {
        let mut log = File::open(&self.audit_log).unwrap();
        log.seek(SeekFrom::Start(start)).unwrap();
        let mut lines = Vec::new();
        log.read_to_end(&mut lines).unwrap();
        let lines = String::from_utf8_lossy(&lines).into_owned();
        lines
            .lines()
            .filter(|line| line.contains(namespace))
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| {
                event["stage"] == "ResponseComplete"
                    && event["objectRef"]["apiGroup"] == "scaleout.dev"
                    && event["objectRef"]["namespace"] == namespace
                    && event["user"]["username"] == USER
            })
            .map(|event| Audited::of(&event))
            .collect()
    }

    /// All requests of that user that got a response.
    pub fn audited_of(&self, user: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.audit_log).unwrap();
        log.lines()
            .filter(|line| line.contains(user))
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["user"]["username"] == user && event["stage"] != "Panic")
            .collect()
    }
}

/// A request in the audit log.
#[derive(Clone, Debug)]
pub struct Audited {
    pub verb: String,
    pub resource: String,
    pub code: u64,
}

impl Audited {
    fn of(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        Self {
            verb: text(&event["verb"]),
            resource: text(&object["resource"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        }
    }
}

/// Installs what the controller needs, and starts to check all statuses.
async fn prepare(plane: &ControlPlane) -> Arc<Witness> {
    install(&client_of(plane).await).await;
    Witness::start(plane).await
}

/// A client without retries, which would hide what a test disturbs.
async fn client_without_retries(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options);
    let mut config = config.await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

//! A real etcd and kube-apiserver with the CRD and the controller's role.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use controlplane::{ControlPlane, Options};
use kube::{
    Api, Client, Config, Resource,
    api::{DeleteParams, ListParams, Request},
    config::{KubeConfigOptions, Kubeconfig},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec};

use super::{Result, metrics};
use crate::{objects::create_all, repository};

/// The user name of the controller.
const USER: &str = "scaleouttask-controller";

/// How many objects a page of a list has.
const PAGE: u32 = 250;
/// The metadata of a page is within this many bytes of its end.
const TAIL: usize = 1000;

/// An object's spec.
pub type Spec = ScaleOutTaskSpec;

/// Numbers of requests that change something.
#[derive(Clone, Copy)]
pub struct Writes {
    /// Requests for our kinds, including their statuses.
    pub objects: f64,
    /// Requests for Events.
    pub events: f64,
}

impl Writes {
    /// Their sum.
    pub fn total(self) -> f64 {
        self.objects + self.events
    }
}

/// A running control plane. It stops when this is dropped.
pub struct Cluster {
    plane: ControlPlane,
    client: Client,
}

impl Cluster {
    /// Starts a control plane, and installs the CRDs and the controller's roles.
    pub async fn start() -> Result<Self> {
        let start = || ControlPlane::start(&Options::default());
        let plane = tokio::task::spawn_blocking(start).await??;
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig())?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = Client::try_from(config)?;
        let cluster = Self { plane, client };
        cluster.install()?;
        Ok(cluster)
    }

    /// Installs the CRDs and the controller's roles.
    fn install(&self) -> Result<()> {
        let repository = repository();
        let crds = repository.join("crds");
        let crds = crds.to_string_lossy();
        let rbac = repository.join("dev/testbed/rbac.yaml");
        self.kubectl(&["apply", "-f", &crds, "-f", &rbac.to_string_lossy()])?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "-f",
            &crds,
        ])
    }

    /// Creates a namespace.
    pub fn create_namespace(&self, name: &str) -> Result<()> {
        self.kubectl(&["create", "namespace", name])
    }

    /// Creates objects with these names and specs.
    pub async fn create(&self, namespace: &str, objects: Vec<(String, Spec)>) -> Result<()> {
        Ok(create_all(&self.objects(namespace), objects).await?)
    }

    /// Deletes all objects of a namespace, some thousand at a time: the API server gives up on a request
    /// after a minute.
    pub async fn delete_all(&self, namespace: &str) -> Result<()> {
        let (delete, some) = (DeleteParams::default(), ListParams::default().limit(5000));
        let api = self.objects(namespace);
        while !api
            .list_metadata(&ListParams::default().limit(1))
            .await?
            .items
            .is_empty()
        {
            api.delete_collection(&delete, &some).await?;
        }
        Ok(())
    }

    /// The administrator's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The control plane.
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// The API for the objects of a namespace.
    pub fn objects(&self, namespace: &str) -> Api<ScaleOutTask> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Measures how long it takes to list all objects of a namespace, page by page, without decoding.
    pub async fn list_bare(&self, namespace: &str) -> Result<Duration> {
        let begin = Instant::now();
        let mut params = ListParams::default().limit(PAGE);
        let path = ScaleOutTask::url_path(&(), Some(namespace));
        loop {
            let request = Request::new(&path).list(&params)?;
            let page = self.client.request_text(request).await?;
            let start = page.len().saturating_sub(TAIL);
            let token = page
                .get(start..)
                .and_then(|tail| tail.split_once("\"continue\":\""))
                .and_then(|(_, rest)| rest.split('"').next())
                .unwrap_or_default();
            if token.is_empty() {
                return Ok(begin.elapsed());
            }
            params = params.continue_token(token);
        }
    }

    /// Numbers of changing requests so far, from the metrics of the API server.
    pub async fn writes(&self) -> Result<Writes> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let page = self.client.request_text(request).await?;
        let count = |labels: &[&str]| metrics::sum(&page, "apiserver_request_total", labels);
        let of = |resource: &str| {
            let verbs = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
            let resource = format!("resource=\"{resource}\"");
            let each = verbs.map(|verb| count(&[&resource, &format!("verb=\"{verb}\"")]));
            each.iter().sum::<f64>()
        };
        Ok(Writes {
            objects: of("scaleouttasks") + of("scaleouttasksources"),
            events: of("events"),
        })
    }

    /// A kubeconfig file for the controller.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        Ok(self.plane.user(USER, None)?)
    }

    /// A directory that is removed with the cluster.
    pub fn directory(&self) -> &Path {
        self.plane.directory()
    }

    /// The version of Kubernetes.
    pub async fn version(&self) -> Result<String> {
        Ok(self.client.apiserver_version().await?.git_version)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        let output = self.plane.kubectl().args(arguments).output()?;
        if output.status.success() {
            return Ok(());
        }
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("kubectl {}: {}", arguments.join(" "), error.trim_end()).into())
    }
}

//! What each test has: a namespace, a simulator, and a controller that sees only that namespace.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use controlplane::{ControlPlane, Process};
use futures::StreamExt;
use k8s_openapi::{
    api::{
        core::v1::Namespace,
        events::v1::Event,
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        conditions::is_crd_established,
        wait::await_condition,
        watcher::{self, watcher},
    },
};
use scaleouttask_controller::{
    api::{ScaleOutTask, ScaleOutTaskStatus, crd},
    core::Object,
};
use serde_json::{Value, json};
use simulator::{Script, Simulator, Task};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Nothing that a test waits for takes longer, on a busy machine too.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the controller is known by to RBAC.
const USER: &str = "scaleouttask-controller";

pub struct World {
    pub plane: &'static ControlPlane,
    pub client: Client,
    pub namespace: String,
    pub simulator: Simulator,
    directory: TempDir,
    controller: Option<Process>,
    starts: u32,
    admin_port: u16,
}

impl World {
    pub async fn new(name: &str) -> Self {
        Self::with_script(name, Script::default()).await
    }

    pub async fn with_script(name: &str, script: Script) -> Self {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let plane = tokio::task::spawn_blocking(controlplane::shared)
            .await
            .unwrap();
        let client = client_of(plane).await;
        install(&client).await;
        let namespace = format!("{name}-{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let body = json!({ "metadata": { "name": namespace } });
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .create(
                &PostParams::default(),
                &serde_json::from_value(body).unwrap(),
            )
            .await
            .unwrap();
        Self {
            plane,
            client,
            namespace,
            simulator: Simulator::start(script).unwrap(),
            directory: tempfile::tempdir().unwrap(),
            controller: None,
            starts: 0,
            admin_port: 0,
        }
    }

    pub fn api(&self) -> Api<ScaleOutTask> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn add_task(&self, yaml: &str) {
        self.simulator.set_task(yaml.parse::<Task>().unwrap());
    }

    /// Starts the controller with unsigned calls, polling each second.
    pub fn start(&mut self) {
        self.start_with(&["--credentials", "none"], &[]);
    }

    pub fn start_with(&mut self, args: &[&str], env: &[(&str, &str)]) {
        let kubeconfig = self.plane.user(USER, None).unwrap();
        self.admin_port = free_port();
        self.starts += 1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_scaleouttask-controller"));
        command
            .arg("run")
            .args(["--region", "cn-hangzhou", "--poll-interval", "1s"])
            .args(["--namespace", &self.namespace])
            .args(["--endpoint", &self.simulator.url()])
            .args(["--admin-address", &format!("127.0.0.1:{}", self.admin_port)])
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env("SCALEOUTTASK_LOG_FILTER", "scaleouttask_controller=debug")
            .envs(env.iter().copied());
        let log = self.log_path();
        self.controller = Some(Process::spawn("controller", &command, &log).unwrap());
    }

    /// Stops the controller as a cluster would, and says how it ended and how long that took.
    pub fn stop(&mut self) -> (i32, Duration) {
        let mut controller = self.controller.take().unwrap();
        let asked = Instant::now();
        controller.signal(controlplane::Signal::Terminate);
        let status = loop {
            if let Some(status) = controller.exit_status().unwrap() {
                break status;
            }
            assert!(asked.elapsed() < PATIENCE, "the controller doesn't stop");
            std::thread::sleep(Duration::from_millis(20));
        };
        (status.code().unwrap_or(-1), asked.elapsed())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory
            .path()
            .join(format!("controller-{}.log", self.starts))
    }

    pub async fn create(&self, name: &str, spec: Value) -> Object {
        self.try_create(name, spec).await.unwrap()
    }

    pub async fn try_create(&self, name: &str, spec: Value) -> kube::Result<Object> {
        let body = json!({
            "apiVersion": "scaleout.dev/v1alpha1",
            "kind": "ScaleOutTask",
            "metadata": { "name": name },
            "spec": spec,
        });
        // Raw, for bad specs have no type.
        let url = format!(
            "/apis/scaleout.dev/v1alpha1/namespaces/{}/scaleouttasks?fieldManager=tests",
            self.namespace
        );
        let request = http::Request::post(url)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&body).unwrap())
            .unwrap();
        let created: ScaleOutTask = self.client.request(request).await?;
        Ok(Object::from(created))
    }

    pub async fn patch(&self, name: &str, patch: Value) -> kube::Result<Object> {
        let params = PatchParams::default();
        let patched = self
            .api()
            .patch(name, &params, &Patch::Merge(patch))
            .await?;
        Ok(Object::from(patched))
    }

    pub async fn get(&self, name: &str) -> Object {
        Object::from(self.api().get(name).await.unwrap())
    }

    /// Waits until the object is as `wanted`, and returns it.
    pub async fn until(
        &self,
        name: &str,
        wanted: impl Fn(&Object) -> bool + Send + Sync,
    ) -> Object {
        let condition = |task: Option<&ScaleOutTask>| {
            task.is_some_and(|task| wanted(&Object::from(task.clone())))
        };
        let met =
            tokio::time::timeout(PATIENCE, await_condition(self.api(), name, condition)).await;
        if let Ok(met) = met {
            return Object::from(met.unwrap().unwrap());
        }
        let now = self.api().get(name).await.unwrap();
        panic!(
            "{name} didn't become what was waited for; it is {:#?}\n{}",
            now.status,
            self.log()
        );
    }

    pub async fn until_reason(&self, name: &str, reason: &str) -> Object {
        self.until(name, |object| ready(object).0 == reason).await
    }

    /// Collects every status that the object has from now on.
    pub fn history(&self, name: &str) -> History {
        let statuses = Arc::new(Mutex::new(Vec::new()));
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = watcher(self.api(), config).boxed();
        let seen = statuses.clone();
        let watching = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Ok(watcher::Event::Apply(task) | watcher::Event::InitApply(task)) = event {
                    let status = task.status.unwrap_or_default();
                    let mut seen = seen.lock().unwrap();
                    if seen.last() != Some(&status) {
                        seen.push(status);
                    }
                }
            }
        });
        History { statuses, watching }
    }

    /// Waits until the audit log has that many requests that changed the object.
    pub async fn until_writes(&self, name: &str, count: usize) {
        eventually("all writes in the audit log", || async {
            self.writes(name).len() >= count
        })
        .await;
    }

    /// The requests to the API server that changed the object's status or deleted it, with their
    /// answers' codes, from the audit log.
    pub fn writes(&self, name: &str) -> Vec<u64> {
        let log = fs::read_to_string(self.plane.audit_log()).unwrap();
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| {
                let object = &event["objectRef"];
                event["stage"] == "ResponseComplete"
                    && object["resource"] == "scaleouttasks"
                    && object["namespace"] == self.namespace.as_str()
                    && object["name"] == name
                    && event["user"]["username"] == USER
                    && ["patch", "update", "delete"]
                        .iter()
                        .any(|verb| event["verb"] == *verb)
            })
            .map(|event| event["responseStatus"]["code"].as_u64().unwrap())
            .collect()
    }

    /// The Events about the object: type and reason, in the order of their times.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut events = api
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items;
        events.retain(|event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|regarding| regarding.name.as_deref() == Some(name))
        });
        events.sort_by_key(|event| event.event_time.clone());
        let told = |event: Event| {
            (
                event.type_.unwrap_or_default(),
                event.reason.unwrap_or_default(),
            )
        };
        events.into_iter().map(told).collect()
    }

    pub fn kubectl(&self, args: &[&str]) -> Output {
        let mut command = self.plane.kubectl();
        command.args(["--namespace", &self.namespace]).args(args);
        command.output().unwrap()
    }

    /// Runs kubectl, which must succeed, and returns what it printed.
    pub fn kubectl_text(&self, args: &[&str]) -> String {
        let output = self.kubectl(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Body and status of one of the controller's own pages.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.admin_port);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        match http.get(url).send().await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap()),
            Err(error) => (0, error.to_string()),
        }
    }
}

/// All statuses that an object had.
pub struct History {
    statuses: Arc<Mutex<Vec<ScaleOutTaskStatus>>>,
    watching: JoinHandle<()>,
}

impl History {
    pub fn statuses(&self) -> Vec<ScaleOutTaskStatus> {
        self.statuses.lock().unwrap().clone()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Reason and status of `Ready`, and the type of the condition beside it.
pub fn ready(object: &Object) -> (&str, &str, &str) {
    let ready = object.ready();
    let beside = object
        .status
        .conditions
        .iter()
        .find(|condition| condition.type_ != "Ready")
        .map_or("", |condition| condition.type_.as_str());
    ready.map_or(("", "", beside), |ready| {
        (&ready.reason, &ready.status, beside)
    })
}

/// Waits until `probe` says yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut probe: impl FnMut() -> F) {
    let began = Instant::now();
    while !probe().await {
        assert!(began.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn client_of(plane: &ControlPlane) -> Client {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// The CRD, and a role with what the controller may do and no more.
async fn install(client: &Client) {
    static INSTALLED: tokio::sync::Mutex<bool> = tokio::sync::Mutex::const_new(false);
    let mut installed = INSTALLED.lock().await;
    if *installed {
        return;
    }
    let apply = PatchParams::apply("tests").force();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = crd();
    let name = crd.metadata.name.clone().unwrap();
    crds.patch(&name, &apply, &Patch::Apply(&crd))
        .await
        .unwrap();
    await_condition(crds, &name, is_crd_established())
        .await
        .unwrap();

    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": USER },
        "rules": [
            { "apiGroups": ["scaleout.dev"], "resources": ["scaleouttasks"],
              "verbs": ["get", "list", "watch", "delete"] },
            { "apiGroups": ["scaleout.dev"], "resources": ["scaleouttasks/status"],
              "verbs": ["patch"] },
            { "apiGroups": ["events.k8s.io"], "resources": ["events"],
              "verbs": ["create", "patch"] },
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": USER },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER }],
    });
    let roles: Api<ClusterRole> = Api::all(client.clone());
    roles
        .patch(USER, &apply, &Patch::Apply(&role))
        .await
        .unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    bindings
        .patch(USER, &apply, &Patch::Apply(&binding))
        .await
        .unwrap();
    *installed = true;
}

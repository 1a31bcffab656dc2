//! The environment of a test: a namespace, a simulator, and a controller that watches only that
//! namespace.

use std::{
    fs,
    path::Path,
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use controlplane::ControlPlane;
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
use scaleouttask_controller::api::{
    ScaleOutTask, ScaleOutTaskSource, ScaleOutTaskSourceStatus, ScaleOutTaskSpec,
    ScaleOutTaskStatus, crd, source_crd,
};
use serde_json::{Value, json};
use simulator::{Script, Simulator, Task};
use tempfile::TempDir;
use tokio::{
    sync::OnceCell,
    task::JoinHandle,
    time::{sleep, timeout_at},
};

use crate::{
    WholeObject,
    controller::Controller,
    harness::Usage,
    objects::{create_all, names},
    render::{granted, render},
    witness::{PromiseCheck, Witness},
};

/// Nothing that a test waits for takes longer, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// The user name of the controller.
pub const USER: &str = "scaleouttask-controller";
/// The group of all controllers of a test.
pub const GROUP: &str = "scaleouttask-controllers";

/// A namespace, a simulated task API, and a controller that watches only that namespace.
pub struct World {
    /// The control plane that all tests of a binary share.
    pub plane: &'static ControlPlane,
    /// The administrator's client.
    pub client: Client,
    /// The namespace of this test.
    pub namespace: String,
    /// The task API that the controller calls.
    pub simulator: Simulator,
    directory: TempDir,
    controller: Option<Controller>,
    starts: AtomicU32,
    witness: Arc<Witness>,
    // The last field: they check when they are dropped, after everything that writes has ended.
    checks: Vec<PromiseCheck>,
}

impl World {
    /// A world without tasks. The name of its namespace begins with `name`.
    pub async fn new(name: &str) -> Self {
        Self::with_script(name, Script::default()).await
    }

    /// A world whose task API follows that script.
    pub async fn with_script(name: &str, script: Script) -> Self {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        static WITNESS: OnceCell<Arc<Witness>> = OnceCell::const_new();
        let plane = tokio::task::spawn_blocking(controlplane::shared)
            .await
            .unwrap();
        let client = client_of(plane).await;
        let witness = WITNESS.get_or_init(|| async {
            install(&client).await;
            Witness::start(plane).await
        });
        let witness = witness.await;
        let namespace = format!("{name}-{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        create_namespace(&client, &namespace).await;
        Self {
            checks: vec![witness.check_at_end(&namespace)],
            witness: witness.clone(),
            plane,
            client,
            namespace,
            simulator: Simulator::start(script).unwrap(),
            directory: tempfile::tempdir().unwrap(),
            controller: None,
            starts: AtomicU32::new(0),
        }
    }

    /// Creates one namespace more, which the controller sees if `--namespace` names it too. What
    /// this returns is its name.
    pub async fn add_namespace(&mut self, suffix: &str) -> String {
        let namespace = format!("{}-{suffix}", self.namespace);
        create_namespace(&self.client, &namespace).await;
        self.checks.push(self.witness.check_at_end(&namespace));
        namespace
    }

    /// The objects of the namespace.
    pub fn api(&self) -> Api<ScaleOutTask> {
        self.api_in(&self.namespace)
    }

    /// The objects of another namespace.
    pub fn api_in(&self, namespace: &str) -> Api<ScaleOutTask> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Adds a task, or replaces it.
    pub fn add_task(&self, yaml: &str) {
        self.simulator.set_task(yaml.parse::<Task>().unwrap());
    }

    /// Starts the controller with unsigned calls, polling each second.
    pub fn start(&mut self) {
        self.start_with(&["--credentials", "none"], &[]);
    }

    /// Starts the controller with additional arguments and environment variables.
    pub fn start_with(&mut self, args: &[&str], env: &[(&str, &str)]) {
        self.controller = Some(self.controller(USER, &self.simulator, args, env));
    }

    /// Starts another controller, as `user`.
    pub fn controller(
        &self,
        user: &str,
        simulator: &Simulator,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Controller {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.directory.path().join(format!("{user}-{number}.log"));
        let kubeconfig = self.plane.user(user, Some(GROUP)).unwrap();
        let mut command = Controller::command();
        command
            .args(["--region", "cn-hangzhou", "--poll-interval", "1s"])
            .args(["--namespace", &self.namespace])
            .args(["--endpoint", &simulator.url()])
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .envs(env.iter().copied());
        Controller::spawn(command, &log)
    }

    /// Stops the controller by SIGTERM. Returns its exit code and how long that took.
    pub fn stop(&mut self) -> (i32, Duration) {
        self.controller.take().unwrap().stop()
    }

    /// Waits until the controller ends by itself. Returns its exit code.
    pub fn wait(&mut self) -> i32 {
        self.controller.as_mut().unwrap().wait()
    }

    /// The controller's log so far.
    pub fn log(&self) -> String {
        self.controller
            .as_ref()
            .map(Controller::log)
            .unwrap_or_default()
    }

    /// Adds objects of running tasks to a namespace; tasks and objects are named alike.
    pub async fn fill(&self, namespace: &str, prefix: &str, count: usize, poll_interval: &str) {
        let objects = names(prefix, count).into_iter().map(|name| {
            self.simulator.set_task(Task::in_state(&name, "running"));
            let spec = ScaleOutTaskSpec {
                task_id: name.clone(),
                poll_interval: Some(poll_interval.to_owned()),
                ..ScaleOutTaskSpec::default()
            };
            (name, spec)
        });
        create_all(&self.api_in(namespace), objects).await.unwrap();
    }

    /// Creates an object.
    pub async fn create(&self, name: &str, spec: Value) -> WholeObject {
        self.try_create(name, spec).await.unwrap()
    }

    /// Creates an object that the API server may refuse.
    pub async fn try_create(&self, name: &str, spec: Value) -> kube::Result<WholeObject> {
        let body = json!({
            "apiVersion": "scaleout.dev/v1alpha1",
            "kind": "ScaleOutTask",
            "metadata": { "name": name },
            "spec": spec,
        });
        // Without the typed API, which can't send bad specs.
        let created = self.create_any("scaleouttasks", &body).await?;
        let created: ScaleOutTask = serde_json::from_value(created).unwrap();
        Ok(WholeObject::from(created))
    }

    /// Creates an object of any kind of the group, such as `scaleouttasksources`.
    pub async fn create_any(&self, resource: &str, object: &Value) -> kube::Result<Value> {
        let url = format!(
            "/apis/scaleout.dev/v1alpha1/namespaces/{}/{resource}?fieldManager=tests",
            self.namespace
        );
        let request = http::Request::post(url)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(object).unwrap())
            .unwrap();
        self.client.request(request).await
    }

    /// The sources of the namespace.
    pub fn sources(&self) -> Api<ScaleOutTaskSource> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a source.
    pub async fn create_source(&self, name: &str, spec: Value) -> ScaleOutTaskSource {
        let object = json!({
            "apiVersion": "scaleout.dev/v1alpha1",
            "kind": "ScaleOutTaskSource",
            "metadata": { "name": name },
            "spec": spec,
        });
        let created = self.create_any("scaleouttasksources", &object).await;
        serde_json::from_value(created.unwrap()).unwrap()
    }

    /// Waits until the status of a source is as `wanted`, and returns it.
    pub async fn until_source(
        &self,
        name: &str,
        wanted: impl Fn(&ScaleOutTaskSourceStatus) -> bool + Send + Sync,
    ) -> ScaleOutTaskSourceStatus {
        let began = Instant::now();
        loop {
            let source = self.sources().get(name).await.unwrap();
            let status = source.status.unwrap_or_default();
            if wanted(&status) {
                return status;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{name} didn't reach the expected status; it is {status:#?}\n{}",
                self.log()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the reason of `Ready` of a source is that, and returns its status.
    pub async fn until_source_reason(&self, name: &str, reason: &str) -> ScaleOutTaskSourceStatus {
        let is_so = |status: &ScaleOutTaskSourceStatus| {
            let mut conditions = status.conditions.iter();
            conditions.any(|one| one.type_ == "Ready" && one.reason == reason)
        };
        self.until_source(name, is_so).await
    }

    /// Merges a patch into an object.
    pub async fn patch(&self, name: &str, patch: Value) -> kube::Result<WholeObject> {
        let params = PatchParams::default();
        let patched = self
            .api()
            .patch(name, &params, &Patch::Merge(patch))
            .await?;
        Ok(WholeObject::from(patched))
    }

    /// The object as it is now.
    pub async fn get(&self, name: &str) -> WholeObject {
        WholeObject::from(self.api().get(name).await.unwrap())
    }

    /// Waits until the object is as `wanted`, and returns it.
    pub async fn until(
        &self,
        name: &str,
        wanted: impl Fn(&WholeObject) -> bool + Send + Sync,
    ) -> WholeObject {
        let condition = |task: Option<&ScaleOutTask>| {
            task.is_some_and(|task| wanted(&WholeObject::from(task.clone())))
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let wait = || timeout_at(deadline, await_condition(self.api(), name, condition));
        while let Ok(met) = wait().await {
            match met {
                Ok(task) => return WholeObject::from(task.unwrap()),
                // A watch may end at any time; this only waits.
                Err(error) => println!("waiting for {name} anew: {error}"),
            }
            sleep(Duration::from_millis(100)).await;
        }
        let now = self.api().get(name).await.unwrap();
        panic!(
            "{name} didn't reach the expected status; it is {:#?}\n{}",
            now.status,
            self.log()
        );
    }

    /// Waits until the reason of `Ready` is that, and returns the object.
    pub async fn until_reason(&self, name: &str, reason: &str) -> WholeObject {
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

    /// The response codes of all requests that wrote the object's status or deleted it, from the
    /// audit log.
    pub fn writes(&self, name: &str) -> Vec<u64> {
        let writes = self.audited("scaleouttasks", name);
        let codes = writes
            .iter()
            .map(|write| write["responseStatus"]["code"].as_u64());
        codes.map(Option::unwrap).collect()
    }

    /// All requests of controllers that change that object, from the audit log, in its order.
    pub fn audited(&self, resource: &str, name: &str) -> Vec<Value> {
        const CHANGING: [&str; 4] = ["create", "patch", "update", "delete"];
        let mut requests = self.all_audited(resource);
        requests.retain(|event| {
            let changes = CHANGING.iter().any(|verb| event["verb"] == *verb);
            changes && event["objectRef"]["name"] == name
        });
        requests
    }

    /// The verbs of all requests of controllers for objects of that kind, from the audit log.
    pub fn audited_verbs(&self, resource: &str) -> Vec<String> {
        let requests = self.all_audited(resource);
        let verbs = requests.iter().map(|event| event["verb"].as_str());
        verbs.flatten().map(str::to_owned).collect()
    }

    fn all_audited(&self, resource: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.plane.audit_log()).unwrap();
        let matches = |event: &Value| {
            let object = &event["objectRef"];
            let groups = event["user"]["groups"].as_array();
            event["stage"] == "ResponseComplete"
                && object["resource"] == resource
                && object["namespace"] == self.namespace.as_str()
                && groups.is_some_and(|groups| groups.iter().any(|group| group == GROUP))
        };
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(matches)
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
        let type_and_reason = |event: Event| {
            (
                event.type_.unwrap_or_default(),
                event.reason.unwrap_or_default(),
            )
        };
        events.into_iter().map(type_and_reason).collect()
    }

    /// Runs kubectl in the namespace, as the administrator.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        let mut command = self.plane.kubectl();
        command.args(["--namespace", &self.namespace]).args(args);
        command.output().unwrap()
    }

    /// Runs kubectl, which must succeed, and returns its output.
    pub fn kubectl_text(&self, args: &[&str]) -> String {
        let output = self.kubectl(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The controller's use of processor and memory so far.
    pub fn usage(&self) -> Usage {
        self.controller.as_ref().unwrap().usage()
    }

    /// The controller's admin port.
    pub fn admin_port(&self) -> u16 {
        self.controller.as_ref().unwrap().admin_port()
    }

    /// Status and body of a page on the controller's admin port.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        self.controller.as_ref().unwrap().admin(path).await
    }
}

/// Records all statuses of an object.
pub struct History {
    statuses: Arc<Mutex<Vec<ScaleOutTaskStatus>>>,
    watching: JoinHandle<()>,
}

impl History {
    /// The statuses so far, in their order.
    pub fn statuses(&self) -> Vec<ScaleOutTaskStatus> {
        self.statuses.lock().unwrap().clone()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Reason and status of `Ready`, and the type of the abnormal condition beside it, if any.
pub fn ready(object: &WholeObject) -> (&str, &str, &str) {
    let ready = object.ready();
    let abnormal = object
        .status
        .conditions
        .iter()
        .find(|condition| !matches!(&*condition.type_, "Ready" | "Finished"))
        .map_or("", |condition| condition.type_.as_str());
    ready.map_or(("", "", abnormal), |ready| {
        (&ready.reason, &ready.status, abnormal)
    })
}

/// Waits until `probe` returns true.
pub async fn eventually<F: Future<Output = bool>>(what: &str, probe: impl FnMut() -> F) {
    eventually_within(PATIENCE, what, probe).await;
}

/// The same with another time limit.
pub async fn eventually_within<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> F,
) {
    let began = Instant::now();
    while !probe().await {
        assert!(began.elapsed() < limit, "never happened: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn create_namespace(client: &Client, name: &str) {
    let body = json!({ "metadata": { "name": name } });
    let namespace = serde_json::from_value(body).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let params = PostParams::default();
    namespaces.create(&params, &namespace).await.unwrap();
}

/// A client for the administrator.
pub async fn client_of(plane: &ControlPlane) -> Client {
    client_from(plane.kubeconfig()).await
}

/// A client. It works as long as the runtime in which it is created.
pub async fn client_from(kubeconfig: &Path) -> Client {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// Installs the CRDs and the role.
pub async fn install(client: &Client) {
    for crd in [crd(), source_crd()] {
        install_crd(client, &crd).await;
    }
    install_role(client).await;
}

/// Installs a CRD, or another version of it.
pub async fn install_crd(client: &Client, crd: &CustomResourceDefinition) {
    let apply = PatchParams::apply("tests").force();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = crd.metadata.name.clone().unwrap();
    crds.patch(&name, &apply, &Patch::Apply(crd)).await.unwrap();
    await_condition(crds, &name, is_crd_established())
        .await
        .unwrap();
}

/// Installs a role with exactly the permissions that the chart grants.
pub async fn install_role(client: &Client) {
    let apply = PatchParams::apply("tests").force();
    let granted = tokio::task::spawn_blocking(rules).await.unwrap();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": USER },
        "rules": granted,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": USER },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP }],
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
}

/// The rules that the chart grants, those for Nodes and sources among them, for a Lease of any name.
fn rules() -> Vec<Value> {
    let values = json!({ "nodes": { "enabled": true }, "sources": { "enabled": true } });
    let mut rules = granted(&render(&values).unwrap());
    for rule in &mut rules {
        rule.as_object_mut().unwrap().remove("resourceNames");
    }
    rules
}

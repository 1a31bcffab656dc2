//! The environment of a scenario: a namespace, a task API, a proxy and a controller that uses only
//! these.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use controlplane::Process;
use simulator::{Script, Simulator, Task};
use testbed::{controller::Controller, witness::PromiseCheck};
use tokio::{sync::Notify, time::sleep};

use crate::{
    cluster::Cluster,
    observer::Observer,
    proxy::{Plan, Proxy, Record},
    scenario::{Act, NAME, SOURCE},
};

/// How often to check whether the controller still runs.
const CHECK_PERIOD: Duration = Duration::from_millis(200);

/// Further arguments for the controller, given its namespace.
pub type Arguments = fn(namespace: &str) -> Vec<String>;

pub struct Stage {
    pub cluster: Cluster,
    pub namespace: String,
    pub simulator: Simulator,
    pub proxy: Proxy,
    pub observer: Observer,
    start: Notify,
    arguments: Vec<String>,
    // The last field: it checks when it is dropped, after everything that writes has ended.
    _check: PromiseCheck,
}

impl Stage {
    pub async fn new(
        cluster: &Cluster,
        name: &str,
        plan: Plan,
        arguments: impl Fn(&str) -> Vec<String>,
    ) -> Self {
        static STAGES: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("{name}-{}", STAGES.fetch_add(1, Ordering::Relaxed));
        Self {
            _check: cluster.create_namespace(&namespace).await,
            cluster: cluster.clone(),
            simulator: Simulator::start(Script::default()).unwrap(),
            proxy: Proxy::start(cluster.upstream.clone(), plan).await,
            observer: Observer::start(cluster.objects(&namespace), cluster.sources(&namespace)),
            arguments: arguments(&namespace),
            namespace,
            start: Notify::new(),
        }
    }

    pub async fn act(&self, act: &Act) {
        let (cluster, namespace) = (&self.cluster, &self.namespace);
        match act {
            Act::SetTask(task) => self.simulator.set_task(task.parse::<Task>().unwrap()),
            Act::CreateSource(spec) => cluster.create_source(namespace, SOURCE, spec).await,
            Act::PatchSource(patch) => cluster.patch_source(namespace, SOURCE, patch).await,
            Act::Create(spec) => cluster.create_object(namespace, NAME, spec).await,
            Act::Patch(patch) => cluster.patch_object(namespace, NAME, patch).await,
            Act::Start => self.start.notify_one(),
            Act::AwaitWatch => self.until_watching(1).await,
        }
    }

    /// Waits until the newest watch of each kind is open, and is of that process or a later one.
    pub async fn until_watching(&self, life: u32) {
        let is_open =
            |record: &Record| record.request.life >= life && record.answers.contains(&200);
        self.proxy
            .until(|records| {
                let streams = records.iter().filter(|record| record.request.streams());
                let newest: BTreeMap<_, _> = streams
                    .map(|record| (record.request.point.kind.list(), record))
                    .collect();
                !newest.is_empty() && newest.into_values().all(is_open)
            })
            .await;
    }

    /// Runs the controller from [`Act::Start`] on. When the proxy freezes, kills it and starts it
    /// again. Returns only if the controller exits by itself, with the exit status.
    pub async fn keep(&self) -> String {
        self.start.notified().await;
        loop {
            let mut process = self.spawn();
            loop {
                tokio::select! {
                    () = self.proxy.frozen() => break,
                    () = sleep(CHECK_PERIOD) => {}
                }
                if let Some(status) = process.exit_status().unwrap() {
                    return format!("the controller ended by itself: {status}");
                }
            }
            let killed = tokio::task::spawn_blocking(move || process.kill().unwrap());
            killed.await.unwrap();
            self.proxy.thaw().await;
        }
    }

    fn spawn(&self) -> Process {
        let kubeconfig = self.proxy.kubeconfig();
        let mut command = command(&self.namespace, &self.simulator, &kubeconfig);
        command.args(&self.arguments);
        Process::spawn("controller", &command, &self.log_path()).unwrap()
    }

    fn log_path(&self) -> PathBuf {
        self.proxy.directory().join("controller.log")
    }

    /// The log of all processes of the controller.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

/// The controller for one namespace, with unsigned calls.
pub fn command(namespace: &str, simulator: &Simulator, kubeconfig: &Path) -> Command {
    let mut command = Controller::command();
    command
        .args(["--region", "cn-hangzhou", "--poll-interval", "1s"])
        .args(["--credentials", "none", "--namespace", namespace])
        .args(["--endpoint", &simulator.url()])
        // Any free port: nothing uses it.
        .args(["--admin-address", "127.0.0.1:0"])
        .env("KUBECONFIG", kubeconfig);
    command
}

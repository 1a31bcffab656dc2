//! Several objects with one controller, and checks of its process.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use controlplane::Process;
use kube::{Api, api::ListParams};
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use simulator::{Script, Simulator, Task};
use tempfile::TempDir;
use testbed::WholeObject;
use testbed::witness::PromiseCheck;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{cluster::Cluster, stage::command};

/// Nothing takes longer without disturbance.
const PATIENCE: Duration = Duration::from_secs(45);
/// How often conditions are checked.
const CHECK_PERIOD: Duration = Duration::from_millis(50);
/// For each object: its name, the last state of its task, the last status of the instance, and the
/// reason that it shows then.
const ENDS: [(&str, &str, &str, &str); 4] = [
    ("succeeds", "success", "success", "TaskSucceeded"),
    ("fails", "fail", "initail", "TaskFailed"),
    ("partly", "success", "failed", "InstancesFailed"),
    ("goes-on", "running", "success", "TaskRunning"),
];

pub struct Fleet {
    cluster: Cluster,
    namespace: String,
    simulator: Simulator,
    process: Process,
    pid: u32,
    directory: TempDir,
    // The last field: it checks when it is dropped, after everything that writes has ended.
    check: PromiseCheck,
}

/// Watches how many file descriptors a process has open, until it is dropped.
pub struct DescriptorWatch {
    most: Arc<AtomicUsize>,
    watching: JoinHandle<()>,
}

impl Fleet {
    /// Starts a controller and objects with running tasks.
    pub async fn start(cluster: &Cluster, name: &str, kubeconfig: &Path) -> Self {
        static FLEETS: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("{name}-{}", FLEETS.fetch_add(1, Ordering::Relaxed));
        let check = cluster.create_namespace(&namespace).await;
        let simulator = Simulator::start(Script::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let command = command(&namespace, &simulator, kubeconfig);
        let log = directory.path().join("controller.log");
        let process = Process::spawn("controller", &command, &log).unwrap();
        let pid = timeout(PATIENCE, pid_of(&namespace)).await.unwrap();
        let fleet = Self {
            cluster: cluster.clone(),
            namespace,
            simulator,
            process,
            pid,
            directory,
            check,
        };
        for (name, ..) in ENDS {
            fleet.set_task(name, "running", "initail");
            fleet.create(name).await;
        }
        let running = ENDS.map(|(name, ..)| (name, "TaskRunning"));
        fleet.until_shown(PATIENCE, &running).await;
        fleet
    }

    /// Ends all tasks but one. Returns the reasons that their objects must show.
    pub fn end_tasks(&self) -> Vec<(&'static str, &'static str)> {
        let end = |(name, state, instance, reason)| {
            self.set_task(name, state, instance);
            (name, reason)
        };
        ENDS.map(end).to_vec()
    }

    /// Waits until the controller has polled every task once more.
    pub async fn until_polled(&self) {
        let polls = || ENDS.map(|(name, ..)| self.simulator.requests(name));
        let before = polls();
        let all = async {
            while polls()
                .iter()
                .zip(before)
                .any(|(now, before)| *now <= before)
            {
                sleep(CHECK_PERIOD).await;
            }
        };
        let met = timeout(PATIENCE, all).await;
        assert!(met.is_ok(), "not all tasks were polled\n{}", self.log());
    }

    /// Waits until the objects show these reasons; returns how long that took.
    pub async fn until_shown(&self, limit: Duration, reasons: &[(&str, &str)]) -> Duration {
        let began = Instant::now();
        let mut shown = BTreeMap::new();
        let is_shown = |shown: &BTreeMap<String, String>| {
            let mut reasons = reasons.iter();
            reasons.all(|(name, reason)| shown.get(*name).is_some_and(|shown| shown == reason))
        };
        while !is_shown(&shown) {
            assert!(
                began.elapsed() < limit,
                "{shown:?} instead of {reasons:?} after {limit:?}\n{}",
                self.log()
            );
            sleep(CHECK_PERIOD).await;
            // An API server that has just started may fail for a moment.
            let listed = timeout(limit, self.objects().list(&ListParams::default())).await;
            if let Ok(Ok(objects)) = listed {
                shown = objects.into_iter().map(reason).collect();
            }
        }
        began.elapsed()
    }

    pub fn set_task(&self, name: &str, state: &str, instance: &str) {
        let task = format!(
            "{{id: {name}, steps: [{{state: {state}, taskResult: [{{data: i-1, status: {instance}}}]}}]}}"
        );
        self.simulator.set_task(task.parse::<Task>().unwrap());
    }

    pub async fn create(&self, name: &str) {
        self.create_with(name, &json!({ "taskId": name })).await;
    }

    pub async fn create_with(&self, name: &str, spec: &Value) {
        let (cluster, namespace) = (&self.cluster, &self.namespace);
        cluster.create_object(namespace, name, spec).await;
    }

    pub async fn patch(&self, name: &str, patch: &Value) {
        let (cluster, namespace) = (&self.cluster, &self.namespace);
        cluster.patch_object(namespace, name, patch).await;
    }

    pub fn objects(&self) -> Api<ScaleOutTask> {
        self.cluster.objects(&self.namespace)
    }

    /// Allows for missed versions, for a control plane whose API server is stopped.
    pub fn may_miss_versions(&mut self) {
        self.check.may_miss = true;
    }

    /// Fails unless the process that was started still runs.
    pub fn assert_alive(&mut self) {
        let ended = self.process.exit_status().unwrap();
        assert_eq!(ended, None, "{}", self.log());
        assert_eq!(find_pid(&self.namespace), Some(self.pid));
    }

    /// The largest number of open file descriptors of the controller in an idle second.
    pub async fn quiet_descriptors(&self) -> usize {
        let watch = self.watch_descriptors();
        sleep(Duration::from_secs(1)).await;
        watch.most()
    }

    /// Waits until the controller has no more file descriptors open than that.
    pub async fn until_descriptors(&self, limit: Duration, at_most: usize) {
        let began = Instant::now();
        while descriptors(self.pid).unwrap() > at_most {
            let now = descriptors(self.pid).unwrap();
            assert!(began.elapsed() < limit, "{now} descriptors, not {at_most}");
            sleep(CHECK_PERIOD).await;
        }
    }

    pub fn watch_descriptors(&self) -> DescriptorWatch {
        let (pid, most) = (self.pid, Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let watching = tokio::spawn(async move {
            loop {
                // If the process is gone, `assert_alive` reports it.
                let now = descriptors(pid).unwrap_or_default();
                seen.fetch_max(now, Ordering::Relaxed);
                sleep(CHECK_PERIOD).await;
            }
        });
        DescriptorWatch { most, watching }
    }

    pub fn log(&self) -> String {
        let log = self.directory.path().join("controller.log");
        fs::read_to_string(log).unwrap_or_default()
    }
}

impl DescriptorWatch {
    /// The largest number that was seen.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for DescriptorWatch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn reason(task: ScaleOutTask) -> (String, String) {
    let object = WholeObject::from(task);
    let reason = object.ready().map(|ready| ready.reason.clone());
    (object.name, reason.unwrap_or_default())
}

async fn pid_of(namespace: &str) -> u32 {
    loop {
        if let Some(pid) = find_pid(namespace) {
            return pid;
        }
        sleep(CHECK_PERIOD).await;
    }
}

/// The process of the controller of that namespace, not of the shell that started it.
fn find_pid(namespace: &str) -> Option<u32> {
    let program = testbed::controller::program();
    let is_ours = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = line.split('\0');
        arguments.next() == program.to_str() && arguments.any(|argument| argument == namespace)
    };
    let processes = fs::read_dir("/proc").unwrap();
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(is_ours)
}

fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

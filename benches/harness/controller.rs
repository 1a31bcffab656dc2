//! The controller, a release build in a process of its own.

use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use controlplane::Process;
use tokio::time::sleep;

use super::{
    Cluster, Result,
    process::{Usage, find, usage},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_scaleouttask-controller");
/// How long it may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to stop; then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// A running controller; it ends when this is dropped.
pub struct Controller {
    process: Process,
    pid: u32,
    admin: String,
    http: reqwest::Client,
}

impl Controller {
    /// Starts it for one namespace, and waits until it is ready.
    pub async fn start(cluster: &Cluster, namespace: &str, arguments: &[String]) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "--credentials", "none"])
            .args(["--namespace", namespace, "--admin-address", &address])
            .args(arguments)
            .env("KUBECONFIG", cluster.kubeconfig()?);
        let log = cluster.directory().join(format!("{namespace}.log"));
        let mut process = Process::spawn("controller", &command, &log)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let admin = format!("http://{address}");
        let deadline = Instant::now() + START_LIMIT;
        while !is_ready(&http, &admin).await {
            process.check_running()?;
            if Instant::now() > deadline {
                let log = process.log_tail();
                return Err(format!("the controller isn't ready: {log}").into());
            }
            sleep(LOOK).await;
        }
        Ok(Self {
            pid: find(PROGRAM, namespace)?,
            process,
            admin,
            http,
        })
    }

    /// A metric of its own, summed over its labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let page = self.http.get(format!("{}/metrics", self.admin));
        let page = page.send().await?.error_for_status()?.text().await?;
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (series, _) = series.split_once('{').unwrap_or((series, ""));
            (series == name).then(|| value.parse::<f64>().ok())?
        };
        Ok(page.lines().filter_map(value).sum())
    }

    /// What it has used of the machine.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.pid)
    }

    /// Fails if it ended by itself.
    pub fn check_running(&mut self) -> Result<()> {
        Ok(self.process.check_running()?)
    }

    pub fn stop(mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT)?;
        Ok(())
    }
}

async fn is_ready(http: &reqwest::Client, admin: &str) -> bool {
    let answer = http.get(format!("{admin}/readyz")).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

//! The controller as a separate process.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use controlplane::Process;
use tokio::time::sleep;

use super::{
    Cluster, Result,
    process::{Usage, find, usage},
};

/// How long the controller may take to become ready.
const START_LIMIT: Duration = Duration::from_mins(5);
/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often readiness is checked. Not too often, as checks slow down the controller.
const CHECK_PERIOD: Duration = Duration::from_millis(10);

/// How to start the controller.
pub struct Launch<'a> {
    /// The controller's program.
    pub program: &'a Path,
    /// The namespace that it watches.
    pub namespace: &'a str,
    /// Further arguments of `run`.
    pub arguments: Vec<String>,
    /// An access key and its secret. Without them, calls are unsigned.
    pub key: Option<(&'a str, &'a str)>,
}

/// A running controller. It is killed when this is dropped.
pub struct Controller {
    process: Process,
    program: String,
    address: String,
    http: reqwest::Client,
    /// When its process was started.
    pub begun: Instant,
}

impl Controller {
    /// Starts it for one namespace.
    pub fn launch(cluster: &Cluster, launch: &Launch<'_>) -> Result<Self> {
        let address = format!("127.0.0.1:{}", controlplane::free_port()?);
        let mut command = Command::new(launch.program);
        let credentials = if launch.key.is_some() {
            "default"
        } else {
            "none"
        };
        command
            .args(["run", "--credentials", credentials])
            .args(["--namespace", launch.namespace, "--admin-address", &address])
            .args(&launch.arguments)
            .env("KUBECONFIG", cluster.kubeconfig()?);
        if let Some((id, secret)) = launch.key {
            command
                .env("ALIBABA_CLOUD_ACCESS_KEY_ID", id)
                .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
        }
        let log = cluster
            .directory()
            .join(format!("{}.log", launch.namespace));
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let begun = Instant::now();
        Ok(Self {
            process: Process::spawn("controller", &command, &log)?,
            program: launch.program.to_string_lossy().into_owned(),
            address,
            http,
            begun,
        })
    }

    /// Starts it and waits until it is ready.
    pub async fn start(cluster: &Cluster, launch: &Launch<'_>) -> Result<Self> {
        let mut controller = Self::launch(cluster, launch)?;
        controller.until_ready().await?;
        Ok(controller)
    }

    /// Waits until it is ready. Returns how long that took from its start.
    pub async fn until_ready(&mut self) -> Result<Duration> {
        while !self.is_ready().await {
            self.check_running()?;
            if self.begun.elapsed() > START_LIMIT {
                let log = self.process.log_tail();
                return Err(format!("the controller isn't ready: {log}").into());
            }
            sleep(CHECK_PERIOD).await;
        }
        Ok(self.begun.elapsed())
    }

    async fn is_ready(&self) -> bool {
        let page = format!("http://{}/readyz", self.address);
        let answer = self.http.get(page).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// One of its metrics, summed over all labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        self.metric_where(name, "").await
    }

    /// One of its metrics, summed over the series whose labels contain `label`.
    pub async fn metric_where(&self, name: &str, label: &str) -> Result<f64> {
        let page = self.http.get(format!("http://{}/metrics", self.address));
        let page = page.send().await?.error_for_status()?.text().await?;
        Ok(super::metrics::sum(&page, name, &[label]))
    }

    /// Its use of processor and memory so far.
    pub fn usage(&self) -> Result<Usage> {
        usage(find(&self.program, &self.address)?)
    }

    /// Fails if it has exited.
    pub fn check_running(&mut self) -> Result<()> {
        Ok(self.process.check_running()?)
    }

    /// Stops it. Fails if that takes too long.
    pub fn stop(mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT)?;
        Ok(())
    }
}

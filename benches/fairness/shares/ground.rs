//! Two namespaces, a task API, and a controller that sees both.

use std::path::Path;

use simulator::{Script, Simulator, Task};
use testbed::{
    harness::{Cluster, Controller, Launch, Result, Spec},
    newcomers::TASK,
    objects::names,
};

pub struct Ground<'a> {
    pub cluster: &'a Cluster,
    /// Where the trouble is.
    pub noisy: String,
    /// What is not to notice it.
    pub calm: String,
    pub api: Simulator,
}

impl<'a> Ground<'a> {
    pub fn new(cluster: &'a Cluster, name: &str) -> Result<Self> {
        let [noisy, calm] = ["noisy", "calm"].map(|which| format!("fairness-{name}-{which}"));
        cluster.create_namespace(&noisy)?;
        cluster.create_namespace(&calm)?;
        let api = Simulator::start(Script::default())?;
        api.set_task(Task::in_state(TASK, "running"));
        Ok(Self {
            cluster,
            noisy,
            calm,
            api,
        })
    }

    /// Adds objects to a namespace, with a task each that runs and never moves; both are named
    /// alike.
    pub async fn fill(
        &self,
        namespace: &str,
        prefix: &str,
        count: usize,
        poll_interval: &str,
    ) -> Result<()> {
        let object = |name: String| {
            self.api.set_task(Task::in_state(&name, "running"));
            let spec = Spec {
                task_id: name.clone(),
                poll_interval: Some(poll_interval.to_owned()),
                ..Spec::default()
            };
            (name, spec)
        };
        let objects = names(prefix, count).into_iter().map(object).collect();
        self.cluster.create(namespace, objects).await
    }

    pub async fn start(&self, program: &Path, arguments: &[String]) -> Result<Controller> {
        let mut all = vec![
            format!("--namespace={}", self.noisy),
            format!("--endpoint={}", self.api.url()),
            "--region=cn-hangzhou".to_owned(),
        ];
        all.extend_from_slice(arguments);
        let launch = Launch {
            program,
            namespace: &self.calm,
            arguments: all,
            key: None,
        };
        Controller::start(self.cluster, &launch).await
    }

    /// Starts a controller that makes at most this many calls a second of an account.
    pub async fn start_with_rate(&self, program: &Path, rate: u32) -> Result<Controller> {
        let rate = format!("--requests-per-second={rate}");
        self.start(program, &[rate]).await
    }

    pub async fn end(self, mut controller: Controller) -> Result<()> {
        controller.check_running()?;
        controller.stop()?;
        self.cluster.delete_all(&self.noisy).await?;
        self.cluster.delete_all(&self.calm).await
    }
}

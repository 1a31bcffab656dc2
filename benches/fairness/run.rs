//! One scenario from its objects to its figures.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use simulator::{RateLimit, Script, Simulator, Task};
use testbed::harness::{Cluster, Controller, Launch, Result, Spec, Usage};
use tokio::time::sleep;

use crate::{
    figures::{Figures, FreeRegion, ThrottledRegion, Window},
    scenario::{FREE_OBJECTS, FREE_POLL_INTERVAL, OBJECTS, POLL_INTERVAL, Scenario},
};

/// How long a scenario runs, and which part of that counts.
#[derive(Clone, Copy)]
pub struct Windows {
    pub settling: Duration,
    pub measured: Duration,
}

/// Objects of one region, each of a task that runs and never moves, and the API that they ask.
struct Region {
    name: &'static str,
    objects: usize,
    poll_interval: Duration,
    api: Simulator,
}

pub async fn run(
    cluster: &Cluster,
    program: &Path,
    scenario: &Scenario,
    windows: Windows,
) -> Result<Figures> {
    let namespace = format!(
        "fairness-{}",
        scenario.title.replace(' ', "-").to_lowercase()
    );
    cluster.create_namespace(&namespace)?;
    let free = Region::start("free", FREE_OBJECTS, FREE_POLL_INTERVAL, None)?;
    let limit = Some(scenario.rate_limit());
    let throttled = scenario
        .throttling
        .then(|| Region::start("throttled", OBJECTS, POLL_INTERVAL, limit));
    let throttled = throttled.transpose()?;
    let mut arguments = vec![format!("--requests-per-second={}", scenario.rate)];
    for region in [Some(&free), throttled.as_ref()].into_iter().flatten() {
        cluster.create(&namespace, region.specs()).await?;
        let (name, url) = (region.name, region.api.url());
        arguments.push(format!("--endpoint-for={name}={url}"));
    }
    // All objects are due at once, as after a restart.
    let launch = Launch {
        program,
        namespace: &namespace,
        arguments,
        key: None,
    };
    let mut controller = Controller::start(cluster, &launch).await?;
    sleep(windows.settling).await;
    let (begin, before) = (Instant::now(), Reading::take(&controller).await?);
    sleep(windows.measured).await;
    let (end, after) = (Instant::now(), Reading::take(&controller).await?);
    controller.check_running()?;
    let window = Window { begin, end };
    let figures = Figures {
        throttled: throttled.map(|region| ThrottledRegion::of(&region.api.request_log(), window)),
        free: FreeRegion::of(&free.api.request_log(), window),
        status_writes: after.status_writes - before.status_writes,
        cpu: (after.usage.cpu - before.usage.cpu) / window.seconds(),
        usage: after.usage,
    };
    controller.stop()?;
    cluster.delete_all(&namespace).await?;
    Ok(figures)
}

impl Region {
    fn start(
        name: &'static str,
        objects: usize,
        poll_interval: Duration,
        rate_limit: Option<RateLimit>,
    ) -> Result<Self> {
        let task = |number| Task::in_state(&format!("{name}-{number}"), "running");
        let script = Script {
            tasks: (0..objects).map(task).collect(),
            rate_limit,
            ..Script::default()
        };
        Ok(Self {
            name,
            objects,
            poll_interval,
            api: Simulator::start(script)?,
        })
    }

    fn specs(&self) -> Vec<(String, Spec)> {
        let spec = |number| {
            let name = format!("{}-{number}", self.name);
            let spec = Spec {
                task_id: name.clone(),
                region: Some(self.name.to_owned()),
                poll_interval: Some(format!("{}s", self.poll_interval.as_secs())),
                ..Spec::default()
            };
            (name, spec)
        };
        (0..self.objects).map(spec).collect()
    }
}

/// What the controller tells of itself at one time.
struct Reading {
    usage: Usage,
    status_writes: f64,
}

impl Reading {
    async fn take(controller: &Controller) -> Result<Self> {
        let metric = "scaleouttask_status_writes_total";
        Ok(Self {
            usage: controller.usage()?,
            status_writes: controller.metric(metric).await?,
        })
    }
}

//! Objects, and the tasks that they name.

use std::{path::Path, time::Duration};

use simulator::{Credentials, Instance, Script, Simulator, Stage, Start, Task};
use testbed::harness::{Cluster, Controller, Launch, Result, Spec, Writes, number};
use tokio::time::sleep;

/// How many instances each task has, unless said otherwise.
pub const INSTANCES: usize = 3;
/// The cluster of all tasks.
pub const CLUSTER_ID: &str = "c3fb96524f9274b4495df0f12a6b50000";
/// Where no signature is asked for, none is checked.
pub const KEY: (&str, &str) = ("benchmark", "of-no-use-elsewhere");
/// Longer than any benchmark.
const ENDLESS: Duration = Duration::from_hours(10);
/// How long what was begun may take to come to rest.
const PATIENCE: Duration = Duration::from_mins(20);

/// Objects in a namespace of their own, and the API that knows their tasks.
pub struct Fleet {
    pub namespace: String,
    pub size: usize,
    pub interval: Duration,
    pub api: Simulator,
    /// Of each task.
    instances: usize,
}

impl Fleet {
    /// A fleet whose tasks run and don't move. None of its objects exists yet.
    pub fn new(
        cluster: &Cluster,
        namespace: &str,
        size: usize,
        interval: Duration,
    ) -> Result<Self> {
        Self::with_instances(cluster, namespace, size, interval, INSTANCES)
    }

    /// The same with another number of instances a task.
    pub fn with_instances(
        cluster: &Cluster,
        namespace: &str,
        size: usize,
        interval: Duration,
        instances: usize,
    ) -> Result<Self> {
        cluster.create_namespace(namespace)?;
        let task = |number| task(&task_id(number), instances, ENDLESS);
        let script = Script {
            tasks: (0..size).map(task).collect(),
            ..Script::default()
        };
        Ok(Self {
            namespace: namespace.to_owned(),
            size,
            interval,
            api: Simulator::start(script)?,
            instances,
        })
    }

    /// The same, with all objects created.
    pub async fn created(
        cluster: &Cluster,
        namespace: &str,
        size: usize,
        interval: Duration,
    ) -> Result<Self> {
        let fleet = Self::new(cluster, namespace, size, interval)?;
        cluster.create(namespace, fleet.specs()).await?;
        Ok(fleet)
    }

    pub fn specs(&self) -> Vec<(String, Spec)> {
        (0..self.size).map(spec).collect()
    }

    /// The controller for this fleet, its own rate limit out of the way.
    pub fn launch<'a>(&'a self, program: &'a Path) -> Launch<'a> {
        Launch {
            program,
            namespace: &self.namespace,
            arguments: vec![
                format!("--endpoint={}", self.api.url()),
                "--region=cn-hangzhou".to_owned(),
                format!("--poll-interval={}s", self.interval.as_secs()),
                "--requests-per-second=100000".to_owned(),
            ],
            key: None,
        }
    }

    /// From now on the API asks for signatures.
    pub fn ask_for_signatures(&self) {
        self.api.set_credentials(Credentials {
            access_key_id: KEY.0.to_owned(),
            access_key_secret: KEY.1.to_owned(),
            security_token: None,
        });
    }

    /// Every task is now over.
    pub fn end_all(&self) {
        for number in 0..self.size {
            let task = task(&task_id(number), self.instances, Duration::ZERO);
            self.api.set_task(task);
        }
    }

    /// Waits until the controller shows all tasks in that state, and has nothing left to write.
    pub async fn until_all(
        &self,
        cluster: &Cluster,
        controller: &mut Controller,
        state: &str,
    ) -> Result<()> {
        let label = format!("state=\"{state}\"");
        let began = std::time::Instant::now();
        let mut last: Option<Writes> = None;
        while began.elapsed() < PATIENCE {
            controller.check_running()?;
            let shown = controller
                .metric_where("scaleouttask_tasks", &label)
                .await?;
            let writes = cluster.writes().await?;
            let rests = last.is_some_and(|last| last.total() >= writes.total());
            if shown >= number(self.size) && rests {
                return Ok(());
            }
            last = Some(writes);
            sleep(Duration::from_secs(2)).await;
        }
        Err(format!("not all objects of {} became {state}", self.namespace).into())
    }
}

pub fn task_id(number: usize) -> String {
    format!("T-5faa48fb31b6b8078d{number:06}")
}

/// The name and the spec of an object.
pub fn spec(number: usize) -> (String, Spec) {
    let spec = Spec {
        task_id: task_id(number),
        ..Spec::default()
    };
    (format!("scale-out-{number}"), spec)
}

/// A task that runs and doesn't move.
pub fn running(id: &str) -> Task {
    task(id, INSTANCES, ENDLESS)
}

/// A task that succeeded.
pub fn ended(id: &str) -> Task {
    task(id, INSTANCES, Duration::ZERO)
}

fn task(id: &str, instances: usize, duration: Duration) -> Task {
    let instance = |number| Instance {
        id: format!("i-bp1dfrc9mqyv4w0x{number:04}"),
        ..Instance::default()
    };
    Task {
        id: id.to_owned(),
        cluster_id: CLUSTER_ID.to_owned(),
        start: Start::StartUp,
        duration: Some(duration),
        instances: (0..instances).map(instance).collect(),
        stages: vec![Stage {
            name: "start".to_owned(),
            ..Stage::default()
        }],
        ..Task::default()
    }
}

//! `cargo demo`: shows the controller at work, from a fresh clone.

mod cluster;
mod controller;
mod error;
mod interrupt;
mod nodes;
pub(crate) mod pictures;
mod plugin;
mod programs;
mod screen;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use controlplane::Process;
use simulator::{Script, Simulator};

use cluster::{Cluster, finished};
use error::Error;
use nodes::Nodes;
use plugin::{Plugin, WATCH};
pub(crate) use programs::Programs;

use crate::cluster::repository;

/// The tasks, and the reason that each must end with. The last two are found by a source.
const EXPECTED: [(&str, &str); 5] = [
    ("web-pool", "TaskSucceeded"),
    ("gpu-pool", "TaskFailed"),
    ("batch-pool", "InstancesFailed"),
    ("t-6764d027be846d01310006b1", "TaskSucceeded"),
    ("t-6764d0a1be846d01310006c4", "TaskCanceled"),
];

/// The CRDs.
const CRDS: [&str; 2] = ["crds/scaleouttasks.yaml", "crds/scaleouttasksources.yaml"];

/// Prints what the source has found.
const SOURCES: [&str; 4] = ["get", "scaleouttasksources", "--output", "wide"];

/// The task that waits for its nodes too. It needs a cluster of the demo's own.
const WAITING: (&str, &str) = ("app-pool", "NodesReady");

/// Prints all columns.
const TABLE: [&str; 4] = ["get", "scaleouttasks", "--output", "wide"];

/// The task whose failure is explained.
const FAILED: &str = "gpu-pool";

/// A task that nobody tracks yet.
const SPARE: &str = "T-5faa48fb31b6b8078d000009";

/// Prints all Events in their order.
const EVENTS: [&str; 4] = ["get", "events", "--sort-by", ".metadata.creationTimestamp"];

/// How much later than its status an Event may come.
const EVENTS_LIMIT: Duration = Duration::from_secs(5);

/// How long all tasks together may take.
const LIMIT: Duration = Duration::from_mins(2);

/// How often it is looked whether the tasks have ended.
const REFRESH: Duration = Duration::from_millis(500);

/// How long the controller may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What was asked for.
#[derive(Default)]
pub(crate) struct Options {
    /// Keep everything running until Ctrl-C.
    keep: bool,
    /// The context of the cluster to use, in place of one of the demo's own.
    context: Option<String>,
}

impl Options {
    /// What the arguments of the command say.
    pub(crate) fn of(arguments: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match *argument {
                "--keep" => options.keep = true,
                "--context" => {
                    let context = arguments.next().filter(|context| !context.is_empty());
                    options.context = Some((*context?).to_owned());
                }
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Runs the demo. The exit code says whether it succeeded.
pub(crate) fn main(options: &Options) -> ExitCode {
    run(|| {
        let demo = start(options.context.as_deref(), build)?;
        present(demo, options.keep)
    })
}

/// Runs the demo with other builds of the programs.
pub(crate) fn with(programs: Programs) -> ExitCode {
    run(|| present(start(None, || Ok(programs))?, false))
}

fn build() -> Result<Programs, Error> {
    screen::step("Build the controller and the kubectl plugin");
    Programs::build()
}

fn run(show: impl FnOnce() -> Result<(), Error>) -> ExitCode {
    match interrupt::install().and_then(|()| show()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => ExitCode::from(interrupt::EXIT_CODE),
        Err(error) => {
            eprintln!("\nThe demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that runs. The fields are dropped, and so stopped, in this order.
struct Demo {
    controller: Process,
    plugin: Vec<OsString>,
    _task_api: Simulator,
    /// None in somebody's cluster: a Node that isn't one would be given a pod of each `DaemonSet` there, which no
    /// taint keeps away, and the traffic of load balancers.
    nodes: Option<Nodes>,
    cluster: Cluster,
}

fn present(mut demo: Demo, keep: bool) -> Result<(), Error> {
    let result = demo.present(keep);
    // An error of the demo is more important than one of stopping.
    let _ = demo.controller.stop(STOP_LIMIT);
    result
}

/// Starts everything, in a cluster of its own or in that of the context.
fn start(
    context: Option<&str>,
    programs: impl FnOnce() -> Result<Programs, Error>,
) -> Result<Demo, Error> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let mut cluster = Cluster::get(context)?;
    let programs = programs()?;

    screen::step("Install the custom resources ScaleOutTask and ScaleOutTaskSource");
    cluster.prepare(&CRDS.map(|crd| repository().join(crd)))?;

    screen::step("Start a simulated task API");
    let script = Script::load(&scripts.join("simulator.yaml"))?;
    let task_api = Simulator::start(script).map_err(Error::io("start the simulated task API"))?;
    screen::done(task_api.url());

    let nodes = matches!(cluster, Cluster::Own(_)).then(Nodes::default);
    let (count, files) = match nodes {
        Some(_) => ("four", &["tasks.yaml", "waiting.yaml", "source.yaml"][..]),
        None => ("three", &["tasks.yaml", "source.yaml"][..]),
    };
    screen::step(&format!(
        "Start the controller, and give it {count} tasks and a source that finds more"
    ));
    interrupt::stop_in_order();
    let access = cluster.access();
    let controller = controller::start(
        &programs.controller,
        access,
        &task_api.url(),
        nodes.is_some(),
    )?;
    for file in files {
        let path = scripts.join(file);
        access.kubectl(&["apply", "--filename", &path.to_string_lossy()])?;
        screen::done(format!("applied dev/xtask/demo/{file}"));
    }
    if nodes.is_none() {
        screen::done("none that waits for nodes: your cluster is given no Nodes");
    }
    Ok(Demo {
        controller,
        plugin: programs.plugin,
        _task_api: task_api,
        nodes,
        cluster,
    })
}

impl Demo {
    /// Shows the tasks while they run, and their final state.
    fn present(&mut self, keep: bool) -> Result<(), Error> {
        self.watch()?;
        let access = self.cluster.access();
        access.show(&TABLE)?;
        access.show(&SOURCES)?;
        self.show_events()?;
        self.plugin().show(&["why", FAILED])?;
        self.plugin().show(&WATCH)?;
        self.check_reasons()?;
        let waited = match self.nodes {
            Some(_) => ", one got its nodes",
            None => "",
        };
        screen::say(&format!(
            "\nEach task ended as expected: one succeeded, one failed, one succeeded in part{waited}; two \
             that nobody named were found."
        ));
        if keep {
            return self.keep();
        }
        screen::say("To try it yourself: cargo demo --keep");
        Ok(())
    }

    fn plugin(&self) -> Plugin<'_> {
        Plugin {
            program: &self.plugin,
            access: self.cluster.access(),
        }
    }

    /// Shows the tasks live until every one has ended.
    fn watch(&mut self) -> Result<(), Error> {
        let mut view = self.plugin().start(&WATCH)?;
        self.until_ended(|| ())?;
        view.wait()
    }

    /// Has nodes join while the tasks go on. `look` is called from time to time, until every task has ended.
    fn until_ended(&mut self, mut look: impl FnMut()) -> Result<(), Error> {
        let deadline = Instant::now() + LIMIT;
        loop {
            look();
            let access = self.cluster.access();
            let reasons = access.reasons()?;
            if finished(&reasons).len() == self.expected().count() {
                return Ok(());
            }
            if let Some(nodes) = &mut self.nodes {
                nodes.join(access, &reasons)?;
            }
            self.check_running()?;
            if Instant::now() >= deadline {
                let log = self.controller.log_tail();
                return Err(Error::Unfinished {
                    seconds: LIMIT.as_secs(),
                    log,
                });
            }
            interrupt::sleep(REFRESH)?;
        }
    }

    /// Shows the Events, which may come a moment later than their statuses.
    fn show_events(&self) -> Result<(), Error> {
        let deadline = Instant::now() + EVENTS_LIMIT;
        while Instant::now() < deadline {
            let events = self.cluster.access().kubectl(&EVENTS)?;
            if self.expected().all(|(_, reason)| events.contains(reason)) {
                break;
            }
            interrupt::sleep(REFRESH)?;
        }
        self.cluster.access().show(&EVENTS)
    }

    /// The tasks that were given, and the reason that each must end with.
    fn expected(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        EXPECTED
            .into_iter()
            .chain(self.nodes.as_ref().map(|_| WAITING))
    }

    fn check_reasons(&self) -> Result<(), Error> {
        let finished = finished(&self.cluster.access().reasons()?);
        for (name, expected) in self.expected() {
            let found = finished.iter().find(|(finished, _)| finished == name);
            let found = found.map_or("none", |(_, reason)| reason.as_str());
            if found != expected {
                let log = self.controller.log_tail();
                return Err(Error::Unexpected {
                    name,
                    expected,
                    found: found.to_owned(),
                    log,
                });
            }
        }
        Ok(())
    }

    /// Keeps everything running until Ctrl-C.
    fn keep(&mut self) -> Result<(), Error> {
        screen::say(&self.instructions());
        loop {
            self.check_running()?;
            interrupt::sleep(REFRESH)?;
        }
    }

    fn instructions(&self) -> String {
        let access = self.cluster.access();
        let commands = [
            access.typed("get scaleouttasks"),
            access.typed("get scaleouttasksources"),
            access.typed("describe scaleouttask batch-pool"),
            self.plugin().typed(&["why", "batch-pool"]),
            format!("{}   # two minutes", self.plugin().typed(&["track", SPARE])),
            format!("tail -f {}", self.controller.log().display()),
        ];
        format!(
            "\nEverything keeps running until Ctrl-C, and the controller watches the namespace {}. In another \
             terminal:\n{}\n  {}",
            access.namespace,
            self.exports(),
            commands.join("\n  ")
        )
    }

    /// What finds the programs, and a cluster of the demo's own.
    fn exports(&self) -> String {
        let access = self.cluster.access();
        let mut exports = Vec::new();
        if let Cluster::Own(_) = self.cluster {
            let kubeconfig = access.kubeconfig.display();
            exports.push(format!("\n  export KUBECONFIG={kubeconfig}"));
        }
        let plugin = self.plugin.last().map_or(Path::new(""), Path::new);
        let completion = repository().join("plugin/kubectl_complete-scaleouttask");
        let programs = [access.kubectl.as_path(), plugin, &completion].into_iter();
        let missing =
            programs.filter(|program| !program.file_name().is_some_and(screen::is_on_path));
        for directory in missing.filter_map(Path::parent) {
            exports.push(format!("\n  export PATH={}:$PATH", directory.display()));
        }
        exports.concat()
    }

    fn check_running(&mut self) -> Result<(), Error> {
        self.cluster.check_running()?;
        Ok(self.controller.check_running()?)
    }
}

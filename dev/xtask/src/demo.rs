//! `cargo demo`: shows the controller at work, from a fresh clone.

mod cluster;
mod controller;
mod error;
mod interrupt;
mod screen;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use controlplane::{ControlPlane, Process};
use simulator::{Script, Simulator};

use error::Error;

/// The tasks, and the reason that each must end with.
const EXPECTED: [(&str, &str); 3] = [
    ("web-pool", "TaskSucceeded"),
    ("gpu-pool", "TaskFailed"),
    ("batch-pool", "InstancesFailed"),
];

/// Prints conditions as lines of text.
const CONDITIONS: &str =
    r#"jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}"#;

/// Prints the stages and events of a task as lines of text.
const STAGES_AND_EVENTS: &str = r#"jsonpath={range .status.stages[*]}{.startTime} stage {.state}: {.message}{"\n"}{end}{range .status.events[*]}{.time} {.level} {.reason}: {.message}{"\n"}{end}"#;

/// Prints all Events in their order.
const EVENTS: [&str; 4] = ["get", "events", "--sort-by", ".metadata.creationTimestamp"];

/// How much later than its status an Event may come.
const EVENTS_LIMIT: Duration = Duration::from_secs(5);

/// How long all tasks together may take.
const LIMIT: Duration = Duration::from_mins(2);

/// How often the table is updated.
const REFRESH: Duration = Duration::from_millis(500);

/// How long the controller may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Runs the demo. The exit code says whether it succeeded.
pub(crate) fn main(keep: bool) -> ExitCode {
    match interrupt::install().and_then(|()| run(keep)) {
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
    _task_api: Simulator,
    plane: ControlPlane,
}

fn run(keep: bool) -> Result<(), Error> {
    let mut demo = start()?;
    let result = demo.present(keep);
    // An error of the demo is more important than one of stopping.
    let _ = demo.controller.stop(STOP_LIMIT);
    result
}

fn start() -> Result<Demo, Error> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");

    screen::step(1, "etcd, kube-apiserver and kubectl");
    let binaries = cluster::binaries()?;

    screen::step(2, "Build the controller");
    let program = controller::build(&repository)?;

    screen::step(3, "Start etcd and kube-apiserver");
    let plane = cluster::start(&binaries)?;

    screen::step(4, "Install the custom resource ScaleOutTask");
    cluster::install_crd(&plane, &repository.join("crds/scaleouttasks.yaml"))?;

    screen::step(5, "Start a simulated task API");
    let script = Script::load(&scripts.join("simulator.yaml"))?;
    let task_api = Simulator::start(script).map_err(Error::io("start the simulated task API"))?;
    screen::done(task_api.url());

    screen::step(6, "Start the controller and give it three tasks");
    interrupt::stop_in_order();
    let controller = controller::start(&program, &plane, &task_api.url())?;
    let tasks = scripts.join("tasks.yaml");
    cluster::kubectl(&plane, &["apply", "--filename", &tasks.to_string_lossy()])?;
    screen::done("applied dev/xtask/demo/tasks.yaml");
    Ok(Demo {
        controller,
        _task_api: task_api,
        plane,
    })
}

impl Demo {
    /// Shows the tasks while they run, and their final state.
    fn present(&mut self, keep: bool) -> Result<(), Error> {
        self.watch()?;
        cluster::show(&self.plane, &["get", "scaleouttasks", "--output", "wide"])?;
        let conditions = ["get", "scaleouttask", "gpu-pool", "--output", CONDITIONS];
        cluster::show(&self.plane, &conditions)?;
        let why = [
            "get",
            "scaleouttask",
            "gpu-pool",
            "--output",
            STAGES_AND_EVENTS,
        ];
        cluster::show(&self.plane, &why)?;
        self.show_events()?;
        self.check_reasons()?;
        screen::say(
            "\nEach task ended as expected: one succeeded, one failed, one succeeded in part.",
        );
        if keep {
            return self.keep();
        }
        screen::say("To try it yourself: cargo demo --keep");
        Ok(())
    }

    /// Shows a live table until every task has ended.
    fn watch(&mut self) -> Result<(), Error> {
        screen::command("kubectl get scaleouttasks --watch");
        let mut table = screen::Table::default();
        let deadline = Instant::now() + LIMIT;
        loop {
            let ended = cluster::finished(&self.plane)?.len() == EXPECTED.len();
            table.show(&cluster::kubectl(&self.plane, &["get", "scaleouttasks"])?);
            if ended {
                return Ok(());
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
            let events = cluster::kubectl(&self.plane, &EVENTS)?;
            if EXPECTED.iter().all(|(_, reason)| events.contains(reason)) {
                break;
            }
            interrupt::sleep(REFRESH)?;
        }
        cluster::show(&self.plane, &EVENTS)
    }

    fn check_reasons(&self) -> Result<(), Error> {
        let finished = cluster::finished(&self.plane)?;
        for (name, expected) in EXPECTED {
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
        let kubeconfig = self.plane.kubeconfig().display();
        let binaries = self.plane.binaries().directory();
        let path = if on_path("kubectl") {
            String::new()
        } else {
            format!("\n  export PATH={}:$PATH", binaries.display())
        };
        let log = self.controller.log().display();
        format!(
            "\nEverything keeps running until Ctrl-C. In another terminal:

  export KUBECONFIG={kubeconfig}{path}
  kubectl get scaleouttasks
  kubectl describe scaleouttask batch-pool
  tail -f {log}"
        )
    }

    fn check_running(&mut self) -> Result<(), Error> {
        self.plane.check_running()?;
        Ok(self.controller.check_running()?)
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

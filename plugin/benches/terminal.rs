//! `cargo bench -p kubectl-scaleouttask`: how soon the plugin's first line comes, and what it takes to watch 1,000
//! objects, on a real etcd and kube-apiserver.
#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on ends")]

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use terminal::Terminal;
use testbed::harness::{
    Cluster, Result, Spec, Table, machine, number, percentile, replace_section, usage,
};
use tokio::{task::JoinHandle, time::interval};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-scaleouttask");
const NAMESPACE: &str = "default";
const OBJECTS: usize = 1000;
/// Each object changes once in so long.
const BETWEEN_CHANGES: Duration = Duration::from_secs(15);
const SETTLED: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_mins(1);
const STARTS: usize = 100;

const START_MAX: f64 = 50.0;
const MEMORY_MAX: f64 = 64.0;
const PROCESSOR_MAX: f64 = 5.0;

/// What the kubectl plugin costs. Takes about three minutes.
#[derive(Parser)]
#[command(bin_name = "cargo bench -p kubectl-scaleouttask --")]
struct Arguments {
    /// Write the figures into docs/benchmarks.md
    #[arg(long)]
    write: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all promises hold.
async fn run(arguments: &Arguments) -> Result<bool> {
    let cluster = Cluster::start().await?;
    let specs = (0..OBJECTS).map(|n| (name(n), spec(n)));
    cluster.create(NAMESPACE, specs.collect()).await?;
    let api = cluster.objects(NAMESPACE);
    for n in 0..OBJECTS {
        change(&api, n, 0).await?;
    }
    let mut figures = Figures::new();
    println!("{STARTS} starts …");
    for (what, args) in [
        ("`why` of one object", &["why", "task-0001"] as &[&str]),
        ("`watch` of one object", &["watch", "task-0001"]),
        ("`watch` of 1,000 objects", &["watch", "--all"]),
    ] {
        let starts: Vec<f64> = (0..STARTS).map(|_| first_line(&cluster, args)).collect();
        figures.add("first line", what, percentile(&starts, 50), "ms", START_MAX);
        figures.add(
            "the same, p99",
            what,
            percentile(&starts, 99),
            "ms",
            START_MAX,
        );
    }
    let changes = changes(api);
    println!(
        "watch {OBJECTS} objects for {} s, twice …",
        (SETTLED + MEASURED).as_secs()
    );
    let mut lines = command(&cluster, &["watch", "--all"]);
    let mut lines = lines.stdout(Stdio::null()).spawn()?;
    let measured = watched(lines.id()).await;
    lines.kill()?;
    lines.wait()?;
    figures.add_watch("1,000 objects, as lines", measured?);
    let kubeconfig = cluster.plane().kubeconfig().as_os_str();
    let env: [(&str, &OsStr); 1] = [("KUBECONFIG", kubeconfig)];
    let terminal = Terminal::with_lines(60, PROGRAM, &["watch", "--all"], &env, 200);
    figures.add_watch(
        "1,000 objects, drawn at 200 by 60",
        watched(terminal.id()).await?,
    );
    if changes.is_finished() {
        return Err("the objects weren't changed to the end".into());
    }
    changes.abort();
    let text = figures.text(&machine(&cluster).await?);
    println!("\n{text}");
    if arguments.write {
        replace_section("plugin", &text)?;
    }
    Ok(figures.all_hold)
}

fn name(n: usize) -> String {
    format!("task-{n:04}")
}

fn spec(n: usize) -> Spec {
    Spec {
        task_id: format!("T-{n}"),
        ..Spec::default()
    }
}

/// A status with ten instances, whose number of successes depends on the round.
fn status(round: usize) -> Value {
    let done = round % 10;
    let results: Vec<Value> = (0..10)
        .map(|n| json!({ "data": format!("i-bp1{n:04}"), "status": if n < done { "success" } else { "pending" } }))
        .collect();
    let message = format!("The task is running: {done} of 10 instances succeeded");
    let condition = |type_: &str, status: &str| {
        json!({ "type": type_, "status": status, "reason": "TaskRunning", "message": message,
            "lastTransitionTime": "2026-01-15T08:00:01Z" })
    };
    json!({ "status": {
        "observedGeneration": 1, "state": "running", "progress": format!("{done}/10"), "taskResult": results,
        "instances": { "total": 10, "succeeded": done, "failed": 0, "pending": 10 - done },
        "conditions": [condition("Ready", "False"), condition("Reconciling", "True")],
    } })
}

async fn change(api: &Api<ScaleOutTask>, n: usize, round: usize) -> kube::Result<()> {
    let patch = Patch::Merge(status(round));
    let (name, params) = (name(n), PatchParams::default());
    api.patch_status(&name, &params, &patch).await.map(drop)
}

/// Changes one object after the other, each once in that time.
fn changes(api: Api<ScaleOutTask>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut turns = interval(BETWEEN_CHANGES / u32::try_from(OBJECTS).unwrap());
        for turn in OBJECTS.. {
            turns.tick().await;
            change(&api, turn % OBJECTS, turn / OBJECTS).await.unwrap();
        }
    })
}

fn command(cluster: &Cluster, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(args)
        .env("KUBECONFIG", cluster.plane().kubeconfig());
    command
}

/// Milliseconds from the start to the end of the first line.
fn first_line(cluster: &Cluster, args: &[&str]) -> f64 {
    let mut command = command(cluster, args);
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let taken = start.elapsed();
    assert!(line.contains("task-"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    taken.as_secs_f64() * 1000.0
}

/// MiB at most, and percent of a processor.
async fn watched(pid: u32) -> Result<(f64, f64)> {
    tokio::time::sleep(SETTLED).await;
    let before = usage(pid)?;
    tokio::time::sleep(MEASURED).await;
    let after = usage(pid)?;
    let processor = (after.cpu - before.cpu) / MEASURED.as_secs_f64() * 100.0;
    Ok((after.peak, processor))
}

struct Figures {
    table: Table,
    all_hold: bool,
}

impl Figures {
    fn new() -> Self {
        let titles = ["what", "of", "measured", "promised at most", "promise"];
        Self {
            table: Table::new(&titles),
            all_hold: true,
        }
    }

    fn add(&mut self, what: &str, of: &str, measured: f64, unit: &str, at_most: f64) {
        let holds = measured <= at_most;
        self.all_hold &= holds;
        self.table.row([
            what.to_owned(),
            of.to_owned(),
            format!("{measured:.1} {unit}"),
            format!("{at_most} {unit}"),
            if holds { "holds" } else { "missed" }.to_owned(),
        ]);
    }

    fn add_watch(&mut self, of: &str, (memory, processor): (f64, f64)) {
        self.add("memory at most", of, memory, "MiB", MEMORY_MAX);
        self.add("processor", of, processor, "%", PROCESSOR_MAX);
    }

    fn text(&self, machine: &str) -> String {
        let changes = number(OBJECTS) / BETWEEN_CHANGES.as_secs_f64();
        format!(
            "## The kubectl plugin\n\n{STARTS} starts each, from the start of the process to the end of its first line, beside \
             a local API server.\nThen 1,000 objects of ten instances are watched, of which {changes:.0} change a second; memory \
             is the most since the\nstart, processor time a share of one over {} s.\n\nTo run it again: `cargo bench -p \
             kubectl-scaleouttask -- --write`.\n\nOn {machine}.\n\n{}",
            MEASURED.as_secs(),
            self.table
        )
    }
}

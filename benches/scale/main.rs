//! `cargo bench --bench scale`: what tens of thousands of objects cost, on a real etcd and
//! kube-apiserver and a simulated task API, beside what the bare work costs.

mod bare;
mod burst;
mod figures;
mod fleet;
mod hang;
mod idle;
mod instances;
mod large;
mod latency;
mod lifecycle;
mod nodes;
mod sources;
mod steady;
mod watch;

use std::{path::Path, process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use testbed::harness::{Cluster, Result, machine, program, replace_section};

use figures::Figures;
use steady::{Promise, Size};

/// What the controller costs at scale. Takes about an hour.
#[derive(Parser)]
#[command(name = "scale", bin_name = "cargo bench --bench scale --")]
struct Arguments {
    /// Run these scenarios only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Write the figures into docs/benchmarks.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Nothing to do
    Idle,
    /// From a change to its being seen; cold starts
    Latency,
    /// 500 tasks to their end and after
    Lifecycle,
    /// 2,000 objects at once
    Burst,
    /// 1,000 objects polled each second, ended, restarted
    #[value(name = "steady-1k")]
    Steady1k,
    /// 10,000 objects polled each 10 s, ended, restarted
    #[value(name = "steady-10k")]
    Steady10k,
    /// 100,000 objects polled each 100 s, ended, restarted
    #[value(name = "steady-100k")]
    Steady100k,
    /// 10,000 objects of 3 instances, and as many of 300
    Instances,
    /// Restarts among 2,000 finished objects of 1,000 instances
    RestartInstances,
    /// 60 objects of 1.4 MiB, to their end and restarted
    Large,
    /// 50 objects beside 10,000 in 1,000 regions that hang
    Hang,
    /// 1,000 objects that wait for theirs of 10,000 Nodes
    Nodes,
    /// 10, 100 and 1,000 tasks, polled and found by a source
    Sources,
}

impl Arguments {
    fn wants(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario)
    }
}

/// The sizes, and what is promised of each.
fn sizes() -> [(Scenario, Size); 3] {
    let size = |objects, seconds, promise| Size {
        objects,
        window: Duration::from_secs(seconds),
        promise,
    };
    let ten = Promise {
        cpu_ratio: Some(1.25),
        lag: Some(250.0),
        resident: Some(32.0),
        per_object: None,
        ready_ratio: Some(1.75),
        peak: Some(40.0),
        peak_ratio: Some(1.5),
        signed: true,
    };
    let hundred = Promise {
        lag: Some(1000.0),
        per_object: Some(1.1),
        ..Promise::default()
    };
    [
        (Scenario::Steady1k, size(1000, 30, Promise::default())),
        (Scenario::Steady10k, size(10_000, 60, ten)),
        (Scenario::Steady100k, size(100_000, 100, hundred)),
    ]
}

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if let Some((bare::ARGUMENT, rest)) =
        given.split_first().map(|(one, rest)| (one.as_str(), rest))
    {
        return done(bare::main(rest));
    }
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("It measures, and tests nothing: cargo bench --bench scale");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new();
    done(
        runtime
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(bench(&arguments))),
    )
}

fn done(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause = error.source();
            eprintln!("The benchmark could not run: {error}");
            while let Some(error) = cause {
                eprintln!("  by {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let program = program()?;
    let cluster = Cluster::start().await?;
    let machine = machine(&cluster).await?;
    let mut figures = Figures::default();
    run(&cluster, &program, arguments, &mut figures).await?;
    let table = format!("On {machine}\n\n{}", figures.table());
    println!("\n{table}");
    if arguments.write {
        replace_section("scale", &format!("{METHOD}\n{table}"))?;
        println!("Written into docs/benchmarks.md.");
    }
    Ok(())
}

async fn run(
    cluster: &Cluster,
    program: &Path,
    arguments: &Arguments,
    figures: &mut Figures,
) -> Result<()> {
    let mut resident = None;
    if arguments.wants(Scenario::Idle) {
        resident = Some(idle::run(cluster, program, figures).await?);
    }
    if arguments.wants(Scenario::Latency) {
        latency::run(cluster, program, figures).await?;
    }
    if arguments.wants(Scenario::Lifecycle) {
        lifecycle::run(cluster, program, figures).await?;
    }
    if arguments.wants(Scenario::Burst) {
        burst::run(cluster, program, figures).await?;
    }
    for (scenario, size) in sizes() {
        if arguments.wants(scenario) {
            steady::run(cluster, program, &size, resident, figures).await?;
        }
    }
    if arguments.wants(Scenario::Instances) {
        instances::run(cluster, program, resident, figures).await?;
    }
    if arguments.wants(Scenario::RestartInstances) {
        instances::restart(cluster, program, figures).await?;
    }
    if arguments.wants(Scenario::Large) {
        large::run(cluster, program, figures).await?;
    }
    if arguments.wants(Scenario::Hang) {
        hang::run(cluster, program, figures).await?;
    }
    if arguments.wants(Scenario::Nodes) {
        nodes::run(cluster, program, figures).await?;
    }
    if arguments.wants(Scenario::Sources) {
        sources::run(cluster, program, figures).await?;
    }
    Ok(())
}

const METHOD: &str = "\
## Scale

Real etcd and kube-apiserver with RBAC, a simulated task API on loopback, and the controller as the
static program that is shipped, in a process of its own, its rate limit raised out of the way; all on
one machine. Each task has three instances where nothing else is said. To run it again:
`cargo bench --bench scale -- --write`, on a machine that does nothing else; `--only` takes single
scenarios.

- *idle*: no objects; memory and processor time after a minute.
- *latency*: the controller idle, objects created one by one; then tasks that end, polled every 2 s,
  until a watch shows it; then 20 starts with one object waiting. The create call is the ceiling of the
  first, the interval of the second.
- *lifecycle*: 500 tasks through five changes each to their end. Writes are those that the API server
  counts.
- *burst*: 2,000 objects created 16 at a time; beside it a loop that creates the same objects and
  patches each once with a status as large, without a controller. Median of three rounds of each, in
  turn. The controller makes three requests an object, a call, a patch and an Event, and its processor
  time includes the Events, which come after the statuses; the loop's is that of the benchmark.
- *steady*: objects that are each polled in their turn while nothing changes, 1,000 calls a second in
  all, from first statuses on; beside it a bare loop that makes 1,000 GETs of the same tasks a second
  with the same HTTP client and reads none of the bodies. Then all tasks end, and nothing may be asked
  or written after. *Signed*: the same with static keys, checked by the simulator.
- *restart*: three starts among objects that have all finished; beside each the time of one list of
  them by a bare client. What is counted and the memory are of the last. Memory at most is the kernel's
  own high-water mark.
- *instances*: 10,000 objects whose tasks have 3 instances, and as many whose tasks have 300, each
  polled every 30 s while nothing changes; 1,000 of each kind too, so that what is resident whatever
  the number of objects, such as buffers of connections, can be taken off.
- *restart-instances*: starts among 2,000 objects that have finished with 1,000 instances each.
- *large*: 60 objects, each nearly as large as etcd takes it. At first annotations and an owner of a
  long name make them so, while their tasks run and end; then, for the restart, annotations and a
  status with long entries, a long error and a condition of a foreign type.
- *hang*: 50 objects polled every 5 s for a minute; then, 30 s after 10,000 others came to be, for
  another. Those are in the same namespace and in 1,000 regions, each with an address of its own on
  loopback that takes connections and never answers. Connections are counted where they arrive, since
  the start. A lag of a millisecond, the grain of timers, counts as one alone at least; a call that is
  still missing at the end counts too.
- *nodes*: 1,000 objects whose tasks succeeded wait for one Node each, among 10,000 Nodes of 11 KiB with the
  heartbeats of old kubelets: one of each Node each 10 s, or as many as the API server here takes, for a minute.
  Memory is that of controllers that had nothing to write, without any Nodes, with the first 2,000, and with all;
  beyond the first, because a connection's buffers grow with what comes over it. Then one Node after the other
  becomes Ready, in turn one that an object waits for and one that a bare client follows, which watches the Nodes
  and patches a status as large; both from before the Node's patch until a watch shows the object.
- *sources*: 10, 100 and 1,000 tasks under way of one cluster, found by a source that lists them every 30 s; beside
  it as many with objects that are polled every 15 s. All six at the same time, each with a controller and a task
  API of its own. Calls and processor time are those of 5 minutes without a change, in which a source's objects are
  each asked about once. Then 100 changes of each, at random times, of one task after the other: from the change in
  the task API until a watch shows it.

Lag is the time between two calls of one object less its interval, taken where the calls arrive.
Processor time is the whole process's, user and system; memory is resident, the program's own pages
included.
";

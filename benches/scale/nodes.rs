//! Objects that wait for their nodes, among very many Nodes with heartbeats.

mod joined;
mod registered;

use std::{path::Path, time::Duration};

use simulator::{Instance, Task};
use testbed::harness::{Cluster, Controller, Result, Spec, Usage, number};
use tokio::time::sleep;

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{Fleet, ended, spec, task_id},
};

use registered::Registered;

const NODES: usize = 10_000;
/// Objects that wait for one Node each.
const OBJECTS: usize = 1000;
/// Those that aren't Ready at first: the objects wait for half of them. What is resident with these alone isn't
/// counted as that of single Nodes.
const FIRST: usize = 2 * OBJECTS;
/// Heartbeats in a second: one of each Node each 10 s.
const RATE: u32 = 1000;
const WINDOW: Duration = Duration::from_mins(1);
const SETTLED: Duration = Duration::from_secs(10);

/// Bytes.
const MEMORY: f64 = 300.0;

pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let fleet = fleet(cluster).await?;
    let title = format!("{NODES} Nodes, {OBJECTS} objects that wait");
    let mut nodes = Registered::new(cluster);
    let without = resident(cluster, program, &fleet).await?;
    nodes.add(FIRST, false).await?;
    let first = resident(cluster, program, &fleet).await?;
    nodes.add(NODES - FIRST, true).await?;
    let mut controller = rested(cluster, program, &fleet).await?;
    tell_memory(&title, without, first, controller.usage()?, figures);
    beats(cluster, &mut controller, &nodes, &title, figures).await?;
    joined::run(cluster, &fleet, &nodes, &title, figures).await?;
    controller.stop()?;
    nodes.delete().await?;
    cluster.delete_all(&fleet.namespace).await
}

/// The instance that an object waits for.
fn instance(number: usize) -> String {
    format!("i-bp1dfrc9mqyv4w1x{number:05}")
}

/// Objects whose tasks have succeeded.
async fn fleet(cluster: &Cluster) -> Result<Fleet> {
    let fleet = Fleet::new(cluster, "nodes", OBJECTS, Duration::from_mins(30))?;
    for number in 0..OBJECTS {
        let instance = Instance {
            id: instance(number),
            ..Instance::default()
        };
        fleet.api.set_task(Task {
            instances: vec![instance],
            ..ended(&task_id(number))
        });
    }
    let objects = (0..OBJECTS).map(|number| {
        let (name, spec) = spec(number);
        let wait_for_nodes = Some(true);
        (
            name,
            Spec {
                wait_for_nodes,
                ..spec
            },
        )
    });
    cluster.create(&fleet.namespace, objects.collect()).await?;
    Ok(fleet)
}

/// MiB.
async fn resident(cluster: &Cluster, program: &Path, fleet: &Fleet) -> Result<f64> {
    let controller = rested(cluster, program, fleet).await?;
    let resident = controller.usage()?.resident;
    controller.stop()?;
    Ok(resident)
}

/// A controller that had nothing to write: what writing takes would hide what Nodes take.
async fn rested(cluster: &Cluster, program: &Path, fleet: &Fleet) -> Result<Controller> {
    waiting(cluster, program, fleet).await?.stop()?;
    waiting(cluster, program, fleet).await
}

/// A controller that watches Nodes, once all objects wait.
async fn waiting(cluster: &Cluster, program: &Path, fleet: &Fleet) -> Result<Controller> {
    let mut launch = fleet.launch(program);
    launch.arguments.push("--nodes".to_owned());
    let mut controller = Controller::start(cluster, &launch).await?;
    fleet.until_all(cluster, &mut controller, "success").await?;
    sleep(SETTLED).await;
    let label = "reason=\"WaitingForNodes\"";
    let waiting = controller
        .metric_where("scaleouttask_tasks_by_reason", label)
        .await?;
    if waiting < number(OBJECTS) {
        return Err(format!("only {waiting} objects wait for their nodes").into());
    }
    Ok(controller)
}

fn tell_memory(title: &str, without: f64, first: f64, all: Usage, figures: &mut Figures) {
    let (mib, bytes) = (Unit::Mebibytes, Unit::Bytes);
    let line = Line::new(title, "resident memory", all.resident).unit(mib);
    figures.add(line.against("without Nodes", without, None));
    figures.add(Line::new(title, "memory at most", all.peak).unit(mib));
    let each = |less: f64, count| (all.resident - less) * f64::from(1 << 20) / number(count);
    let line = Line::new(title, "memory a Node", each(without, NODES)).unit(bytes);
    figures.add(line);
    let what = format!("memory a Node, beyond the first {FIRST}");
    let line = Line::new(title, &what, each(first, NODES - FIRST)).unit(bytes);
    figures.add(line.at_most(Some(MEMORY)));
}

/// What heartbeats cost, by which nothing changes.
async fn beats(
    cluster: &Cluster,
    controller: &mut Controller,
    nodes: &Registered,
    title: &str,
    figures: &mut Figures,
) -> Result<()> {
    let writes = cluster.writes().await?.total();
    let cpu = controller.usage()?.cpu;
    let done = number(nodes.beat(RATE, WINDOW).await?);
    let cpu = controller.usage()?.cpu - cpu;
    sleep(SETTLED).await;
    controller.check_running()?;
    let writes = cluster.writes().await?.total() - writes;

    let seconds = WINDOW.as_secs_f64();
    figures.add(Line::new(title, "heartbeats a second", done / seconds));
    let line = Line::new(title, "processor time, of one core", cpu / seconds * 100.0);
    figures.add(line.unit(Unit::Percent));
    let line = Line::new(title, "processor time a heartbeat", cpu / done * 1e6);
    figures.add(line.unit(Unit::Micros));
    let line = Line::new(title, "writes to the API server", writes);
    figures.add(line.at_most(Some(0.0)));
    let resident = controller.usage()?.resident;
    let line = Line::new(title, "resident memory after heartbeats", resident);
    figures.add(line.unit(Unit::Mebibytes));
    Ok(())
}

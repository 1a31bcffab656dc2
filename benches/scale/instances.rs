//! Tasks of many instances: they cost no more memory than those of few.

use std::{path::Path, time::Duration};

use kube::api::{DeleteParams, ListParams};
use tokio::time::sleep;

use testbed::harness::{Cluster, Controller, Result, number};

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{Fleet, INSTANCES},
    idle,
    steady::{self, Promise},
};

const OBJECTS: usize = 10_000;
/// What is resident with these alone isn't counted as that of single objects.
const FIRST: usize = 1000;
const MANY: usize = 300;
const INTERVAL: Duration = Duration::from_secs(30);
/// Times of the memory with few instances.
const RATIO: f64 = 1.05;

const FINISHED: usize = 2000;
/// As many as a status shows.
const MOST: usize = 1000;
/// MiB at most during a start.
const PEAK: f64 = 32.0;

/// How many objects are deleted by one request.
const PAGE: u32 = 500;

/// The same number of objects, of few instances and of many, while nothing changes.
pub async fn run(
    cluster: &Cluster,
    program: &Path,
    idle: Option<f64>,
    figures: &mut Figures,
) -> Result<()> {
    let idle = match idle {
        Some(idle) => idle,
        None => idle::resident(cluster, program).await?,
    };
    let few = Memory::of(cluster, program, INSTANCES).await?;
    let many = Memory::of(cluster, program, MANY).await?;
    let title = |instances| format!("steady, {OBJECTS} objects of {instances} instances");
    let (few_title, many_title) = (title(INSTANCES), title(MANY));
    let beyond = format!("memory an object, beyond the first {FIRST}");
    let mut add = |what: &str, unit, few: f64, many: f64, ratio| {
        figures.add(Line::new(&few_title, what, few).unit(unit));
        let line = Line::new(&many_title, what, many).unit(unit);
        figures.add(line.against("with 3", few, ratio));
    };
    let (kib, mib) = (Unit::Kibibytes, Unit::Mebibytes);
    add("resident memory", mib, few.all, many.all, None);
    let each = |memory: &Memory| (memory.all - idle) * 1024.0 / number(OBJECTS);
    let (above_few, above_many) = (each(&few), each(&many));
    let above = "memory an object, above idle";
    add(above, kib, above_few, above_many, None);
    add(&beyond, kib, few.each(), many.each(), Some(RATIO));
    Ok(())
}

/// Resident, in MiB.
struct Memory {
    first: f64,
    all: f64,
}

impl Memory {
    async fn of(cluster: &Cluster, program: &Path, instances: usize) -> Result<Self> {
        Ok(Self {
            first: resident(cluster, program, FIRST, instances).await?,
            all: resident(cluster, program, OBJECTS, instances).await?,
        })
    }

    /// KiB an object beyond the first: without what a connection's buffers take, which grow with
    /// the bodies and not with the number of objects.
    fn each(&self) -> f64 {
        (self.all - self.first) * 1024.0 / number(OBJECTS - FIRST)
    }
}

/// MiB, once all were polled twice.
async fn resident(
    cluster: &Cluster,
    program: &Path,
    objects: usize,
    instances: usize,
) -> Result<f64> {
    let name = format!("instances-{instances}-{objects}");
    let fleet = Fleet::with_instances(cluster, &name, objects, INTERVAL, instances)?;
    cluster.create(&fleet.namespace, fleet.specs()).await?;
    let mut controller = Controller::start(cluster, &fleet.launch(program)).await?;
    fleet.until_all(cluster, &mut controller, "running").await?;
    sleep(INTERVAL * 2).await;
    controller.check_running()?;
    let resident = controller.usage()?.resident;
    controller.stop()?;
    delete(cluster, &fleet).await?;
    Ok(resident)
}

/// Page by page: deleting them all takes longer than the API server lets one request take.
async fn delete(cluster: &Cluster, fleet: &Fleet) -> Result<()> {
    let api = cluster.objects(&fleet.namespace);
    let page = ListParams::default().limit(PAGE);
    for _ in (0..fleet.size).step_by(usize::try_from(PAGE)?) {
        api.delete_collection(&DeleteParams::default(), &page)
            .await?;
    }
    Ok(())
}

/// Starts among objects that finished with as many instances as a status shows.
pub async fn restart(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let name = "restart-instances";
    let fleet = Fleet::with_instances(cluster, name, FINISHED, INTERVAL, MOST)?;
    fleet.end_all();
    cluster.create(&fleet.namespace, fleet.specs()).await?;
    let mut controller = Controller::start(cluster, &fleet.launch(program)).await?;
    fleet.until_all(cluster, &mut controller, "success").await?;
    controller.stop()?;
    let title = format!("restart, {FINISHED} finished objects of {MOST} instances");
    let promise = Promise {
        peak: Some(PEAK),
        ..Promise::default()
    };
    steady::restart(cluster, program, &fleet, &title, &promise, figures).await?;
    delete(cluster, &fleet).await
}

//! Tasks of many instances: they cost no more memory than those of few.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use testbed::harness::{Cluster, Controller, Result, number};

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{Fleet, INSTANCES},
    
    idle,
    steady::{self, Promise},
};

const OBJECTS: usize = 10_000;
const MANY: usize = 300;
const INTERVAL: Duration = Duration::from_secs(30);
/// Times of the memory with few instances.
const RATIO: f64 = 1.05;

const FINISHED: usize = 2000;
/// As many as a status shows.
const MOST: usize = 1000;
/// MiB at most during a start.
const PEAK: f64 = 32.0;

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
    let few = resident(cluster, program, INSTANCES).await?;
    let many = resident(cluster, program, MANY).await?;
    let title = |instances| format!("steady, {OBJECTS} objects of {instances} instances");
    let each = |resident: f64| (resident - idle) * 1024.0 / number(OBJECTS);
    let what = "memory an object, above idle";
    for (instances, resident) in [(INSTANCES, few), (MANY, many)] {
        let line = Line::new(&title(instances), "resident memory", resident);
        figures.add(line.unit(Unit::Mebibytes));
    }
    let line = Line::new(&title(INSTANCES), what, each(few)).unit(Unit::Kibibytes);
    figures.add(line);
    let line = Line::new(&title(MANY), what, each(many)).unit(Unit::Kibibytes);
    figures.add(line.against("with 3", each(few), Some(RATIO)));
    Ok(())
}

/// MiB, once all were polled twice.
async fn resident(cluster: &Cluster, program: &Path, instances: usize) -> Result<f64> {
    let name = format!("instances-{instances}");
    let fleet = Fleet::with_instances(cluster, &name, OBJECTS, INTERVAL, instances)?;
    cluster.create(&fleet.namespace, fleet.specs()).await?;
    let mut controller = Controller::start(cluster, &fleet.launch(program)).await?;
    fleet.until_all(cluster, &mut controller, "running").await?;
    sleep(INTERVAL * 2).await;
    controller.check_running()?;
    let resident = controller.usage()?.resident;
    controller.stop()?;
    cluster.delete_all(&fleet.namespace).await?;
    Ok(resident)
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
    cluster.delete_all(&fleet.namespace).await
}

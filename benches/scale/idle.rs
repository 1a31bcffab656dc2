//! A controller that has nothing to do.

use std::{path::Path, time::Duration};

use testbed::harness::{Cluster, Controller, Result};
use tokio::time::sleep;

use crate::{
    figures::{Figures, Line, Unit},
    fleet::Fleet,
};

const SETTLED: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_mins(1);
/// MiB.
const RESIDENT: f64 = 10.0;

/// Returns its resident memory, in MiB.
pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<f64> {
    let controller = idle(cluster, program, "idle").await?;
    let before = controller.usage()?.cpu;
    sleep(WINDOW).await;
    let usage = controller.usage()?;
    let line = Line::new("idle", "resident memory", usage.resident).unit(Unit::Mebibytes);
    figures.add(line.at_most(Some(RESIDENT)));
    let cpu = (usage.cpu - before) * 1e3 * 60.0 / WINDOW.as_secs_f64();
    let line = Line::new("idle", "processor time a minute", cpu).unit(Unit::Millis);
    figures.add(line);
    controller.stop()?;
    Ok(usage.resident)
}

/// The resident memory of one that settled, in MiB, where no more is asked.
pub async fn resident(cluster: &Cluster, program: &Path) -> Result<f64> {
    let controller = idle(cluster, program, "idle-memory").await?;
    let resident = controller.usage()?.resident;
    controller.stop()?;
    Ok(resident)
}

async fn idle(cluster: &Cluster, program: &Path, namespace: &str) -> Result<Controller> {
    let fleet = Fleet::new(cluster, namespace, 0, Duration::from_secs(15))?;
    let controller = Controller::start(cluster, &fleet.launch(program)).await?;
    sleep(SETTLED).await;
    Ok(controller)
}

//! Objects that are polled while nothing changes, then all end; and a start among what has ended.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use testbed::harness::{Cluster, Controller, Result, gaps, number, percentile, seconds};
use tokio::time::sleep;

use crate::{
    bare,
    figures::{Figures, Line, Unit},
    fleet::{Fleet, KEY},
};

/// Calls in a second, whatever the number of objects.
const RATE: u32 = 1000;
/// How long it must be quiet after the end, and after a start among what has ended.
const QUIET: Duration = Duration::from_secs(15);
/// How many starts among what has ended are timed.
const STARTS: usize = 3;
/// How long the ceiling is measured.
const BARE: Duration = Duration::from_secs(20);

/// So many objects, and what is promised of them.
pub struct Size {
    pub objects: u32,
    /// How long is measured.
    pub window: Duration,
    pub promise: Promise,
}

/// None where nothing is promised of that size.
#[derive(Clone, Copy, Default)]
pub struct Promise {
    /// Processor time a poll, in times of that of the bare loop.
    pub cpu_ratio: Option<f64>,
    /// Milliseconds.
    pub lag: Option<f64>,
    /// MiB in all.
    pub resident: Option<f64>,
    /// KiB an object.
    pub per_object: Option<f64>,
    /// The time until ready, in times of one list by a bare client.
    pub ready_ratio: Option<f64>,
    /// MiB at most during a start, and times of what stays.
    pub peak: Option<f64>,
    pub peak_ratio: Option<f64>,
    /// Whether signing is measured too.
    pub signed: bool,
}

pub async fn run(
    cluster: &Cluster,
    program: &Path,
    size: &Size,
    idle: Option<f64>,
    figures: &mut Figures,
) -> Result<()> {
    let interval = Duration::from_secs(1) * size.objects / RATE;
    let count = usize::try_from(size.objects)?;
    let name = format!("steady-{count}");
    let fleet = Fleet::created(cluster, &name, count, interval).await?;
    let mut controller = Controller::start(cluster, &fleet.launch(program)).await?;
    fleet.until_all(cluster, &mut controller, "running").await?;
    sleep(interval).await;
    let polled = polled(cluster, &fleet, &mut controller, size.window).await?;
    let bare = bare::gets(&fleet.api.url(), count, RATE, BARE)?.cpu;
    let title = format!("steady, {count} objects each {} s", interval.as_secs());
    tell(&title, size, &polled, bare, idle, figures);
    if size.promise.signed {
        controller.stop()?;
        controller = signed(cluster, program, &fleet, size, polled.cpu, figures).await?;
    }

    fleet.end_all();
    fleet.until_all(cluster, &mut controller, "success").await?;
    quiet(
        cluster,
        &fleet,
        &format!("{title}, after their end"),
        figures,
    )
    .await?;
    controller.stop()?;
    let title = format!("restart, {count} finished objects");
    restart(cluster, program, &fleet, &title, &size.promise, figures).await?;
    cluster.delete_all(&fleet.namespace).await
}

/// What was seen while nothing changed.
struct Polled {
    /// Microseconds of processor time a poll.
    cpu: f64,
    calls: f64,
    /// Milliseconds by which a call came later than an interval after the one before.
    lag: Vec<f64>,
    /// MiB.
    resident: f64,
    writes: f64,
}

async fn polled(
    cluster: &Cluster,
    fleet: &Fleet,
    controller: &mut Controller,
    window: Duration,
) -> Result<Polled> {
    let writes = cluster.writes().await?.total();
    let (begin, calls) = (Instant::now(), fleet.api.total_requests());
    let cpu = controller.usage()?.cpu;
    sleep(window).await;
    let usage = controller.usage()?;
    let calls = number(fleet.api.total_requests() - calls);
    controller.check_running()?;
    Ok(Polled {
        cpu: (usage.cpu - cpu) / calls * 1e6,
        calls,
        lag: lags(fleet, begin),
        resident: usage.resident,
        writes: cluster.writes().await?.total() - writes,
    })
}

fn lags(fleet: &Fleet, from: Instant) -> Vec<f64> {
    let mut calls: HashMap<String, Vec<Instant>> = HashMap::new();
    for call in fleet.api.request_log() {
        calls.entry(call.task_id).or_default().push(call.at);
    }
    let nominal = fleet.interval.as_secs_f64();
    let lag = |gap| (seconds(gap) - nominal) * 1e3;
    let each = calls.values();
    each.flat_map(|times| gaps(times, from).map(lag)).collect()
}

fn tell(
    title: &str,
    size: &Size,
    polled: &Polled,
    bare: f64,
    idle: Option<f64>,
    figures: &mut Figures,
) {
    let promise = &size.promise;
    let line = Line::new(
        title,
        "calls a second",
        polled.calls / size.window.as_secs_f64(),
    );
    figures.add(line);
    let line = Line::new(title, "processor time a poll", polled.cpu).unit(Unit::Micros);
    figures.add(line.bare(bare, promise.cpu_ratio));
    for (what, percent, promised) in [("p50", 50, None), ("p99", 99, promise.lag)] {
        let lag = percentile(&polled.lag, percent);
        let line = Line::new(title, &format!("poll lag, {what}"), lag).unit(Unit::Millis);
        figures.add(line.at_most(promised));
    }
    let line = Line::new(title, "resident memory", polled.resident).unit(Unit::Mebibytes);
    figures.add(line.at_most(promise.resident));
    if let Some(idle) = idle {
        let each = (polled.resident - idle) * 1024.0 / f64::from(size.objects);
        let line = Line::new(title, "memory an object, above idle", each).unit(Unit::Kibibytes);
        figures.add(line.at_most(promise.per_object));
    }
    let line = Line::new(title, "writes to the API server", polled.writes);
    figures.add(line.at_most(Some(0.0)));
}

/// The same with signatures.
async fn signed(
    cluster: &Cluster,
    program: &Path,
    fleet: &Fleet,
    size: &Size,
    unsigned: f64,
    figures: &mut Figures,
) -> Result<Controller> {
    fleet.ask_for_signatures();
    let mut launch = fleet.launch(program);
    launch.key = Some(KEY);
    let mut controller = Controller::start(cluster, &launch).await?;
    sleep(fleet.interval * 2).await;
    let polled = polled(cluster, fleet, &mut controller, size.window).await?;
    let title = format!("the same, {} objects, signed", fleet.size);
    let line = Line::new(&title, "processor time a poll", polled.cpu).unit(Unit::Micros);
    figures.add(line);
    let line = Line::new(&title, "of that for signing", polled.cpu - unsigned).unit(Unit::Micros);
    figures.add(line);
    Ok(controller)
}

/// Nothing is asked and nothing is written.
async fn quiet(cluster: &Cluster, fleet: &Fleet, title: &str, figures: &mut Figures) -> Result<()> {
    let (calls, writes) = (fleet.api.total_requests(), cluster.writes().await?.total());
    sleep(QUIET.max(fleet.interval.min(QUIET * 3))).await;
    let calls = number(fleet.api.total_requests() - calls);
    let writes = cluster.writes().await?.total() - writes;
    figures.add(Line::new(title, "calls", calls).at_most(Some(0.0)));
    figures.add(Line::new(title, "writes to the API server", writes).at_most(Some(0.0)));
    Ok(())
}

/// Starts among objects that have all finished.
pub async fn restart(
    cluster: &Cluster,
    program: &Path,
    fleet: &Fleet,
    title: &str,
    promise: &Promise,
    figures: &mut Figures,
) -> Result<()> {
    let (mut bare, mut ready) = (Vec::new(), Vec::new());
    let controller = loop {
        let listed = cluster.list_bare(&fleet.namespace).await?;
        bare.push(listed.as_secs_f64());
        let mut controller = Controller::launch(cluster, &fleet.launch(program))?;
        ready.push(controller.until_ready().await?.as_secs_f64());
        if ready.len() == STARTS {
            break controller;
        }
        controller.stop()?;
    };
    for (what, percent, ratio) in [("median", 50, promise.ready_ratio), ("most", 100, None)] {
        let what = format!("from exec to ready, {what}");
        let line = Line::new(title, &what, percentile(&ready, percent)).unit(Unit::Seconds);
        figures.add(line.bare(percentile(&bare, percent), ratio));
    }
    quiet(cluster, fleet, title, figures).await?;
    let usage = controller.usage()?;
    let line = Line::new(title, "resident memory", usage.resident).unit(Unit::Mebibytes);
    figures.add(line);
    let line = Line::new(title, "memory at most", usage.peak).unit(Unit::Mebibytes);
    let line = line.at_most(promise.peak);
    figures.add(line.against("of what stays", usage.resident, promise.peak_ratio));
    controller.stop()
}

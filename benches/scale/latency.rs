//! How soon an idle controller sees what happens, and how soon a new one is at work.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use kube::{ResourceExt, api::PostParams};
use scaleouttask_controller::api::ScaleOutTask;
use testbed::harness::{Cluster, Controller, Result, percentile};
use tokio::time::{sleep, timeout};

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{Fleet, ended, spec, task_id},
    watch::Watch,
};

const CREATED: usize = 300;
const CHANGED: usize = 100;
const STARTS: usize = 20;
/// Between two creations, and between two changes: the controller is idle again by then.
const PAUSE: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds that a first call may come later than creating the object takes.
const FIRST_CALL: f64 = 10.0;
/// Milliseconds that a change may take longer than a poll interval to be seen.
const CHANGE: f64 = 50.0;
/// Milliseconds from the start of the process to its first call.
const COLD_START: f64 = 100.0;

pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    first_calls(cluster, program, figures).await?;
    changes(cluster, program, figures).await?;
    cold_starts(cluster, program, figures).await
}

async fn first_calls(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let fleet = Fleet::new(cluster, "latency-create", CREATED, Duration::from_mins(30))?;
    let controller = Controller::start(cluster, &fleet.launch(program)).await?;
    let api = cluster.objects(&fleet.namespace);
    let (mut created_at, mut creating) = (HashMap::new(), Vec::new());
    for (name, spec) in fleet.specs() {
        let begin = Instant::now();
        created_at.insert(spec.task_id.clone(), begin);
        let object = ScaleOutTask::new(&name, spec);
        api.create(&PostParams::default(), &object).await?;
        creating.push(millis(begin.elapsed()));
        sleep(PAUSE).await;
    }
    let calls = fleet.api.request_log();
    let since = |call: &simulator::Request| {
        let begin = created_at.remove(&call.task_id)?;
        Some(millis(call.at.saturating_duration_since(begin)))
    };
    let called: Vec<f64> = calls.iter().filter_map(since).collect();
    if called.len() < CREATED {
        return Err("not every new object was polled at once".into());
    }
    let title = "latency, idle controller";
    let (created, called) = (percentile(&creating, 99), percentile(&called, 99));
    let line = Line::new(title, "create call, p99", created).unit(Unit::Millis);
    figures.add(line);
    let line = Line::new(title, "create to first call, p99", called).unit(Unit::Millis);
    figures.add(line.at_most(Some(created + FIRST_CALL)));
    controller.stop()?;
    cluster.delete_all(&fleet.namespace).await
}

async fn changes(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let fleet = Fleet::created(cluster, "latency-change", CHANGED, INTERVAL).await?;
    let mut controller = Controller::start(cluster, &fleet.launch(program)).await?;
    fleet.until_all(cluster, &mut controller, "running").await?;
    let api = cluster.objects(&fleet.namespace);
    let mut watch = Watch::begin(&api).await?;
    let seen = tokio::spawn(async move {
        let mut seen: HashMap<String, Instant> = HashMap::new();
        while seen.len() < CHANGED {
            let object = watch.modified().await?;
            if object
                .status
                .as_ref()
                .is_some_and(|status| status.finished_at.is_some())
            {
                seen.entry(object.name_any()).or_insert_with(Instant::now);
            }
        }
        Result::Ok(seen)
    });
    let mut changed = Vec::new();
    for number in 0..CHANGED {
        changed.push((spec(number).0, Instant::now()));
        fleet.api.set_task(ended(&task_id(number)));
        sleep(PAUSE).await;
    }
    let seen = timeout(PATIENCE, seen).await???;
    let took = changed
        .iter()
        .filter_map(|(name, at)| Some(millis(seen.get(name)?.saturating_duration_since(*at))));
    let took: Vec<f64> = took.collect();
    let title = "latency, idle controller";
    let what = format!(
        "change to visible, most, polled each {} s",
        INTERVAL.as_secs()
    );
    let line = Line::new(title, &what, percentile(&took, 100)).unit(Unit::Millis);
    figures.add(line.at_most(Some(millis(INTERVAL) + CHANGE)));
    controller.stop()?;
    cluster.delete_all(&fleet.namespace).await
}

async fn cold_starts(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let interval = Duration::from_mins(30);
    let mut took = Vec::new();
    for round in 0..STARTS {
        // An object that was never polled.
        let fleet = Fleet::created(cluster, &format!("latency-start-{round}"), 1, interval).await?;
        let controller = Controller::launch(cluster, &fleet.launch(program))?;
        let deadline = Instant::now() + PATIENCE;
        while fleet.api.total_requests() == 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(1)).await;
        }
        let calls = fleet.api.request_log();
        let first = calls.first().ok_or("a new controller didn't call")?;
        took.push(millis(first.at.duration_since(controller.begun)));
        controller.stop()?;
        cluster.delete_all(&fleet.namespace).await?;
    }
    let title = format!("cold start, {STARTS} times");
    let line = Line::new(&title, "exec to first call, median", percentile(&took, 50));
    figures.add(line.unit(Unit::Millis).at_most(Some(COLD_START)));
    let line = Line::new(&title, "exec to first call, most", percentile(&took, 100));
    figures.add(line.unit(Unit::Millis));
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

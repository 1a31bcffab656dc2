//! A region that answers, beside very many that hang.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use testbed::hanging::HangingServers;
use testbed::harness::{Cluster, Controller, Result, Spec, gaps, number, percentile, seconds};

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{Fleet, spec},
};

/// In the region that answers.
const HEALTHY: usize = 50;
const INTERVAL: Duration = Duration::from_secs(5);
/// In all regions that hang.
const OBJECTS: usize = 10_000;
const REGIONS: u16 = 1000;
const SETTLED: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_mins(1);

/// Connections: what `--max-calls` is by default.
const CONNECTIONS: usize = 256;
/// Times of the lag alone, and milliseconds that count as that at least: the grain of timers.
const LAG: f64 = 2.0;
const GRAIN: f64 = 1.0;
/// Turns of the loop, and the bucket, in seconds, that all should be in.
const TURNS: &str = "scaleouttask_turn_duration_seconds";
const TURN: &str = "le=\"0.1\"";

pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let fleet = Fleet::created(cluster, "hang", HEALTHY, INTERVAL).await?;
    let hanging = HangingServers::start(REGIONS).await?;
    let mut launch = fleet.launch(program);
    let endpoints = hanging.addresses().iter().enumerate();
    let endpoints = endpoints
        .map(|(number, address)| format!("--endpoint-for={}=http://{address}", region(number)));
    launch.arguments.extend(endpoints);
    let mut controller = Controller::start(cluster, &launch).await?;
    fleet.until_all(cluster, &mut controller, "running").await?;
    sleep(INTERVAL * 2).await;
    let alone = healthy(&fleet, &mut controller).await?;

    cluster.create(&fleet.namespace, hung()).await?;
    sleep(SETTLED).await;
    let (calls, writes) = (hanging.accepted(), cluster.writes().await?.total());
    let beside = healthy(&fleet, &mut controller).await?;
    let calls = hanging.accepted() - calls;
    let writes = cluster.writes().await?.total() - writes;

    let title = format!("{HEALTHY} objects beside {OBJECTS} in {REGIONS} regions that hang");
    let connections = number(hanging.most_open());
    let line = Line::new(&title, "connections to those, most", connections);
    figures.add(line.at_most(Some(number(CONNECTIONS))));
    let calls = number(calls);
    figures.add(Line::new(&title, "calls to those", calls));
    let line = Line::new(&title, "writes to the API server", writes);
    figures.add(line);
    let line = Line::new(&title, "calls to the other region", beside.calls);
    figures.add(line.against("alone", alone.calls, None));
    let p50 = |seen: &Seen| percentile(&seen.lag, 50);
    let p99 = |seen: &Seen| percentile(&seen.lag, 99);
    for (what, lag) in [("p50, alone", p50(&alone)), ("p50", p50(&beside))] {
        let what = format!("poll lag there, {what}");
        figures.add(Line::new(&title, &what, lag).unit(Unit::Millis));
    }
    let line = Line::new(&title, "poll lag there, p99", p99(&beside)).unit(Unit::Millis);
    let most = p99(&alone).max(GRAIN) * LAG;
    figures.add(line.at_most(Some(most)).against("alone", p99(&alone), None));
    let turns = long_turns(&controller).await?;
    let line = Line::new(&title, "turns of the loop longer than 100 ms", turns);
    figures.add(line.at_most(Some(0.0)));
    let resident = controller.usage()?.resident;
    let line = Line::new(&title, "resident memory", resident).unit(Unit::Mebibytes);
    figures.add(line);
    controller.stop()?;
    cluster.delete_all(&fleet.namespace).await
}

/// What the region that answers saw.
struct Seen {
    calls: f64,
    /// Milliseconds.
    lag: Vec<f64>,
}

async fn healthy(fleet: &Fleet, controller: &mut Controller) -> Result<Seen> {
    let begin = Instant::now();
    sleep(WINDOW).await;
    let end = Instant::now();
    controller.check_running()?;
    let mut calls: HashMap<String, Vec<Instant>> = HashMap::new();
    for call in fleet.api.request_log() {
        if call.at <= end {
            calls.entry(call.task_id).or_default().push(call.at);
        }
    }
    let counted = calls.values().flatten().filter(|at| **at >= begin).count();
    let lag = calls.values().flat_map(|times| lags(times, begin, end));
    Ok(Seen {
        calls: number(counted),
        lag: lag.collect(),
    })
}

/// By how many milliseconds each call of an object came late, and the one that is still missing
/// if it is late by now.
fn lags(times: &[Instant], begin: Instant, end: Instant) -> Vec<f64> {
    let late = |from: Instant, to: Instant| (seconds((from, to)) - INTERVAL.as_secs_f64()) * 1e3;
    let mut lags: Vec<f64> = gaps(times, begin)
        .map(|(from, to)| late(from, to))
        .collect();
    let missing = times.last().map(|last| late(*last, end));
    lags.extend(missing.filter(|late| *late > 0.0));
    lags
}

/// How many turns took longer than they may, since the start; not a number where none is counted.
async fn long_turns(controller: &Controller) -> Result<f64> {
    let all = controller.metric(&format!("{TURNS}_count")).await?;
    let short = format!("{TURNS}_bucket");
    let short = controller.metric_where(&short, TURN).await?;
    Ok(if all > 0.0 { all - short } else { f64::NAN })
}

fn hung() -> Vec<(String, Spec)> {
    let one = |number: usize| {
        let (name, spec) = spec(HEALTHY + number);
        let region = Some(region(number % usize::from(REGIONS)));
        (name, Spec { region, ..spec })
    };
    (0..OBJECTS).map(one).collect()
}

fn region(number: usize) -> String {
    format!("made-up-{number}")
}

//! A thousand regions that hang, beside one that is healthy.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use simulator::Request;
use testbed::{
    hanging::HangingServers,
    harness::{Cluster, Result, Spec, number, percentile},
    polls::Window,
};

use super::{Measured, Row, Rows, count, ground::Ground};
use crate::report::{GRAIN, millis};

const REGIONS: u16 = 1000;
const HANGING: usize = 10_000;
const HEALTHY: usize = 50;
const INTERVAL: Duration = Duration::from_secs(5);
/// `--max-calls`, as it is by default.
const MAX_CALLS: usize = 256;
/// How much later the healthy may be asked about.
const LATER: f64 = 2.0;

pub async fn run(
    cluster: &Cluster,
    program: &Path,
    quick: bool,
    mut rows: Rows,
) -> Result<Vec<Row>> {
    let (settling, measured) = if quick { (20, 40) } else { (30, 120) };
    let [settling, measured] = [settling, measured].map(Duration::from_secs);
    let ground = Ground::new(cluster, "regions")?;
    let servers = HangingServers::start(REGIONS).await?;
    let endpoints = servers.addresses().iter().enumerate();
    let arguments: Vec<String> = endpoints
        .map(|(region, address)| format!("--endpoint-for=made-up-{region}=http://{address}"))
        .collect();
    ground.fill(&ground.calm, "healthy", HEALTHY, "5s").await?;
    let begin = Instant::now();
    let controller = ground.start(program, &arguments).await?;
    Window::pass(settling).await;
    let before = Window::pass(measured).await;

    let hanging = (0..HANGING).map(|number| {
        let name = format!("hangs-{number}");
        let spec = Spec {
            task_id: name.clone(),
            region: Some(format!("made-up-{}", number % usize::from(REGIONS))),
            ..Spec::default()
        };
        (name, spec)
    });
    cluster.create(&ground.noisy, hanging.collect()).await?;
    Window::pass(settling).await;
    let during = Window::pass(measured).await;

    let log = ground.api.request_log();
    let [alone, beside] = [before, during].map(|window| lag(&log, window, begin));
    let connections = Measured {
        alone: None,
        beside: number(servers.most_open()),
    };
    rows.at_most(
        "connections that hang, most",
        connections,
        number(MAX_CALLS),
        count,
    );
    let lag = Measured {
        alone: Some(alone),
        beside,
    };
    rows.at_most("lag of the 50, p99", lag, alone * LATER + GRAIN, millis);
    ground.end(controller).await?;
    Ok(rows.done())
}

/// The 99th percentile, in milliseconds.
fn lag(log: &[Request], window: Window, begin: Instant) -> f64 {
    let intervals = window.intervals(log, "healthy-");
    let mut lags: Vec<f64> = intervals
        .values()
        .flatten()
        .map(|interval| interval.saturating_sub(INTERVAL).as_secs_f64() * 1000.0)
        .collect();
    // Those that were never asked about wait since the start.
    let never = window.end.duration_since(begin).as_secs_f64() * 1000.0;
    lags.extend((intervals.len()..HEALTHY).map(|_| never));
    percentile(&lags, 99)
}

//! A namespace with thousands of fast objects, beside one with fifty.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use testbed::{
    harness::{Cluster, Result, mean},
    polls::Window,
};

use super::{Measured, Row, Rows, ground::Ground, per_second, seconds};

const CROWD: usize = 5000;
const FEW: usize = 50;
/// The few want 3.3 calls a second, and half of all would be 10: their fair share is all they want.
const INTERVAL: Duration = Duration::from_secs(15);
/// How much later than that one may be asked about.
const LATE: f64 = 1.2;

pub async fn run(
    cluster: &Cluster,
    program: &Path,
    quick: bool,
    mut rows: Rows,
) -> Result<Vec<Row>> {
    let (settling, measured) = if quick { (30, 60) } else { (60, 120) };
    let ground = Ground::new(cluster, "crowd")?;
    ground.fill(&ground.noisy, "crowd", CROWD, "1s").await?;
    ground.fill(&ground.calm, "few", FEW, "15s").await?;
    // All are due at once, as after a restart.
    let begin = Instant::now();
    let controller = ground.start_with_rate(program, 20).await?;
    Window::pass(Duration::from_secs(settling)).await;
    let window = Window::pass(Duration::from_secs(measured)).await;
    let log = ground.api.request_log();
    let intervals = window.intervals(&log, "few-");
    let mut lengths: Vec<f64> = intervals
        .values()
        .flatten()
        .map(Duration::as_secs_f64)
        .collect();
    // Those that were never asked about wait since the start.
    let never = window.end.duration_since(begin).as_secs_f64();
    lengths.extend((intervals.len()..FEW).map(|_| never));
    let longest = lengths.iter().copied().fold(0.0, f64::max);

    let nominal = INTERVAL.as_secs_f64();
    rows.info(
        "calls for the 5,000",
        None,
        window.rate(&log, "crowd-"),
        per_second,
    );
    rows.info(
        "calls for the 50",
        None,
        window.rate(&log, "few-"),
        per_second,
    );
    rows.info(
        "interval of the 50, mean",
        Some(nominal),
        mean(&lengths),
        seconds,
    );
    let longest = Measured {
        alone: Some(nominal),
        beside: longest,
    };
    rows.at_most(
        "interval of the 50, longest",
        longest,
        nominal * LATE,
        seconds,
    );
    ground.end(controller).await?;
    Ok(rows.done())
}

//! Poll requests without end for three objects, beside a hundred of another namespace.

use std::{path::Path, time::Duration};

use serde_json::json;
use testbed::{
    harness::{Cluster, Result, number},
    objects::{Edits, names},
    polls::Window,
};

use super::{Measured, Row, Rows, ground::Ground, per_second};
use crate::report::percent;

/// Ten a second for each of three.
const REQUESTS: u32 = 30;
/// What comes while it settles isn't counted.
const SETTLING: Duration = Duration::from_secs(10);

pub async fn run(
    cluster: &Cluster,
    program: &Path,
    quick: bool,
    mut rows: Rows,
) -> Result<Vec<Row>> {
    let measured = Duration::from_secs(if quick { 20 } else { 60 });
    let ground = Ground::new(cluster, "requests")?;
    ground.fill(&ground.noisy, "asking", 3, "1h").await?;
    ground.fill(&ground.calm, "other", 100, "2s").await?;
    let controller = ground.start_with_rate(program, 20).await?;
    Window::pass(SETTLING).await;
    let before = Window::pass(measured).await;

    let objects = cluster.objects(&ground.noisy);
    let edits = Edits::start(objects, names("asking", 3), REQUESTS, |round| {
        let annotation = json!({ "scaleout.dev/poll-requested-at": round.to_string() });
        json!({ "metadata": { "annotations": annotation } })
    });
    Window::pass(SETTLING).await;
    let made = edits.made();
    let during = Window::pass(measured).await;
    let made = number(edits.made() - made) / during.seconds();
    drop(edits);

    let log = ground.api.request_log();
    let [alone, beside] = [before, during].map(|window| window.rate(&log, "other-"));
    let asking = during.rate(&log, "asking-");
    rows.info("poll requests", None, made, per_second);
    let others = Measured {
        alone: Some(alone),
        beside,
    };
    rows.at_least("calls for the 100", others, alone / 2.0, per_second);
    let share = Measured {
        alone: None,
        beside: asking / (asking + beside),
    };
    rows.at_most("part of all calls for the 3", share, 0.5, percent);
    ground.end(controller).await?;
    Ok(rows.done())
}

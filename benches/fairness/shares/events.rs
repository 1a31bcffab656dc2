//! A namespace whose Events are refused, beside one whose Events are not.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;
use testbed::{
    admission::Rule,
    harness::{Cluster, Result, number},
    objects::{Edits, names},
    polls::Window,
};

use super::{Row, Rows, ground::Ground, newcomers::Slowest, per_second};

const FLAPPING: usize = 200;
/// Edits a second, each of which changes an object's reason.
const EDITS: u32 = 40;
/// All have their first status by then; and each is edited once.
const SETTLING: Duration = Duration::from_secs(5);

pub async fn run(
    cluster: &Cluster,
    program: &Path,
    quick: bool,
    mut rows: Rows,
) -> Result<Vec<Row>> {
    let ground = Ground::new(cluster, "events")?;
    ground.fill(&ground.noisy, "flaps", FLAPPING, "1h").await?;
    let controller = ground.start_with_rate(program, 1000).await?;
    Window::pass(SETTLING).await;
    let alone = Slowest::of(&ground, "before", quick).await?;

    let rule = Rule::refuse_events(cluster.plane(), cluster.client(), &ground.noisy).await?;
    let objects = cluster.objects(&ground.noisy);
    let edits = Edits::start(
        objects,
        names("flaps", FLAPPING),
        EDITS,
        |round| json!({ "spec": { "suspend": round % 2 == 0 } }),
    );
    Window::pass(SETTLING).await;
    let (begin, made) = (Instant::now(), edits.made());
    let beside = Slowest::of(&ground, "during", quick).await?;
    let made = number(edits.made() - made) / begin.elapsed().as_secs_f64();
    drop((edits, rule));
    rows.info("edits", None, made, per_second);
    Slowest::compare(&alone, &beside, &mut rows);
    ground.end(controller).await?;
    Ok(rows.done())
}

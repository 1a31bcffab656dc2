//! A namespace in which a webhook hangs at each write of a status, beside one without it.

use std::{path::Path, time::Duration};

use testbed::{
    admission::Rule,
    hanging::HangingServers,
    harness::{Cluster, Result, number},
    polls::Window,
};

use super::{Row, Rows, count, ground::Ground, newcomers::Slowest};

const HANGING: usize = 200;
/// By then as many are asked about as a namespace may have unwritten, and writes hang.
const SETTLING: Duration = Duration::from_secs(5);

pub async fn run(
    cluster: &Cluster,
    program: &Path,
    quick: bool,
    mut rows: Rows,
) -> Result<Vec<Row>> {
    let ground = Ground::new(cluster, "webhook")?;
    let controller = ground.start_with_rate(program, 1000).await?;
    let alone = Slowest::of(&ground, "before", quick).await?;

    let server = HangingServers::start(1).await?;
    let (plane, client) = (cluster.plane(), cluster.client());
    let rule = Rule::hang_status_writes(plane, client, &ground.noisy, &server).await?;
    ground.fill(&ground.noisy, "hangs", HANGING, "1h").await?;
    Window::pass(SETTLING).await;
    let beside = Slowest::of(&ground, "during", quick).await?;
    drop(rule);
    rows.info(
        "writes that hang, most",
        None,
        number(server.most_open()),
        count,
    );
    Slowest::compare(&alone, &beside, &mut rows);
    ground.end(controller).await?;
    Ok(rows.done())
}

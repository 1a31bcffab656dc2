//! The same tasks, once polled and once found by a source.

mod changes;

use std::{path::Path, time::Duration};

use futures::future::try_join_all;
use kube::{Api, api::PostParams};
use scaleouttask_controller::api::{ScaleOutTaskSource, ScaleOutTaskSourceSpec};
use testbed::harness::{Cluster, Controller, Result, mean, number, percentile};
use tokio::time::sleep;

use crate::{
    figures::{Figures, Line, Unit},
    fleet::{CLUSTER_ID, Fleet},
};

/// How many tasks, and what is promised of them: calls, in times of those where they are polled, and pages of a list.
const SIZES: [(usize, Option<f64>, Option<f64>); 3] = [
    (10, None, Some(2.0)),
    (100, Some(0.1), Some(2.0)),
    (1000, Some(0.1), Some(11.0)),
];
/// Both are the defaults.
const POLLED: Duration = Duration::from_secs(15);
const LISTED: Duration = Duration::from_secs(30);
/// In that time, each object of a source is asked about once.
const WINDOW: Duration = Duration::from_mins(5);
const SETTLED: Duration = Duration::from_secs(10);
/// Seconds that a change may take longer than the interval of a source to be shown.
const LATER: f64 = 1.0;

/// Tasks, and the controller that follows them.
struct Followed {
    fleet: Fleet,
    controller: Controller,
}

/// What was spent so far.
struct Spent {
    polls: usize,
    lists: usize,
    /// Seconds.
    cpu: f64,
}

/// What was seen of it.
struct Seen {
    /// A minute each.
    polls: f64,
    lists: f64,
    /// Milliseconds.
    cpu: f64,
    /// The longest list.
    pages: f64,
    /// MiB.
    resident: f64,
    /// Seconds from each change to its object.
    took: Vec<f64>,
}

pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let mut all = Vec::new();
    for (size, ..) in SIZES {
        all.push(polled(cluster, program, size).await?);
        all.push(found(cluster, program, size).await?);
    }
    sleep(SETTLED).await;
    let (seen, writes) = seen(cluster, &all).await?;
    for ((size, calls, pages), seen) in SIZES.iter().zip(seen.chunks_exact(2)) {
        let title = format!("{size} tasks under way, found by a source");
        tell_calls(&title, &seen[1], &seen[0], (*calls, *pages), figures);
        tell_delay(&title, &seen[1], &seen[0], figures);
    }
    let line = Line::new("all of these", "writes while nothing changes", writes);
    figures.add(line.at_most(Some(0.0)));
    for Followed { fleet, controller } in all {
        controller.stop()?;
        cluster.delete_all(&fleet.namespace).await?;
    }
    Ok(())
}

async fn polled(cluster: &Cluster, program: &Path, size: usize) -> Result<Followed> {
    let name = format!("sources-{size}-polled");
    let fleet = Fleet::created(cluster, &name, size, POLLED).await?;
    followed(cluster, program, fleet, &[]).await
}

/// Nobody makes objects of these but the source.
async fn found(cluster: &Cluster, program: &Path, size: usize) -> Result<Followed> {
    let name = format!("sources-{size}-found");
    let fleet = Fleet::new(cluster, &name, size, POLLED)?;
    let spec = ScaleOutTaskSourceSpec {
        cluster_id: CLUSTER_ID.to_owned(),
        interval: Some(format!("{}s", LISTED.as_secs())),
        ..ScaleOutTaskSourceSpec::default()
    };
    let api: Api<ScaleOutTaskSource> = Api::namespaced(cluster.client().clone(), &name);
    let source = ScaleOutTaskSource::new("all", spec);
    api.create(&PostParams::default(), &source).await?;
    followed(cluster, program, fleet, &["--sources"]).await
}

async fn followed(
    cluster: &Cluster,
    program: &Path,
    fleet: Fleet,
    arguments: &[&str],
) -> Result<Followed> {
    let mut launch = fleet.launch(program);
    launch
        .arguments
        .extend(arguments.iter().map(ToString::to_string));
    let mut controller = Controller::start(cluster, &launch).await?;
    fleet.until_all(cluster, &mut controller, "running").await?;
    Ok(Followed { fleet, controller })
}

/// What is seen of each, and how many writes there were while nothing changed.
async fn seen(cluster: &Cluster, all: &[Followed]) -> Result<(Vec<Seen>, f64)> {
    let writes = cluster.writes().await?.total();
    let before: Result<Vec<Spent>> = all.iter().map(Followed::spent).collect();
    sleep(WINDOW).await;
    let after: Result<Vec<Spent>> = all.iter().map(Followed::spent).collect();
    let writes = cluster.writes().await?.total() - writes;
    let took = try_join_all(all.iter().map(|one| changes::run(cluster, &one.fleet))).await?;
    let spent = before?.into_iter().zip(after?);
    let each = all.iter().zip(spent).zip(took);
    let seen: Result<Vec<Seen>> = each
        .map(|((one, (before, after)), took)| one.seen(&before, &after, took))
        .collect();
    Ok((seen?, writes))
}

impl Followed {
    fn spent(&self) -> Result<Spent> {
        Ok(Spent {
            polls: self.fleet.api.total_requests(),
            lists: self.fleet.api.total_list_calls(),
            cpu: self.controller.usage()?.cpu,
        })
    }

    fn seen(&self, before: &Spent, after: &Spent, took: Vec<f64>) -> Result<Seen> {
        let minutes = WINDOW.as_secs_f64() / 60.0;
        let pages = self.fleet.api.list_log();
        let pages = pages.iter().filter_map(|call| call.page_number).max();
        Ok(Seen {
            polls: number(after.polls - before.polls) / minutes,
            lists: number(after.lists - before.lists) / minutes,
            cpu: (after.cpu - before.cpu) * 1e3 / minutes,
            pages: number(usize::try_from(pages.unwrap_or_default())?),
            resident: self.controller.usage()?.resident,
            took,
        })
    }
}

/// What a source costs, beside what polling does.
fn tell_calls(
    title: &str,
    found: &Seen,
    polled: &Seen,
    (calls, pages): (Option<f64>, Option<f64>),
    figures: &mut Figures,
) {
    let line = Line::new(title, "calls a minute", found.polls + found.lists);
    figures.add(line.against("polled", polled.polls + polled.lists, calls));
    figures.add(Line::new(title, "of these for lists", found.lists));
    figures.add(Line::new(title, "calls for one list, most", found.pages).at_most(pages));
    let line = Line::new(title, "processor time a minute", found.cpu).unit(Unit::Millis);
    figures.add(line.against("polled", polled.cpu, None));
    let line = Line::new(title, "resident memory", found.resident).unit(Unit::Mebibytes);
    figures.add(line.against("polled", polled.resident, None));
}

/// How soon a change is shown.
fn tell_delay(title: &str, found: &Seen, polled: &Seen, figures: &mut Figures) {
    let most = LISTED.as_secs_f64() + LATER;
    let p99 = |seen: &Seen| percentile(&seen.took, 99);
    let highest = |seen: &Seen| percentile(&seen.took, 100);
    for (what, found, polled, promised) in [
        ("mean", mean(&found.took), mean(&polled.took), None),
        ("p99", p99(found), p99(polled), None),
        ("most", highest(found), highest(polled), Some(most)),
    ] {
        let what = format!("change to visible, {what}");
        let line = Line::new(title, &what, found).unit(Unit::Seconds);
        figures.add(line.at_most(promised).against("polled", polled, None));
    }
}

//! Makes many runs and compares each with the undisturbed one.

use std::collections::BTreeSet;

use futures::{StreamExt, stream::FuturesUnordered};

use crate::{
    cluster::Cluster,
    proxy::{Kind, Point},
    result::{Allowance, RunResult, assert_as_expected},
    run::Run,
    scenario::Scenario,
};

/// The result of an undisturbed run. It must be what the scenario expects.
pub async fn undisturbed(cluster: &Cluster, scenario: Scenario) -> RunResult {
    let made = Run::undisturbed(scenario).make(cluster).await;
    let result = made.unwrap_or_else(|error| panic!("{error}"));
    assert_as_expected(&scenario, &result);
    let differences = result.differences(&result, Allowance::default());
    assert!(differences.is_empty(), "{differences:?}");
    result
}

/// The requests of a run by kind, except those for Leases, whose number depends on the time.
pub fn points(result: &RunResult) -> BTreeSet<Point> {
    let points = result.records.iter().map(|record| record.request.point);
    points.filter(|point| point.kind != Kind::Lease).collect()
}

/// A further check of a run, with its result and the one of the undisturbed run.
pub type Check = fn(&Run, &RunResult, &RunResult) -> Result<(), String>;

/// Makes the runs concurrently. Returns the differences from the undisturbed results.
pub async fn make_all(
    cluster: &Cluster,
    runs: impl IntoIterator<Item = (Run, RunResult)>,
    check: Check,
) -> Vec<String> {
    let runs = runs.into_iter();
    let mut made: FuturesUnordered<_> = runs
        .map(|(run, expected)| tokio::spawn(compare(cluster.clone(), run, expected, check)))
        .collect();
    let mut differing = Vec::new();
    while let Some(difference) = made.next().await {
        differing.extend(difference.unwrap());
    }
    differing
}

async fn compare(cluster: Cluster, run: Run, expected: RunResult, check: Check) -> Option<String> {
    let found = match run.make(&cluster).await {
        Ok(result) => {
            let mut found = result.differences(&expected, run.allowed);
            found.extend(check(&run, &result, &expected).err());
            found
        }
        Err(error) => vec![error],
    };
    (!found.is_empty()).then(|| format!("{run}: {}", found.join("\n")))
}

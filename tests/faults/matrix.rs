//! Makes many runs and compares each with the undisturbed one.

use std::{collections::BTreeSet, fmt};

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

/// What many runs came to.
#[derive(Default)]
pub struct Tally {
    /// The differences from the undisturbed results, of each run that has any.
    pub divergent: Vec<String>,
    /// Objects that a source made of tasks that had one.
    made_twice: usize,
    /// Objects that weren't made.
    missed: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.divergent.extend(other.divergent);
        self.made_twice += other.made_twice;
        self.missed += other.missed;
    }

    /// Fails if a run differs.
    pub fn assert_alike(&self) {
        assert!(self.divergent.is_empty(), "{}", self.divergent.join("\n\n"));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} divergent end states, {} made twice, {} missed",
            self.divergent.len(),
            self.made_twice,
            self.missed
        )
    }
}

/// Makes the runs concurrently, and compares them with the undisturbed results.
pub async fn make_all(
    cluster: &Cluster,
    runs: impl IntoIterator<Item = (Run, RunResult)>,
    check: Check,
) -> Tally {
    let runs = runs.into_iter();
    let mut made: FuturesUnordered<_> = runs
        .map(|(run, expected)| tokio::spawn(compare(cluster.clone(), run, expected, check)))
        .collect();
    let mut tally = Tally::default();
    while let Some(run) = made.next().await {
        tally.add(run.unwrap());
    }
    tally
}

async fn compare(cluster: Cluster, run: Run, expected: RunResult, check: Check) -> Tally {
    let mut tally = Tally::default();
    let found = match run.make(&cluster).await {
        Ok(result) => {
            let mut found = result.differences(&expected, run.allowed);
            found.extend(check(&run, &result, &expected).err());
            tally.made_twice = result.made_twice();
            tally.missed = result.missed(&expected).count();
            found
        }
        Err(error) => vec![error],
    };
    if !found.is_empty() {
        tally.divergent.push(format!("{run}: {}", found.join("\n")));
    }
    tally
}

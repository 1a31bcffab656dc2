//! Many runs, each compared with the undisturbed one.

use std::collections::BTreeSet;

use futures::{StreamExt, stream::FuturesUnordered};

use crate::{
    bench::Bench,
    outcome::{Allowance, Outcome, assert_as_told},
    proxy::{Kind, Point},
    run::Run,
    scenario::Scenario,
};

/// What a run shows where nothing is disturbed: exactly what the scenario says.
pub async fn undisturbed(bench: &Bench, scenario: Scenario) -> Outcome {
    let made = Run::undisturbed(scenario).make(bench).await;
    let outcome = made.unwrap_or_else(|error| panic!("{error}"));
    assert_as_told(&scenario, &outcome);
    let differences = outcome.differences(&outcome, Allowance::default());
    assert!(differences.is_empty(), "{differences:?}");
    outcome
}

/// Every request of a run, by kind; those about Leases go by their own clock.
pub fn points(outcome: &Outcome) -> BTreeSet<Point> {
    let points = outcome.records.iter().map(|record| record.request.point);
    points.filter(|point| point.kind != Kind::Lease).collect()
}

/// What else holds of a run, its outcome and that of the undisturbed one.
pub type Check = fn(&Run, &Outcome, &Outcome) -> Result<(), String>;

/// Makes the runs, as many at a time as may go on, and says how each differs from its undisturbed
/// one that does.
pub async fn make_all(
    bench: &Bench,
    runs: impl IntoIterator<Item = (Run, Outcome)>,
    check: Check,
) -> Vec<String> {
    let runs = runs.into_iter();
    let mut made: FuturesUnordered<_> = runs
        .map(|(run, whole)| tokio::spawn(compare(bench.clone(), run, whole, check)))
        .collect();
    let mut differing = Vec::new();
    while let Some(difference) = made.next().await {
        differing.extend(difference.unwrap());
    }
    differing
}

async fn compare(bench: Bench, run: Run, whole: Outcome, check: Check) -> Option<String> {
    let found = match run.make(&bench).await {
        Ok(outcome) => {
            let mut found = outcome.differences(&whole, run.allowed);
            found.extend(check(&run, &outcome, &whole).err());
            found
        }
        Err(error) => vec![error],
    };
    (!found.is_empty()).then(|| format!("{run}: {}", found.join("\n")))
}

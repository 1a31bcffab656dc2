//! The controller killed by SIGKILL at every request that it makes, before the request takes effect
//! and after, and started again: nobody may see a difference.

use crate::{
    bench::Bench,
    matrix::{make_all, points, undisturbed},
    outcome::{Allowance, Outcome},
    proxy::{Action, Kind, Point, Side},
    run::{At, Disturbance, Run},
    scenario::{GOES, SUCCEEDS, Scenario},
};

const SIDES: [Side; 2] = [Side::Before, Side::After];

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_at_any_request_goes_on_as_if_nothing_had_happened() {
    let bench = Bench::shared().await;
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    for scenario in [SUCCEEDS, GOES] {
        let whole = undisturbed(&bench, scenario).await;
        for (number, point) in points(&whole).into_iter().enumerate() {
            for side in SIDES {
                once.push((killed(scenario, &[(At::Ever(point), side)]), whole.clone()));
            }
            let kills = twice_at(number, point);
            twice.push((killed(scenario, &kills), whole.clone()));
        }
    }
    let (visited, more) = (once.len(), twice.len());
    let divergent = make_all(&bench, once.into_iter().chain(twice), |_, _, _| Ok(())).await;
    println!(
        "crash points: {visited} visited ({} requests, before and after each), \
         {more} more in pairs, {} divergent end states",
        visited / SIDES.len(),
        divergent.len(),
    );
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

/// A killed leader's Lease runs out before the next process works; so only some points are visited.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_succeeded_as_if_nothing_had_happened() {
    let bench = Bench::shared().await;
    let whole = undisturbed(&bench, SUCCEEDS).await;
    let under_a_lease = |kills: &[(At, Side)]| Run {
        arguments: |namespace| {
            let lease = ["--leader-elect", "--lease-namespace", namespace];
            lease.map(str::to_owned).to_vec()
        },
        ..killed(SUCCEEDS, kills)
    };
    let mut runs = vec![(under_a_lease(&[]), whole.clone())];
    let point = |(kind, ordinal)| At::Ever(Point { kind, ordinal });
    // The Lease is read, created and renewed.
    for place in [
        (Kind::Lease, 1),
        (Kind::Lease, 2),
        (Kind::Lease, 3),
        (Kind::PatchStatus, 2),
    ] {
        let sides = SIDES.map(|side| under_a_lease(&[(point(place), side)]));
        runs.extend(sides.map(|run| (run, whole.clone())));
    }
    let divergent = make_all(&bench, runs, has_the_same_numbers).await;
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

/// Requests about Leases change no number of another request.
fn has_the_same_numbers(run: &Run, outcome: &Outcome, whole: &Outcome) -> Result<(), String> {
    let lease = |outcome: &Outcome| {
        let mut kinds = outcome
            .records
            .iter()
            .map(|record| record.request.point.kind);
        kinds.any(|kind| kind == Kind::Lease)
    };
    if !lease(outcome) {
        return Err("no request about a Lease".to_owned());
    }
    if run.disturbances.is_empty() && points(outcome) != points(whole) {
        return Err("other requests than without a Lease".to_owned());
    }
    Ok(())
}

/// A run in which the controller is killed at those requests, in turn.
fn killed(scenario: Scenario, kills: &[(At, Side)]) -> Run {
    let kill = |(at, side): &(At, Side)| Disturbance {
        at: *at,
        action: Action::Freeze(*side),
    };
    let count = i32::try_from(kills.len()).unwrap();
    Run {
        disturbances: kills.iter().map(kill).collect(),
        // Events are told after the status is written, and nobody remembers which were.
        allowed: Allowance {
            lost_events: count,
            repeated_events: count,
        },
        ..Run::undisturbed(scenario)
    }
}

/// A kill at that request, and one at the start that follows: at the write that is made up for, or
/// at the list.
fn twice_at(number: usize, point: Point) -> [(At, Side); 2] {
    let side = SIDES[number / 2 % 2];
    let first = |kind| At::InLife(2, Point { kind, ordinal: 1 });
    match point.kind {
        Kind::PatchStatus | Kind::Delete => {
            [(At::Ever(point), Side::Before), (first(point.kind), side)]
        }
        _ => [
            (At::Ever(point), SIDES[number % 2]),
            (first(Kind::List), side),
        ],
    }
}

//! Kills the controller by SIGKILL at every request that it sends, before the request takes effect and
//! after, and starts it again. The result must be the same as without.

use crate::{
    cluster::Cluster,
    matrix::{make_all, points, undisturbed},
    proxy::{Action, Kind, Point, Side},
    result::{Allowance, RunResult},
    run::{At, Disturbance, Run},
    scenario::{DELETED, SUCCEEDS, Scenario},
};

const SIDES: [Side; 2] = [Side::Before, Side::After];

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_request_changes_nothing_in_the_result() {
    let cluster = Cluster::shared().await;
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    for scenario in [SUCCEEDS, DELETED] {
        let undisturbed_result = undisturbed(&cluster, scenario).await;
        for (number, point) in points(&undisturbed_result).into_iter().enumerate() {
            for side in SIDES {
                once.push((
                    killed(scenario, &[(At::Ever(point), side)]),
                    undisturbed_result.clone(),
                ));
            }
            let kills = twice_at(number, point);
            twice.push((killed(scenario, &kills), undisturbed_result.clone()));
        }
    }
    let (visited, more) = (once.len(), twice.len());
    let divergent = make_all(&cluster, once.into_iter().chain(twice), |_, _, _| Ok(())).await;
    println!(
        "crash points: {visited} visited ({} requests, before and after each), \
         {more} more in pairs, {} divergent end states",
        visited / SIDES.len(),
        divergent.len(),
    );
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

/// Each kill costs the time until the Lease expires, so only some requests are tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_leader_changes_nothing_in_the_result() {
    let cluster = Cluster::shared().await;
    let undisturbed_result = undisturbed(&cluster, SUCCEEDS).await;
    let under_a_lease = |kills: &[(At, Side)]| Run {
        arguments: |namespace| {
            let lease = ["--leader-elect", "--lease-namespace", namespace];
            lease.map(str::to_owned).to_vec()
        },
        ..killed(SUCCEEDS, kills)
    };
    let mut runs = vec![(under_a_lease(&[]), undisturbed_result.clone())];
    let point = |(kind, ordinal)| At::Ever(Point { kind, ordinal });
    // The Lease is read, created and renewed.
    for place in [
        (Kind::Lease, 1),
        (Kind::Lease, 2),
        (Kind::Lease, 3),
        (Kind::PatchStatus, 2),
    ] {
        let sides = SIDES.map(|side| under_a_lease(&[(point(place), side)]));
        runs.extend(sides.map(|run| (run, undisturbed_result.clone())));
    }
    let divergent = make_all(&cluster, runs, check_other_requests).await;
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

/// Checks that requests for the Lease change nothing about the other requests.
fn check_other_requests(
    run: &Run,
    result: &RunResult,
    undisturbed: &RunResult,
) -> Result<(), String> {
    let lease = |result: &RunResult| {
        let mut kinds = result
            .records
            .iter()
            .map(|record| record.request.point.kind);
        kinds.any(|kind| kind == Kind::Lease)
    };
    if !lease(result) {
        return Err("no request for a Lease".to_owned());
    }
    if run.disturbances.is_empty() && points(result) != points(undisturbed) {
        return Err("other requests than without a Lease".to_owned());
    }
    Ok(())
}

/// A run in which the controller is killed at these requests, one after the other.
fn killed(scenario: Scenario, kills: &[(At, Side)]) -> Run {
    let kill = |(at, side): &(At, Side)| Disturbance {
        at: *at,
        action: Action::Freeze(*side),
    };
    let count = i32::try_from(kills.len()).unwrap();
    Run {
        disturbances: kills.iter().map(kill).collect(),
        // Events are sent after the status is written, and a new process doesn't know which were.
        allowed: Allowance {
            lost_events: count,
            repeated_events: count,
        },
        ..Run::undisturbed(scenario)
    }
}

/// A kill at that request and another after the restart: at the repeated write, or at the list.
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

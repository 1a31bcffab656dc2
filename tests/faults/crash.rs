//! Kills the controller by SIGKILL at every request that it sends, before the request takes effect and
//! after, and starts it again. The result must be the same as without.

use crate::{
    cluster::Cluster,
    found::{FOUND, FOUND_AND_DELETED},
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
    for scenario in [SUCCEEDS, DELETED, FOUND, FOUND_AND_DELETED] {
        let undisturbed_result = undisturbed(&cluster, scenario).await;
        let of_tasks = |kind| matches!(kind, Kind::PatchStatus | Kind::CreateEvent);
        for (number, point) in points(&undisturbed_result).into_iter().enumerate() {
            for side in SIDES {
                once.push((
                    killed(scenario, &[(At::Ever(point), side)]),
                    undisturbed_result.clone(),
                ));
            }
            // These are as without sources.
            if !scenario.found.is_empty() && of_tasks(point.kind) {
                continue;
            }
            for kills in twice_at(number, point) {
                twice.push((killed(scenario, &kills), undisturbed_result.clone()));
            }
        }
    }
    let (visited, more) = (once.len(), twice.len());
    let tally = make_all(&cluster, once.into_iter().chain(twice), |_, _, _| Ok(())).await;
    println!(
        "crash points: {visited} visited ({} requests, before and after each), \
         {more} more in pairs, {tally}",
        visited / SIDES.len(),
    );
    tally.assert_alike();
}

/// What was made isn't remembered yet, and would be deleted meanwhile if that didn't wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_the_source_remembers_has_nothing_made_twice() {
    let cluster = Cluster::shared().await;
    let undisturbed_result = undisturbed(&cluster, FOUND_AND_DELETED).await;
    let write = |ordinal| {
        At::Ever(Point {
            kind: Kind::PatchSource,
            ordinal,
        })
    };
    let mut runs = Vec::new();
    for lost in [Action::Hold, Action::Fail(500, None), Action::DropAfter] {
        for side in SIDES {
            let mut run = killed(FOUND_AND_DELETED, &[(write(2), side)]);
            run.disturbances.push(Disturbance {
                at: write(1),
                action: lost.clone(),
            });
            run.allowed.source_writes += 1;
            runs.push((run, undisturbed_result.clone()));
        }
    }
    let visited = runs.len();
    let tally = make_all(&cluster, runs, |_, _, _| Ok(())).await;
    println!("kills before the source remembers: {visited} visited, {tally}");
    tally.assert_alike();
}

/// Each kill costs the time until the Lease expires, so only some requests are tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_leader_changes_nothing_in_the_result() {
    let cluster = Cluster::shared().await;
    let under_a_lease = |scenario, kills: &[(At, Side)]| {
        let mut run = Run {
            arguments: |namespace| {
                let lease = ["--leader-elect", "--lease-namespace", namespace];
                lease.map(str::to_owned).to_vec()
            },
            ..killed(scenario, kills)
        };
        // Each leader looks first whether it knows the newest version of the source.
        run.allowed.source_writes += 1 + kills.len();
        run
    };
    let mut runs = Vec::new();
    let point = |(kind, ordinal)| At::Ever(Point { kind, ordinal });
    // The Lease is read, created and renewed.
    let of_task: &[_] = &[
        (Kind::Lease, 1),
        (Kind::Lease, 2),
        (Kind::Lease, 3),
        (Kind::PatchStatus, 2),
    ];
    let of_source: &[_] = &[
        (Kind::CreateObject, 2),
        (Kind::PatchSource, 1),
        (Kind::Delete, 1),
    ];
    for (scenario, places) in [(SUCCEEDS, of_task), (FOUND_AND_DELETED, of_source)] {
        let undisturbed_result = undisturbed(&cluster, scenario).await;
        runs.push((under_a_lease(scenario, &[]), undisturbed_result.clone()));
        for place in places {
            let sides = SIDES.map(|side| under_a_lease(scenario, &[(point(*place), side)]));
            runs.extend(sides.map(|run| (run, undisturbed_result.clone())));
        }
    }
    let tally = make_all(&cluster, runs, check_other_requests).await;
    tally.assert_alike();
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
    // But that a leader looks first whether it knows the newest version of the source.
    let others = |result: &RunResult| {
        let mut points = points(result);
        points.retain(|point| point.kind != Kind::PatchSource);
        points
    };
    if run.disturbances.is_empty() && others(result) != others(undisturbed) {
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
    let events = count * scenario.events_at_once;
    Run {
        disturbances: kills.iter().map(kill).collect(),
        // Events are sent after the status is written, and a new process doesn't know which were.
        allowed: Allowance {
            lost_events: events,
            repeated_events: events,
            source_writes: kills.len(),
        },
        ..Run::undisturbed(scenario)
    }
}

/// A kill at that request and another after the restart: at the repeated write, at the one that remembers what was
/// made, or at the list.
fn twice_at(number: usize, point: Point) -> Vec<[(At, Side); 2]> {
    let side = SIDES[number / 2 % 2];
    let first = |kind| At::InLife(2, Point { kind, ordinal: 1 });
    let repeated = [(At::Ever(point), Side::Before), (first(point.kind), side)];
    match point.kind {
        Kind::PatchStatus | Kind::Delete | Kind::PatchSource => vec![repeated],
        Kind::CreateObject => {
            let remembered = |side| {
                [
                    (At::Ever(point), Side::After),
                    (first(Kind::PatchSource), side),
                ]
            };
            vec![repeated, remembered(Side::Before), remembered(Side::After)]
        }
        _ => vec![[
            (At::Ever(point), SIDES[number % 2]),
            (first(Kind::List), side),
        ]],
    }
}

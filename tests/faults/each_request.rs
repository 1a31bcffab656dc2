//! Lets each request of the controller fail, come late, get lost, lose its response or arrive twice.
//! The same process continues, and the result must be the same as without.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    cluster::Cluster,
    matrix::{make_all, points, undisturbed},
    proxy::{Action, Answer, Kind, Point, Record},
    result::{Allowance, RunResult},
    run::{At, Disturbance, Run},
    scenario::{DELETED, SUCCEEDS, Scenario},
};

const LATE: Duration = Duration::from_millis(1500);
/// More than a page of a list has, in bytes, and less than a stream of events.
const LONG: usize = 5000;

#[tokio::test(flavor = "multi_thread")]
async fn a_disturbance_of_any_request_changes_nothing_in_the_result() {
    let cluster = Cluster::shared().await;
    let mut runs = Vec::new();
    for scenario in [SUCCEEDS, DELETED] {
        let undisturbed_result = undisturbed(&cluster, scenario).await;
        for point in points(&undisturbed_result) {
            for action in disturbances(point) {
                runs.push((
                    disturbed(scenario, point, action),
                    undisturbed_result.clone(),
                ));
            }
        }
    }
    let mut counts = BTreeMap::new();
    for (run, _) in &runs {
        let action = format!("{:?}", run.disturbances[0].action);
        *counts.entry(action).or_insert(0) += 1;
    }
    let visited = runs.len();
    let divergent = make_all(&cluster, runs, check_repeated).await;
    println!(
        "disturbed requests: {visited} visited, {} divergent; {counts:?}",
        divergent.len()
    );
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_too_old_leads_to_a_new_list() {
    let cluster = Cluster::shared().await;
    let undisturbed_result = undisturbed(&cluster, SUCCEEDS).await;
    let first = |kind, action| Disturbance {
        at: At::Ever(Point { kind, ordinal: 1 }),
        action,
    };
    let run = Run {
        disturbances: vec![
            first(Kind::List, Action::CutBody(3000)),
            first(Kind::Watch, Action::GoneStatus),
        ],
        ..Run::undisturbed(SUCCEEDS)
    };
    let divergent = make_all(&cluster, [(run, undisturbed_result)], |_, _, _| Ok(())).await;
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

/// Checks that the request was repeated. Otherwise the disturbance had no effect.
fn check_repeated(run: &Run, result: &RunResult, undisturbed: &RunResult) -> Result<(), String> {
    let Disturbance {
        at: At::Ever(Point { kind, .. }),
        action,
    } = &run.disturbances[0]
    else {
        return Ok(());
    };
    // Where the API server doesn't stream lists, the first is refused anyway, and pages are short.
    let is_refused = |record: &Record| record.request.streams() && record.answers.contains(&422);
    let streams = !undisturbed.records.iter().any(is_refused);
    let is_repeated = match action {
        Action::CutBody(LONG) | Action::Fail(422, None) if *kind == Kind::List => streams,
        Action::Pass | Action::Delay(_) | Action::Replay(_) | Action::Freeze(_) => false,
        // The watch may have delivered what the lost response contained.
        Action::DropAfter => !kind.is_write(),
        _ => true,
    };
    // A list that breaks off once all objects came is followed by a watch.
    let is_alike = |other: &Kind| other == kind || (!other.is_write() && !kind.is_write());
    let count = |result: &RunResult| {
        let kinds = result
            .records
            .iter()
            .map(|record| record.request.point.kind);
        kinds.filter(is_alike).count()
    };
    if is_repeated && count(result) <= count(undisturbed) {
        return Err("the request was not repeated".to_owned());
    }
    Ok(())
}

fn disturbed(scenario: Scenario, point: Point, action: Action) -> Run {
    let may_repeat = matches!(point.kind, Kind::CreateEvent | Kind::PatchEvent)
        && matches!(action, Action::DropAfter | Action::Replay(_));
    Run {
        disturbances: vec![Disturbance {
            at: At::Ever(point),
            action,
        }],
        // An Event whose response got lost is sent again, rather than not at all.
        allowed: Allowance {
            lost_events: 0,
            repeated_events: i32::from(may_repeat),
        },
        ..Run::undisturbed(scenario)
    }
}

/// The disturbances that are possible for such a request.
fn disturbances(point: Point) -> Vec<Action> {
    let mut actions = vec![
        Action::Fail(500, None),
        Action::Fail(429, Some(1)),
        Action::Delay(LATE),
        Action::DropBefore,
        Action::DropAfter,
    ];
    if point.kind.is_write() {
        actions.push(Action::Fail(409, None));
        actions.push(Action::Replay(Answer::First));
        actions.push(Action::Replay(Answer::Second));
        if point.ordinal == 1 {
            // Takes until the controller's timeout, so only once.
            actions.push(Action::Hold);
        }
    } else {
        // Cuts within the first object, and for what goes on as a watch also within a later event.
        actions.extend([20, 120].map(Action::CutBody));
    }
    if matches!(point.kind, Kind::List | Kind::Watch) {
        actions.extend([Action::CutBody(LONG), Action::Gone, Action::Fail(422, None)]);
    }
    actions
}

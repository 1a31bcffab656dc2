//! Lets each request of the controller fail, come late, get lost, lose its response or arrive twice.
//! The same process continues, and the result must be the same as without.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    cluster::Cluster,
    found::{FOUND, FOUND_AND_DELETED},
    matrix::{make_all, points, undisturbed},
    proxy::{Action, Answer, Kind, Point, Record},
    result::{Allowance, RunResult},
    run::{At, Disturbance, Run},
    scenario::{DELETED, SUCCEEDS, Scenario},
};

const LATE: Duration = Duration::from_millis(1500);
/// More than a page of a list has, in bytes, and less than a stream of objects' events.
const LONG: usize = 5000;

#[tokio::test(flavor = "multi_thread")]
async fn a_disturbance_of_any_request_changes_nothing_in_the_result() {
    let all = [SUCCEEDS, DELETED, FOUND, FOUND_AND_DELETED];
    disturb_each(&all, each_of).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a sample is in the test before; all by `cargo xtask soak`"]
async fn a_disturbance_of_any_request_of_a_source_changes_nothing_in_the_result() {
    disturb_each(&[FOUND, FOUND_AND_DELETED], |_, _| 1).await;
}

/// Of the disturbances of a request, one in so many is tried: all, but where much is as without sources.
fn each_of(scenario: &Scenario, point: Point) -> usize {
    let is_write = matches!(
        point.kind,
        Kind::CreateObject | Kind::PatchSource | Kind::Delete
    );
    let is_read = point.kind.list() == Some(Kind::ListSources);
    match point.ordinal {
        _ if scenario.found.is_empty() => 1,
        1 if is_write => 1,
        _ if is_write || is_read => 2,
        _ => 4,
    }
}

async fn disturb_each(scenarios: &[Scenario], each_of: fn(&Scenario, Point) -> usize) {
    let cluster = Cluster::shared().await;
    let mut runs = Vec::new();
    for scenario in scenarios.iter().copied() {
        let undisturbed_result = undisturbed(&cluster, scenario).await;
        for point in points(&undisturbed_result) {
            let each_of = each_of(&scenario, point);
            let disturbances = disturbances(point)
                .into_iter()
                .skip((point.ordinal + scenario.found.len()) % each_of);
            for action in disturbances.step_by(each_of) {
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
    let tally = make_all(&cluster, runs, check_repeated).await;
    println!("disturbed requests: {visited} visited, {tally}; {counts:?}");
    tally.assert_alike();
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
    let tally = make_all(&cluster, [(run, undisturbed_result)], |_, _, _| Ok(())).await;
    tally.assert_alike();
}

/// What has the name of the object is read, for that may be of the same task.
#[tokio::test(flavor = "multi_thread")]
async fn a_disturbance_after_a_lost_creation_changes_nothing_in_the_result() {
    let cluster = Cluster::shared().await;
    let undisturbed_result = undisturbed(&cluster, FOUND_AND_DELETED).await;
    let [creation, read] = [Kind::CreateObject, Kind::Read].map(|kind| Point { kind, ordinal: 1 });
    // After a lost answer, the watch may bring the object before it is read.
    let ways = [
        (Action::DropAfter, At::IfSent(read)),
        (Action::Fail(409, None), At::Ever(read)),
    ];
    let mut runs = Vec::new();
    for (lost, at) in ways {
        for action in disturbances(read) {
            let lost = Disturbance {
                at: At::Ever(creation),
                action: lost.clone(),
            };
            let run = Run {
                disturbances: vec![lost, Disturbance { at, action }],
                allowed: Allowance {
                    source_writes: 1,
                    ..Allowance::default()
                },
                ..Run::undisturbed(FOUND_AND_DELETED)
            };
            runs.push((run, undisturbed_result.clone()));
        }
    }
    let visited = runs.len();
    let tally = make_all(&cluster, runs, |_, _, _| Ok(())).await;
    println!("lost creations: {visited} visited, {tally}");
    tally.assert_alike();
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
        Action::CutBody(LONG) | Action::Fail(422, None) if kind.list() == Some(*kind) => streams,
        Action::Pass | Action::Delay(_) | Action::Replay(_) | Action::Freeze(_) => false,
        // The watch may have delivered what the lost response contained.
        Action::DropAfter => !kind.is_write(),
        _ => true,
    };
    // A list that breaks off once all objects came is followed by a watch.
    let is_alike =
        |other: &Kind| other == kind || (kind.list().is_some() && other.list() == kind.list());
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
            source_writes: 1,
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
    if point.kind.list().is_some() {
        actions.extend([Action::Gone, Action::Fail(422, None)]);
    }
    if point.kind.list() == Some(Kind::List) {
        actions.push(Action::CutBody(LONG));
    }
    actions
}

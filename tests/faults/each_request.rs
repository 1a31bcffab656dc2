//! Each request of a controller failing, late, lost, unheard or doubled: it goes on in the same
//! process, and in the end nobody sees a difference.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bench::Bench,
    matrix::{make_all, points, undisturbed},
    outcome::{Allowance, Outcome},
    proxy::{Action, Answer, Kind, Point},
    run::{At, Disturbance, Run},
    scenario::{GOES, SUCCEEDS, Scenario},
};

const LATE: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_one_request_the_same_is_shown_and_written() {
    let bench = Bench::shared().await;
    let mut runs = Vec::new();
    for scenario in [SUCCEEDS, GOES] {
        let whole = undisturbed(&bench, scenario).await;
        for point in points(&whole) {
            for action in disturbances(point) {
                runs.push((disturbed(scenario, point, action), whole.clone()));
            }
        }
    }
    let mut counts = BTreeMap::new();
    for (run, _) in &runs {
        let action = format!("{:?}", run.disturbances[0].action);
        *counts.entry(action).or_insert(0) += 1;
    }
    let visited = runs.len();
    let divergent = make_all(&bench, runs, leaves_its_trace).await;
    println!(
        "disturbed requests: {visited} visited, {} divergent; {counts:?}",
        divergent.len()
    );
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_refused_as_too_old_is_listed_anew() {
    let bench = Bench::shared().await;
    let whole = undisturbed(&bench, SUCCEEDS).await;
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
    let divergent = make_all(&bench, [(run, whole)], |_, _, _| Ok(())).await;
    assert!(divergent.is_empty(), "{}", divergent.join("\n\n"));
}

/// A disturbance after which nothing had to be done again would be none.
fn leaves_its_trace(run: &Run, outcome: &Outcome, whole: &Outcome) -> Result<(), String> {
    let Disturbance {
        at: At::Ever(Point { kind, .. }),
        action,
    } = &run.disturbances[0]
    else {
        return Ok(());
    };
    let is_repeated = match action {
        Action::Pass | Action::Delay(_) | Action::Replay(_) | Action::Freeze(_) => false,
        // The watch may have told what the answer didn't.
        Action::DropAfter => !kind.is_write(),
        _ => true,
    };
    // A list that breaks off once all objects came is followed by a watch.
    let is_alike = |other: &Kind| other == kind || (!other.is_write() && !kind.is_write());
    let count = |outcome: &Outcome| {
        let kinds = outcome
            .records
            .iter()
            .map(|record| record.request.point.kind);
        kinds.filter(is_alike).count()
    };
    if is_repeated && count(outcome) <= count(whole) {
        return Err("it left no trace".to_owned());
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
        // An Event that was taken and not heard of is told again, rather than not at all.
        allowed: Allowance {
            lost_events: 0,
            repeated_events: i32::from(may_repeat),
        },
        ..Run::undisturbed(scenario)
    }
}

/// What may happen to such a request.
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
            // Takes as long as the controller is ready to wait.
            actions.push(Action::Hold);
        }
    } else {
        // Within the first object, and for what goes on as a watch within a later event too.
        actions.extend([20, 120].map(Action::CutBody));
    }
    if matches!(point.kind, Kind::List | Kind::Watch) {
        actions.extend([Action::CutBody(5000), Action::Gone, Action::Fail(422, None)]);
    }
    actions
}

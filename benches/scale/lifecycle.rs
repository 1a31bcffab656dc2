//! Tasks from their beginning to their end, and after.

use std::{path::Path, time::Duration};

use simulator::{Entry, Step, Task};
use testbed::harness::{Cluster, Controller, Result, number};
use tokio::time::sleep;

use crate::{
    figures::{Figures, Line},
    fleet::{Fleet, INSTANCES, running, task_id},
};

const TASKS: usize = 500;
const INTERVAL: Duration = Duration::from_secs(1);
/// Polls between two changes.
const POLLS: u64 = 3;
/// How long it must be quiet after the end: so many polls of each task would fall into that.
const QUIET: Duration = Duration::from_secs(15);

pub async fn run(cluster: &Cluster, program: &Path, figures: &mut Figures) -> Result<()> {
    let fleet = Fleet::new(cluster, "lifecycle", TASKS, INTERVAL)?;
    for number in 0..TASKS {
        fleet.api.set_task(moving(&task_id(number)));
    }
    let mut controller = Controller::start(cluster, &fleet.launch(program)).await?;
    let before = cluster.writes().await?.objects;
    cluster.create(&fleet.namespace, fleet.specs()).await?;
    fleet.until_all(cluster, &mut controller, "success").await?;
    // Creating the objects is no write of the controller's.
    let writes = cluster.writes().await?.objects - before - number(TASKS);
    let conflicts = controller
        .metric("scaleouttask_status_writes_total")
        .await?
        - writes;
    let (calls, written) = (fleet.api.total_requests(), cluster.writes().await?.total());
    sleep(QUIET).await;
    let calls = number(fleet.api.total_requests() - calls);
    let written = cluster.writes().await?.total() - written;

    let title = format!("lifecycle, {TASKS} tasks of {} changes", changes());
    let each = writes / number(TASKS * changes());
    let line = Line::new(&title, "status writes", writes);
    figures.add(line.at_most(Some(number(TASKS * changes()))));
    figures.add(Line::new(&title, "status writes for each change", each).at_most(Some(1.0)));
    let line = Line::new(
        &title,
        "writes that it counts and the API server doesn't",
        conflicts,
    );
    figures.add(line.at_most(Some(0.0)));
    let line = Line::new(&title, "calls after the end", calls);
    figures.add(line.at_most(Some(0.0)));
    let line = Line::new(&title, "writes after the end", written);
    figures.add(line.at_most(Some(0.0)));
    controller.stop()?;
    cluster.delete_all(&fleet.namespace).await
}

/// That it runs, each instance's success, and the end.
const fn changes() -> usize {
    1 + INSTANCES + 1
}

/// Each change lasts for a few polls, so that each is seen.
fn moving(id: &str) -> Task {
    let step = |succeeded: usize| Step {
        after_requests: Some(POLLS * u64::try_from(succeeded).unwrap_or(u64::MAX)),
        state: Some("running".to_owned()),
        task_result: Some(
            (0..INSTANCES)
                .map(|number| entry(number, succeeded))
                .collect(),
        ),
        ..Step::default()
    };
    let end = Step {
        after_requests: Some(POLLS * u64::try_from(INSTANCES + 1).unwrap_or(u64::MAX)),
        state: Some("success".to_owned()),
        ..Step::default()
    };
    Task {
        duration: None,
        instances: Vec::new(),
        stages: Vec::new(),
        steps: (0..=INSTANCES).map(step).chain([end]).collect(),
        ..running(id)
    }
}

fn entry(number: usize, succeeded: usize) -> Entry {
    let status = if number < succeeded {
        "success"
    } else {
        "initail"
    };
    Entry {
        data: format!("i-bp1dfrc9mqyv4w0x{number:04}"),
        status: status.to_owned(),
    }
}

//! From a change of a task to its object.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use scaleouttask_controller::api::ScaleOutTask;
use testbed::harness::{Cluster, Result};
use tokio::time::{sleep, timeout};

use crate::{
    fleet::{Fleet, task_id},
    watch::Watch,
};

const CHANGES: usize = 100;
/// Between two changes, on average. All of them are seen before the API server ends a watch.
const PAUSE: Duration = Duration::from_secs(2);
/// After the last change.
const PATIENCE: Duration = Duration::from_mins(1);
/// From one task to the next. It has no factor in common with a number of tasks.
const STEP: usize = 7;
/// What the tasks' stages are called, before the number of the change.
const STAGE: &str = "change-";

/// Changes one task after the other, at random times. Returns after how many seconds each change was shown.
pub async fn run(cluster: &Cluster, fleet: &Fleet) -> Result<Vec<f64>> {
    let watch = Watch::begin(&cluster.objects(&fleet.namespace)).await?;
    let shown = tokio::spawn(shown(watch, fleet.size));
    let mut made = Vec::new();
    for number in 0..CHANGES {
        sleep(pause(number)).await;
        made.push(Instant::now());
        let id = task_id(number * STEP % fleet.size);
        fleet.api.change_task(&id, |task| {
            for stage in &mut task.stages {
                stage.name = format!("{STAGE}{number}");
            }
        });
    }
    let shown = timeout(PATIENCE, shown).await.map_err(|_| {
        let namespace = &fleet.namespace;
        format!("not every change was shown in {namespace}")
    })???;
    let took = made.iter().zip(shown);
    let took = took.map(|(made, shown)| shown.saturating_duration_since(*made).as_secs_f64());
    Ok(took.collect())
}

/// Up to twice the average, without a pattern that intervals could have too, and the same in each run.
fn pause(number: usize) -> Duration {
    let mut hasher = DefaultHasher::new();
    number.hash(&mut hasher);
    let part = u32::from(hasher.finish().to_le_bytes()[0]);
    PAUSE * 2 * part / u32::from(u8::MAX)
}

/// When each change was shown: itself, or a later one of its task.
async fn shown(mut watch: Watch<ScaleOutTask>, tasks: usize) -> Result<Vec<Instant>> {
    let mut shown = vec![None; CHANGES];
    while shown.contains(&None) {
        let object = watch.modified().await?;
        let stage = object.status.and_then(|status| status.current_stage);
        let number = stage.and_then(|stage| stage.strip_prefix(STAGE)?.parse::<usize>().ok());
        if let Some(number) = number {
            let earlier = shown.iter_mut().take(number + 1).skip(number % tasks);
            for change in earlier.step_by(tasks) {
                change.get_or_insert_with(Instant::now);
            }
        }
    }
    Ok(shown.into_iter().flatten().collect())
}

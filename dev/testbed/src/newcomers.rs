//! How long new objects wait for their first status, and that for its Event.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::watcher::{self, watcher},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec};
use tokio::{task::JoinSet, time::sleep};

/// The task of all of them, which has to run.
pub const TASK: &str = "T-new";
/// What each shows, and its Event says.
const REASON: &str = "TaskRunning";
/// How long the last of them may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How often it is looked whether all is there.
const LOOK: Duration = Duration::from_millis(50);

/// How long a new object waited.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// From its creation to its status.
    pub status: Duration,
    /// From its status to the Event about it.
    pub event: Duration,
}

/// When a status and an Event were seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    status: Option<Instant>,
    event: Option<Instant>,
}

type Record = Arc<Mutex<BTreeMap<String, Seen>>>;

/// Creates objects in a namespace, one after the other with a pause between, and says how long
/// each waited. What isn't there a minute after the last was created counts as coming then.
pub async fn newcomers(
    client: &Client,
    namespace: &str,
    prefix: &str,
    count: usize,
    pause: Duration,
) -> kube::Result<Vec<Wait>> {
    let record = Record::default();
    let mut watching = JoinSet::new();
    let objects: Api<ScaleOutTask> = Api::namespaced(client.clone(), namespace);
    watching.spawn(watch_statuses(objects.clone(), record.clone()));
    let events = Api::namespaced(client.clone(), namespace);
    watching.spawn(watch_events(events, record.clone()));
    let mut created = Vec::new();
    for number in 0..count {
        let name = format!("{prefix}-{number}");
        let spec = ScaleOutTaskSpec {
            task_id: TASK.to_owned(),
            ..ScaleOutTaskSpec::default()
        };
        let object = ScaleOutTask::new(&name, spec);
        created.push((name, Instant::now()));
        objects.create(&PostParams::default(), &object).await?;
        sleep(pause).await;
    }
    let end = Instant::now() + LIMIT;
    let seen = |name: &String| {
        let record = record.lock().unwrap_or_else(PoisonError::into_inner);
        record.get(name).copied().unwrap_or_default()
    };
    let is_done = |(name, _): &(String, Instant)| {
        let seen = seen(name);
        seen.status.is_some() && seen.event.is_some()
    };
    while Instant::now() < end && !created.iter().all(is_done) {
        sleep(LOOK).await;
    }
    let wait = |(name, created): &(String, Instant)| {
        let seen = seen(name);
        let status = seen.status.unwrap_or(end);
        let event = seen.event.unwrap_or(end);
        Wait {
            status: status.saturating_duration_since(*created),
            event: event.saturating_duration_since(status),
        }
    };
    Ok(created.iter().map(wait).collect())
}

async fn watch_statuses(api: Api<ScaleOutTask>, record: Record) {
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        if let Ok(watcher::Event::Apply(task) | watcher::Event::InitApply(task)) = event
            && let Some(status) = &task.status
            && status.conditions.iter().any(|it| it.reason == REASON)
        {
            note(&record, task.name_any(), |seen| &mut seen.status);
        }
    }
}

async fn watch_events(api: Api<Event>, record: Record) {
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        if let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event
            && event.reason.as_deref() == Some(REASON)
            && let Some(name) = event.regarding.and_then(|regarding| regarding.name)
        {
            note(&record, name, |seen| &mut seen.event);
        }
    }
}

/// Notes the time, unless one is known.
fn note(record: &Record, name: String, which: fn(&mut Seen) -> &mut Option<Instant>) {
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    which(record.entry(name).or_default()).get_or_insert_with(Instant::now);
}

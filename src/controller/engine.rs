//! The loop: what happens goes into the tracker, what it asks for is carried out.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tracing::{error, info, warn};

use super::{calls, notices::Notices, watch, writes};
use crate::{
    admin::Health,
    cli::Settings,
    core::{
        Census, Command, EntryId, Event, Notice, Now, Object, ObjectKey, Severity, Tracker, Write,
        WriteResult,
    },
    metrics::Metrics,
    task_api::TaskApi,
};

/// Requests to the API server under way at the same time.
const API_CONCURRENCY: usize = 32;
/// How long writes may go on after the order to stop, and then the Events.
const DRAIN: Duration = Duration::from_secs(3);
const DRAIN_NOTICES: Duration = Duration::from_secs(1);
/// Nothing to wait for is waited for that long.
const IDLE: Duration = Duration::from_hours(1);

/// Everything the loop works with.
pub struct Engine {
    client: Client,
    task_api: TaskApi,
    namespaces: Vec<String>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    tracker: Tracker,
    /// The counts that the metrics show; none before the first event.
    published: Option<Census>,
    started: Instant,
    calls: JoinSet<Event>,
    writes: JoinSet<Event>,
    api_slots: Arc<Semaphore>,
    notices: Notices,
    /// Watches whose first list isn't done.
    unlisted: HashSet<usize>,
}

impl Engine {
    /// An engine that hasn't begun.
    pub fn new(
        client: Client,
        task_api: TaskApi,
        settings: Settings,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            notices: Notices::start(client.clone()),
            client,
            task_api,
            unlisted: (0..watch::count(&settings.namespaces)).collect(),
            namespaces: settings.namespaces,
            metrics,
            health,
            tracker: Tracker::new(settings.tracker),
            published: None,
            started: Instant::now(),
            calls: JoinSet::new(),
            writes: JoinSet::new(),
            api_slots: Arc::new(Semaphore::new(API_CONCURRENCY)),
        }
    }

    /// Runs until `shutdown` ends; then calls are dropped, and writes under way finished.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut events = Box::pin(watch::watch(&self.client, &self.namespaces));
        let mut shutdown = Box::pin(shutdown);
        loop {
            let wake = self
                .tracker
                .next_wake()
                .map_or_else(|| Instant::now() + IDLE, |at| self.started + at);
            let event = tokio::select! {
                () = &mut shutdown => break,
                Some(event) = events.next() => event,
                Some(Ok(event)) = self.calls.join_next() => event,
                Some(Ok(event)) = self.writes.join_next() => event,
                () = sleep_until(wake.into()) => Event::Tick,
            };
            self.take(event, true);
        }
        drop(events);
        self.drain().await;
    }

    /// Hands an event to the tracker and carries out what it asks for.
    fn take(&mut self, event: Event, calling: bool) {
        if let Event::ListingDone(watch) = event
            && self.unlisted.remove(&watch)
            && self.unlisted.is_empty()
        {
            info!("all ScaleOutTasks are known");
            self.health.set_synced();
        }
        for command in self.tracker.handle(event, self.now()) {
            match command {
                Command::Call(call) if calling => {
                    let (task_api, metrics) = (self.task_api.clone(), self.metrics.clone());
                    self.calls.spawn(calls::call(task_api, metrics, call));
                }
                Command::Write(write) => self.write(*write),
                Command::Delete {
                    entry,
                    key,
                    uid,
                    resource_version,
                } if calling => {
                    self.delete(entry, key, uid, resource_version);
                }
                Command::Call(_) | Command::Delete { .. } => {}
            }
        }
        // Most events change no count.
        let census = self.tracker.census();
        if self.published.as_ref() != Some(census) {
            self.metrics.counted(census);
            self.published = Some(census.clone());
        }
    }

    fn write(&mut self, write: Write) {
        let (client, slots) = (self.client.clone(), self.api_slots.clone());
        let (metrics, notices) = (self.metrics.clone(), self.notices.sender());
        self.writes.spawn(async move {
            // Never closed: without a permit the write would still be right, only sooner.
            let _slot = slots.acquire().await.ok();
            let entry = write.entry;
            let written = AssertUnwindSafe(writes::write(&client, &write))
                .catch_unwind()
                .await;
            let result = written.unwrap_or_else(|_| {
                let (namespace, name) = (&write.object.key.namespace, &write.object.key.name);
                error!(
                    namespace,
                    name, "writing the status panicked; it is tried again"
                );
                WriteResult::Failed
            });
            metrics.wrote(label(&result));
            if let (WriteResult::Written(_), Some(notice)) = (&result, write.notice) {
                tell(&write.object, &notice, &metrics);
                notices.send(notice, &write.object);
            }
            Event::WriteEnded(entry, result)
        });
    }

    fn delete(&mut self, entry: EntryId, key: ObjectKey, uid: String, resource_version: String) {
        let (client, slots) = (self.client.clone(), self.api_slots.clone());
        self.writes.spawn(async move {
            let _slot = slots.acquire().await.ok();
            let deletion = writes::delete(&client, &key, uid, resource_version);
            let deleted = AssertUnwindSafe(deletion).catch_unwind().await;
            if deleted.unwrap_or(false) {
                // The watch tells.
                Event::Tick
            } else {
                Event::DeleteFailed(entry)
            }
        });
    }

    /// No new calls; what was learnt is written.
    async fn drain(mut self) {
        info!("stopping");
        self.calls.abort_all();
        let rest = async {
            while let Some(ended) = self.writes.join_next().await {
                if let Ok(event) = ended {
                    self.take(event, false);
                }
            }
        };
        if timeout(DRAIN, rest).await.is_err() {
            self.writes.abort_all();
        }
        self.notices.finish(DRAIN_NOTICES).await;
        info!("stopped");
    }

    fn now(&self) -> Now {
        Now {
            wall: Timestamp::now(),
            monotonic: self.started.elapsed(),
        }
    }
}

fn label(result: &WriteResult) -> &'static str {
    match result {
        WriteResult::Written(_) => "written",
        WriteResult::Conflict(_) => "conflict",
        WriteResult::Gone => "gone",
        WriteResult::Failed => "failed",
    }
}

/// One log line for each change of reason.
fn tell(object: &Object, notice: &Notice, metrics: &Metrics) {
    if notice.reason.is_final() {
        metrics.finished(notice.reason);
    }
    let ObjectKey { namespace, name } = &object.key;
    let (task_id, reason) = (&object.spec.task_id, notice.reason.as_str());
    match notice.severity {
        Severity::Normal => info!(namespace, name, task_id, reason, message = notice.message),
        Severity::Warning => warn!(namespace, name, task_id, reason, message = notice.message),
    }
}

//! The loop: what happens goes into the scheduler, what it asks for is carried out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::{sleep_until, timeout};
use tracing::{debug_span, info, warn};

use super::{
    deviations::DeviationLog,
    events::Publisher,
    fence::Fence,
    jobs::{Ended, Jobs},
    poller::Poller,
    watch::{self, Watched},
    writer::Writer,
};
use crate::{
    admin::{Health, Part},
    clock::Clock,
    metrics::Metrics,
    rules::{ObjectKey, PollError, Reason, Severity},
    scheduler::{
        Call, Creation, CreationResult, Deletion, DeletionResult, Effect, EventResult, Input, Kind,
        ListCall, NodeInput, ObjectCounts, ObjectId, Publication, Record, Scheduler, SourceInput,
        SourceWrite, Write, WriteResult,
    },
    settings::Scope,
};

/// How long writes and Events may go on after the order to stop.
const DRAIN: Duration = Duration::from_millis(2700);
/// The loop shows that it is alive at least this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Everything the loop works with.
pub struct Engine {
    client: Client,
    scope: Scope,
    poller: Arc<Poller>,
    writer: Writer,
    publisher: Publisher,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    clock: Clock,
    fence: Fence,
    scheduler: Scheduler,
    /// The scheduler's term after the last input.
    term: u64,
    /// The counts that the metrics show; none before the first input.
    shown_counts: Option<ObjectCounts>,
    /// Those of sources.
    shown_sources: BTreeMap<&'static str, i64>,
    events_dropped: u64,
    /// The source of the own credentials, and whether they work, as the metrics show it.
    shown_credentials: Option<(&'static str, bool)>,
    deviations: DeviationLog,
    /// Calls of the task API, and reads of Secrets.
    calls: Jobs,
    /// Writes, deletions and Events.
    writes: Jobs,
    /// Watches whose first list isn't done, and that haven't failed.
    unlisted: HashSet<usize>,
    /// Whether one list is done.
    is_listed: bool,
}

impl Engine {
    /// An engine that hasn't begun.
    pub fn new(
        client: Client,
        scope: Scope,
        poller: Poller,
        scheduler: Scheduler,
        health: Arc<Health>,
        clock: Clock,
        writer: Writer,
    ) -> Self {
        let metrics = poller.metrics.clone();
        Self {
            unlisted: (0..scope.watches()).collect(),
            is_listed: false,
            deviations: DeviationLog::new(&writer),
            publisher: Publisher {
                client: client.clone(),
                fence: writer.fence.clone(),
                metrics: metrics.clone(),
            },
            client,
            scope,
            poller: Arc::new(poller),
            metrics,
            health,
            clock,
            fence: writer.fence.clone(),
            writer,
            scheduler,
            term: 0,
            shown_counts: None,
            shown_sources: BTreeMap::new(),
            events_dropped: 0,
            shown_credentials: None,
            calls: Jobs::default(),
            writes: Jobs::default(),
        }
    }

    /// Runs until `shutdown` ends; then calls are dropped, and what is known is written.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut watched = Box::pin(watch::watch(&self.client, &self.scope, &self.metrics));
        let mut shutdown = Box::pin(shutdown);
        loop {
            self.health.beat(Part::Engine);
            let wake = self.wake_at();
            tokio::select! {
                () = &mut shutdown => break,
                until = self.fence.changed() => self.take(Input::LeadsUntil(until)),
                Some(watched) = watched.next() => self.watched(watched),
                ended = self.calls.next() => self.end(ended),
                ended = self.writes.next() => self.end(ended),
                () = sleep_until(wake.into()) => self.take(Input::Tick),
            }
        }
        drop(watched);
        self.drain().await;
    }

    fn wake_at(&self) -> Instant {
        let heartbeat = Instant::now() + HEARTBEAT;
        let due = self.scheduler.next_wake();
        due.and_then(|at| self.clock.instant(at))
            .map_or(heartbeat, |at| at.min(heartbeat))
    }

    fn watched(&mut self, watched: Watched) {
        match watched {
            Ok(input) => {
                match input {
                    Input::ListingDone(watch) => {
                        self.is_listed = true;
                        self.listed(watch);
                    }
                    Input::Source(SourceInput::ListingDone(watch)) => {
                        self.listed(self.scope.sources_watch(watch));
                    }
                    Input::Nodes(NodeInput::ListingDone) => {
                        if let Some(watch) = self.scope.nodes_watch() {
                            self.listed(watch);
                        }
                    }
                    _ => {}
                }
                self.take(input);
            }
            Err(watch) => self.listed(watch),
        }
    }

    /// Nothing more is to be waited for from that watch. One that fails holds up no other, but not all may.
    fn listed(&mut self, watch: usize) {
        self.unlisted.remove(&watch);
        if self.unlisted.is_empty() && self.is_listed && !self.health.is_synced() {
            info!("all ScaleOutTasks that can be listed are known");
            self.health.set_synced();
        }
    }

    /// A job ended. What was begun in another term is nothing to this one.
    fn end(&mut self, ended: Ended) {
        let Ended { input, began, term } = ended;
        if term != self.term {
            return;
        }
        let polled = match &input {
            Input::CallEnded { object, .. } => Some(*object),
            _ => None,
        };
        self.take(input);
        if polled.is_some_and(|object| !self.scheduler.awaits_write(object)) {
            self.metrics.reconciled("unchanged", began.elapsed());
        }
    }

    /// One turn: hands an input to the scheduler and carries out what it asks for.
    fn take(&mut self, input: Input) {
        let began = Instant::now();
        let effects = self.scheduler.handle(input, self.clock.now());
        self.follow_term();
        for effect in effects {
            match effect {
                Effect::Identify { object, secret } => self.identify(object, secret),
                Effect::Call(call) => self.call(call),
                Effect::List(call) => self.list(call),
                Effect::RecordListing(end) => {
                    let outcome = end.error.map_or("success", Reason::as_str);
                    self.metrics.listed(&end.region, outcome);
                }
                Effect::Create(creation) => self.create(*creation),
                Effect::CountMade => self.metrics.made(),
                Effect::WriteSource(write) => self.write_source(*write),
                Effect::Write(write) => self.write(*write),
                Effect::Delete(deletion) => self.delete(deletion),
                Effect::Record(record) => self.record(&record),
                Effect::TellAltered(key) => self.deviations.altered(&key),
                Effect::TellForeign(key) => self.deviations.foreign(key),
                Effect::Publish(publication) => self.publish(*publication),
            }
        }
        self.show();
        self.metrics.turned(began.elapsed());
    }

    fn identify(&mut self, object: ObjectId, secret: ObjectKey) {
        let asked = secret.clone();
        let otherwise = move || Input::Identified {
            object,
            secret: asked,
            account: Err(PollError::new(Reason::TaskApiUnavailable)),
        };
        let ObjectKey { namespace, name } = &secret;
        let span = debug_span!("secret", %namespace, %name);
        let job = self.poller.clone().identify(object, secret);
        self.calls.spawn(self.term, span, job, otherwise);
    }

    fn call(&mut self, call: Call) {
        let (object, queue, poll_request) = (call.object, call.queue, call.poll_request.clone());
        let otherwise = move || Input::CallEnded {
            object,
            queue,
            result: Err(PollError::new(Reason::InvalidResponse)),
            started_at: Timestamp::now(),
            poll_request,
        };
        let ObjectKey { namespace, name } = &call.key;
        let span = debug_span!("poll", %namespace, %name, task_id = &*call.task_id);
        let job = self.poller.clone().poll(call);
        self.calls.spawn(self.term, span, job, otherwise);
    }

    fn list(&mut self, call: ListCall) {
        let (source, queue, page) = (call.source, call.queue, call.page);
        let otherwise = move || {
            Input::Source(SourceInput::PageEnded {
                source,
                queue,
                page,
                result: Err(PollError::new(Reason::InvalidResponse)),
                started_at: Timestamp::now(),
            })
        };
        let ObjectKey { namespace, name } = &call.key;
        let cluster_id = &*call.cluster_id;
        let span = debug_span!("list", %namespace, %name, cluster_id, page);
        let job = self.poller.clone().list(call);
        self.calls.spawn(self.term, span, job, otherwise);
    }

    fn create(&mut self, creation: Creation) {
        let id = creation.id;
        let failed = CreationResult::Failed;
        let otherwise = move || Input::Source(SourceInput::CreationEnded(id, failed));
        let ObjectKey { namespace, name } = &creation.key;
        let span = debug_span!("create", %namespace, %name);
        let job = self.writer.clone().create(creation);
        self.writes.spawn(self.term, span, job, otherwise);
    }

    fn write_source(&mut self, write: SourceWrite) {
        let id = write.id;
        let failed = WriteResult::Failed;
        let otherwise = move || Input::Source(SourceInput::WriteEnded(id, failed));
        let ObjectKey { namespace, name } = &write.source.key;
        let span = debug_span!("write_source", %namespace, %name);
        let job = self.writer.clone().write_source(write);
        self.writes.spawn(self.term, span, job, otherwise);
    }

    fn write(&mut self, write: Write) {
        let id = write.id;
        let otherwise = move || Input::WriteEnded(id, WriteResult::Failed);
        let ObjectKey { namespace, name } = &write.object.key;
        let task_id = &*write.object.spec.task_id;
        let span = debug_span!("write", %namespace, %name, task_id);
        let since = self.clock.instant(write.since).unwrap_or_else(Instant::now);
        let job = self.writer.clone().write(write, since);
        self.writes.spawn(self.term, span, job, otherwise);
    }

    fn delete(&mut self, deletion: Deletion) {
        let object = deletion.object;
        let otherwise = move || Input::DeletionEnded(object, DeletionResult::Failed);
        let ObjectKey { namespace, name } = &deletion.key;
        let span = debug_span!("delete", %namespace, %name);
        let job = self.writer.clone().delete(deletion);
        self.writes.spawn(self.term, span, job, otherwise);
    }

    fn publish(&mut self, publication: Publication) {
        let id = publication.id;
        let otherwise = move || Input::EventEnded(id, EventResult::Failed);
        let ObjectKey { namespace, name } = &publication.key;
        let reason = publication.reason().as_str();
        let span = debug_span!("event", %namespace, %name, reason);
        let job = self.publisher.clone().publish(publication);
        self.writes.spawn(self.term, span, job, otherwise);
    }

    /// One log line and one count for a change of reason.
    fn record(&self, record: &Record) {
        let Record {
            kind,
            key,
            subject,
            note,
        } = record;
        if note.reason.is_final() {
            self.metrics.finished(note.reason);
        }
        let ObjectKey { namespace, name } = key;
        let reason = note.reason.as_str();
        let message = &*note.message;
        let request_id = note.request_id.as_deref();
        let (task_id, cluster_id) = match kind {
            Kind::Task => (Some(&**subject), None),
            Kind::Source => (None, Some(&**subject)),
        };
        match note.severity {
            Severity::Normal => info!(%namespace, %name, task_id, cluster_id, reason, message),
            Severity::Warning => {
                let cause = note.cause;
                warn!(%namespace, %name, task_id, cluster_id, reason, cause, request_id, message);
            }
        }
    }

    fn follow_term(&mut self) {
        let term = self.scheduler.term();
        if term == self.term {
            return;
        }
        self.term = term;
        self.shown_counts = None;
        self.shown_sources.clear();
        self.calls.abandon();
        let leads = self.scheduler.leads();
        self.metrics.leads(leads);
        if leads {
            info!("leading");
        } else {
            warn!("standing by");
        }
    }

    /// Brings the gauges up to date. A standby counts nothing, so that sums over all replicas are
    /// right.
    fn show(&mut self) {
        let (in_flight, waiting) = self.scheduler.calls();
        self.metrics.calls(in_flight, waiting);
        self.metrics.writes_failing(self.scheduler.writes_failing());
        self.metrics.nodes_overdue(self.scheduler.nodes_overdue());
        self.deviations.show();
        self.metrics.clock_skew(self.clock.skew());
        let credentials = self.poller.task_api.credentials_up();
        let credentials = credentials.map(|(source, is_up)| (source.label(), is_up));
        if self.shown_credentials != credentials {
            self.metrics.credentials(credentials);
            self.shown_credentials = credentials;
        }
        let counts = self.scheduler.counts();
        // Most inputs change no count.
        if self.scheduler.leads() && self.shown_counts.as_ref() != Some(counts) {
            self.metrics.counted(counts);
            self.shown_counts = Some(counts.clone());
        }
        let sources = self.scheduler.source_counts();
        if self.scheduler.leads() && self.shown_sources != *sources {
            self.metrics.counted_sources(sources);
            self.shown_sources.clone_from(sources);
        }
        let dropped = self.scheduler.events_dropped();
        if dropped > self.events_dropped {
            let dropped = dropped - self.events_dropped;
            self.metrics.events_dropped(dropped);
            // Logged once for a rush, not for each.
            if self.events_dropped == 0 || dropped > 1 {
                warn!(
                    dropped,
                    "Events are dropped, for too many wait or the lead was lost; their statuses are written"
                );
            }
            self.events_dropped += dropped;
        }
    }

    /// No new calls; what is known is written, and its Events are published.
    async fn drain(mut self) {
        info!("stopping");
        self.calls.abandon();
        self.take(Input::Stopping);
        let settle = async {
            while !self.scheduler.is_settled() {
                let wake = self.wake_at();
                tokio::select! {
                    until = self.fence.changed() => self.take(Input::LeadsUntil(until)),
                    ended = self.writes.next() => self.end(ended),
                    () = sleep_until(wake.into()) => self.take(Input::Tick),
                }
            }
        };
        if timeout(DRAIN, settle).await.is_err() {
            warn!(
                "the API server didn't take every status and Event in time; the next start writes the statuses"
            );
        }
        self.writes.abandon();
    }
}

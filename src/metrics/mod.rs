//! The metrics. Their names and labels are part of the contract. No label has a value per object.

mod regions;
mod sources;
mod text_format;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicU64,
    time::Duration,
};

use k8s_openapi::jiff::SignedDuration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};

use self::{regions::RegionLabels, sources::SourceMetrics};
use crate::{
    rules::Reason,
    scheduler::{EventResult, ObjectCounts},
};

/// Upper bounds of the buckets for durations, in seconds.
const SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The same for lags, which an account that is paused draws out.
const LAG_SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// The same for turns of the loop, which are short.
const TURN_SECONDS: [f64; 8] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegionLabel {
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegionOutcomeLabels {
    region: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabel {
    lease: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabel {
    namespace: String,
}

/// Makes histograms with the buckets of [`SECONDS`].
#[derive(Clone, Debug)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RegionOutcomeLabels, Counter>,
    request_seconds: Family<RegionLabel, Histogram, Seconds>,
    poll_lag_seconds: Histogram,
    reconciliations: Family<OutcomeLabel, Counter>,
    reconcile_seconds: Histogram,
    status_writes: Family<OutcomeLabel, Counter>,
    finished: Family<ReasonLabel, Counter>,
    by_reason: Family<ReasonLabel, Gauge>,
    by_state: Family<StateLabel, Gauge>,
    leader: Family<LeaseLabel, Gauge>,
    /// The Lease that this replica works under; empty without one.
    lease: String,
    watch_up: Family<NamespaceLabel, Gauge>,
    /// Without labels, and absent where Nodes aren't watched.
    nodes_watch_up: Family<[(String, String); 0], Gauge>,
    credentials_up: Family<SourceLabel, Gauge>,
    calls_in_flight: Gauge,
    calls_waiting: Gauge,
    events: Family<OutcomeLabel, Counter>,
    turn_seconds: Histogram,
    writes_failing: Gauge,
    nodes_overdue: Gauge,
    crd_outdated: Gauge,
    foreign_changes: Counter,
    clock_skew: Gauge<f64, AtomicU64>,
    sources: SourceMetrics,
    regions: RegionLabels,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(BTreeSet::new(), String::new())
    }
}

impl Metrics {
    /// Metrics of a process that works under that Lease, empty without one. `regions` are those that the operator
    /// named.
    #[must_use]
    pub fn new(regions: BTreeSet<String>, lease: String) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("scaleouttask"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Seconds),
            poll_lag_seconds: Histogram::new(LAG_SECONDS),
            reconciliations: Family::default(),
            reconcile_seconds: Seconds.new_metric(),
            status_writes: Family::default(),
            finished: Family::default(),
            by_reason: Family::default(),
            by_state: Family::default(),
            leader: Family::default(),
            lease,
            watch_up: Family::default(),
            nodes_watch_up: Family::default(),
            credentials_up: Family::default(),
            calls_in_flight: Gauge::default(),
            calls_waiting: Gauge::default(),
            events: Family::default(),
            turn_seconds: Histogram::new(TURN_SECONDS),
            writes_failing: Gauge::default(),
            nodes_overdue: Gauge::default(),
            crd_outdated: Gauge::default(),
            foreign_changes: Counter::default(),
            clock_skew: Gauge::default(),
            sources: SourceMetrics::default(),
            regions: RegionLabels::new(regions),
        };
        metrics.register();
        metrics.sources.register(&mut metrics.registry);
        metrics.leads(false);
        // Start at zero, so that the first finished object counts as an increase.
        for reason in Reason::ALL.into_iter().filter(|reason| reason.is_final()) {
            let reason = reason.as_str();
            drop(metrics.finished.get_or_create(&ReasonLabel { reason }));
        }
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "task_api_requests",
            "Calls of the task API, by outcome",
            self.requests.clone(),
        );
        registry.register(
            "task_api_request_duration_seconds",
            "How long calls of the task API took",
            self.request_seconds.clone(),
        );
        registry.register(
            "poll_lag_seconds",
            "How late due polls started",
            self.poll_lag_seconds.clone(),
        );
        registry.register(
            "reconciliations",
            "Decisions about objects, by outcome: unchanged, or how the write ended",
            self.reconciliations.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "Time from the start of a call, or from a change, until the status was written or needed no write",
            self.reconcile_seconds.clone(),
        );
        registry.register("leader", "Whether this replica leads", self.leader.clone());
        registry.register(
            "watch_up",
            "Whether the objects of the namespace can be listed and watched; * stands for all",
            self.watch_up.clone(),
        );
        registry.register(
            "nodes_watch_up",
            "Whether the cluster's nodes can be listed and watched; only with --nodes",
            self.nodes_watch_up.clone(),
        );
        registry.register(
            "nodes_overdue",
            "Objects that have waited for their nodes for more than 15 minutes",
            self.nodes_overdue.clone(),
        );
        registry.register(
            "credentials_up",
            "Whether the controller's own credentials can be read, and a region takes them",
            self.credentials_up.clone(),
        );
        self.register_trouble();
        self.register_objects();
    }

    /// What tells that something is wrong, or slow.
    fn register_trouble(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "status_writes_failing",
            "Objects whose status could not be written at the last try",
            self.writes_failing.clone(),
        );
        registry.register(
            "crd_outdated",
            "Whether the API server dropped a part of a status within the last hour",
            self.crd_outdated.clone(),
        );
        registry.register(
            "foreign_status_changes",
            "Changes by somebody else of statuses that this replica wrote; an object counts once in 4 minutes",
            self.foreign_changes.clone(),
        );
        registry.register(
            "clock_skew_seconds",
            "How far this machine's clock is ahead of the task API's; 0 up to a minute",
            self.clock_skew.clone(),
        );
        registry.register(
            "calls_in_flight",
            "Calls of the task API in flight",
            self.calls_in_flight.clone(),
        );
        registry.register(
            "calls_waiting",
            "Calls of the task API that are due and wait in a queue",
            self.calls_waiting.clone(),
        );
        registry.register("events", "Events, by outcome", self.events.clone());
        registry.register(
            "turn_duration_seconds",
            "How long one turn of the controller's loop took; it blocks everything else",
            self.turn_seconds.clone(),
        );
    }

    /// What tells of the objects.
    fn register_objects(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "status_writes",
            "Writes of status, by outcome",
            self.status_writes.clone(),
        );
        registry.register(
            "tasks_finished",
            "Objects that finished, by reason",
            self.finished.clone(),
        );
        registry.register(
            "tasks_by_reason",
            "Objects, by the reason of Ready",
            self.by_reason.clone(),
        );
        registry.register(
            "tasks",
            "Objects, by the state of their task",
            self.by_state.clone(),
        );
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// Counts a call of the task API.
    pub fn called(&self, region: &str, outcome: &'static str, took: Duration) {
        let region = self.regions.label(region);
        self.requests
            .get_or_create(&RegionOutcomeLabels {
                region: region.clone(),
                outcome,
            })
            .inc();
        self.request_seconds
            .get_or_create(&RegionLabel { region })
            .observe(took.as_secs_f64());
    }

    /// Counts a decision about an object: `unchanged`, or an outcome of [`Self::wrote`].
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciliations
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Sets whether this replica leads. A standby counts no objects.
    pub fn leads(&self, leads: bool) {
        let lease = self.lease.clone();
        self.leader
            .get_or_create(&LeaseLabel { lease })
            .set(leads.into());
        if !leads {
            self.by_reason.clear();
            self.by_state.clear();
            self.sources.stand_by();
        }
    }

    /// Sets whether the objects of a namespace can be watched; none for all namespaces.
    pub fn watches(&self, namespace: Option<&str>, up: bool) {
        let namespace = namespace.unwrap_or("*").to_owned();
        let label = NamespaceLabel { namespace };
        self.watch_up.get_or_create(&label).set(up.into());
    }

    /// Sets whether the sources of a namespace can be watched; none for all namespaces.
    pub fn watches_sources(&self, namespace: Option<&str>, up: bool) {
        self.sources.watches(namespace, up);
    }

    /// Counts a list of a cluster's tasks.
    pub fn listed(&self, region: &str, outcome: &'static str) {
        self.sources.listed(self.regions.label(region), outcome);
    }

    /// Counts an object that was made of a found task.
    pub fn made(&self) {
        self.sources.made();
    }

    /// Sets how many sources there are by reason.
    pub fn counted_sources(&self, by_reason: &BTreeMap<&'static str, i64>) {
        self.sources.counted(by_reason);
    }

    /// Sets whether the cluster's Nodes can be watched.
    pub fn watches_nodes(&self, up: bool) {
        self.nodes_watch_up.get_or_create(&[]).set(up.into());
    }

    /// Sets how many objects have waited for their nodes for long.
    pub fn nodes_overdue(&self, count: usize) {
        self.nodes_overdue
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets whether the controller's own credentials work, by their source, where that is known.
    pub fn credentials(&self, up: Option<(&'static str, bool)>) {
        self.credentials_up.clear();
        if let Some((source, up)) = up {
            let label = SourceLabel { source };
            self.credentials_up.get_or_create(&label).set(up.into());
        }
    }

    /// Sets how many objects have a status that couldn't be written at the last try.
    pub fn writes_failing(&self, count: usize) {
        self.writes_failing
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets whether the API server dropped a part of a status lately.
    pub fn crd_outdated(&self, is_outdated: bool) {
        self.crd_outdated.set(is_outdated.into());
    }

    /// Counts that somebody else changes the status of an object.
    pub fn changed_by_another(&self) {
        self.foreign_changes.inc();
    }

    /// Sets how far this machine's clock is ahead.
    pub fn clock_skew(&self, skew: SignedDuration) {
        self.clock_skew.set(skew.as_secs_f64());
    }

    /// Records how late a due poll started.
    pub fn lagged(&self, lag: Duration) {
        self.poll_lag_seconds.observe(lag.as_secs_f64());
    }

    /// Counts a write of status: `written`, `conflict`, `gone`, `refused` or `failed`.
    pub fn wrote(&self, outcome: &'static str) {
        self.status_writes
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    }

    /// Counts an object that finished.
    pub fn finished(&self, reason: Reason) {
        let reason = reason.as_str();
        self.finished.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Sets how many calls are in flight and how many wait.
    pub fn calls(&self, in_flight: usize, waiting: usize) {
        let gauge = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.calls_in_flight.set(gauge(in_flight));
        self.calls_waiting.set(gauge(waiting));
    }

    /// Counts an attempt to create an Event: `created`, `refused` or `failed`.
    pub fn published(&self, result: EventResult) {
        let outcome = match result {
            EventResult::Created => "created",
            EventResult::Refused => "refused",
            EventResult::Failed => "failed",
        };
        self.events.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts Events that were dropped before any attempt.
    pub fn events_dropped(&self, count: u64) {
        let outcome = "dropped";
        self.events
            .get_or_create(&OutcomeLabel { outcome })
            .inc_by(count);
    }

    /// Records how long a turn of the loop took.
    pub fn turned(&self, took: Duration) {
        self.turn_seconds.observe(took.as_secs_f64());
    }

    /// Sets how many objects there are by reason and by state.
    pub fn counted(&self, counts: &ObjectCounts) {
        for (reason, count) in counts.by_reason() {
            self.by_reason
                .get_or_create(&ReasonLabel { reason })
                .set(count);
        }
        for (state, count) in counts.by_state() {
            let state = state.as_str();
            self.by_state
                .get_or_create(&StateLabel { state })
                .set(count);
        }
    }

    /// All metrics in the text format that came before `OpenMetrics`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_text(&self) -> Result<String, std::fmt::Error> {
        Ok(text_format::of_open_metrics(&self.encode()?))
    }

    /// All metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// Never in practice: writing to a `String` can't fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

//! The metrics. Their names and labels are part of the contract. No label has a value per object.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

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

use crate::{
    rules::Reason,
    scheduler::{EventResult, ObjectCounts},
};

/// Upper bounds of the buckets for durations, in seconds.
const SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The same for turns of the loop, which are short.
const TURN_SECONDS: [f64; 8] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0];

/// How many regions have their own label. The vendor has fewer.
const MAX_REGIONS: usize = 100;

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
    leader: Gauge,
    calls_in_flight: Gauge,
    calls_waiting: Gauge,
    events: Family<OutcomeLabel, Counter>,
    turn_seconds: Histogram,
    /// The regions that have their own label.
    regions: Mutex<BTreeSet<String>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("scaleouttask"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Seconds),
            poll_lag_seconds: Seconds.new_metric(),
            reconciliations: Family::default(),
            reconcile_seconds: Seconds.new_metric(),
            status_writes: Family::default(),
            finished: Family::default(),
            by_reason: Family::default(),
            by_state: Family::default(),
            leader: Gauge::default(),
            calls_in_flight: Gauge::default(),
            calls_waiting: Gauge::default(),
            events: Family::default(),
            turn_seconds: Histogram::new(TURN_SECONDS),
            regions: Mutex::default(),
        };
        metrics.register();
        // Start at zero, so that the first finished object counts as an increase.
        for reason in Reason::ALL.into_iter().filter(|reason| reason.is_final()) {
            let reason = reason.as_str();
            drop(metrics.finished.get_or_create(&ReasonLabel { reason }));
        }
        metrics
    }
}

impl Metrics {
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
        let region = self.region_label(region);
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

    /// Users choose regions, so only the first [`MAX_REGIONS`] get their own label.
    fn region_label(&self, region: &str) -> String {
        let mut known = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(region) {
            if known.len() >= MAX_REGIONS {
                return "other".to_owned();
            }
            known.insert(region.to_owned());
        }
        region.to_owned()
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
        self.leader.set(leads.into());
        if !leads {
            self.by_reason.clear();
            self.by_state.clear();
        }
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

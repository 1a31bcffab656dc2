//! What is counted. Names and labels are part of the API; no label is per object.

use std::time::Duration;

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

use crate::core::{Census, Reason};

/// Upper bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Region {
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegionOutcome {
    region: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Durations in [`SECONDS`].
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
    requests: Family<RegionOutcome, Counter>,
    request_seconds: Family<Region, Histogram, Seconds>,
    poll_lag_seconds: Histogram,
    status_writes: Family<Outcome, Counter>,
    finished: Family<ReasonLabel, Counter>,
    by_reason: Family<ReasonLabel, Gauge>,
    by_state: Family<State, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("scaleouttask"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Seconds),
            poll_lag_seconds: Seconds.new_metric(),
            status_writes: Family::default(),
            finished: Family::default(),
            by_reason: Family::default(),
            by_state: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "task_api_requests",
            "Calls of the task API, by how they ended",
            self.requests.clone(),
        );
        registry.register(
            "task_api_request_duration_seconds",
            "How long calls of the task API took",
            self.request_seconds.clone(),
        );
        registry.register(
            "poll_lag_seconds",
            "How late polls started that were due",
            self.poll_lag_seconds.clone(),
        );
        registry.register(
            "status_writes",
            "Writes of status, by how they ended",
            self.status_writes.clone(),
        );
        registry.register(
            "tasks_finished",
            "Objects that finished, by their reason",
            self.finished.clone(),
        );
        registry.register(
            "tasks_by_reason",
            "Objects by the reason of Ready",
            self.by_reason.clone(),
        );
        registry.register(
            "tasks",
            "Objects by the state of their task",
            self.by_state.clone(),
        );
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// A call of the task API ended.
    pub fn called(&self, region: &str, outcome: &'static str, took: Duration) {
        let region = region.to_owned();
        self.requests
            .get_or_create(&RegionOutcome {
                region: region.clone(),
                outcome,
            })
            .inc();
        self.request_seconds
            .get_or_create(&Region { region })
            .observe(took.as_secs_f64());
    }

    /// A due poll started that late.
    pub fn lagged(&self, lag: Duration) {
        self.poll_lag_seconds.observe(lag.as_secs_f64());
    }

    /// A write of status ended: `written`, `conflict`, `gone` or `failed`.
    pub fn wrote(&self, outcome: &'static str) {
        self.status_writes.get_or_create(&Outcome { outcome }).inc();
    }

    /// An object finished.
    pub fn finished(&self, reason: Reason) {
        let reason = reason.as_str();
        self.finished.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// How many objects there are of each kind.
    pub fn counted(&self, census: &Census) {
        for (reason, count) in census.by_reason() {
            self.by_reason
                .get_or_create(&ReasonLabel { reason })
                .set(count);
        }
        for (state, count) in census.by_state() {
            self.by_state.get_or_create(&State { state }).set(count);
        }
    }

    /// All metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// Never in practice: a `String` takes any text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

//! The metrics of sources.

use std::collections::BTreeMap;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{NamespaceLabel, ReasonLabel, RegionOutcomeLabels};

/// They have no values, but the count of objects made, where no sources are watched.
#[derive(Debug, Default)]
pub(super) struct SourceMetrics {
    by_reason: Family<ReasonLabel, Gauge>,
    listings: Family<RegionOutcomeLabels, Counter>,
    made: Counter,
    watch_up: Family<NamespaceLabel, Gauge>,
}

impl SourceMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "sources_by_reason",
            "Sources, by the reason of Ready",
            self.by_reason.clone(),
        );
        registry.register(
            "source_listings",
            "Lists of a cluster's tasks, by outcome",
            self.listings.clone(),
        );
        registry.register(
            "source_tasks_made",
            "ScaleOutTasks made of tasks that sources found",
            self.made.clone(),
        );
        registry.register(
            "sources_watch_up",
            "Whether the ScaleOutTaskSources of a namespace can be listed and watched; * for all namespaces",
            self.watch_up.clone(),
        );
    }

    pub fn watches(&self, namespace: Option<&str>, up: bool) {
        let namespace = namespace.unwrap_or("*").to_owned();
        let label = NamespaceLabel { namespace };
        self.watch_up.get_or_create(&label).set(up.into());
    }

    pub fn listed(&self, region: String, outcome: &'static str) {
        let labels = RegionOutcomeLabels { region, outcome };
        self.listings.get_or_create(&labels).inc();
    }

    pub fn made(&self) {
        self.made.inc();
    }

    pub fn counted(&self, by_reason: &BTreeMap<&'static str, i64>) {
        for (reason, count) in by_reason {
            self.by_reason
                .get_or_create(&ReasonLabel { reason })
                .set(*count);
        }
    }

    /// A standby counts no sources.
    pub fn stand_by(&self) {
        self.by_reason.clear();
    }
}

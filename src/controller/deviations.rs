//! Tells of statuses that aren't as they were written: one line of log an hour, and metrics.

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, api::ObjectMeta};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::wire::PartialTask;
use crate::{metrics::Metrics, rules::ObjectKey};

/// How often a line of each kind is logged at most, and how long the metric shows that it is so.
const PERIOD: Duration = Duration::from_hours(1);
const API_TIMEOUT: Duration = Duration::from_secs(10);

/// What was told.
pub struct DeviationLog {
    client: Client,
    metrics: Arc<Metrics>,
    /// When a status was last kept otherwise than it was written.
    altered_at: Option<Instant>,
    altered_logged_at: Option<Instant>,
    foreign_logged_at: Option<Instant>,
    shown: bool,
}

impl DeviationLog {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            altered_at: None,
            altered_logged_at: None,
            foreign_logged_at: None,
            shown: false,
        }
    }

    /// The API server keeps another status of that object than was written.
    pub fn altered(&mut self, key: &ObjectKey) {
        self.altered_at = Some(Instant::now());
        if is_due(&mut self.altered_logged_at) {
            let ObjectKey { namespace, name } = key;
            warn!(
                %namespace,
                %name,
                "the API server dropped a part of the status: the CRD is older than this program; apply the CRD \
                 of this version (crds/scaleouttasks.yaml, or crds.install of the chart). If it is, an admission \
                 webhook changes statuses"
            );
        }
    }

    /// Somebody else changed the status of that object.
    pub fn foreign(&mut self, key: ObjectKey) {
        self.metrics.changed_by_another();
        if is_due(&mut self.foreign_logged_at) {
            tokio::spawn(tell_who(self.client.clone(), key));
        }
    }

    /// Brings the metric up to date.
    pub fn show(&mut self) {
        let is_recent = self.altered_at.is_some_and(|at| at.elapsed() < PERIOD);
        if self.shown != is_recent {
            self.shown = is_recent;
            self.metrics.crd_outdated(is_recent);
        }
    }
}

fn is_due(logged_at: &mut Option<Instant>) -> bool {
    let is_due = logged_at.is_none_or(|at| at.elapsed() >= PERIOD);
    if is_due {
        *logged_at = Some(Instant::now());
    }
    is_due
}

/// Names who wrote the status last, as the object itself says.
async fn tell_who(client: Client, key: ObjectKey) {
    let ObjectKey { namespace, name } = &key;
    let api: Api<PartialTask> = Api::namespaced(client, namespace);
    let metadata = timeout(API_TIMEOUT, api.get_metadata(name)).await;
    let metadata = metadata.ok().and_then(Result::ok);
    let (manager, time) = metadata
        .and_then(|object| last_status_writer(object.metadata))
        .unwrap_or_default();
    warn!(
        %namespace,
        %name,
        manager,
        time,
        "somebody else changes the status that this controller writes. If the manager is scaleouttask-controller, \
         two controllers lead for the same objects: give them one Lease, or separate them by --namespace or \
         --selector"
    );
}

/// The manager of the newest write of the status, and its time.
fn last_status_writer(metadata: ObjectMeta) -> Option<(String, String)> {
    let entries = metadata.managed_fields.into_iter().flatten();
    let of_status = entries.filter(|entry| entry.subresource.as_deref() == Some("status"));
    let newest = of_status.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let time = newest.time.map(|time| time.0.to_string());
    Some((newest.manager.unwrap_or_default(), time.unwrap_or_default()))
}

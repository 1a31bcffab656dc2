//! Tells of statuses that aren't as they were written: one line of log an hour, and metrics.

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, api::ObjectMeta};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::{wire::PartialTask, writer::Writer};
use crate::{metrics::Metrics, rules::ObjectKey};

/// How often a line of each kind is logged at most, and how long the metric shows that it is so.
const PERIOD: Duration = Duration::from_hours(1);
const API_TIMEOUT: Duration = Duration::from_secs(10);

/// What was told.
pub struct DeviationLog {
    client: Client,
    metrics: Arc<Metrics>,
    /// Whom the API server notes where this replica writes.
    manager: Arc<str>,
    /// When a status was last kept otherwise than it was written.
    altered_at: Option<Instant>,
    altered_logged_at: Option<Instant>,
    foreign_logged_at: Option<Instant>,
    shown: bool,
}

impl DeviationLog {
    pub fn new(writer: &Writer) -> Self {
        Self {
            client: writer.client.clone(),
            metrics: writer.metrics.clone(),
            manager: writer.manager.clone(),
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
                "the API server dropped a part of the status: the CRD is older than this program, or an admission \
                 webhook changes statuses; apply the CRDs of this version (crds/, or crds.install of the chart)"
            );
        }
    }

    /// Somebody else changed the status of that object.
    pub fn foreign(&mut self, key: ObjectKey) {
        self.metrics.changed_by_another();
        if is_due(&mut self.foreign_logged_at) {
            let own = self.manager.clone();
            tokio::spawn(tell_who(self.client.clone(), key, own));
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
async fn tell_who(client: Client, key: ObjectKey, own: Arc<str>) {
    let ObjectKey { namespace, name } = &key;
    let api: Api<PartialTask> = Api::namespaced(client, namespace);
    let metadata = timeout(API_TIMEOUT, api.get_metadata(name)).await;
    let metadata = metadata.ok().and_then(Result::ok);
    let (manager, time) = metadata
        .and_then(|object| last_other_writer(object.metadata, &own))
        .unwrap_or_else(|| (own.to_string(), String::new()));
    warn!(
        %namespace,
        %name,
        by = %manager,
        at = %time,
        own = %own,
        "somebody else changes the status that this controller writes. If it is scaleouttask-controller too, two \
         controllers lead for the same objects: give them one Lease, or separate them by --namespace or --selector"
    );
}

/// The manager of the newest write of the status that isn't this replica's, and its time. None where all writers have
/// the same name.
fn last_other_writer(metadata: ObjectMeta, own: &str) -> Option<(String, String)> {
    let entries = metadata.managed_fields.into_iter().flatten();
    let of_status = entries.filter(|entry| {
        entry.subresource.as_deref() == Some("status") && entry.manager.as_deref() != Some(own)
    });
    let newest = of_status.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let time = newest.time.map(|time| time.0.to_string());
    Some((newest.manager.unwrap_or_default(), time.unwrap_or_default()))
}

//! One call of the task API, measured.

use std::{sync::Arc, time::Instant};

use k8s_openapi::jiff::Timestamp;
use tracing::debug;

use super::secrets::Secrets;
use crate::{
    core::{Call, EntryId, Event, ObjectKey, Outcome, Reason, Trouble},
    metrics::Metrics,
    task_api::{TaskApi, endpoint::Region},
};

/// What calls are made with.
pub struct Caller {
    /// The cloud.
    pub task_api: TaskApi,
    /// Credentials that objects bring along.
    pub secrets: Secrets,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Caller {
    /// Makes the call.
    pub async fn call(self: Arc<Self>, call: Call) -> Event {
        let started_at = Timestamp::now();
        let clock = Instant::now();
        self.metrics.lagged(call.lag);
        let outcome = self.describe(&call).await.unwrap_or_else(Outcome::from);
        let label = match &outcome {
            Outcome::Answer(_) => "success",
            Outcome::Trouble(trouble) => trouble.reason.as_str(),
        };
        let took = clock.elapsed();
        self.metrics.called(&call.region, label, took);
        debug!(
            namespace = call.key.namespace,
            name = call.key.name,
            task_id = call.task_id,
            outcome = label,
            ?took,
            "asked the task API"
        );
        Event::CallEnded {
            entry: call.entry,
            lane: call.lane,
            outcome,
            started_at,
            poll_request: call.poll_request,
        }
    }

    /// Whose account a Secret's credentials are.
    pub async fn identify(self: Arc<Self>, entry: EntryId, secret: ObjectKey) -> Event {
        let credentials = self.secrets.get(&secret).await;
        let account = credentials.map(|credentials| credentials.access_key_id.clone());
        Event::Identified {
            entry,
            secret,
            account,
        }
    }

    async fn describe(&self, call: &Call) -> Result<Outcome, Trouble> {
        let region: Region = call.region.parse().map_err(|error| Trouble {
            detail: Some(format!("spec.region: {error}")),
            ..Trouble::new(Reason::RequestRejected)
        })?;
        let Some(secret) = &call.secret else {
            return Ok(self.task_api.describe(&region, &call.task_id, None).await);
        };
        let own = self.secrets.get(secret).await?;
        let task_id = &call.task_id;
        let outcome = self.task_api.describe(&region, task_id, Some(&own)).await;
        let is_refused = matches!(&outcome, Outcome::Trouble(trouble)
            if trouble.reason == Reason::CredentialsInvalid);
        if is_refused && let Some(newer) = self.secrets.refused(secret, &own).await {
            // Rotated since it was read: that is no trouble.
            return Ok(self.task_api.describe(&region, task_id, Some(&newer)).await);
        }
        Ok(outcome)
    }
}

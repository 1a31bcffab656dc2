//! One call of the task API, measured.

use std::{sync::Arc, time::Instant};

use tracing::debug;

use super::secrets::Secrets;
use crate::{
    clock::Clock,
    metrics::Metrics,
    rules::{ObjectKey, PollError, PollResult, Reason},
    scheduler::{Call, Input, ObjectId},
    task_api::{Query, TaskApi, endpoint::Region},
};

/// What calls are made with.
pub struct Poller {
    /// The cloud.
    pub task_api: TaskApi,
    /// Credentials that objects bring along.
    pub secrets: Secrets,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Clock,
}

impl Poller {
    /// Makes the call.
    pub async fn poll(self: Arc<Self>, call: Call) -> Input {
        let began = Instant::now();
        self.metrics.lagged(call.lag);
        let result = self.describe(&call).await;
        let outcome = match &result {
            Ok(_) => "success",
            Err(error) => error.reason.as_str(),
        };
        let took = began.elapsed();
        self.metrics.called(&call.region, outcome, took);
        debug!(outcome, ?took, "asked the task API");
        Input::CallEnded {
            object: call.object,
            queue: call.queue,
            result,
            // Only now it may be known that the clock was off when it began.
            started_at: self.clock.now().wall - took,
            poll_request: call.poll_request,
        }
    }

    /// Whose account a Secret's credentials are.
    pub async fn identify(self: Arc<Self>, object: ObjectId, secret: ObjectKey) -> Input {
        let credentials = self.secrets.get(&secret).await;
        let account = credentials.map(|credentials| credentials.account);
        Input::Identified {
            object,
            secret,
            account,
        }
    }

    async fn describe(&self, call: &Call) -> PollResult {
        let region: Region = call.region.parse().map_err(|error| PollError {
            detail: Some(format!("spec.region: {error}")),
            ..PollError::new(Reason::RequestRejected)
        })?;
        let query = Query {
            region: &region,
            task_id: &call.task_id,
            only_cluster: call.only_cluster.as_deref(),
        };
        let Some(secret) = &call.secret else {
            return self.task_api.describe(query, None).await;
        };
        let own = self.secrets.get(secret).await?.credentials;
        let result = self.task_api.describe(query, Some(&own)).await;
        let is_refused = matches!(&result, Err(error)
            if error.reason == Reason::CredentialsInvalid);
        if is_refused && let Some(newer) = self.secrets.refused(secret, &own).await {
            // Rotated since it was read: that is no error.
            return self.task_api.describe(query, Some(&newer)).await;
        }
        result
    }
}

//! One call of the task API, measured.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use tracing::debug;

use super::secrets::Secrets;
use crate::{
    clock::Clock,
    metrics::Metrics,
    rules::{ObjectKey, PageResult, PollError, PollResult, Reason},
    scheduler::{Call, Input, ListCall, ObjectId, SourceInput},
    task_api::{ListQuery, Query, TaskApi, credentials::Credentials, endpoint::Region},
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
        let (done, asked) = ("asked the task API", self.describe(&call));
        let (result, started_at) = self.measured(done, call.lag, &call.region, asked).await;
        Input::CallEnded {
            object: call.object,
            queue: call.queue,
            result,
            started_at,
            poll_request: call.poll_request,
        }
    }

    /// Makes the call for a page of a cluster's tasks.
    pub async fn list(self: Arc<Self>, call: ListCall) -> Input {
        let (done, asked) = ("asked the task API for a list", self.page(&call));
        let (result, started_at) = self.measured(done, call.lag, &call.region, asked).await;
        Input::Source(SourceInput::PageEnded {
            source: call.source,
            queue: call.queue,
            page: call.page,
            result,
            started_at,
        })
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

    /// Makes a call, and says when it began.
    async fn measured<T: Send>(
        &self,
        done: &'static str,
        lag: Duration,
        region: &str,
        call: impl Future<Output = Result<T, PollError>> + Send,
    ) -> (Result<T, PollError>, Timestamp) {
        let began = Instant::now();
        self.metrics.lagged(lag);
        let result = call.await;
        let outcome = match &result {
            Ok(_) => "success",
            Err(error) => error.reason.as_str(),
        };
        let took = began.elapsed();
        self.metrics.called(region, outcome, took);
        debug!(outcome, ?took, "{done}");
        // Only now it may be known that the clock was off when it began.
        (result, self.clock.now().wall - took)
    }

    async fn describe(&self, call: &Call) -> PollResult {
        let region = region(&call.region)?;
        let query = Query {
            region: &region,
            task_id: &call.task_id,
            only_cluster: call.only_cluster.as_deref(),
        };
        let own = self.own(call.secret.as_ref()).await?;
        let result = self.task_api.describe(query, own.as_deref()).await;
        match self.rotated(call.secret.as_ref(), own, &result).await {
            Some(newer) => self.task_api.describe(query, Some(&newer)).await,
            None => result,
        }
    }

    async fn page(&self, call: &ListCall) -> PageResult {
        let region = region(&call.region)?;
        let query = ListQuery {
            region: &region,
            cluster_id: &call.cluster_id,
            page: call.page,
        };
        let own = self.own(call.secret.as_ref()).await?;
        let result = self.task_api.list(query, own.as_deref()).await;
        match self.rotated(call.secret.as_ref(), own, &result).await {
            Some(newer) => self.task_api.list(query, Some(&newer)).await,
            None => result,
        }
    }

    /// The credentials of that Secret; none where the controller's own are meant.
    async fn own(&self, secret: Option<&ObjectKey>) -> Result<Option<Arc<Credentials>>, PollError> {
        match secret {
            Some(secret) => Ok(Some(self.secrets.get(secret).await?.credentials)),
            None => Ok(None),
        }
    }

    /// Other credentials of that Secret where the API refused those: it was rotated since, which is no error.
    async fn rotated<T: Sync>(
        &self,
        secret: Option<&ObjectKey>,
        own: Option<Arc<Credentials>>,
        result: &Result<T, PollError>,
    ) -> Option<Arc<Credentials>> {
        let is_refused = matches!(result, Err(error)
            if error.reason == Reason::CredentialsInvalid);
        let (secret, own) = secret.zip(own).filter(|_| is_refused)?;
        self.secrets.refused(secret, &own).await
    }
}

fn region(text: &str) -> Result<Region, PollError> {
    text.parse().map_err(|error| PollError {
        detail: Some(format!("spec.region: {error}")),
        ..PollError::new(Reason::RequestRejected)
    })
}

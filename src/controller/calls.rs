//! One call of the task API, measured and confined.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use tracing::{debug, error};

use crate::{
    core::{Call, Event, Outcome, Reason, Trouble},
    metrics::Metrics,
    task_api::{TaskApi, endpoint::Region},
};

/// Makes the call. A panic in it is one object's trouble.
pub async fn call(task_api: TaskApi, metrics: Arc<Metrics>, call: Call) -> Event {
    let started_at = Timestamp::now();
    let clock = Instant::now();
    metrics.lagged(call.lag);
    let described = AssertUnwindSafe(describe(&task_api, &call))
        .catch_unwind()
        .await;
    let outcome = described.unwrap_or_else(|_| {
        let (namespace, name) = (&call.key.namespace, &call.key.name);
        error!(
            namespace,
            name,
            task_id = call.task_id,
            "reading the task panicked"
        );
        Trouble::new(Reason::InvalidResponse).into()
    });
    let label = match &outcome {
        Outcome::Answer(_) => "success",
        Outcome::Trouble(trouble) => trouble.reason.as_str(),
    };
    let took = clock.elapsed();
    metrics.called(&call.region, label, took);
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

async fn describe(task_api: &TaskApi, call: &Call) -> Outcome {
    match call.region.parse::<Region>() {
        Ok(region) => task_api.describe(&region, &call.task_id).await,
        Err(error) => Outcome::Trouble(Trouble {
            detail: Some(format!("spec.region: {error}")),
            ..Trouble::new(Reason::RequestRejected)
        }),
    }
}

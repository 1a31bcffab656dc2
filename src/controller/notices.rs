//! Events: told after the status is written, and never in its way.

use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{NAME, fence::Fence};
use crate::{
    api::ScaleOutTask,
    core::{Notice, Object, Severity},
};

/// So many may wait; what comes then is dropped, for the status says it too.
const QUEUE: usize = 10_000;
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// So many are published at a time.
const CONCURRENCY: usize = 8;
/// The pauses between attempts: an Event that isn't taken by then is given up.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Publishes notices, about in order.
pub struct Notices {
    sender: NoticeSender,
    publisher: JoinHandle<()>,
}

/// Takes notices.
#[derive(Clone)]
pub struct NoticeSender {
    queue: mpsc::Sender<(Notice, ObjectReference)>,
}

impl Notices {
    /// Starts publishing.
    pub fn start(client: Client, fence: Fence) -> Self {
        let (queue, mut waiting) = mpsc::channel::<(Notice, ObjectReference)>(QUEUE);
        let recorder = Recorder::new(client, Reporter::from(NAME));
        let publisher = tokio::spawn(async move {
            let (recorder, fence) = (&recorder, &fence);
            stream::poll_fn(|context| waiting.poll_recv(context))
                .for_each_concurrent(CONCURRENCY, |(notice, reference)| async move {
                    publish(recorder, fence, notice, &reference).await;
                })
                .await;
        });
        Self {
            sender: NoticeSender { queue },
            publisher,
        }
    }

    /// Where to send notices.
    pub fn sender(&self) -> NoticeSender {
        self.sender.clone()
    }

    /// Publishes what waits, for at most so long.
    pub async fn finish(self, at_most: Duration) {
        drop(self.sender);
        let abort = self.publisher.abort_handle();
        if timeout(at_most, self.publisher).await.is_err() {
            abort.abort();
        }
    }
}

impl NoticeSender {
    /// Has `notice` of `object` published some time soon.
    pub fn send(&self, notice: Notice, object: &Object) {
        if let Err(TrySendError::Full((notice, reference))) =
            self.queue.try_send((notice, reference_of(object)))
        {
            let reason = notice.reason.as_str();
            warn!(
                name = reference.name,
                reason, "too many Events wait; this one is dropped"
            );
        }
    }
}

async fn publish(recorder: &Recorder, fence: &Fence, notice: Notice, reference: &ObjectReference) {
    let event = Event {
        type_: match notice.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason: notice.reason.as_str().to_owned(),
        note: Some(notice.message),
        action: "Poll".to_owned(),
        secondary: None,
    };
    let mut pauses = PAUSES.iter();
    loop {
        let attempt = if fence.is_open() {
            try_publish(recorder, &event, reference).await
        } else {
            Err("this replica leads no more".to_owned())
        };
        let Err(error) = attempt else { return };
        if let Some(pause) = pauses.next().filter(|_| fence.is_open()) {
            sleep(*pause).await;
            continue;
        }
        let (namespace, name, reason) = (&reference.namespace, &reference.name, &event.reason);
        return warn!(
            namespace,
            name,
            reason,
            error,
            "can't publish an Event: are create and patch on events.events.k8s.io granted?"
        );
    }
}

async fn try_publish(
    recorder: &Recorder,
    event: &Event,
    reference: &ObjectReference,
) -> Result<(), String> {
    match timeout(PUBLISH_TIMEOUT, recorder.publish(event, reference)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

fn reference_of(object: &Object) -> ObjectReference {
    ObjectReference {
        api_version: Some(ScaleOutTask::api_version(&()).into_owned()),
        kind: Some(ScaleOutTask::kind(&()).into_owned()),
        name: Some(object.key.name.clone()),
        namespace: Some(object.key.namespace.clone()),
        uid: Some(object.uid.clone()),
        ..ObjectReference::default()
    }
}

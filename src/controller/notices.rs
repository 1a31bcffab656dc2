//! Events: told after the status is written, and never in its way.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, api::PostParams};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{NAME, fence::Fence, host_name};
use crate::{
    api::ScaleOutTask,
    core::{Notice, Object, ObjectKey, Severity, bounded},
};

/// So many may wait; what comes then is dropped, for the status says it too.
const QUEUE: usize = 10_000;
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// So many are published at a time.
const CONCURRENCY: usize = 8;
/// So many characters of an object's name go into its Events' names.
const NAME_MAX: usize = 230;
/// No API server takes a longer name of who reports.
const INSTANCE_MAX: usize = 128;
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
    queue: mpsc::Sender<Event>,
}

impl Notices {
    /// Starts publishing.
    pub fn start(client: Client, fence: Fence) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Event>(QUEUE);
        let publisher = tokio::spawn(async move {
            let (client, fence) = (&client, &fence);
            stream::poll_fn(|context| waiting.poll_recv(context))
                .for_each_concurrent(CONCURRENCY, |event| publish(client, fence, event))
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
        if let Err(TrySendError::Full(event)) = self.queue.try_send(event_of(object, notice)) {
            let ObjectKey { namespace, name } = &object.key;
            let reason = event.reason;
            warn!(
                namespace,
                name, reason, "too many Events wait; this one is dropped"
            );
        }
    }
}

async fn publish(client: &Client, fence: &Fence, event: Event) {
    let mut pauses = PAUSES.iter();
    let error = loop {
        let created = fence.guard(create(client, &event)).await;
        match (created, pauses.next()) {
            (Some(Ok(())), _) => return,
            (None, _) => break "this replica leads no more".to_owned(),
            (Some(Err(_)), Some(pause)) => sleep(*pause).await,
            (Some(Err(error)), None) => break error,
        }
    };
    let regarding = event.regarding.unwrap_or_default();
    let (namespace, name, reason) = (regarding.namespace, regarding.name, event.reason);
    warn!(namespace, name, reason, error, "an Event is lost");
}

async fn create(client: &Client, event: &Event) -> Result<(), String> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    match timeout(PUBLISH_TIMEOUT, api.create(&params, event)).await {
        Ok(Ok(_)) => Ok(()),
        // An earlier attempt succeeded, and nobody heard.
        Ok(Err(kube::Error::Api(status))) if status.reason == "AlreadyExists" => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "{}: grant create on events.events.k8s.io",
            status.message
        )),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// The Event about a change of `object`. It has the same name whenever it is told again.
fn event_of(object: &Object, notice: Notice) -> Event {
    let ObjectKey { namespace, name } = &object.key;
    let reason = notice.reason.as_str();
    let told = (&object.uid, &object.resource_version, reason);
    let mut hasher = DefaultHasher::new();
    told.hash(&mut hasher);
    let type_ = match notice.severity {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    };
    Event {
        metadata: ObjectMeta {
            // A name of at most 253 characters, as names of objects are.
            name: Some(format!(
                "{}.{:016x}",
                bounded(name, NAME_MAX),
                hasher.finish()
            )),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some(NAME.to_owned()),
        reporting_instance: Some(bounded(&host_name(), INSTANCE_MAX).to_owned()),
        action: Some("Poll".to_owned()),
        reason: Some(reason.to_owned()),
        note: Some(notice.message),
        type_: Some(type_.to_owned()),
        regarding: Some(reference_of(object)),
        ..Event::default()
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

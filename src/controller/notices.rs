//! Events: told after the status is written, and never in its way.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Client, Resource, api::PostParams, core::Request};
use serde::de::IgnoredAny;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::warn;

use super::{NAME, activity::Activity, fence::Fence, host_name};
use crate::{
    api::ScaleOutTask,
    core::{Notice, Object, ObjectKey, Severity, bounded},
};

/// So many may wait; what comes then is dropped, for the status says it too.
const QUEUE: usize = 10_000;
/// How long an Event waits at most while statuses are being written.
const WAIT_MAX: Duration = Duration::from_secs(5);
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
    activity: Activity,
}

/// Takes notices.
#[derive(Clone)]
pub struct NoticeSender {
    queue: mpsc::Sender<Waiting>,
    /// How many were dropped since one was taken.
    dropped: Arc<AtomicUsize>,
}

/// What is told, of which object and when. An Event itself is many times as large.
struct Waiting {
    key: ObjectKey,
    uid: String,
    /// Tells it from other Events about the object; the same whenever it is told again.
    id: u64,
    notice: Notice,
    at: Timestamp,
    since: Instant,
}

impl Notices {
    /// Starts publishing. Statuses go first, of which `activity` tells.
    pub fn start(client: Client, fence: Fence, activity: Activity) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Waiting>(QUEUE);
        let statuses = activity.clone();
        let publisher = tokio::spawn(async move {
            let (client, fence, statuses) = (&client, &fence, &statuses);
            stream::poll_fn(|context| waiting.poll_recv(context))
                .then(|waiting| async {
                    statuses.until_quiet(waiting.since + WAIT_MAX).await;
                    waiting
                })
                .for_each_concurrent(CONCURRENCY, |waiting| {
                    publish(client, fence, event_of(waiting))
                })
                .await;
        });
        let dropped = Arc::default();
        Self {
            sender: NoticeSender { queue, dropped },
            publisher,
            activity,
        }
    }

    /// Where to send notices.
    pub fn sender(&self) -> NoticeSender {
        self.sender.clone()
    }

    /// From now on Events wait for no status.
    pub fn wait_no_more(&self) {
        self.activity.is_over();
    }

    /// Publishes what is left, until `end` at most.
    pub async fn finish(self, end: std::time::Instant) {
        drop(self.sender);
        let abort = self.publisher.abort_handle();
        if timeout_at(end.into(), self.publisher).await.is_err() {
            abort.abort();
            warn!("the API server didn't take every Event in time; the statuses are written");
        }
    }
}

impl NoticeSender {
    /// Has `notice` of `object` published some time soon.
    pub fn send(&self, notice: Notice, object: &Object) {
        let waiting = Waiting {
            key: object.key.clone(),
            uid: object.uid.clone(),
            id: id_of(&notice, object),
            notice,
            at: Timestamp::now(),
            since: Instant::now(),
        };
        match self.queue.try_send(waiting) {
            // Told once, not for each.
            Err(TrySendError::Full(_)) if self.dropped.fetch_add(1, Ordering::Relaxed) == 0 => {
                warn!(
                    waiting = QUEUE,
                    "too many Events wait; others are dropped, their statuses are written"
                );
            }
            Err(_) => {}
            Ok(()) => match self.dropped.swap(0, Ordering::Relaxed) {
                0 => {}
                dropped => warn!(dropped, "Events were dropped, for too many waited"),
            },
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
    let url = Event::url_path(&(), event.metadata.namespace.as_deref());
    let body = serde_json::to_vec(event).map_err(|error| error.to_string())?;
    let request = Request::new(url).create(&PostParams::default(), body);
    let request = request.map_err(|error| error.to_string())?;
    // The answer is the Event again: nobody needs it.
    match timeout(PUBLISH_TIMEOUT, client.request::<IgnoredAny>(request)).await {
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

fn id_of(notice: &Notice, object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    let reason = notice.reason.as_str();
    (&object.uid, &object.resource_version, reason).hash(&mut hasher);
    hasher.finish()
}

/// The Event about a change of an object.
fn event_of(waiting: Waiting) -> Event {
    let Waiting {
        key,
        uid,
        id,
        notice,
        at,
        since: _,
    } = waiting;
    let type_ = match notice.severity {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    };
    Event {
        metadata: ObjectMeta {
            // A name of at most 253 characters, as names of objects are.
            name: Some(format!("{}.{id:016x}", bounded(&key.name, NAME_MAX))),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(at)),
        reporting_controller: Some(NAME.to_owned()),
        reporting_instance: Some(bounded(&host_name(), INSTANCE_MAX).to_owned()),
        action: Some("Poll".to_owned()),
        reason: Some(notice.reason.as_str().to_owned()),
        note: Some(notice.message),
        type_: Some(type_.to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(ScaleOutTask::api_version(&()).into_owned()),
            kind: Some(ScaleOutTask::kind(&()).into_owned()),
            name: Some(key.name),
            namespace: Some(key.namespace),
            uid: Some(uid),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

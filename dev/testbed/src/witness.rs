//! Watches every version of every object of a control plane, of both kinds, and checks each against the
//! promises to GitOps tools.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use controlplane::ControlPlane;
use futures::{StreamExt, stream::BoxStream};
use kube::{Client, core::WatchEvent};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch::{Receiver, Sender, channel},
    time::{sleep, timeout},
};

use crate::world::client_from;

/// Nothing takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause after a watch has ended.
const PAUSE: Duration = Duration::from_millis(100);
const GROUP: &str = "/apis/scaleout.dev/v1alpha1";
/// An object of each kind that is created after all others of its namespace.
const LAST: &str = "the-last";

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Task,
    Source,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Task, Self::Source];

    fn resource(self) -> &'static str {
        match self {
            Self::Task => "scaleouttasks",
            Self::Source => "scaleouttasksources",
        }
    }

    /// The object that is created last.
    fn last(self) -> Value {
        let (kind, spec) = match self {
            Self::Task => ("ScaleOutTask", json!({ "taskId": LAST })),
            Self::Source => ("ScaleOutTaskSource", json!({ "clusterId": LAST })),
        };
        json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": kind,
            "metadata": { "name": LAST }, "spec": spec,
        })
    }
}

/// What was seen so far in all namespaces.
#[derive(Default)]
struct Record {
    versions: usize,
    /// Distinct statuses without their times.
    statuses: BTreeSet<String>,
    reasons: BTreeMap<String, usize>,
    /// Broken promises by namespace.
    breaches: BTreeMap<String, Vec<String>>,
    /// Namespaces in which everything of a kind was seen.
    complete: BTreeSet<(Kind, String)>,
    /// How often versions may have been missed.
    gaps: usize,
}

/// Watches a control plane from before its first object until this is dropped.
pub struct Witness {
    // Its own, because a test's runtime ends with the test.
    runtime: Option<Runtime>,
    client: Client,
    record: Receiver<Record>,
}

/// Checks a namespace when it is dropped: the test fails if a status broke a promise.
pub struct PromiseCheck {
    witness: Arc<Witness>,
    namespace: String,
    /// Allows for missed versions, for a control plane whose API server is stopped.
    pub may_miss: bool,
}

impl Witness {
    /// Must be called after the CRDs are installed and before any object is created.
    pub async fn start(plane: &ControlPlane) -> Arc<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (sender, record) = channel(Record::default());
        let kubeconfig = plane.kubeconfig().to_owned();
        let starting = runtime.spawn(async move {
            let client = client_from(&kubeconfig).await;
            for kind in Kind::ALL {
                let from = list(&client, kind, &sender).await.unwrap();
                tokio::spawn(watch(client.clone(), kind, from, sender.clone()));
            }
            client
        });
        Arc::new(Self {
            client: starting.await.unwrap(),
            runtime: Some(runtime),
            record,
        })
    }

    /// Returns a check of that namespace, which is done when it is dropped.
    pub fn check_at_end(self: &Arc<Self>, namespace: &str) -> PromiseCheck {
        PromiseCheck {
            witness: self.clone(),
            namespace: namespace.to_owned(),
            may_miss: false,
        }
    }

    /// Blocks until everything in the namespace was seen.
    fn wait_for_all(&self, namespace: &str) -> Result<(), String> {
        let (client, record) = (self.client.clone(), self.record.clone());
        let waiting = until_complete(client, record, namespace.to_owned());
        let (sender, seen) = mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            let all = timeout(PATIENCE, waiting).await;
            let all = all.unwrap_or_else(|_| Err("the watch is too slow".to_owned()));
            sender.send(all).ok();
        });
        seen.recv().unwrap()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // A runtime must not be dropped within another one, as it would block.
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for PromiseCheck {
    fn drop(&mut self) {
        // The test has already failed.
        if thread::panicking() {
            return;
        }
        let namespace = &self.namespace;
        let all = self.witness.wait_for_all(namespace);
        assert_eq!(all, Ok(()), "{namespace}");
        let record = self.witness.record.borrow();
        let breaches = record.breaches.get(namespace).cloned().unwrap_or_default();
        let (versions, statuses) = (record.versions, record.statuses.len());
        let (reasons, gaps) = (record.reasons.clone(), record.gaps);
        drop(record);
        println!(
            "checked against the promises to GitOps tools so far: {versions} versions, {statuses} \
             distinct statuses, {gaps} gaps; {reasons:?}"
        );
        assert!(breaches.is_empty(), "{namespace}: {}", breaches.join("\n"));
        assert!(gaps == 0 || self.may_miss, "{gaps} gaps");
    }
}

/// Creates one more object of each kind. Once the watches show them, everything before was seen.
async fn until_complete(
    client: Client,
    mut record: Receiver<Record>,
    namespace: String,
) -> Result<(), String> {
    for kind in Kind::ALL {
        let url = format!("{GROUP}/namespaces/{namespace}/{}", kind.resource());
        let request = http::Request::post(url)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&kind.last()).unwrap())
            .unwrap();
        let created = client.request::<Value>(request).await;
        created.map_err(|error| error.to_string())?;
    }
    let complete = record.wait_for(|record| {
        let seen = |kind| record.complete.contains(&(kind, namespace.clone()));
        Kind::ALL.into_iter().all(seen)
    });
    complete.await.map_err(|_| "the watch ended".to_owned())?;
    Ok(())
}

/// Records every version from `from` on, forever.
async fn watch(client: Client, kind: Kind, mut from: String, record: Sender<Record>) {
    loop {
        // After an error, it continues from the same version.
        let is_too_old = watch_once(&client, kind, &mut from, &record).await;
        if let Ok(true) = is_too_old
            && let Ok(version) = list(&client, kind, &record).await
        {
            record.send_modify(|record| record.gaps += 1);
            from = version;
        }
        sleep(PAUSE).await;
    }
}

/// Records versions until the watch ends. Returns whether `from` is too old to continue.
async fn watch_once(
    client: &Client,
    kind: Kind,
    from: &mut String,
    record: &Sender<Record>,
) -> kube::Result<bool> {
    let resource = kind.resource();
    let url =
        format!("{GROUP}/{resource}?watch=true&allowWatchBookmarks=true&resourceVersion={from}");
    let request = http::Request::get(url).body(Vec::new()).unwrap();
    let events = match client.request_events::<Value>(request).await {
        Err(kube::Error::Api(status)) if status.code == 410 => return Ok(true),
        events => events?,
    };
    let mut events: BoxStream<kube::Result<WatchEvent<Value>>> = events.boxed();
    while let Some(event) = events.next().await {
        *from = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                record.send_modify(|record| record.add(kind, &object));
                version(&object)
            }
            // Its last status was already seen.
            WatchEvent::Deleted(object) => version(&object),
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Ok(status.code == 410),
        };
    }
    Ok(false)
}

/// Records all objects, and returns the version from which a watch can continue.
async fn list(client: &Client, kind: Kind, record: &Sender<Record>) -> kube::Result<String> {
    let request = http::Request::get(format!("{GROUP}/{}", kind.resource()));
    let list: Value = client.request(request.body(Vec::new()).unwrap()).await?;
    let objects = list["items"].as_array().unwrap();
    record.send_modify(|record| objects.iter().for_each(|object| record.add(kind, object)));
    Ok(version(&list))
}

fn version(object: &Value) -> String {
    let version = &object["metadata"]["resourceVersion"];
    version.as_str().unwrap().to_owned()
}

impl Record {
    fn add(&mut self, kind: Kind, object: &Value) {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap().to_owned();
        if metadata["name"] == LAST {
            self.complete.insert((kind, namespace));
            return;
        }
        self.versions += 1;
        self.statuses
            .insert(timeless(&object["status"]).to_string());
        *self.reasons.entry(reason(&object["status"])).or_default() += 1;
        if let Err(breach) = gitops::check(object) {
            let breach = format!("{breach}: {object:#}");
            self.breaches.entry(namespace).or_default().push(breach);
        }
    }
}

fn reason(status: &Value) -> String {
    let conditions = status["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    let reason = ready.and_then(|ready| ready["reason"].as_str());
    reason.unwrap_or("untouched").to_owned()
}

/// A status without times, which always differ.
fn timeless(value: &Value) -> Value {
    const TIMES: [&str; 4] = ["created", "updated", "finishedAt", "lastTransitionTime"];
    match value {
        Value::Array(items) => items.iter().map(timeless).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !TIMES.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), timeless(value)))
            .collect(),
        _ => value.clone(),
    }
}

//! Sees every version of every object of a control plane, and holds each against what is promised to
//! GitOps tools.

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

/// What is asked for is there sooner, on a busy machine too.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two watches, where one ended.
const PAUSE: Duration = Duration::from_millis(100);
const GROUP: &str = "/apis/scaleout.dev/v1alpha1";
/// The object that is created after all others of its namespace.
const LAST: &str = "the-last";

/// What was seen so far, of all namespaces.
#[derive(Default)]
struct Record {
    versions: usize,
    /// Without their times.
    statuses: BTreeSet<String>,
    reasons: BTreeMap<String, usize>,
    /// By namespace.
    breaches: BTreeMap<String, Vec<String>>,
    /// Namespaces of which everything was seen.
    ended: BTreeSet<String>,
    /// How often versions may have gone by.
    gaps: usize,
}

/// A watch of a control plane, from before its first object until this is dropped.
pub struct Witness {
    // Of its own: that of a test ends with the test.
    runtime: Option<Runtime>,
    client: Client,
    record: Receiver<Record>,
}

/// Everything in a namespace keeps the promises, or the test that drops this fails.
pub struct Vow {
    witness: Arc<Witness>,
    namespace: String,
    /// For a control plane whose API server goes away: it forgets what the watch hasn't got.
    pub may_miss: bool,
}

impl Witness {
    /// To be called once the CRD is there and before any object is.
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
            let from = list(&client, &sender).await.unwrap();
            tokio::spawn(watch(client.clone(), from, sender));
            client
        });
        Arc::new(Self {
            client: starting.await.unwrap(),
            runtime: Some(runtime),
            record,
        })
    }

    /// Has everything in that namespace checked when the vow is dropped.
    pub fn vow(self: &Arc<Self>, namespace: &str) -> Vow {
        Vow {
            witness: self.clone(),
            namespace: namespace.to_owned(),
            may_miss: false,
        }
    }

    /// Waits, in this thread, until everything in the namespace was seen.
    fn see_all_of(&self, namespace: &str) -> Result<(), String> {
        let (client, record) = (self.client.clone(), self.record.clone());
        let seeing = until_ended(client, record, namespace.to_owned());
        let (sender, seen) = mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            let all = timeout(PATIENCE, seeing).await;
            let all = all.unwrap_or_else(|_| Err("the watch doesn't come to the end".to_owned()));
            sender.send(all).ok();
        });
        seen.recv().unwrap()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // Within a test's runtime, no other may be waited for.
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Vow {
    fn drop(&mut self) {
        // What has failed needs no second reason.
        if thread::panicking() {
            return;
        }
        let namespace = &self.namespace;
        let all = self.witness.see_all_of(namespace);
        assert_eq!(all, Ok(()), "{namespace}");
        let record = self.witness.record.borrow();
        let breaches = record.breaches.get(namespace).cloned().unwrap_or_default();
        let (versions, statuses) = (record.versions, record.statuses.len());
        let (reasons, gaps) = (record.reasons.clone(), record.gaps);
        drop(record);
        println!(
            "held against the promises to GitOps tools so far: {versions} versions, {statuses} \
             distinct statuses, {gaps} gaps; {reasons:?}"
        );
        assert!(breaches.is_empty(), "{namespace}: {}", breaches.join("\n"));
        assert!(gaps == 0 || self.may_miss, "{gaps} gaps");
    }
}

/// Creates one object more: once the watch shows it, it has shown everything before.
async fn until_ended(
    client: Client,
    mut record: Receiver<Record>,
    namespace: String,
) -> Result<(), String> {
    let body = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": LAST }, "spec": { "taskId": LAST },
    });
    let request = http::Request::post(format!("{GROUP}/namespaces/{namespace}/scaleouttasks"))
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&body).unwrap())
        .unwrap();
    let created = client.request::<Value>(request).await;
    created.map_err(|error| error.to_string())?;
    let ended = record.wait_for(|record| record.ended.contains(&namespace));
    ended.await.map_err(|_| "the watch ended".to_owned())?;
    Ok(())
}

/// Notes every version from `from` on, for ever.
async fn watch(client: Client, mut from: String, record: Sender<Record>) {
    loop {
        // Where it breaks, it goes on from the same version.
        let is_too_old = watch_once(&client, &mut from, &record).await;
        if let Ok(true) = is_too_old
            && let Ok(version) = list(&client, &record).await
        {
            record.send_modify(|record| record.gaps += 1);
            from = version;
        }
        sleep(PAUSE).await;
    }
}

/// Notes versions until the watch ends, and says whether it can't go on from there.
async fn watch_once(
    client: &Client,
    from: &mut String,
    record: &Sender<Record>,
) -> kube::Result<bool> {
    let url =
        format!("{GROUP}/scaleouttasks?watch=true&allowWatchBookmarks=true&resourceVersion={from}");
    let request = http::Request::get(url).body(Vec::new()).unwrap();
    let events = match client.request_events::<Value>(request).await {
        Err(kube::Error::Api(status)) if status.code == 410 => return Ok(true),
        events => events?,
    };
    let mut events: BoxStream<kube::Result<WatchEvent<Value>>> = events.boxed();
    while let Some(event) = events.next().await {
        *from = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                record.send_modify(|record| record.note(&object));
                version(&object)
            }
            // Its status was seen before.
            WatchEvent::Deleted(object) => version(&object),
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Ok(status.code == 410),
        };
    }
    Ok(false)
}

/// Notes what is there, and returns the version after which a watch has the rest.
async fn list(client: &Client, record: &Sender<Record>) -> kube::Result<String> {
    let request = http::Request::get(format!("{GROUP}/scaleouttasks"));
    let list: Value = client.request(request.body(Vec::new()).unwrap()).await?;
    let objects = list["items"].as_array().unwrap();
    record.send_modify(|record| objects.iter().for_each(|object| record.note(object)));
    Ok(version(&list))
}

fn version(object: &Value) -> String {
    let version = &object["metadata"]["resourceVersion"];
    version.as_str().unwrap().to_owned()
}

impl Record {
    fn note(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap().to_owned();
        if metadata["name"] == LAST {
            self.ended.insert(namespace);
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

/// Without the times, which differ everywhere.
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

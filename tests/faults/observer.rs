//! Watches every version of every object of a namespace, on a connection that is never disturbed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::join};
use kube::{
    Api, Resource, ResourceExt,
    runtime::watcher::{self, watcher},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSource};
use serde::de::DeserializeOwned;
use testbed::WholeObject;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    pub at: Instant,
    pub name: String,
    pub uid: String,
    /// `None` once it is deleted.
    pub object: Option<T>,
}

/// All versions up to now.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub objects: Vec<Seen<WholeObject>>,
    pub sources: Vec<Seen<ScaleOutTaskSource>>,
}

impl History {
    /// The newest version of an object.
    pub fn object(&self, name: &str) -> Option<&WholeObject> {
        newest(&self.objects, name)
    }

    /// The newest version of a source.
    pub fn source(&self, name: &str) -> Option<&ScaleOutTaskSource> {
        newest(&self.sources, name)
    }

    /// How many versions there are.
    pub fn versions(&self) -> usize {
        self.objects.len() + self.sources.len()
    }
}

fn newest<'a, T>(seen: &'a [Seen<T>], name: &str) -> Option<&'a T> {
    let newest = seen.iter().rev().find(|seen| seen.name == name)?;
    newest.object.as_ref()
}

/// Records all versions. It starts before the first object is created.
pub struct Observer {
    seen: watch::Receiver<History>,
    watching: JoinHandle<()>,
}

impl Observer {
    pub fn start(objects: Api<ScaleOutTask>, sources: Api<ScaleOutTaskSource>) -> Self {
        let (sender, seen) = watch::channel(History::default());
        let watching = tokio::spawn(async move {
            let objects = follow(objects, WholeObject::from, |seen| {
                sender.send_modify(|history| history.objects.push(seen));
            });
            let sources = follow(
                sources,
                |source| source,
                |seen| {
                    sender.send_modify(|history| history.sources.push(seen));
                },
            );
            join(objects, sources).await;
        });
        Self { seen, watching }
    }

    /// Waits until everything is as `wanted`. Returns what is there if that takes too long.
    pub async fn until(
        &self,
        limit: Duration,
        wanted: impl Fn(&History) -> bool,
    ) -> Result<(), String> {
        let mut seen = self.seen.clone();
        let met = timeout(limit, seen.wait_for(wanted)).await;
        match met {
            Ok(Ok(_)) => Ok(()),
            _ => Err(self.now()),
        }
    }

    fn now(&self) -> String {
        let history = self.seen();
        let objects = history.objects.iter().map(|seen| &seen.name);
        let objects = objects.map(|name| (name, history.object(name)));
        let sources = history.sources.iter().map(|seen| &seen.name);
        let sources = sources.map(|name| (name, history.source(name)));
        let (objects, sources): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (objects.collect(), sources.collect());
        format!("there are {objects:#?} and {sources:#?}")
    }

    pub fn seen(&self) -> History {
        self.seen.borrow().clone()
    }
}

/// Watches all objects of a kind.
async fn follow<K, T>(api: Api<K>, convert: impl Fn(K) -> T, note: impl Fn(Seen<T>))
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Clone,
{
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let (object, is_there) = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => (object, true),
            Ok(watcher::Event::Delete(object)) => (object, false),
            _ => continue,
        };
        note(Seen {
            at: Instant::now(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            object: is_there.then(|| convert(object)),
        });
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

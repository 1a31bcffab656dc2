//! Watching the objects: one watch for each namespace, or one for all.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use kube::{Api, Client, Resource, core::NamespaceResourceScope, runtime::watcher};
use tracing::warn;

use super::{
    listing::Listing,
    nodes, sources,
    watch_log::{self, WatchLog},
    wire::PartialTask,
};
use crate::{
    metrics::Metrics,
    rules::{Object, ObjectKey},
    scheduler::Input,
    settings::Scope,
};

/// A silence on a connection that is longer than this is a failure.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A watch is ended and taken up again before it can be silent for so long, in seconds.
pub const WATCH_SECONDS: u32 = 40;
/// Pages of a list where the API server can't stream one. An object may have 1.5 MiB, and a page is held whole.
const PAGE_SIZE: u32 = 8;

/// What a watch brings for the scheduler, or the number of a watch that won't work unless somebody mends something.
pub type Watched = Result<Input, usize>;

/// All watches together. Never ends; what fails is logged and retried, and stops no other.
pub fn watch(
    client: &Client,
    scope: &Scope,
    metrics: &Arc<Metrics>,
) -> impl Stream<Item = Watched> + Send + use<> {
    let namespaces: Vec<Option<String>> = if scope.namespaces.is_empty() {
        vec![None]
    } else {
        scope.namespaces.iter().cloned().map(Some).collect()
    };
    let watches = namespaces.iter().enumerate().map(|(id, namespace)| {
        let api = api_of(client, namespace.as_deref());
        let log = WatchLog::new(watch_log::Kind::Tasks(namespace.clone()), metrics.clone());
        watch_one(id, api, scope.selector.as_str(), log).boxed()
    });
    let mut watches: Vec<_> = watches.collect();
    for (id, namespace) in namespaces.iter().enumerate().filter(|_| scope.sources) {
        let api = api_of(client, namespace.as_deref());
        let log = WatchLog::new(watch_log::Kind::Sources(namespace.clone()), metrics.clone());
        let sources = sources::watch(id, api, scope.selector.as_str(), log);
        let number = scope.sources_watch(id);
        watches.push(
            sources
                .map(move |source| source.map_err(|_| number))
                .boxed(),
        );
    }
    if let Some(id) = scope.nodes_watch() {
        let nodes = nodes::watch(client, metrics).map(move |node| node.map_err(|_| id));
        watches.push(nodes.boxed());
    }
    stream::select_all(watches)
}

fn api_of<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(name) => Api::namespaced(client.clone(), name),
        None => Api::all(client.clone()),
    }
}

fn watch_one(
    id: usize,
    api: Api<PartialTask>,
    selector: &str,
    log: WatchLog,
) -> impl Stream<Item = Watched> + Send + use<> {
    logged(Listing::watch(api, config(selector)), log).map(move |event| match event {
        Ok(event) => Ok(input_of(id, event)),
        Err(HoldsUpNothing) => Err(id),
    })
}

/// How objects and sources with these labels are watched.
pub fn config(selector: &str) -> watcher::Config {
    watcher::Config::default()
        .labels(selector)
        .page_size(PAGE_SIZE)
        .timeout(WATCH_SECONDS)
}

/// A watch fails, and nothing is to be waited for from it before somebody mends something.
pub struct HoldsUpNothing;

/// The events of a watch, whose failures are logged.
pub fn logged<K>(
    results: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    mut log: WatchLog,
) -> impl Stream<Item = Result<watcher::Event<K>, HoldsUpNothing>> + Send
where
    K: Send,
{
    results.filter_map(move |result| {
        let event = match result {
            Ok(event) => {
                // `Init` only announces another attempt.
                if !matches!(event, watcher::Event::Init) {
                    log.works();
                }
                Some(Ok(event))
            }
            Err(error) => log.fails(&error).then_some(Err(HoldsUpNothing)),
        };
        async { event }
    })
}

/// From an event of a watch to an input of the scheduler.
fn input_of(watch: usize, event: watcher::Event<PartialTask>) -> Input {
    match event {
        watcher::Event::Init => Input::Relisting(watch),
        watcher::Event::InitDone => Input::ListingDone(watch),
        watcher::Event::InitApply(task) => read(task, |object| Input::Listed(watch, object)),
        watcher::Event::Apply(task) => read(task, |object| Input::Applied(watch, object)),
        watcher::Event::Delete(task) => Input::Gone(task.key()),
    }
}

/// An object that can't be read is left alone until it can.
fn read(task: PartialTask, input: impl FnOnce(Box<Object>) -> Input) -> Input {
    let key = task.key();
    match task.object {
        Ok(object) => input(object),
        Err(error) => {
            let ObjectKey { namespace, name } = &key;
            warn!(
                %namespace,
                %name,
                error,
                "the object can't be read and is left alone: is the CRD of another version?"
            );
            Input::Gone(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(task_id: &serde_json::Value) -> PartialTask {
        let object = json!({
            "metadata": { "namespace": "ns", "name": "one" },
            "spec": { "taskId": task_id },
        });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn an_object_that_cannot_be_read_is_left_alone_and_stops_nothing() {
        let bad = input_of(0, watcher::Event::Apply(task(&json!(5))));
        assert!(matches!(bad, Input::Gone(key) if key.to_string() == "ns/one"));
        let good = input_of(0, watcher::Event::Apply(task(&json!("T-1"))));
        assert!(matches!(good, Input::Applied(0, object) if &*object.spec.task_id == "T-1"));
    }
}

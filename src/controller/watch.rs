//! Watching the objects: one watch for each namespace, or one for all.

use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        utils::{Backoff, ResetTimerBackoff},
        watcher::{self, watcher},
    },
};
use tracing::{info, warn};

use super::watched::Watched;
use crate::{
    cli::Scope,
    core::{Event, Object, ObjectKey},
};

/// A silence on a connection that is longer than this is a failure.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A watch is ended and taken up again before it can be silent for so long, in seconds.
const WATCH_SECONDS: u32 = 40;
/// Pages of the first list: small, so that its memory doesn't grow with the cluster.
const PAGE_SIZE: u32 = 250;

/// All watches together, as events of the tracker. Never ends; what fails is said and tried again.
pub fn watch(client: &Client, scope: &Scope) -> impl Stream<Item = Event> + Send + use<> {
    let apis: Vec<Api<Watched>> = if scope.namespaces.is_empty() {
        vec![Api::all(client.clone())]
    } else {
        let each = scope.namespaces.iter();
        each.map(|name| Api::namespaced(client.clone(), name))
            .collect()
    };
    let selector = scope.selector.as_str();
    stream::select_all(
        apis.into_iter()
            .enumerate()
            .map(|(id, api)| watch_one(id, api, selector).boxed()),
    )
}

fn watch_one(
    id: usize,
    api: Api<Watched>,
    selector: &str,
) -> impl Stream<Item = Event> + Send + use<> {
    let config = watcher::Config::default()
        .labels(selector)
        .page_size(PAGE_SIZE)
        .timeout(WATCH_SECONDS);
    let mut trouble = Trouble::default();
    restarting(api, config)
        .backoff(Patience::default())
        .filter_map(move |result| {
            let event = match result {
                Ok(event) => {
                    // `Init` only announces another attempt.
                    if !matches!(event, watcher::Event::Init) {
                        trouble.over();
                    }
                    Some(translate(id, event))
                }
                Err(error) => {
                    trouble.tell(&error);
                    None
                }
            };
            async { event }
        })
}

/// The watcher; begun anew where the API server answers 410 to the start of a watch: kube's goes on
/// asking for the version that is gone.
fn restarting(
    api: Api<Watched>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<watcher::Event<Watched>>> + Send {
    let begin = move || watcher(api.clone(), config.clone()).boxed();
    stream::unfold(begin(), move |mut events| {
        let begin = begin.clone();
        async move {
            let event = events.next().await?;
            if let Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) = &event
                && status.code == 410
            {
                events = begin();
            }
            Some((event, events))
        }
    })
}

fn translate(id: usize, event: watcher::Event<Watched>) -> Event {
    match event {
        watcher::Event::Init => Event::Relisting(id),
        watcher::Event::InitDone => Event::ListingDone(id),
        watcher::Event::InitApply(watched) => read(watched, |object| Event::Listed(id, object)),
        watcher::Event::Apply(watched) => read(watched, |object| Event::Applied(id, object)),
        watcher::Event::Delete(watched) => Event::Gone(watched.key()),
    }
}

/// An object that can't be read is left alone until it can.
fn read(watched: Watched, event: impl FnOnce(Box<Object>) -> Event) -> Event {
    let key = watched.key();
    match watched.object {
        Ok(object) => event(object),
        Err(error) => {
            let ObjectKey { namespace, name } = &key;
            warn!(
                namespace,
                name,
                error,
                "the object can't be read and is left alone: is the CRD of another version?"
            );
            Event::Gone(key)
        }
    }
}

/// Grows with failures, and starts anew only after some time without any: the watcher's `Init`
/// before each attempt to list counts as a success elsewhere.
struct Patience(ResetTimerBackoff<watcher::ExponentialBackoff>);

impl Default for Patience {
    fn default() -> Self {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            // Its jitter comes on top, up to as much again.
            .with_max_delay(Duration::from_millis(2500))
            .with_jitter()
            .without_max_times();
        Self(ResetTimerBackoff::new(
            backoff.into(),
            Duration::from_secs(30),
        ))
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

/// Says what is wrong once, not at every attempt.
#[derive(Default)]
struct Trouble {
    told: Option<String>,
}

impl Trouble {
    fn tell(&mut self, error: &watcher::Error) {
        let text = error.to_string();
        if self.told.as_ref() == Some(&text) {
            return;
        }
        let hint = match status_code(error) {
            Some(404) => "apply crds/scaleouttasks.yaml",
            Some(401) => "check the kubeconfig's or service account's credentials",
            Some(403) => "grant list and watch on scaleouttasks.scaleout.dev",
            // The version is compacted away: the watcher lists anew.
            Some(410) => return,
            _ => "is the API server up?",
        };
        warn!(
            error = text,
            hint, "can't watch ScaleOutTasks; trying again"
        );
        self.told = Some(text);
    }

    fn over(&mut self) {
        if self.told.take().is_some() {
            info!("watching ScaleOutTasks again");
        }
    }
}

fn status_code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_that_cannot_be_read_is_left_alone_and_stops_nothing() {
        let watched = |task_id| {
            let object = json!({
                "metadata": { "namespace": "ns", "name": "one" },
                "spec": { "taskId": task_id },
            });
            serde_json::from_str::<Watched>(&object.to_string()).unwrap()
        };
        let bad = translate(0, watcher::Event::Apply(watched(json!(5))));
        assert!(matches!(bad, Event::Gone(key) if key.to_string() == "ns/one"));
        let good = translate(0, watcher::Event::Apply(watched(json!("T-1"))));
        assert!(matches!(good, Event::Applied(0, object) if object.spec.task_id == "T-1"));
    }
}

//! Watching the objects: one watch for each namespace, or one for all.

use std::{sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        utils::{Backoff, ResetTimerBackoff},
        watcher::{self, watcher},
    },
};
use tracing::{debug, info, warn};

use super::wire::PartialTask;
use crate::{
    metrics::Metrics,
    rules::{Object, ObjectKey},
    scheduler::Input,
    settings::Scope,
};

/// A silence on a connection that is longer than this is a failure.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A watch is ended and taken up again before it can be silent for so long, in seconds.
const WATCH_SECONDS: u32 = 40;
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
    let watches = namespaces.into_iter().enumerate().map(|(id, namespace)| {
        let api = match &namespace {
            Some(name) => Api::namespaced(client.clone(), name),
            None => Api::all(client.clone()),
        };
        let log = WatchLog::new(namespace, metrics.clone());
        watch_one(id, api, scope.selector.as_str(), log).boxed()
    });
    stream::select_all(watches)
}

fn watch_one(
    id: usize,
    api: Api<PartialTask>,
    selector: &str,
    mut log: WatchLog,
) -> impl Stream<Item = Watched> + Send + use<> {
    let config = watcher::Config::default()
        .labels(selector)
        .page_size(PAGE_SIZE)
        .timeout(WATCH_SECONDS);
    Listing::watch(api, config)
        .backoff(Patience::default())
        .filter_map(move |result| {
            let watched = match result {
                Ok(event) => {
                    // `Init` only announces another attempt.
                    if !matches!(event, watcher::Event::Init) {
                        log.works();
                    }
                    Some(Ok(input_of(id, event)))
                }
                Err(error) => {
                    log.fails(&error);
                    let needs_a_person = matches!(status_code(&error), Some(401 | 403 | 404));
                    needs_a_person.then_some(Err(id))
                }
            };
            async { watched }
        })
}

type WatchResult = watcher::Result<watcher::Event<PartialTask>>;

/// A watch, and how its lists come: as a stream, of which one object is read at a time, or where that
/// doesn't work, in pages.
struct Listing {
    api: Api<PartialTask>,
    config: watcher::Config,
    events: BoxStream<'static, WatchResult>,
    mode: ListMode,
    /// Whether a list began that isn't done.
    in_progress: bool,
}

/// How a list comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListMode {
    /// As a stream.
    Stream,
    /// In pages, for its stream broke off or took longer than a watch may.
    Pages,
    /// It came in pages; the next one streams again.
    PagesDone,
    /// In pages always: the API server streams none.
    PagesAlways,
}

impl Listing {
    fn watch(
        api: Api<PartialTask>,
        config: watcher::Config,
    ) -> impl Stream<Item = WatchResult> + Send {
        let mut listing = Self {
            api,
            config,
            events: stream::empty().boxed(),
            mode: ListMode::Stream,
            in_progress: false,
        };
        listing.begin(ListMode::Stream);
        stream::unfold(listing, async |mut listing| {
            let event = listing.next().await?;
            Some((event, listing))
        })
    }

    fn begin(&mut self, mode: ListMode) {
        let config = self.config.clone();
        let config = if mode == ListMode::Stream {
            config.streaming_lists()
        } else {
            debug!("the list comes in pages: the API server doesn't stream it");
            config
        };
        self.mode = mode;
        self.in_progress = false;
        self.events = watcher(self.api.clone(), config).boxed();
    }

    async fn next(&mut self) -> Option<WatchResult> {
        loop {
            let event = self.events.next().await?;
            match (&event, self.mode) {
                (Ok(watcher::Event::Init), ListMode::Stream) if self.in_progress => {
                    self.begin(ListMode::Pages);
                    continue;
                }
                (Ok(watcher::Event::Init), ListMode::PagesDone) => {
                    self.begin(ListMode::Stream);
                    continue;
                }
                (Ok(watcher::Event::Init), _) => self.in_progress = true,
                (Ok(watcher::Event::InitDone), mode) => {
                    self.in_progress = false;
                    if mode == ListMode::Pages {
                        self.mode = ListMode::PagesDone;
                    }
                }
                // Without the feature gate WatchList the API server calls it invalid.
                (Err(error), ListMode::Stream) if is_refused_stream(error) => {
                    self.begin(ListMode::PagesAlways);
                    continue;
                }
                // kube's watcher goes on asking for the version that is gone.
                (Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))), mode)
                    if status.code == 410 =>
                {
                    self.begin(match mode {
                        ListMode::PagesAlways => mode,
                        _ => ListMode::Stream,
                    });
                }
                _ => {}
            }
            return Some(event);
        }
    }
}

fn is_refused_stream(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else {
        return false;
    };
    matches!(status.code, 400 | 422)
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

/// Grows with failures, and starts anew only after some time without any: the watcher's `Init`
/// before each attempt to list would count as a success.
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

/// Logs what is wrong once, not at every attempt, and shows it as a metric.
struct WatchLog {
    /// The namespace; none for all.
    namespace: Option<String>,
    metrics: Arc<Metrics>,
    logged: Option<String>,
    is_up: Option<bool>,
}

impl WatchLog {
    fn new(namespace: Option<String>, metrics: Arc<Metrics>) -> Self {
        Self {
            namespace,
            metrics,
            logged: None,
            is_up: None,
        }
    }

    fn show(&mut self, is_up: bool) {
        if self.is_up != Some(is_up) {
            self.is_up = Some(is_up);
            self.metrics.watches(self.namespace.as_deref(), is_up);
        }
    }

    fn fails(&mut self, error: &watcher::Error) {
        // The version is compacted away: the watcher lists anew.
        if status_code(error) == Some(410) {
            return;
        }
        self.show(false);
        let text = error.to_string();
        if self.logged.as_ref() == Some(&text) {
            return;
        }
        let hint = match status_code(error) {
            Some(404) => "apply crds/scaleouttasks.yaml",
            Some(401) => "check the kubeconfig's or service account's credentials",
            Some(403) => "grant list and watch on scaleouttasks.scaleout.dev",
            _ => "is the API server up?",
        };
        let namespace = self.namespace.as_deref();
        warn!(
            namespace,
            error = text,
            hint,
            "can't watch ScaleOutTasks; retrying"
        );
        self.logged = Some(text);
    }

    fn works(&mut self) {
        self.show(true);
        if self.logged.take().is_some() {
            let namespace = self.namespace.as_deref();
            info!(namespace, "watching ScaleOutTasks again");
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

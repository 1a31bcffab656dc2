//! A watch of one kind of object, and how its lists come.

use std::{fmt::Debug, time::Duration};

use backon::ExponentialBuilder;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        utils::{Backoff, ResetTimerBackoff},
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tracing::debug;

type WatchResult<K> = watcher::Result<watcher::Event<K>>;

/// A watch, and how its lists come: as a stream, of which one object is read at a time, or where that
/// doesn't work, in pages.
pub struct Listing<K> {
    api: Api<K>,
    config: watcher::Config,
    events: BoxStream<'static, WatchResult<K>>,
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

impl<K> Listing<K>
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Watches for ever, with pauses after failures.
    pub fn watch(
        api: Api<K>,
        config: watcher::Config,
    ) -> impl Stream<Item = WatchResult<K>> + Send {
        let mut listing = Self {
            api,
            config,
            events: stream::empty().boxed(),
            mode: ListMode::Stream,
            in_progress: false,
        };
        listing.begin(ListMode::Stream);
        let events = stream::unfold(listing, async |mut listing| {
            let event = listing.next().await?;
            Some((event, listing))
        });
        events.backoff(Patience::default())
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

    async fn next(&mut self) -> Option<WatchResult<K>> {
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

//! The objects as they are and change: a list, then a watch from there, through all that breaks it.
//!
//! Not kube-runtime's watcher: this one can begin where an object was made, so that nothing that befalls it is missed,
//! and tells a connection that broke from a refusal.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use futures::StreamExt;
use kube::{
    ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use scaleouttask_controller::api::ScaleOutTask;
use tokio::{
    sync::mpsc,
    time::{Instant, error::Elapsed, sleep, timeout},
};

use crate::{
    board::Update,
    cluster::{Cluster, REQUEST_TIMEOUT},
    failure::{Failure, Verb, deepest},
    retries::{Next, Retries},
    row::Row,
};

/// How many objects a page has: each may be large, and only its row is kept.
const PAGE: u32 = 50;
/// The API server ends a watch after this, in seconds.
const WATCH_SECONDS: u32 = 240;
/// Bookmarks come once a minute. A connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(100);
/// A watch that stands so long is one.
const STEADY: Duration = Duration::from_secs(2);

/// Which objects.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Those of these names; all if there are none.
    pub names: Vec<String>,
    /// Those with these labels.
    pub labels: Option<String>,
    /// This one only, from a known moment on.
    pub start: Option<Start>,
}

/// An object, and the moment from which on it is watched.
#[derive(Clone, Debug)]
pub struct Start {
    pub uid: String,
    pub version: String,
}

/// What is told of the objects. It ends after a failure.
pub type Updates = mpsc::Receiver<Result<Update, Failure>>;

/// Begins to watch.
pub fn start(cluster: Cluster, query: Query) -> Updates {
    let (sender, updates) = mpsc::channel(64);
    let mut watch = Watch {
        version: query.start.as_ref().map(|start| start.version.clone()),
        retries: Retries::new(query.start.is_some()),
        cluster,
        query,
        sender,
        is_back: false,
        chosen: BTreeMap::new(),
    };
    tokio::spawn(async move {
        if let Err(failure) = watch.run().await {
            // Where nobody listens any more, nobody needs to know.
            let _ = watch.sender.send(Err(failure)).await;
        }
    });
    updates
}

struct Watch {
    cluster: Cluster,
    query: Query,
    sender: mpsc::Sender<Result<Update, Failure>>,
    /// Where the next watch begins; none where all are to be listed.
    version: Option<String>,
    /// Whether that it can be asked was told.
    is_back: bool,
    /// Namespace and name of the objects that labels chose, by UID: they may lose them.
    chosen: BTreeMap<String, (String, String)>,
    retries: Retries,
}

/// Why a list or watch broke off.
enum Break {
    Api(kube::Error),
    /// No answer in time.
    Silence,
    /// An answer that no API server gives.
    Odd(&'static str),
    /// Nobody listens any more.
    Unheard,
}

impl From<kube::Error> for Break {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl From<Elapsed> for Break {
    fn from(_: Elapsed) -> Self {
        Self::Silence
    }
}

impl Watch {
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let (verb, done) = match self.version.clone() {
                None => (Verb::List, self.list().await),
                Some(version) => (Verb::Watch, self.watch(version).await),
            };
            match done {
                // A watch ends from time to time.
                Ok(()) if verb == Verb::Watch => self.rest().await,
                Ok(()) => {}
                Err(Break::Unheard) => return Ok(()),
                Err(Break::Silence) => self.pause("no answer in time").await,
                Err(Break::Odd(what)) => self.pause(what).await,
                Err(Break::Api(error)) => self.trouble(&error, verb).await?,
            }
        }
    }

    /// Lists all, page by page.
    async fn list(&mut self) -> Result<(), Break> {
        let api = self.cluster.objects();
        let mut params = ListParams::default().limit(PAGE);
        params.field_selector = self.fields();
        params.label_selector.clone_from(&self.query.labels);
        let mut uids = BTreeSet::new();
        let version = loop {
            let page = timeout(REQUEST_TIMEOUT, api.list(&params)).await??;
            self.retries.accepted(Verb::List);
            for object in &page.items {
                uids.extend(object.uid());
                self.see(object).await?;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(_) if page.items.is_empty() => {
                    return Err(Break::Odd("its list has no end"));
                }
                Some(token) => params.continue_token = Some(token),
                None => break page.metadata.resource_version,
            }
        };
        let version = version.filter(|version| !version.is_empty());
        let version = version.ok_or(Break::Odd("its list has no resourceVersion"))?;
        let missing = self.chosen.iter().filter(|(uid, _)| !uids.contains(*uid));
        let missing: Vec<_> = missing.map(|(uid, at)| (uid.clone(), at.clone())).collect();
        for (uid, (namespace, name)) in missing {
            if self.is_there(&uid, &namespace, &name).await? {
                self.tell(Update::Left(uid.clone())).await?;
            }
            self.chosen.remove(&uid);
        }
        self.retries.listed();
        self.back().await?;
        self.tell(Update::Listed(uids)).await?;
        self.version = Some(version);
        Ok(())
    }

    async fn see(&mut self, object: &ScaleOutTask) -> Result<(), Break> {
        if !self.is_meant(object) {
            return Ok(());
        }
        let row = Row::of(object);
        if self.query.labels.is_some() {
            let at = (row.namespace.clone(), row.name.clone());
            self.chosen.insert(row.uid.clone(), at);
        }
        self.tell(Update::Seen(Box::new(row))).await
    }

    /// Watches from there on, until the API server ends it.
    async fn watch(&mut self, version: String) -> Result<(), Break> {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.field_selector = self.fields();
        params.label_selector.clone_from(&self.query.labels);
        let api = self.cluster.objects();
        let events = timeout(REQUEST_TIMEOUT, api.watch(&params, &version)).await??;
        self.retries.accepted(Verb::Watch);
        let mut events = pin!(events);
        let mut wait = STEADY;
        loop {
            let event = timeout(wait, events.next()).await;
            let is_quiet = event.is_err() && wait == STEADY;
            wait = SILENCE;
            if is_quiet {
                self.progressed().await?;
                continue;
            }
            let Some(event) = event? else {
                return Ok(());
            };
            let event = event?;
            if !matches!(event, WatchEvent::Error(_)) {
                self.progressed().await?;
            }
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.version = object.resource_version();
                    self.see(&object).await?;
                }
                WatchEvent::Deleted(object) => {
                    if self.is_meant(&object) {
                        let update = self.gone(&object).await?;
                        self.tell(update).await?;
                    }
                    self.version = object.resource_version();
                }
                WatchEvent::Bookmark(bookmark) => {
                    self.version = Some(bookmark.metadata.resource_version);
                }
                WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
            }
        }
    }

    /// An object that lost its label leaves the watch as one that was deleted does.
    async fn gone(&mut self, object: &ScaleOutTask) -> Result<Update, Break> {
        let row = Box::new(Row::of(object));
        let is_chosen = self.chosen.contains_key(&row.uid);
        let is_there = is_chosen && self.is_there(&row.uid, &row.namespace, &row.name).await?;
        self.chosen.remove(&row.uid);
        Ok(if is_there {
            Update::Left(row.uid)
        } else {
            Update::Gone(row)
        })
    }

    /// Whether an object that the labels don't choose any more is still there. Asked by a list, for which nothing more
    /// needs to be allowed than for the rest.
    async fn is_there(&self, uid: &str, namespace: &str, name: &str) -> Result<bool, Break> {
        let api = self.cluster.objects_in(namespace);
        let params = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = timeout(REQUEST_TIMEOUT, api.list_metadata(&params)).await??;
        Ok(found
            .items
            .iter()
            .any(|object| object.uid().as_deref() == Some(uid)))
    }

    /// A selector for one name: who may see only that one may use it.
    fn fields(&self) -> Option<String> {
        match self.query.names.as_slice() {
            [name] => Some(format!("metadata.name={name}")),
            _ => None,
        }
    }

    fn is_meant(&self, object: &ScaleOutTask) -> bool {
        let query = &self.query;
        let by_name = query.names.is_empty() || query.names.contains(&object.name_any());
        let by_uid = query
            .start
            .as_ref()
            .is_none_or(|start| object.uid().as_deref() == Some(&start.uid));
        by_name && by_uid
    }

    async fn tell(&self, update: Update) -> Result<(), Break> {
        self.sender
            .send(Ok(update))
            .await
            .map_err(|_| Break::Unheard)
    }

    /// The watch works.
    async fn progressed(&mut self) -> Result<(), Break> {
        self.retries.watched();
        self.back().await
    }

    async fn back(&mut self) -> Result<(), Break> {
        if std::mem::replace(&mut self.is_back, true) {
            return Ok(());
        }
        self.tell(Update::Back).await
    }

    /// Waits until it is tried again; fails where it isn't.
    async fn trouble(&mut self, error: &kube::Error, verb: Verb) -> Result<(), Failure> {
        let site = self.cluster.site();
        let code = match error {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        };
        let mut why = match code {
            Some(code) => format!("it answers {code}"),
            None => deepest(error, &site.program),
        };
        match self.retries.failed(code, verb, Instant::now()) {
            Next::GiveUp => return Err(Failure::of(error, verb, &site)),
            Next::ListAnew => {
                self.version = None;
                self.rest().await;
                return Ok(());
            }
            Next::RenewCredentials => {
                // Before a program that may take its time.
                self.lost(&why).await;
                if let Err(error) = self.cluster.reconnect().await {
                    why = error;
                }
            }
            Next::TryAgain => {}
        }
        self.pause(&why).await;
        Ok(())
    }

    async fn pause(&mut self, why: &str) {
        self.lost(why).await;
        self.rest().await;
    }

    async fn lost(&mut self, why: &str) {
        self.is_back = false;
        // Where nobody listens any more, the next thing told ends this.
        let _ = self.tell(Update::Lost(why.to_owned())).await;
    }

    async fn rest(&mut self) {
        sleep(self.retries.pause()).await;
    }
}

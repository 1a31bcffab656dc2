//! What the log and the metrics say of the watches.

use std::sync::Arc;

use kube::runtime::watcher;
use tracing::{info, warn};

use crate::metrics::Metrics;

/// What is watched.
pub enum Kind {
    /// `ScaleOutTask`s, in one namespace or in all.
    Tasks(Option<String>),
    /// `ScaleOutTaskSource`s, in one namespace or in all.
    Sources(Option<String>),
    /// The cluster's Nodes.
    Nodes,
}

/// Logs what is wrong once, not at every attempt, and shows it as a metric.
pub struct WatchLog {
    kind: Kind,
    metrics: Arc<Metrics>,
    logged: Option<String>,
    is_up: Option<bool>,
}

impl WatchLog {
    pub fn new(kind: Kind, metrics: Arc<Metrics>) -> Self {
        Self {
            kind,
            metrics,
            logged: None,
            is_up: None,
        }
    }

    fn show(&mut self, is_up: bool) {
        if self.is_up != Some(is_up) {
            self.is_up = Some(is_up);
            match &self.kind {
                Kind::Tasks(namespace) => self.metrics.watches(namespace.as_deref(), is_up),
                Kind::Sources(namespace) => {
                    self.metrics.watches_sources(namespace.as_deref(), is_up);
                }
                Kind::Nodes => self.metrics.watches_nodes(is_up),
            }
        }
    }

    /// An attempt failed. Returns whether nothing is to be waited for: it won't work unless somebody mends something.
    pub fn fails(&mut self, error: &watcher::Error) -> bool {
        let code = status_code(error);
        self.tell(error, code);
        // The objects are tracked without Nodes too: they hold nothing up. A CRD that is missing is missing in all
        // namespaces.
        matches!(self.kind, Kind::Nodes) || matches!(code, Some(401 | 403))
    }

    fn tell(&mut self, error: &watcher::Error, code: Option<u16>) {
        // The version is compacted away: the watcher lists anew.
        if code == Some(410) {
            return;
        }
        self.show(false);
        let text = error.to_string();
        if self.logged.as_ref() == Some(&text) {
            return;
        }
        let hint = match (code, &self.kind) {
            (Some(404), Kind::Tasks(_)) => "apply crds/scaleouttasks.yaml",
            (Some(404), Kind::Sources(_)) => {
                "apply crds/scaleouttasksources.yaml, or leave --sources out"
            }
            (Some(403), Kind::Sources(_)) => {
                "grant list and watch on scaleouttasksources.scaleout.dev, or leave --sources out"
            }
            (Some(401), _) => "check the kubeconfig's or service account's credentials",
            (Some(403), Kind::Tasks(_)) => "grant list and watch on scaleouttasks.scaleout.dev",
            (Some(403), Kind::Nodes) => "grant list and watch on nodes, or leave --nodes out",
            _ => "is the API server up?",
        };
        match &self.kind {
            Kind::Tasks(namespace) => {
                let namespace = namespace.as_deref();
                warn!(
                    namespace,
                    error = text,
                    hint,
                    "can't watch ScaleOutTasks; retrying"
                );
            }
            Kind::Sources(namespace) => {
                let namespace = namespace.as_deref();
                warn!(
                    namespace,
                    error = text,
                    hint,
                    "can't watch ScaleOutTaskSources; retrying"
                );
            }
            Kind::Nodes => warn!(error = text, hint, "can't watch nodes; retrying"),
        }
        self.logged = Some(text);
    }

    /// The watch brought something.
    pub fn works(&mut self) {
        self.show(true);
        if self.logged.take().is_none() {
            return;
        }
        match &self.kind {
            Kind::Tasks(namespace) => {
                let namespace = namespace.as_deref();
                info!(namespace, "watching ScaleOutTasks again");
            }
            Kind::Sources(namespace) => {
                let namespace = namespace.as_deref();
                info!(namespace, "watching ScaleOutTaskSources again");
            }
            Kind::Nodes => info!("watching nodes again"),
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

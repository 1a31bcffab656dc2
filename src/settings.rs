//! What `run` runs with: checked, and in the types that the parts want.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::{scheduler, selector::Selector};

/// All settings of `run`.
#[derive(Debug)]
pub struct Settings {
    /// How objects are decided about, and where the task API is.
    pub scheduler: scheduler::Config,
    /// How long a call may take.
    pub request_timeout: Duration,
    /// Whether calls are signed.
    pub credentials: CredentialsMode,
    /// A directory with an access key in files, which goes before all other sources.
    pub credentials_directory: Option<PathBuf>,
    /// A file of rules that say which namespace may ask what.
    pub access_file: Option<PathBuf>,
    /// Whether credentials may be fetched by plain http.
    pub allow_insecure: bool,
    /// Which objects are this controller's.
    pub scope: Scope,
    /// The Lease to work under; none for a controller without replicas.
    pub lease: Option<LeaseSettings>,
    /// Where health and metrics are served.
    pub admin_address: SocketAddr,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What to log.
    pub log_filter: EnvFilter,
}

/// Where the credentials for the task API come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CredentialsMode {
    /// The vendor's chain: environment, OIDC (RRSA), CLI profile, credentials file, ECS RAM role,
    /// credentials URI.
    Default,
    /// None: calls are not signed, as for a simulated task API.
    None,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which objects are this controller's.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The namespaces to watch; empty for all.
    pub namespaces: Vec<String>,
    /// The labels that they must have.
    pub selector: Selector,
    /// Whether to watch the cluster's Nodes too.
    pub nodes: bool,
    /// Whether to watch `ScaleOutTaskSource`s too.
    pub sources: bool,
}

impl Scope {
    /// The number of the watch of Nodes, if there is one.
    #[must_use]
    pub fn nodes_watch(&self) -> Option<usize> {
        self.nodes.then(|| self.namespaces.len().max(1))
    }

    /// The number of the watch of sources beside that watch of objects.
    #[must_use]
    pub fn sources_watch(&self, objects_watch: usize) -> usize {
        self.namespaces.len().max(1) + usize::from(self.nodes) + objects_watch
    }

    /// The number of watches: this many lists must be done before all is known.
    #[must_use]
    pub fn watches(&self) -> usize {
        let namespaces = self.namespaces.len().max(1);
        let sources = if self.sources { namespaces } else { 0 };
        namespaces + usize::from(self.nodes) + sources
    }
}

/// Which Lease to work under.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Its name.
    pub name: String,
    /// Its namespace; by default the pod's own, else the kubeconfig's.
    pub namespace: Option<String>,
}

//! The shell: it feeds the tracker what happens and carries out what it asks for.

mod calls;
mod engine;
mod notices;
mod patch;
mod watch;
mod writes;

use std::{io, net::SocketAddr, sync::Arc};

use kube::{Client, Config};
use thiserror::Error;
use tracing::{info, warn};

use crate::{
    admin::{self, Health},
    cli::{CredentialsArg, Settings},
    metrics::Metrics,
    task_api::{
        ClientOptions, TaskApi, credentials::SharedCredentials, endpoint::is_loopback_host,
    },
};

/// The name that Events and the API server know this program by.
const NAME: &str = "scaleouttask-controller";

/// Why the controller can't start. Nothing that the cluster or the cloud does ends it later.
#[derive(Debug, Error)]
pub enum StartError {
    /// Neither a kubeconfig nor a pod's service account.
    #[error(
        "no cluster to work with: set KUBECONFIG to a readable kubeconfig, or run in a pod ({0})"
    )]
    Cluster(String),
    /// The admin address is taken or isn't this machine's.
    #[error("can't listen on --admin-address {0}: {1}; choose another address")]
    Admin(SocketAddr, #[source] io::Error),
    /// The TLS library can't be set up.
    #[error("can't set up HTTPS: {0}; are root certificates installed?")]
    Https(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Credentials that are configured in a way that can never work.
    #[error("{0}")]
    Credentials(String),
}

/// Runs the controller until `shutdown` ends, and then at most a few seconds more.
///
/// # Errors
/// Where it can't start.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    let client = connect().await?;
    let listener = admin::bind(settings.admin_address)
        .await
        .map_err(|error| StartError::Admin(settings.admin_address, error))?;
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving /livez, /readyz and /metrics");
    }
    let task_api = task_api(&settings)?;
    let metrics = Arc::new(Metrics::default());
    let health = Arc::new(Health::default());
    let served = tokio::spawn(admin::serve(listener, health.clone(), metrics.clone()));

    let engine = engine::Engine::new(client, task_api, settings, metrics, health);
    engine.run(shutdown).await;
    served.abort();
    Ok(())
}

/// The cluster is found as kubectl finds it.
async fn connect() -> Result<Client, StartError> {
    let inferred = Config::infer().await;
    let mut config = inferred.map_err(|error| StartError::Cluster(first_line(&error)))?;
    // As Go's clients do: a proxy stands between machines.
    if config.cluster_url.host().is_some_and(is_loopback_host) {
        config.proxy_url = None;
    }
    // Retries here would be unbounded and unseen: the engine has its own.
    config.default_retry = false;
    // An API server that takes a connection and never answers is found out …
    config.read_timeout = Some(watch::SILENCE_MAX);
    // … and one that wasn't asked anything for a while is not taken for silent.
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| {
        StartError::Cluster(match error {
            // Their text holds the proxy's URL, and that may hold a password.
            kube::Error::ProxyProtocolUnsupported { .. }
            | kube::Error::ProxyProtocolDisabled { .. } => {
                "the proxy's protocol isn't supported: name an http:// or https:// one".to_owned()
            }
            error => first_line(&error),
        })
    })
}

/// What follows the first line of an error about a kubeconfig may be a part of that file.
fn first_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

fn task_api(settings: &Settings) -> Result<TaskApi, StartError> {
    let credentials = match settings.credentials {
        CredentialsArg::None => None,
        CredentialsArg::Default => {
            let shared = SharedCredentials::from_environment(settings.allow_insecure)
                .map_err(|error| StartError::Credentials(error.to_string()))?;
            if let Some(source) = shared.source() {
                info!(%source, "credentials chosen");
            } else {
                warn!("no credentials are configured: calls will fail until they are");
            }
            Some(shared)
        }
    };
    TaskApi::new(&ClientOptions {
        endpoints: settings.endpoints.clone(),
        request_timeout: settings.request_timeout,
        credentials,
    })
    .map_err(|error| StartError::Https(error.into()))
}

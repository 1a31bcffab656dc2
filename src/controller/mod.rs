//! The shell: it passes what happens to the scheduler as inputs, and carries out the effects that
//! the scheduler returns.

mod cluster;
mod connections;
mod deviations;
mod engine;
mod events;
mod fence;
mod jobs;
mod kept_secrets;
mod lease;
mod listing;
mod nodes;
mod poller;
mod reconnect;
mod secrets;
mod sources;
mod watch;
mod watch_log;
mod wire;
mod writer;

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, header::USER_AGENT};
use kube::Client;
use thiserror::Error;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle, time::timeout};
use tracing::{info, warn};

use self::{
    engine::Engine,
    fence::Fence,
    lease::{Candidate, LeaseName},
    poller::Poller,
    reconnect::Reconnecting,
    secrets::Secrets,
    writer::Writer,
};
use crate::{
    admin::{self, Health},
    certificates,
    clock::Clock,
    kubeconfig,
    metrics::Metrics,
    proxy::{Proxies, ProxyError},
    rules::first_chars,
    scheduler::{Config, Scheduler},
    settings::{CredentialsMode, LeaseSettings, Settings},
    task_api::{
        ClientOptions, TaskApi,
        credentials::{Roles, SharedCredentials, Surroundings},
    },
};

/// The name of this program in Events and towards the API server.
const NAME: &str = "scaleouttask-controller";

/// The longest name of a field manager.
const MANAGER_MAX: usize = 128;

/// How long releasing the Lease may take at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(1300);

/// Why the controller can't start. Once started, no error of the cluster or the cloud ends it.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is neither a kubeconfig nor a pod's service account.
    #[error(
        "no cluster to work with: set KUBECONFIG to a readable kubeconfig, or run in a pod ({0})"
    )]
    Cluster(String),
    /// The admin address is in use or not one of this machine.
    #[error("can't listen on --admin-address {0}: {1}; choose another address")]
    Admin(SocketAddr, #[source] io::Error),
    /// A variable doesn't name a proxy.
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    /// The TLS library can't be set up.
    #[error("can't set up HTTPS: {0}; are root certificates installed?")]
    Https(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The credentials are configured in a way that can never work.
    #[error("{0}")]
    Credentials(String),
}

/// Runs the controller until `shutdown` ends, and at most a few seconds longer.
///
/// # Errors
/// If it can't start.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    let mut shutdown = Box::pin(shutdown);
    certificates::tell_of_useless();
    // A kubeconfig may run a program for credentials, which blocks the thread.
    let handle = Handle::current();
    let proxies = Proxies::from_environment()?;
    let by = proxies.clone();
    let connecting = tokio::task::spawn_blocking(move || {
        let _runtime = handle.enter();
        connect(&by)
    });
    let (client, own_namespace) = tokio::select! {
        connected = connecting => connected.map_err(|error| StartError::Cluster(error.to_string()))??,
        () = &mut shutdown => return Ok(()),
    };
    let listener = admin::bind(settings.admin_address)
        .await
        .map_err(|error| StartError::Admin(settings.admin_address, error))?;
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving /livez, /readyz and /metrics");
    }
    let clock = Clock::start();
    let surroundings = Surroundings {
        clock: clock.clone(),
        proxies,
        allow_insecure: settings.allow_insecure,
    };
    let poller = Poller {
        task_api: task_api(&settings, &surroundings)?,
        secrets: Secrets::new(client.clone(), roles(&settings, &surroundings)?),
        metrics: Arc::new(metrics(&settings)),
        clock: clock.clone(),
    };
    let health = Arc::new(Health::default());
    let server = tokio::spawn(admin::serve(
        listener,
        health.clone(),
        poller.metrics.clone(),
    ));

    let (keeper, fence) = Fence::closed(clock.clone());
    let scheduler = Scheduler::new(settings.scheduler);
    let lease = settings.lease.map(|lease| lease_name(lease, own_namespace));
    let writer = Writer {
        client: client.clone(),
        fence,
        metrics: poller.metrics.clone(),
        manager: manager(lease.as_ref()).into(),
    };
    let (cluster, beats) = (client.clone(), health.clone());
    let engine = Engine::new(
        client,
        settings.scope,
        poller,
        scheduler,
        health,
        clock.clone(),
        writer,
    );
    if let Some(lease) = lease {
        let candidate = Candidate::new(cluster, lease, clock, keeper, beats);
        let (stop, stopped) = oneshot::channel::<()>();
        let candidate = tokio::spawn(candidate.run(async { drop(stopped.await) }));
        engine.run(shutdown).await;
        drop(stop);
        wait_for_release(candidate).await;
    } else {
        keeper.lead_until(Duration::MAX);
        engine.run(shutdown).await;
    }
    server.abort();
    info!("stopped");
    Ok(())
}

fn metrics(settings: &Settings) -> Metrics {
    let Config {
        policy, endpoints, ..
    } = &settings.scheduler;
    let mut regions = policy.named_regions();
    regions.extend(endpoints.regions().map(ToString::to_string));
    let lease = settings.lease.as_ref();
    Metrics::new(
        regions,
        lease.map(|lease| lease.name.clone()).unwrap_or_default(),
    )
}

/// Whom the API server notes as the writer of statuses: by the Lease, for replicas are one and releases differ.
fn manager(lease: Option<&LeaseName>) -> String {
    let manager = lease.map_or_else(
        || NAME.to_owned(),
        |lease| format!("{NAME}:{}/{}", lease.namespace, lease.name),
    );
    first_chars(&manager, MANAGER_MAX).to_owned()
}

fn lease_name(lease: LeaseSettings, own_namespace: String) -> LeaseName {
    // The random number makes it unique for each start of a container in the same pod.
    let host = host_name();
    let random = RandomState::new().hash_one(std::process::id());
    LeaseName {
        namespace: lease.namespace.unwrap_or(own_namespace),
        name: lease.name,
        identity: format!("{host}_{random:016x}"),
    }
}

/// The pod's name if this runs in a pod.
fn host_name() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| NAME.to_owned())
}

/// Waits until the Lease is released, so that another replica takes over at once.
async fn wait_for_release(candidate: JoinHandle<()>) {
    let abort = candidate.abort_handle();
    if timeout(RELEASE_TIMEOUT, candidate).await.is_err() {
        abort.abort();
    }
}

/// Connects to the cluster that kubectl would use. Also returns the current namespace.
fn connect(proxies: &Proxies) -> Result<(Client, String), StartError> {
    let (client, namespace, is_renewable) = connect_once(proxies)?;
    if !is_renewable {
        return Ok((client, namespace));
    }
    let proxies = proxies.clone();
    let anew = move || connect_once(&proxies).map(|(client, ..)| client);
    let client = Reconnecting::new(client, move || anew().map_err(|error| error.to_string()));
    Ok((Client::new(client, &*namespace), namespace))
}

/// The client, the current namespace, and whether another client may have newer credentials: those that a program of
/// the kubeconfig gives, or a file that kube doesn't read again.
fn connect_once(proxies: &Proxies) -> Result<(Client, String, bool), StartError> {
    let mut config = cluster::infer(proxies).map_err(StartError::Cluster)?;
    // The client's own retries would have no limit and no log. The engine retries instead.
    config.default_retry = false;
    // Detects an API server that accepts a connection and never answers.
    config.read_timeout = Some(watch::SILENCE_MAX);
    // Idle time before a request doesn't count as silence.
    config.reset_reader_on_write = true;
    // For the API server's audit log. kube sends no user agent by itself.
    let agent = HeaderValue::from_static(crate::USER_AGENT);
    config.headers.push((USER_AGENT, agent));
    let namespace = config.default_namespace.clone();
    let user = &mut config.auth_info;
    let is_renewable = kubeconfig::take_token_of_a_line(user) || user.exec.is_some();
    let client = connections::client(&config).map_err(|error| {
        StartError::Cluster(match error {
            // The text of these errors holds the proxy's URL, which may hold a password.
            kube::Error::ProxyProtocolUnsupported { .. }
            | kube::Error::ProxyProtocolDisabled { .. } => {
                "the proxy's protocol isn't supported: name an http://, https:// or socks5:// one"
                    .to_owned()
            }
            error => first_line(&error),
        })
    })?;
    Ok((client, namespace, is_renewable))
}

/// The first line of an error. The rest may quote the kubeconfig.
fn first_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// What assumes the roles of Secrets, where these may be used.
fn roles(settings: &Settings, surroundings: &Surroundings) -> Result<Option<Roles>, StartError> {
    let is_on = settings.scheduler.policy.secret_credentials;
    let roles = is_on.then(|| Roles::new(surroundings)).transpose();
    roles.map_err(|error| StartError::Credentials(error.to_string()))
}

fn task_api(settings: &Settings, surroundings: &Surroundings) -> Result<TaskApi, StartError> {
    let credentials = match settings.credentials {
        CredentialsMode::None => None,
        CredentialsMode::Default => {
            let directory = settings.credentials_directory.clone();
            let shared = SharedCredentials::configured(directory, surroundings)
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
        endpoints: settings.scheduler.endpoints.clone(),
        request_timeout: settings.request_timeout,
        credentials,
        clock: surroundings.clock.clone(),
        proxies: surroundings.proxies.clone(),
    })
    .map_err(|error| StartError::Https(error.into()))
}

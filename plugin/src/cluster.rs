//! The cluster and namespace that kubectl would use.

use std::{pin::pin, slice, time::Duration};

use http::Uri;
use kube::{
    Api, Client, Config,
    config::{ExecInteractiveMode, Kubeconfig, KubeconfigError},
};
use scaleouttask_controller::{
    api::ScaleOutTask,
    kubeconfig::{self, Error},
};
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    failure::{Failure, Site, Verb, deepest},
    output::note,
    proxy,
    target::Target,
};

/// How long one request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// So long one request may take at least, however short the time to wait is.
pub const REQUEST_TIMEOUT_MIN: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// That a program for credentials runs is said after this.
const PROGRAM_TOLD_AFTER: Duration = Duration::from_secs(5);
/// So long a person may take to log in.
const LOGIN_TIMEOUT: Duration = Duration::from_mins(15);
/// So long a program may take that runs again.
const PROGRAM_TIMEOUT: Duration = Duration::from_mins(1);

/// The cluster, and the namespace that is meant.
#[derive(Clone)]
pub struct Cluster {
    config: Config,
    client: Client,
    target: Target,
    namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig. Asks nothing yet, but may run a program that it names, which may ask a person; it has until
    /// that moment.
    pub async fn find(target: &Target, until: Option<Instant>) -> Result<Self, Failure> {
        let now = Instant::now();
        let until = until.map_or(now + LOGIN_TIMEOUT, |until| {
            until.max(now + REQUEST_TIMEOUT_MIN)
        });
        let target = target.clone();
        let mut finding = pin!(aside(move || Self::of(&target)));
        let soon = until.min(now + PROGRAM_TOLD_AFTER);
        let mut found = timeout_at(soon, &mut finding).await;
        if found.is_err() {
            note("Still reading the kubeconfig: a program for credentials may take its time");
            found = timeout_at(until, finding).await;
        }
        match found {
            Ok(found) => found.map_err(|why| none(&why))?,
            Err(_) => Err(none("the kubeconfig's program for credentials doesn't end")),
        }
    }

    /// The same at once. It blocks where a program runs.
    pub fn of(target: &Target) -> Result<Self, Failure> {
        let unusable = |error: &Error| {
            let hint = match error {
                Error::Content(KubeconfigError::CurrentContextNotSet) => {
                    "; choose one with --context"
                }
                Error::Absent(_) => "; name one by --kubeconfig or KUBECONFIG",
                _ => "",
            };
            none(&format!("{error}{hint}"))
        };
        let found = read(target).and_then(|kubeconfig| config(kubeconfig, target));
        let is_named = target.kubeconfig.is_some() || target.context.is_some();
        let mut config = match found {
            // In a pod, as in a pipeline, the cluster is its own.
            Err(error @ Error::Absent(_)) if !is_named => {
                Config::incluster().map_err(|_| unusable(&error))?
            }
            found => found.map_err(|error| unusable(&error))?,
        };
        // The library's own retries take minutes, and say nothing.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        if target.is_unattended
            && let Some(exec) = &mut config.auth_info.exec
        {
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        let namespace = target.namespace.clone();
        Ok(Self {
            client: connect(&config).map_err(|why| none(&why))?,
            namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
            target: target.clone(),
            config,
        })
    }

    /// The objects that are meant.
    pub fn objects(&self) -> Api<ScaleOutTask> {
        if self.target.all_namespaces {
            Api::all(self.client.clone())
        } else {
            self.objects_in(&self.namespace)
        }
    }

    /// The objects of one namespace.
    pub fn objects_in(&self, namespace: &str) -> Api<ScaleOutTask> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Where they are, in words.
    pub fn place(&self) -> String {
        if self.target.all_namespaces {
            "across all namespaces".to_owned()
        } else {
            format!("in namespace {}", self.namespace)
        }
    }

    /// What the words of a failure name.
    pub fn site(&self) -> Site {
        let exec = self.config.auth_info.exec.as_ref();
        let program = exec.and_then(|exec| exec.command.clone());
        Site {
            server: server(&self.config.cluster_url),
            place: self.place(),
            program: program.unwrap_or_default(),
        }
    }

    /// What makes a command mean this cluster.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// A command about an object here, as a person types it.
    pub fn typed(&self, command: &str, name: &str) -> String {
        self.target.typed(command, &[name], &self.namespace)
    }

    /// Connects anew, which runs the kubeconfig's program for credentials again. Says why that isn't possible.
    pub async fn reconnect(&mut self) -> Result<(), String> {
        let config = self.config.clone();
        let connecting = timeout(PROGRAM_TIMEOUT, aside(move || connect(&config)));
        let connected = connecting.await.map_err(|_| {
            let program = self.site().program;
            format!("the kubeconfig's program for credentials, {program}, doesn't end")
        })?;
        self.client = connected.flatten()?;
        Ok(())
    }

    /// The answer to one request, within its time.
    pub async fn asked<T>(
        &self,
        verb: Verb,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        self.asked_until(verb, Instant::now() + REQUEST_TIMEOUT, request)
            .await
    }

    async fn asked_until<T>(
        &self,
        verb: Verb,
        until: Instant,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        match timeout_at(until, request).await {
            Ok(answer) => answer.map_err(|error| Failure::of(&error, verb, &self.site())),
            Err(_) => Err(Failure::unanswered(&self.site(), "no answer in time")),
        }
    }

    /// The answer to a request that is sent again until that moment, while there is none that counts.
    pub async fn insisted<T, F>(
        &self,
        verb: Verb,
        until: Instant,
        request: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let mut is_told = false;
        loop {
            let now = Instant::now();
            let at_most = until.max(now + REQUEST_TIMEOUT_MIN);
            let at_most = at_most.min(now + REQUEST_TIMEOUT);
            match self.asked_until(verb, at_most, request()).await {
                Err(failure) if failure.is_passing && Instant::now() + BETWEEN_TRIES < until => {
                    if !std::mem::replace(&mut is_told, true) {
                        note(&format!("{failure}; trying again for a while"));
                    }
                    sleep(BETWEEN_TRIES).await;
                }
                answer => return answer,
            }
        }
    }
}

/// There is no cluster, for that reason.
fn none(why: &str) -> Failure {
    Failure::stuck(format!("There is no cluster to ask: {why}"))
}

/// Does what may run a program where it holds up nothing else.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let handle = Handle::current();
    let work = spawn_blocking(move || {
        let _runtime = handle.enter();
        work()
    });
    work.await.map_err(|error| error.to_string())
}

fn connect(config: &Config) -> Result<Client, String> {
    let program = config.auth_info.exec.as_ref();
    let program = program.and_then(|exec| exec.command.clone());
    let mut config = config.clone();
    kubeconfig::take_token_of_a_line(&mut config.auth_info);
    Client::try_from(config).map_err(|error| match error {
        // The text of these errors holds the proxy's URL, which may hold a password.
        kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => {
            "the proxy's protocol isn't supported: name an http://, https:// or socks5:// one"
                .to_owned()
        }
        error @ kube::Error::Auth(_) => deepest(&error, &program.unwrap_or_default()),
        // The cause alone wouldn't say of what.
        error => error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    })
}

/// The address, without what else a URL may hold.
fn server(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("https");
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().map(|port| format!(":{port}"));
    format!("{scheme}://{host}{}", port.unwrap_or_default())
}

fn read(target: &Target) -> Result<Kubeconfig, Error> {
    match &target.kubeconfig {
        Some(path) => kubeconfig::read_from(slice::from_ref(path)),
        None => kubeconfig::read(),
    }
}

/// Of the context that is meant, else of the current one.
fn config(mut kubeconfig: Kubeconfig, target: &Target) -> Result<Config, Error> {
    let current = kubeconfig.current_context.take();
    let context = target.context.clone().or(current);
    let context = context
        .filter(|name| !name.is_empty())
        .ok_or(KubeconfigError::CurrentContextNotSet)?;
    let by_environment = |server: &str| proxy::by_environment(&server.parse().ok()?);
    let mut config = kubeconfig::config(kubeconfig, context, by_environment)?;
    if config.default_namespace.is_empty() {
        "default".clone_into(&mut config.default_namespace);
    }
    Ok(config)
}

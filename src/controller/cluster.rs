//! Finds the cluster that kubectl would use: by `KUBECONFIG`, else by the pod's service account.

use kube::{
    Config,
    config::{Kubeconfig, KubeconfigError},
};
use reqwest::Url;

use super::first_line;
use crate::{
    kubeconfig::{self, Error},
    proxy::Proxies,
};

/// The cluster's configuration.
///
/// # Errors
/// If a kubeconfig is there and can't be used, or there is neither one nor a pod's service account, in one line.
pub fn infer(proxies: &Proxies) -> Result<Config, String> {
    let from_file = kubeconfig::read().and_then(|kubeconfig| of_kubeconfig(kubeconfig, proxies));
    match from_file {
        // The API server's address in a pod is the cluster's own, which no proxy knows.
        Err(absent @ Error::Absent(_)) => Config::incluster()
            .map_err(|in_pod| format!("{absent}; and in a pod: {}", first_line(&in_pod))),
        found => found.map_err(|error| error.to_string()),
    }
}

fn of_kubeconfig(mut kubeconfig: Kubeconfig, proxies: &Proxies) -> Result<Config, Error> {
    let context = kubeconfig.current_context.take();
    let context = context.ok_or(KubeconfigError::CurrentContextNotSet)?;
    kubeconfig::config(kubeconfig, context, |server| {
        let server: Url = server.parse().ok()?;
        Some(proxies.of_url(&server)?.to_string())
    })
}

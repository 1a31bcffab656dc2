//! Finds the cluster that kubectl would use: by `KUBECONFIG`, else by the pod's service account. kube's own way asks
//! `NO_PROXY` about the proxy instead of the API server, and refuses what kubectl takes.

use std::{env, path::PathBuf};

use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, ExecAuthCluster, Kubeconfig, KubeconfigError},
};
use reqwest::Url;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::first_line;
use crate::proxy::Proxies;

/// The cluster's configuration.
///
/// # Errors
/// If there is neither a kubeconfig that can be used nor a pod's service account, in one line.
pub fn infer(proxies: &Proxies) -> Result<Config, String> {
    let from_file = read().and_then(|kubeconfig| of_kubeconfig(kubeconfig, proxies));
    // The API server's address in a pod is the cluster's own, which no proxy knows.
    from_file.or_else(|error| {
        Config::incluster().map_err(|in_pod| {
            format!(
                "{}; and in a pod: {}",
                first_line(&error),
                first_line(&in_pod)
            )
        })
    })
}

/// Of the files that `KUBECONFIG` lists those that are there count, as for kubectl; one at least must be.
fn read() -> Result<Kubeconfig, KubeconfigError> {
    let listed = env::var_os("KUBECONFIG").unwrap_or_default();
    let mut there: Vec<PathBuf> = env::split_paths(&listed).collect();
    // One that can't be read is no reason to take another's cluster.
    there.retain(|path| path.try_exists().unwrap_or(true));
    if there.is_empty() {
        return Kubeconfig::read();
    }
    let mut files = there.iter().map(Kubeconfig::read_from);
    files.try_fold(Kubeconfig::default(), |all, next| all.merge(next?))
}

fn of_kubeconfig(kubeconfig: Kubeconfig, proxies: &Proxies) -> Result<Config, KubeconfigError> {
    let (context, cluster, user) = current(kubeconfig)?;
    let server = cluster.server.clone();
    let server = server.ok_or(KubeconfigError::MissingClusterUrl)?;
    let exec_cluster = ExecAuthCluster::try_from(&cluster)?;
    let mut config = Config::new(server.parse().map_err(KubeconfigError::ParseClusterUrl)?);
    config.root_cert = exec_cluster
        .certificate_authority_data
        .as_deref()
        .map(certificates);
    config.auth_info = user;
    if let Some(exec) = &mut config.auth_info.exec
        && exec.provide_cluster_info
    {
        exec.cluster = Some(exec_cluster);
    }
    config.default_namespace = context.namespace.unwrap_or_else(|| "default".to_owned());
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name;
    // One of the kubeconfig's own is for this cluster, whatever the environment says.
    let own = cluster.proxy_url.filter(|url| !url.is_empty());
    let server: Option<Url> = server.parse().ok();
    let by_environment = server.and_then(|server| proxies.of_url(&server).map(ToString::to_string));
    let proxy = own.or(by_environment);
    config.proxy_url = proxy
        .map(|url| url.replacen("socks5h://", "socks5://", 1).parse())
        .transpose()
        .map_err(KubeconfigError::ParseProxyUrl)?;
    Ok(config)
}

/// The current context, its cluster and its user. As for kubectl, there may be no user.
fn current(kubeconfig: Kubeconfig) -> Result<(Context, Cluster, AuthInfo), KubeconfigError> {
    let name = kubeconfig
        .current_context
        .ok_or(KubeconfigError::CurrentContextNotSet)?;
    let mut contexts = kubeconfig.contexts.into_iter();
    let context = contexts
        .find(|context| context.name == name)
        .and_then(|context| context.context)
        .ok_or(KubeconfigError::LoadContext(name))?;
    let mut clusters = kubeconfig.clusters.into_iter();
    let cluster = clusters
        .find(|cluster| cluster.name == context.cluster)
        .and_then(|cluster| cluster.cluster)
        .ok_or_else(|| KubeconfigError::LoadClusterOfContext(context.cluster.clone()))?;
    let mut users = kubeconfig.auth_infos.into_iter();
    let user = users.find(|user| Some(&user.name) == context.user.as_ref());
    let user = user.and_then(|user| user.auth_info).unwrap_or_default();
    Ok((context, cluster, user))
}

fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    certificates
        .map(|certificate| certificate.to_vec())
        .collect()
}

//! The cluster that a kubeconfig names, as kubectl finds it. kube's own way asks `NO_PROXY` about the proxy instead of
//! the API server, and refuses what kubectl takes.

use std::{env, path::PathBuf};

use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, ExecAuthCluster, Kubeconfig, KubeconfigError},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// The files of `KUBECONFIG`, else that of the home directory. Of those listed the ones that are there count; one at
/// least must be.
///
/// # Errors
/// If one of them can't be read, or there is none.
pub fn read() -> Result<Kubeconfig, KubeconfigError> {
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

/// How the cluster of that context is reached. `proxy` says which proxy of the environment leads to a server's URL; one
/// of the kubeconfig's own is for this cluster, whatever the environment says.
///
/// # Errors
/// If the kubeconfig lacks the context or its cluster, or what it says of them can't be read.
pub fn config(
    kubeconfig: Kubeconfig,
    context: String,
    proxy: impl FnOnce(&str) -> Option<String>,
) -> Result<Config, KubeconfigError> {
    let (context, cluster, user) = parts(kubeconfig, context)?;
    let server = cluster.server.clone();
    let server = server.ok_or(KubeconfigError::MissingClusterUrl)?;
    let exec_cluster = ExecAuthCluster::try_from(&cluster)?;
    let mut config = Config::new(server.parse().map_err(KubeconfigError::ParseClusterUrl)?);
    let authority = exec_cluster.certificate_authority_data.as_deref();
    config.root_cert = authority.map(certificates);
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
    let own = cluster.proxy_url.filter(|url| !url.is_empty());
    config.proxy_url = own
        .or_else(|| proxy(&server))
        .map(|url| url.replacen("socks5h://", "socks5://", 1).parse())
        .transpose()
        .map_err(KubeconfigError::ParseProxyUrl)?;
    Ok(config)
}

/// The context of that name, its cluster and its user. As for kubectl, there may be no user.
fn parts(
    kubeconfig: Kubeconfig,
    name: String,
) -> Result<(Context, Cluster, AuthInfo), KubeconfigError> {
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

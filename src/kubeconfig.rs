//! The cluster that a kubeconfig names, as kubectl finds it. kube's own way asks `NO_PROXY` about the proxy instead of
//! the API server, and refuses what kubectl takes.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, ExecAuthCluster, Kubeconfig, KubeconfigError},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::ExposeSecret;
use thiserror::Error;

/// Why there is no cluster by a kubeconfig.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no kubeconfig, or nothing is in it. In a pod, its own cluster counts then.
    #[error("{} isn't there, or is empty", .0.display())]
    Absent(PathBuf),
    /// That file is there, but can't be read.
    #[error("{} can't be read: {}", .0.display(), said(.1))]
    File(PathBuf, #[source] KubeconfigError),
    /// What the kubeconfig says leads to no cluster.
    #[error("{}", said(.0))]
    Content(#[from] KubeconfigError),
}

/// The files of `KUBECONFIG`, else that of the home directory. Of those listed the ones that are there count.
///
/// # Errors
/// If none is there, or one that is can't be read.
pub fn read() -> Result<Kubeconfig, Error> {
    let listed = env::var_os("KUBECONFIG").unwrap_or_default();
    let mut files: Vec<PathBuf> = env::split_paths(&listed).collect();
    files.retain(|path| !path.as_os_str().is_empty());
    if files.is_empty() {
        let home = env::home_dir().unwrap_or_default();
        files.push(home.join(".kube").join("config"));
    }
    read_from(&files)
}

/// These files, one over the other.
///
/// # Errors
/// The same.
pub fn read_from(files: &[PathBuf]) -> Result<Kubeconfig, Error> {
    let mut all = Kubeconfig::default();
    for path in files {
        match Kubeconfig::read_from(path) {
            Ok(mut next) => {
                // As `kubectl config unset current-context` leaves it.
                next.current_context = next.current_context.filter(|name| !name.is_empty());
                all = all.merge(next)?;
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(Error::File(path.clone(), error)),
        }
    }
    if all.contexts.is_empty() && all.clusters.is_empty() {
        let first = files.first().map(PathBuf::as_path);
        return Err(Error::Absent(first.unwrap_or(Path::new("")).to_owned()));
    }
    Ok(all)
}

/// One that can't be read is no reason to take another's cluster.
fn is_missing(error: &KubeconfigError) -> bool {
    matches!(error, KubeconfigError::ReadConfig(cause, _) if cause.kind() == ErrorKind::NotFound)
}

/// A library's words in one line, or better ones.
fn said(error: &KubeconfigError) -> String {
    let text = match error {
        KubeconfigError::ReadConfig(cause, _) => cause.to_string(),
        KubeconfigError::CurrentContextNotSet => {
            "the kubeconfig names no current context".to_owned()
        }
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context {name}"),
        KubeconfigError::LoadClusterOfContext(name) => {
            format!("the kubeconfig has no cluster {name}, which its context names")
        }
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
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
) -> Result<Config, Error> {
    let (context, cluster, user) = parts(kubeconfig, context)?;
    let server = cluster.server.clone();
    let server = with_scheme(server.ok_or(KubeconfigError::MissingClusterUrl)?, &cluster);
    let exec_cluster = ExecAuthCluster::try_from(&cluster)?;
    let mut config = Config::new(server.parse().map_err(KubeconfigError::ParseClusterUrl)?);
    let authority = exec_cluster.certificate_authority_data.as_deref();
    config.root_cert = authority.map(certificates);
    config.auth_info = user;
    // As a block of YAML ends it.
    let token = config.auth_info.token.take();
    config.auth_info.token = token.map(|token| token.expose_secret().trim().into());
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

/// Takes the text of a token file without the end of its line, as kubectl does: kube would refuse it. It is read this
/// once, where kube reads other files each minute. Returns whether it was.
pub fn take_token_of_a_line(user: &mut AuthInfo) -> bool {
    let file = user.token_file.as_ref().filter(|_| user.token.is_none());
    let Some(text) = file.and_then(|path| fs::read_to_string(path).ok()) else {
        return false;
    };
    let token = text.trim();
    let is_taken = token != text;
    if is_taken {
        user.token = Some(token.into());
    }
    is_taken
}

/// Without a scheme it is http, as for kubectl, or https where there is something to check the server by.
fn with_scheme(server: String, cluster: &Cluster) -> String {
    if server.contains("://") {
        return server;
    }
    let is_checked = cluster.certificate_authority.is_some()
        || cluster.certificate_authority_data.is_some()
        || cluster.insecure_skip_tls_verify == Some(true);
    let scheme = if is_checked { "https" } else { "http" };
    format!("{scheme}://{server}")
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
current-context: here
contexts: [{name: here, context: {cluster: one, user: me, namespace: web}}]
clusters: [{name: one, cluster: {server: 'https://api.example.com:6443'}}]
users: [{name: me, user: {token: secret}}]
";

    fn said(files: &[(&str, &str)], context: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let write = |(name, text): &(&str, &str)| {
            let path = directory.path().join(name);
            if !text.is_empty() {
                fs::write(&path, text).unwrap();
            }
            path
        };
        let paths: Vec<PathBuf> = files.iter().map(write).collect();
        let found = read_from(&paths).and_then(|kubeconfig| {
            let current = kubeconfig.current_context.clone();
            let context = Some(context.to_owned()).filter(|name| !name.is_empty());
            config(kubeconfig, context.or(current).unwrap(), |_| None)
        });
        let text = match found {
            Ok(config) => format!("{} {}", config.cluster_url, config.default_namespace),
            Err(Error::Absent(path)) => format!("absent: {}", path.display()),
            Err(error) => error.to_string(),
        };
        text.replace(&*directory.path().to_string_lossy(), "DIR")
    }

    #[test]
    fn a_token_file_may_end_with_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        for (text, wanted) in [
            ("secret\n", Some("secret")),
            ("secret\r\n\n", Some("secret")),
            ("secret", None),
        ] {
            fs::write(&path, text).unwrap();
            let mut user = AuthInfo {
                token_file: Some(path.to_str().unwrap().to_owned()),
                ..AuthInfo::default()
            };
            assert_eq!(take_token_of_a_line(&mut user), wanted.is_some());
            let token = user.token.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(token, wanted, "{text:?}");
        }
    }

    #[test]
    fn only_where_there_is_no_kubeconfig_another_cluster_may_count() {
        let good = "https://api.example.com:6443/ web";
        for (files, context, wanted) in [
            (&[("a", GOOD)] as &[(&str, &str)], "here", good),
            (&[("missing", ""), ("a", GOOD)], "here", good),
            (&[("a", "current-context: ''"), ("b", GOOD)], "", good),
            (
                &[("missing", ""), ("other", "")],
                "here",
                "absent: DIR/missing",
            ),
            (&[("empty", "{}")], "here", "absent: DIR/empty"),
            (
                &[("a", GOOD)],
                "there",
                "the kubeconfig has no context there",
            ),
        ] {
            assert_eq!(said(files, context), wanted);
        }
        let broken = said(&[("a", GOOD), ("broken", "contexts: [")], "here");
        assert!(broken.starts_with("DIR/broken can't be read: "), "{broken}");
        assert_eq!(broken.lines().count(), 1, "{broken}");
        let bare = GOOD.replace("'https://api.example.com:6443'", "'127.0.0.1:6443'");
        assert_eq!(said(&[("a", &bare)], "here"), "http://127.0.0.1:6443/ web");
        let checked = bare.replace("6443'", "6443', insecure-skip-tls-verify: true");
        assert_eq!(
            said(&[("a", &checked)], "here"),
            "https://127.0.0.1:6443/ web"
        );
        let cluster = GOOD.replace("name: one", "name: two");
        assert_eq!(
            said(&[("a", &cluster)], "here"),
            "the kubeconfig has no cluster one, which its context names"
        );
    }
}

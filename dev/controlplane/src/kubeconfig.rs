//! Kubeconfig files with everything embedded, so that they can be copied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::tls::Identity;

/// How a user proves who it is.
pub(crate) enum Credentials<'a> {
    Token(&'a str),
    Certificate(&'a Identity),
}

/// A kubeconfig for the server, trusting the authority's certificate (PEM).
pub(crate) fn kubeconfig(server: &str, authority: &str, user: &Credentials) -> String {
    let authority = STANDARD.encode(authority);
    let user = match user {
        Credentials::Token(token) => format!("token: {token}"),
        Credentials::Certificate(Identity { certificate, key }) => format!(
            "client-certificate-data: {}\n    client-key-data: {}",
            STANDARD.encode(certificate),
            STANDARD.encode(key)
        ),
    };
    format!(
        "apiVersion: v1
kind: Config
current-context: controlplane
clusters:
- name: controlplane
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: controlplane
  user:
    {user}
contexts:
- name: controlplane
  context:
    cluster: controlplane
    user: controlplane
    namespace: default
"
    )
}

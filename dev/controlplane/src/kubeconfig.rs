//! Kubeconfig files. Everything is embedded, so that they can be copied.

use data_encoding::BASE64;

use crate::tls::Identity;

/// How a user authenticates.
pub(crate) enum Credentials<'a> {
    Token(&'a str),
    Certificate(&'a Identity),
}

/// A kubeconfig for the server, which trusts the certificate authority (PEM).
pub(crate) fn kubeconfig(server: &str, authority: &str, user: &Credentials) -> String {
    let authority = BASE64.encode(authority.as_bytes());
    let user = match user {
        Credentials::Token(token) => format!("token: {token}"),
        Credentials::Certificate(Identity { certificate, key }) => format!(
            "client-certificate-data: {}\n    client-key-data: {}",
            BASE64.encode(certificate.as_bytes()),
            BASE64.encode(key.as_bytes())
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

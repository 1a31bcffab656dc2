//! Credentials for the task API. One source of the vendor's chain is chosen by what is configured.
//! All callers share a cache of its credentials.

mod acceptance;
mod error;
mod files;
mod http;
mod plan;
mod provider;
mod role;
mod shared;
mod source;
mod sts;
mod sts_endpoint;
mod uri;

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

pub use error::{CredentialsError, FileProblem, ValueProblem};
pub use plan::Issuer;
pub use role::Roles;
pub use shared::SharedCredentials;
pub use source::CredentialSource;
pub use sts::Role;

use crate::{clock::Clock, proxy::Proxies};

/// What credentials are fetched with.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// What time it is; STS's answers tell it.
    pub clock: Clock,
    /// How STS is reached.
    pub proxies: Proxies,
    /// Whether STS and a credentials URI may be plain http to another machine.
    pub allow_insecure: bool,
}

/// The credentials that sign a request. `Debug` shows neither the secret nor the token.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key's ID, which is not secret.
    pub access_key_id: String,
    /// The access key's secret.
    pub access_key_secret: SecretString,
    /// The token of temporary credentials.
    pub security_token: Option<SecretString>,
    /// When they expire. `None` for a permanent key.
    pub expires_at: Option<Timestamp>,
}

impl Credentials {
    /// Whether both have the same key and token, so that they sign requests alike.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let token = |credentials: &Self| {
            let token = credentials.security_token.as_ref();
            token.map(|token| token.expose_secret().to_owned())
        };
        self.access_key_id == other.access_key_id
            && self.access_key_secret.expose_secret() == other.access_key_secret.expose_secret()
            && token(self) == token(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials {
            access_key_id: "LTAI".to_owned(),
            access_key_secret: "hunter2".into(),
            security_token: Some("t0ken".into()),
            expires_at: None,
        };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("LTAI") && !shown.contains("hunter2") && !shown.contains("t0ken"));
    }
}

//! RAM roles that are assumed with the access keys of Secrets.

use std::sync::Arc;

use reqwest::Url;

use super::{
    CredentialSource, Credentials, CredentialsError, Issuer, SharedCredentials,
    http::Clients,
    provider::classify,
    source::Environment,
    sts::{Role, assume_role},
    sts_endpoint::{StsSettings, sts_endpoint},
};
use crate::clock::Clock;

/// Assumes roles at the STS that the process's environment says.
#[derive(Clone, Debug)]
pub struct Roles {
    clients: Clients,
    sts: Url,
    clock: Clock,
}

impl Roles {
    /// With `allow_insecure`, STS may be plain http to another machine.
    ///
    /// # Errors
    /// If the environment's settings for STS can't be used.
    pub fn new(allow_insecure: bool, clock: &Clock) -> Result<Self, CredentialsError> {
        let environment = Environment::of_process(None, allow_insecure);
        Ok(Self {
            clients: Clients::default().telling(clock),
            sts: sts_endpoint(&StsSettings::default(), &environment)?,
            clock: clock.clone(),
        })
    }

    /// Credentials of the role, assumed with `base` when they are first asked for, and renewed before they
    /// expire.
    #[must_use]
    pub fn assume(&self, role: Arc<Role>, base: Arc<Credentials>) -> SharedCredentials {
        let (clients, sts) = (self.clients.clone(), self.sts.clone());
        let call = Arc::new((clients, sts, role, base));
        let fetch = move || {
            let call = call.clone();
            async move {
                let (clients, sts, role, base) = &*call;
                let assumed = assume_role(clients.for_sts(sts), sts, role, base).await;
                assumed.map_err(|error| classify(Issuer::AssumeRole, Some(&error)))
            }
        };
        let clock = self.clock.clone();
        let now = move || clock.now().wall;
        SharedCredentials::new(Some(CredentialSource::SecretRole), fetch, now)
    }
}

//! RAM roles that are assumed with the access keys of Secrets.

use std::sync::Arc;

use reqwest::Url;

use super::{
    CredentialSource, Credentials, CredentialsError, Issuer, SharedCredentials, Surroundings,
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
    /// Roles that are assumed in these surroundings.
    ///
    /// # Errors
    /// If the environment's settings for STS can't be used.
    pub fn new(surroundings: &Surroundings) -> Result<Self, CredentialsError> {
        let environment = Environment::of_process(None, surroundings.allow_insecure);
        Ok(Self {
            clients: Clients::new(surroundings),
            sts: sts_endpoint(&StsSettings::default(), &environment)?,
            clock: surroundings.clock.clone(),
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
                let assumed = assume_role(&clients.sts, sts, role, base).await;
                assumed.map_err(|error| classify(Issuer::AssumeRole, Some(&error)))
            }
        };
        let clock = self.clock.clone();
        let now = move || clock.now().wall;
        SharedCredentials::new(Some(CredentialSource::SecretRole), fetch, now)
    }
}

//! RAM roles that are assumed with the access keys of Secrets.

use reqwest::Url;

use super::{
    Credentials, CredentialsError, Issuer,
    http::Clients,
    provider::classify,
    source::Environment,
    sts::{Role, assume_role},
    sts_endpoint::{StsSettings, Wrong, sts_endpoint},
};

/// Assumes roles at the STS that the process's environment says.
#[derive(Clone, Debug)]
pub struct Roles {
    clients: Clients,
    sts: Url,
}

impl Roles {
    /// With `allow_insecure`, STS may be plain http to another machine.
    ///
    /// # Errors
    /// If the environment's settings for STS can't be used, or the HTTP client can't be set up.
    pub fn new(allow_insecure: bool) -> Result<Self, CredentialsError> {
        let environment = Environment::of_process(None, allow_insecure);
        let sts = sts_endpoint(&StsSettings::default(), &environment);
        let sts = sts.map_err(|wrong| match wrong {
            Wrong::Variable(name, problem) | Wrong::Profile(name, problem) => {
                CredentialsError::Variable(name, problem)
            }
        })?;
        let clients = Clients::new()?;
        Ok(Self { clients, sts })
    }

    /// Credentials of the role, for as long as STS gives them.
    ///
    /// # Errors
    /// If STS refuses or can't be reached.
    pub async fn assume(
        &self,
        role: &Role,
        base: &Credentials,
    ) -> Result<Credentials, CredentialsError> {
        let http = self.clients.for_sts(&self.sts);
        let assumed = assume_role(http, &self.sts, role, base).await;
        assumed.map_err(|error| classify(Issuer::AssumeRole, Some(&error)))
    }
}

//! Reads credentials from the configured source, anew at each call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::jiff::Timestamp;
use reqsign_aliyun_oss::{
    Credential, CredentialsUriCredentialProvider, EcsRamRoleCredentialProvider,
};
use reqsign_core::{Context, ProvideCredential, StaticEnv};
use secrecy::SecretString;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{
    Credentials, CredentialsError, Surroundings,
    error::FileProblem,
    files,
    http::{CallError, Clients},
    plan::{Issuer, Plan},
    source::{Chosen, CredentialSource, Environment, is_there},
    sts::{Role, assume_role, assume_role_with_oidc},
    sts_endpoint::{StsSettings, sts_endpoint},
    uri::{check_metadata, check_uri},
};
use crate::{rules::Reason, task_api::classify};

const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";
const ROLE_ARN: &str = "ALIBABA_CLOUD_ROLE_ARN";
const SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";
const PROVIDER_ARN: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const INSTANCE_ROLE: &str = "ALIBABA_CLOUD_ECS_METADATA";
const METADATA_ENDPOINT: &str = "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT";
const URI: &str = "ALIBABA_CLOUD_CREDENTIALS_URI";

/// The configured source, and what is needed to read it.
pub(super) struct Provider {
    chosen: Option<Chosen>,
    environment: Arc<Environment>,
    clients: Clients,
    /// Whether the source has ever returned credentials.
    has_worked: AtomicBool,
}

impl Provider {
    /// Chooses the source by `environment` and by which files there are.
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            chosen: Chosen::from(&environment, is_there),
            environment: Arc::new(environment),
            clients: Clients::new(&Surroundings::default()),
            has_worked: AtomicBool::new(false),
        }
    }

    /// The same in these surroundings.
    pub(super) fn within(mut self, surroundings: &Surroundings) -> Self {
        self.clients = Clients::new(surroundings);
        self
    }

    /// The source that was chosen.
    pub(super) fn source(&self) -> Option<CredentialSource> {
        self.chosen.as_ref().map(Chosen::source)
    }

    /// Reads the source's file, if it has one, to see whether it can be used. Blocks.
    pub(super) fn check(&self) -> Result<(), CredentialsError> {
        if let Some(name) = &self.environment.not_text {
            return Err(CredentialsError::NotText(name.clone()));
        }
        match &self.chosen {
            Some(chosen) if chosen.source().is_file() => plan(chosen, &self.environment).map(drop),
            _ => Ok(()),
        }
    }

    /// Reads credentials from the source.
    pub(super) async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let chosen = self.chosen.clone().ok_or(CredentialsError::NotConfigured)?;
        let environment = self.environment.clone();
        let plan = spawn_blocking(move || plan(&chosen, &environment)).await;
        let plan = plan.map_err(|_panic| CredentialsError::Internal)??;
        match self.carry_out(&plan).await {
            Ok(credentials) => {
                self.has_worked.store(true, Ordering::Relaxed);
                Ok(credentials)
            }
            // Outside ECS, with nothing configured, nothing answers at the metadata address.
            Err(CredentialsError::Unreachable {
                by: Issuer::Metadata,
                cause,
            }) if self.is_unnamed_role() && !self.has_worked.load(Ordering::Relaxed) => {
                warn!(%cause, "the ECS metadata service can't be reached");
                Err(CredentialsError::NotConfigured)
            }
            Err(error) => Err(error),
        }
    }

    fn is_unnamed_role(&self) -> bool {
        self.chosen == Some(Chosen::EcsRamRole) && self.environment.get(INSTANCE_ROLE).is_none()
    }

    fn carry_out<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Credentials, CredentialsError>> {
        async move {
            match plan {
                Plan::Ready(credentials) => Ok(credentials.clone()),
                Plan::AssumeRole { base, role, sts } => {
                    let base = self.carry_out(base).await?;
                    let http = &self.clients.sts;
                    let assumed = assume_role(http, sts, role, &base).await;
                    assumed.map_err(|error| classify(Issuer::AssumeRole, Some(&error)))
                }
                Plan::AssumeRoleWithOidc {
                    provider_arn,
                    token_file,
                    role,
                    sts,
                } => {
                    let token = token(token_file).await?;
                    let http = &self.clients.sts;
                    let assumed =
                        assume_role_with_oidc(http, sts, role, provider_arn, &token).await;
                    assumed.map_err(|error| classify(Issuer::AssumeRoleWithOidc, Some(&error)))
                }
                Plan::InstanceRole(name) => {
                    self.check_metadata()?;
                    let mut provider = EcsRamRoleCredentialProvider::new();
                    if let Some(name) = name {
                        provider = provider.with_role_name(name);
                    }
                    self.local(Issuer::Metadata, &provider).await
                }
                Plan::Uri(uri) => {
                    let provider = CredentialsUriCredentialProvider::new().with_uri(uri);
                    self.local(Issuer::CredentialsUri, &provider).await
                }
            }
        }
        .boxed()
    }

    fn check_metadata(&self) -> Result<(), CredentialsError> {
        let Some(url) = self.environment.get(METADATA_ENDPOINT) else {
            return Ok(());
        };
        check_metadata(url, self.environment.allow_insecure)
            .map_err(|problem| CredentialsError::Variable(METADATA_ENDPOINT, problem))
    }

    /// Asks a service of the machine or the pod.
    async fn local(
        &self,
        service: Issuer,
        provider: &impl ProvideCredential<Credential = Credential>,
    ) -> Result<Credentials, CredentialsError> {
        let http = self.clients.local.clone();
        let context = Context::new().with_http_send(http).with_env(StaticEnv {
            home_dir: None,
            envs: self.environment.variables.clone(),
        });
        match provider.provide_credential(&context).await {
            Ok(Some(credential)) => checked(service, credential),
            // So say the providers where they are switched off.
            Ok(None) if service == Issuer::Metadata => Err(CredentialsError::MetadataDisabled),
            Ok(None) => Err(classify(service, None)),
            Err(error) => Err(classify(service, CallError::find_in(&error))),
        }
    }
}

/// What the chosen source says. Blocks where it has a file.
fn plan(chosen: &Chosen, environment: &Environment) -> Result<Plan, CredentialsError> {
    let in_file = |path: &Path, problem: FileProblem| CredentialsError::File {
        by: chosen.source(),
        path: path.display().to_string(),
        problem,
    };
    match chosen {
        Chosen::Directory(path) => {
            let key = files::directory::read(path);
            key.map(Plan::Ready)
                .map_err(|problem| in_file(path, problem))
        }
        Chosen::Environment => Ok(Plan::Ready(static_key(environment)?)),
        Chosen::Oidc => oidc(environment),
        Chosen::CliProfile(path) => {
            files::cli::read(path, environment).map_err(|problem| in_file(path, problem))
        }
        Chosen::CredentialsFile(path) => {
            files::ini::read(path, environment).map_err(|problem| in_file(path, problem))
        }
        Chosen::EcsRamRole => Ok(Plan::InstanceRole(
            environment.get(INSTANCE_ROLE).map(ToOwned::to_owned),
        )),
        Chosen::CredentialsUri => {
            let uri = require(environment, URI)?;
            check_uri(uri, environment.allow_insecure)
                .map_err(|problem| CredentialsError::Variable(URI, problem))?;
            Ok(Plan::Uri(uri.to_owned()))
        }
    }
}

fn static_key(environment: &Environment) -> Result<Credentials, CredentialsError> {
    Ok(Credentials {
        access_key_id: require(environment, KEY_ID)?.to_owned(),
        access_key_secret: require(environment, KEY_SECRET)?.into(),
        security_token: environment.get(SECURITY_TOKEN).map(Into::into),
        expires_at: None,
    })
}

fn oidc(environment: &Environment) -> Result<Plan, CredentialsError> {
    let role = Role {
        arn: require(environment, ROLE_ARN)?.to_owned(),
        session_name: environment.get(SESSION_NAME).map(ToOwned::to_owned),
        duration: None,
        policy: None,
        external_id: None,
    };
    Ok(Plan::AssumeRoleWithOidc {
        provider_arn: require(environment, PROVIDER_ARN)?.to_owned(),
        token_file: require(environment, TOKEN_FILE)?.into(),
        role,
        sts: sts_endpoint(&StsSettings::default(), environment)?,
    })
}

fn require<'a>(
    environment: &'a Environment,
    name: &'static str,
) -> Result<&'a str, CredentialsError> {
    let value = environment.get(name);
    value.ok_or(CredentialsError::Incomplete(name))
}

async fn token(file: &Path) -> Result<SecretString, CredentialsError> {
    let path = file.to_owned();
    let text = spawn_blocking(move || files::read(&path)).await;
    let text = text.map_err(|_panic| CredentialsError::Internal)?;
    let text = text.and_then(|text| match text.trim() {
        "" => Err(FileProblem::Empty),
        token => Ok(token.into()),
    });
    text.map_err(|problem| CredentialsError::TokenFile {
        path: file.display().to_string(),
        problem,
    })
}

/// Checks and converts the credentials that a provider returned.
fn checked(service: Issuer, credential: Credential) -> Result<Credentials, CredentialsError> {
    if credential.access_key_id.is_empty() || credential.access_key_secret.is_empty() {
        return Err(classify(service, None));
    }
    let expires_at = credential
        .expires_in
        .map(|at| Timestamp::try_from(at.as_system_time()))
        .transpose()
        .map_err(|_| classify(service, None))?;
    Ok(Credentials {
        access_key_id: credential.access_key_id,
        access_key_secret: credential.access_key_secret.into(),
        security_token: credential
            .security_token
            .filter(|token| !token.is_empty())
            .map(Into::into),
        expires_at,
    })
}

/// Classifies a failed call by the rules for the task API. `None` means that what came is invalid.
pub(super) fn classify(by: Issuer, error: Option<&CallError>) -> CredentialsError {
    let (status, code, waits) = match error {
        Some(CallError::Unreachable(cause)) => {
            return CredentialsError::Unreachable { by, cause: *cause };
        }
        Some(CallError::NoClient) => return CredentialsError::NoHttpClient,
        Some(CallError::InvalidResponse) | None => return CredentialsError::InvalidResponse(by),
        Some(CallError::Status {
            status,
            code,
            waits,
        }) => (*status, code.clone(), *waits),
    };
    let error = classify::classify(status, code.as_deref(), waits);
    let status = status.as_u16();
    match error.reason {
        Reason::Throttled => CredentialsError::Throttled {
            by,
            wait: error.retry_after,
        },
        Reason::TaskApiUnavailable => CredentialsError::Unavailable { by, status, code },
        Reason::ClockSkewed => CredentialsError::ClockSkewed(by),
        Reason::InvalidResponse => CredentialsError::InvalidResponse(by),
        _ => CredentialsError::Refused { by, status, code },
    }
}

#[cfg(test)]
mod tests;

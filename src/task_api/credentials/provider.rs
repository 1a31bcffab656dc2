//! Reads credentials from the configured source, anew at each call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::jiff::Timestamp;
use reqsign_aliyun_oss::{
    AssumeRoleWithOidcCredentialProvider, ConfigFileCredentialProvider, Credential,
    CredentialsFileCredentialProvider, CredentialsUriCredentialProvider,
    EcsRamRoleCredentialProvider,
};
use reqsign_core::{Context, ProvideCredentialDyn};
use reqwest::{StatusCode, Url};

use super::super::endpoint::{Region, is_loopback};
use super::context::{TransportError, context};
use super::source::{CredentialSource, Environment};
use super::{Credentials, CredentialsError};

const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";
const SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";
const STS_ENDPOINT: &str = "ALIBABA_CLOUD_STS_ENDPOINT";

/// The configured source, and what is needed to read it.
pub(super) struct Provider {
    source: Option<CredentialSource>,
    environment: Environment,
    context: Context,
    allow_insecure: bool,
    /// Whether the source has ever returned credentials.
    has_worked: AtomicBool,
}

impl Provider {
    /// Chooses the source by `environment` and by which files exist.
    pub(super) fn new(
        environment: Environment,
        allow_insecure: bool,
    ) -> Result<Self, CredentialsError> {
        let source = CredentialSource::choose(&environment, Path::exists);
        let context = context(
            source.unwrap_or(CredentialSource::Environment),
            &environment,
        )?;
        Ok(Self {
            source,
            environment,
            context,
            allow_insecure,
            has_worked: AtomicBool::new(false),
        })
    }

    /// The source that was chosen.
    pub(super) fn source(&self) -> Option<CredentialSource> {
        self.source
    }

    /// Reads credentials from the source.
    pub(super) async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let source = self.source.ok_or(CredentialsError::NotConfigured)?;
        let credentials = match source {
            CredentialSource::Environment => self.static_key(),
            _ => self.fetch(source).await,
        };
        match credentials {
            Ok(credentials) => {
                self.has_worked.store(true, Ordering::Relaxed);
                Ok(credentials)
            }
            // Outside ECS, with nothing configured, nothing answers at the metadata address.
            Err(CredentialsError::Unreachable(CredentialSource::EcsRamRole))
                if self.environment.get("ALIBABA_CLOUD_ECS_METADATA").is_none()
                    && !self.has_worked.load(Ordering::Relaxed) =>
            {
                Err(CredentialsError::NotConfigured)
            }
            Err(error) => Err(error),
        }
    }

    fn static_key(&self) -> Result<Credentials, CredentialsError> {
        Ok(Credentials {
            access_key_id: self.require(KEY_ID)?.to_owned(),
            access_key_secret: self.require(KEY_SECRET)?.into(),
            security_token: self.environment.get(SECURITY_TOKEN).map(Into::into),
            expires_at: None,
        })
    }

    fn require(&self, name: &'static str) -> Result<&str, CredentialsError> {
        self.environment
            .get(name)
            .ok_or(CredentialsError::Incomplete(name))
    }

    async fn fetch(&self, source: CredentialSource) -> Result<Credentials, CredentialsError> {
        let provider: Arc<dyn ProvideCredentialDyn<Credential = Credential>> = match source {
            CredentialSource::Oidc => Arc::new(self.oidc()?),
            CredentialSource::CliProfile => Arc::new(ConfigFileCredentialProvider::new()),
            CredentialSource::CredentialsFile => Arc::new(CredentialsFileCredentialProvider::new()),
            CredentialSource::EcsRamRole => Arc::new(EcsRamRoleCredentialProvider::new()),
            CredentialSource::CredentialsUri => Arc::new(CredentialsUriCredentialProvider::new()),
            CredentialSource::Environment => return self.static_key(),
        };
        match provider.provide_credential_dyn(&self.context).await {
            Ok(Some(credential)) => checked(source, credential),
            Ok(None) => Err(CredentialsError::Unusable(source)),
            Err(error) => Err(classify(source, TransportError::find_in(&error))),
        }
    }

    fn oidc(&self) -> Result<AssumeRoleWithOidcCredentialProvider, CredentialsError> {
        let endpoint = sts_endpoint(&self.environment, self.allow_insecure)?;
        let session = self.environment.get(SESSION_NAME);
        Ok(AssumeRoleWithOidcCredentialProvider::new()
            .with_role_arn(self.require("ALIBABA_CLOUD_ROLE_ARN")?)
            .with_oidc_provider_arn(self.require("ALIBABA_CLOUD_OIDC_PROVIDER_ARN")?)
            .with_oidc_token_file(self.require("ALIBABA_CLOUD_OIDC_TOKEN_FILE")?)
            .with_role_session_name(session.unwrap_or("scaleouttask-controller"))
            .with_sts_endpoint(endpoint))
    }
}

/// The endpoint of STS: the configured one, else by region and network as in the vendor's SDKs,
/// else the central one.
fn sts_endpoint(
    environment: &Environment,
    allow_insecure: bool,
) -> Result<String, CredentialsError> {
    if let Some(endpoint) = environment.get(STS_ENDPOINT) {
        let plain = endpoint.starts_with("http://");
        let loopback = Url::parse(endpoint).is_ok_and(|url| is_loopback(&url));
        return if plain && !loopback && !allow_insecure {
            Err(CredentialsError::InsecureSts)
        } else {
            Ok(endpoint.to_owned())
        };
    }
    let region = environment
        .get("ALIBABA_CLOUD_STS_REGION")
        .and_then(|region| region.parse::<Region>().ok());
    let vpc = environment.is_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED");
    Ok(match region {
        Some(region) if vpc => format!("https://sts-vpc.{region}.aliyuncs.com"),
        Some(region) => format!("https://sts.{region}.aliyuncs.com"),
        None => "https://sts.aliyuncs.com".to_owned(),
    })
}

/// Checks and converts the credentials that a provider returned.
fn checked(
    source: CredentialSource,
    credential: Credential,
) -> Result<Credentials, CredentialsError> {
    if credential.access_key_id.is_empty() || credential.access_key_secret.is_empty() {
        return Err(classify(source, None));
    }
    let expires_at = credential
        .expires_in
        .map(|at| Timestamp::try_from(at.as_system_time()))
        .transpose()
        .map_err(|_| classify(source, None))?;
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

/// Classifies a provider's error. `None` means that what it read is invalid.
fn classify(source: CredentialSource, error: Option<&TransportError>) -> CredentialsError {
    match error {
        Some(TransportError::File) => CredentialsError::Unreadable(source),
        Some(TransportError::Unreachable) => CredentialsError::Unreachable(source),
        Some(TransportError::Status { status, code }) => refused(source, *status, code.clone()),
        Some(TransportError::InvalidResponse) => CredentialsError::InvalidResponse(source),
        None if source.is_remote() => CredentialsError::InvalidResponse(source),
        None => CredentialsError::Unusable(source),
    }
}

/// Looks at the code first, because throttling may also come with status 400.
fn refused(source: CredentialSource, status: u16, code: Option<String>) -> CredentialsError {
    let name = code.as_deref().unwrap_or_default();
    let throttled = name == "Throttling"
        || name.starts_with("Throttling.")
        || name == "Rejected.Throttling"
        || status == StatusCode::TOO_MANY_REQUESTS.as_u16();
    let failing = matches!(name, "ServiceUnavailable" | "InternalError")
        || status >= 500
        || status == StatusCode::REQUEST_TIMEOUT.as_u16();
    let by = source;
    if throttled {
        CredentialsError::Throttled(source)
    } else if failing {
        CredentialsError::Unavailable { by, status, code }
    } else {
        CredentialsError::Refused { by, status, code }
    }
}

#[cfg(test)]
mod tests;

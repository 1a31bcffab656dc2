//! What is to be done for credentials, as a source's configuration says.

use std::{fmt, path::PathBuf};

use reqwest::Url;

use super::{Credentials, sts::Role};

/// How credentials are got.
#[derive(Debug)]
pub(super) enum Plan {
    /// They are there.
    Ready(Credentials),
    /// A RAM role is assumed with the credentials of another plan.
    AssumeRole {
        /// Whose credentials sign the call.
        base: Box<Plan>,
        /// The role.
        role: Role,
        /// Where STS is.
        sts: Url,
    },
    /// A RAM role is assumed with a token of an identity provider, such as a service account's.
    AssumeRoleWithOidc {
        /// The identity provider's ARN.
        provider_arn: String,
        /// The file with the token.
        token_file: PathBuf,
        /// The role.
        role: Role,
        /// Where STS is.
        sts: Url,
    },
    /// The RAM role of the instance, by its name where it is known.
    InstanceRole(Option<String>),
    /// A local service gives them.
    Uri(String),
}

/// A service that issues credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// STS, asked for a role by an access key.
    AssumeRole,
    /// STS, asked for a role by a token.
    AssumeRoleWithOidc,
    /// The metadata service of the ECS instance.
    Metadata,
    /// The service behind a credentials URI.
    CredentialsUri,
}

impl Issuer {
    /// What to check when it refuses with that code.
    pub(super) fn remedy(self, code: Option<&str>) -> &'static str {
        let code = code.unwrap_or_default();
        let is_about = |families: &[&str]| families.iter().any(|family| code.starts_with(family));
        let is_key = is_about(&[
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "InvalidSecurityToken",
            "IncompleteSignature",
        ]);
        let is_parameter = is_about(&["InvalidParameter", "MissingParameter"]);
        match self {
            Self::AssumeRole if is_key => "check the access key that the role is assumed with",
            Self::AssumeRole | Self::AssumeRoleWithOidc if is_parameter => {
                "check the role's ARN, session name, duration and policy"
            }
            Self::AssumeRole => {
                "check the role's ARN and its trust policy, and that the key may call sts:AssumeRole"
            }
            Self::AssumeRoleWithOidc => {
                "check that RRSA is enabled, and that the role and its trust policy name this \
                 service account"
            }
            Self::Metadata => "check that the instance has a RAM role",
            Self::CredentialsUri => "check the service behind the credentials URI",
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AssumeRole => "STS (AssumeRole)",
            Self::AssumeRoleWithOidc => "STS (AssumeRoleWithOIDC)",
            Self::Metadata => "the ECS metadata service",
            Self::CredentialsUri => "the credentials URI",
        })
    }
}

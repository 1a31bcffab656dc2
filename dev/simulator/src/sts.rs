//! The simulated STS, which answers `AssumeRole` and `AssumeRoleWithOIDC` like the real one.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::{acs3::Refusal, fault::Fault, keys::Issued, values};

/// How the simulated STS behaves.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sts {
    /// How long its credentials are valid.
    #[serde(deserialize_with = "values::duration")]
    pub lifetime: Duration,
    /// Its faults, counted over its exchanges.
    pub faults: Vec<Fault>,
}

impl Default for Sts {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_hours(1),
            faults: Vec::new(),
        }
    }
}

/// One call of `AssumeRole` or `AssumeRoleWithOIDC`.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// When it was received.
    pub at: Instant,
    /// `Action`.
    pub action: String,
    /// `AccessKeyId`: whose key signed it. Like the next fields, it is empty if it was missing.
    pub signed_by: String,
    /// `ExternalId`.
    pub external_id: String,
    /// `DurationSeconds`.
    pub duration_seconds: String,
    /// `Policy`.
    pub policy: String,
    /// `OIDCToken`.
    pub oidc_token: String,
    /// `OIDCProviderArn`.
    pub oidc_provider_arn: String,
    /// `RoleArn`.
    pub role_arn: String,
    /// `RoleSessionName`.
    pub role_session_name: String,
    /// The access key ID that was issued, if any.
    pub access_key_id: Option<String>,
    /// The status of the answer, once it began.
    pub answered: Option<u16>,
}

/// Whether the parameters are those of an exchange.
pub(crate) fn is_exchange(parameters: &HashMap<String, String>) -> bool {
    let action = parameters.get("Action");
    action.is_some_and(|action| action.starts_with("AssumeRole"))
}

impl Exchange {
    /// An exchange from the parameters in the query or the form.
    pub(crate) fn new(parameters: &HashMap<String, String>) -> Self {
        let value = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        Self {
            at: Instant::now(),
            action: value("Action"),
            signed_by: value("AccessKeyId"),
            external_id: value("ExternalId"),
            duration_seconds: value("DurationSeconds"),
            policy: value("Policy"),
            oidc_token: value("OIDCToken"),
            oidc_provider_arn: value("OIDCProviderArn"),
            role_arn: value("RoleArn"),
            role_session_name: value("RoleSessionName"),
            access_key_id: None,
            answered: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let role = [
            ("RoleArn", &self.role_arn),
            ("RoleSessionName", &self.role_session_name),
        ];
        let oidc = [
            ("OIDCToken", &self.oidc_token),
            ("OIDCProviderArn", &self.oidc_provider_arn),
        ];
        let signed = [("AccessKeyId", &self.signed_by)];
        let others: &[(&str, &String)] = match self.action.as_str() {
            "AssumeRole" => &signed,
            "AssumeRoleWithOIDC" => &oidc,
            _ => {
                let message = "Specified api is not found, please check your url and method.";
                return Err(Refusal::new(404, "InvalidAction.NotFound", message));
            }
        };
        match role
            .iter()
            .chain(others)
            .find(|(_, value)| value.is_empty())
        {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("The parameter {name} is missing.");
                Err(Refusal::new(400, "MissingParameter", message))
            }
        }
    }
}

/// The body of a successful answer.
pub(crate) fn body(exchange: &Exchange, issued: &Issued, request_id: &str) -> String {
    let role = &exchange.role_arn;
    let session = &exchange.role_session_name;
    json!({
        "RequestId": request_id,
        "OIDCTokenInfo": {
            "Subject": "simulated", "Issuer": "simulated", "ClientIds": "sts.aliyuncs.com",
        },
        "AssumedRoleUser": {
            "AssumedRoleId": format!("300000000000000000:{session}"),
            "Arn": format!("{role}/{session}"),
        },
        "Credentials": {
            "AccessKeyId": issued.access_key_id,
            "AccessKeySecret": issued.access_key_secret,
            "SecurityToken": issued.security_token,
            "Expiration": expiration(issued),
        },
    })
    .to_string()
}

/// When they expire, as the vendor's services write it.
pub(crate) fn expiration(issued: &Issued) -> String {
    let end = Timestamp::now().saturating_add(issued.lifetime);
    let end = end.unwrap_or(Timestamp::MAX);
    end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

//! The simulated metadata service of an ECS instance, and a simulated credentials URI.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::{acs3::Received, keys::Issued, sts::expiration, values};

const TOKEN_PATH: &str = "/latest/api/token";
const ROLE_PATH: &str = "/latest/meta-data/ram/security-credentials/";
const URI_PATH: &str = "/credentials";
/// The token of version 2 of the service.
const TOKEN: &str = "SimulatedMetadataToken";

/// How the simulated metadata service behaves.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metadata {
    /// The RAM role of the instance.
    pub role: String,
    /// How long its credentials are valid.
    #[serde(deserialize_with = "values::duration")]
    pub lifetime: Duration,
    /// Whether it answers without a token too, as version 1 does.
    pub version1: bool,
    /// Whether it gives out tokens, as version 2 does.
    pub version2: bool,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            role: "SimulatedRole".to_owned(),
            lifetime: Duration::from_hours(1),
            version1: false,
            version2: true,
        }
    }
}

/// What a request asks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Token,
    RoleName,
    Credentials(String),
    Uri,
}

/// What this request asks, if it is for this service.
pub(crate) fn asked(received: Received<'_>) -> Option<Asked> {
    match received.path.strip_prefix(ROLE_PATH) {
        Some("") => Some(Asked::RoleName),
        Some(role) => Some(Asked::Credentials(role.to_owned())),
        None if received.path == TOKEN_PATH => Some(Asked::Token),
        None if received.path == URI_PATH => Some(Asked::Uri),
        None => None,
    }
}

/// The status and the body, where credentials are made by `issue`.
pub(crate) fn answer(
    metadata: &Metadata,
    asked: &Asked,
    received: Received<'_>,
    issue: impl FnOnce(Duration) -> Issued,
) -> (u16, String) {
    let token = received.headers.get("x-aliyun-ecs-metadata-token");
    let has_token = token.is_some_and(|token| token.as_bytes() == TOKEN.as_bytes());
    let ttl = "x-aliyun-ecs-metadata-token-ttl-seconds";
    match asked {
        Asked::Token if !metadata.version2 => (404, String::new()),
        Asked::Token if received.method != "PUT" => (405, String::new()),
        Asked::Token if !received.headers.contains_key(ttl) => (400, String::new()),
        Asked::Token => (200, TOKEN.to_owned()),
        Asked::Uri => (200, credentials(&issue(metadata.lifetime))),
        _ if !has_token && !metadata.version1 => (403, String::new()),
        Asked::RoleName => (200, metadata.role.clone()),
        Asked::Credentials(role) if *role != metadata.role => (404, String::new()),
        Asked::Credentials(_) => (200, credentials(&issue(metadata.lifetime))),
    }
}

fn credentials(issued: &Issued) -> String {
    json!({
        "Code": "Success",
        "AccessKeyId": issued.access_key_id,
        "AccessKeySecret": issued.access_key_secret,
        "SecurityToken": issued.security_token,
        "Expiration": expiration(issued),
        "LastUpdated": "2026-01-01T00:00:00Z",
    })
    .to_string()
}

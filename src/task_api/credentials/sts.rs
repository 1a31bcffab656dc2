//! RAM roles, assumed at STS. The call is signed by an access key, or carries a token of an identity
//! provider; STS has the older of the vendor's signatures, version 1.0 of its "RPC" style.
//!
//! What is secret or says who is who travels in the body: queries end up in the access logs of servers and
//! proxies.

use k8s_openapi::jiff::Timestamp;
use reqsign_core::hash::base64_hmac_sha1;
use reqwest::{
    Method, Request, Url,
    header::{CONTENT_TYPE, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    Credentials,
    http::{CallError, Http},
};
use crate::task_api::sign::{encode, nonce};

const VERSION: &str = "2015-04-01";
/// What the session is called in the vendor's audit log.
const SESSION_NAME: &str = "scaleouttask-controller";

/// A RAM role, and how it is assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN, such as `acs:ram::1234567890123456:role/reader`.
    pub arn: String,
    /// What the session is called in the vendor's audit log; by default, this program's name.
    pub session_name: Option<String>,
    /// How long the session lasts, in seconds; by default, as STS has it: an hour.
    pub duration: Option<u32>,
    /// Permissions beyond which the session has none, in the vendor's JSON.
    pub policy: Option<String>,
    /// What the role's owner agreed on with who assumes it.
    pub external_id: Option<String>,
}

impl Role {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let session = self.session_name.as_deref().unwrap_or(SESSION_NAME);
        let mut parameters = vec![
            ("RoleArn", self.arn.clone()),
            ("RoleSessionName", session.to_owned()),
        ];
        let duration = self.duration.map(|seconds| seconds.to_string());
        let others = [
            ("DurationSeconds", duration),
            ("Policy", self.policy.clone()),
            ("ExternalId", self.external_id.clone()),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        parameters.extend(others);
        parameters
    }
}

/// Assumes a role with an access key.
pub(super) async fn assume_role(
    http: &Http,
    sts: &Url,
    role: &Role,
    base: &Credentials,
) -> Result<Credentials, CallError> {
    let mut query = common("AssumeRole")?;
    query.extend([
        ("AccessKeyId", base.access_key_id.clone()),
        ("SignatureMethod", "HMAC-SHA1".to_owned()),
        ("SignatureVersion", "1.0".to_owned()),
    ]);
    let mut form = role.parameters();
    if let Some(token) = &base.security_token {
        form.push(("SecurityToken", token.expose_secret().to_owned()));
    }
    let signature = signature(query.iter().chain(&form), &base.access_key_secret);
    query.push(("Signature", signature));
    call(http, sts, &query, &form).await
}

/// Assumes a role with a token of an identity provider, which stands for a signature.
pub(super) async fn assume_role_with_oidc(
    http: &Http,
    sts: &Url,
    role: &Role,
    provider_arn: &str,
    token: &SecretString,
) -> Result<Credentials, CallError> {
    let mut form = role.parameters();
    form.push(("OIDCProviderArn", provider_arn.to_owned()));
    form.push(("OIDCToken", token.expose_secret().to_owned()));
    call(http, sts, &common("AssumeRoleWithOIDC")?, &form).await
}

fn common(action: &str) -> Result<Vec<(&'static str, String)>, CallError> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let nonce = nonce().ok_or(CallError::InvalidResponse)?;
    Ok(vec![
        ("Action", action.to_owned()),
        ("Format", "JSON".to_owned()),
        ("Version", VERSION.to_owned()),
        ("Timestamp", now),
        ("SignatureNonce", nonce),
    ])
}

/// The signature of a POST to `/`, over the parameters of query and body alike.
fn signature<'a>(
    parameters: impl Iterator<Item = &'a (&'static str, String)>,
    secret: &SecretString,
) -> String {
    let mut pairs: Vec<String> = parameters.map(pair).collect();
    pairs.sort_unstable();
    let text = format!("POST&%2F&{}", encode(pairs.join("&").as_bytes()));
    let key = format!("{}&", secret.expose_secret());
    base64_hmac_sha1(key.as_bytes(), text.as_bytes())
}

fn pair((name, value): &(&'static str, String)) -> String {
    format!("{name}={}", encode(value.as_bytes()))
}

fn joined(parameters: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> = parameters.iter().map(pair).collect();
    pairs.join("&")
}

async fn call(
    http: &Http,
    sts: &Url,
    query: &[(&'static str, String)],
    form: &[(&'static str, String)],
) -> Result<Credentials, CallError> {
    let mut url = sts.clone();
    url.set_query(Some(&joined(query)));
    let mut request = Request::new(Method::POST, url);
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form_type);
    *request.body_mut() = Some(joined(form).into());
    let body = http.send(request).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| CallError::InvalidResponse)?;
    answer.credentials.try_into()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    credentials: Issued,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Issued {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: Timestamp,
}

impl TryFrom<Issued> for Credentials {
    type Error = CallError;

    fn try_from(issued: Issued) -> Result<Self, CallError> {
        let is_complete = !issued.access_key_id.is_empty()
            && !issued.access_key_secret.is_empty()
            && !issued.security_token.is_empty();
        if !is_complete {
            return Err(CallError::InvalidResponse);
        }
        Ok(Self {
            access_key_id: issued.access_key_id,
            access_key_secret: issued.access_key_secret.into(),
            security_token: Some(issued.security_token.into()),
            expires_at: Some(issued.expiration),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vendor's own example of this signature, for another API.
    #[test]
    fn signature_is_that_of_the_vendors_example() {
        let parameters = [
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Format", "XML"),
            ("AccessKeyId", "testid"),
            ("Action", "DescribeRegions"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("Version", "2014-05-26"),
            ("SignatureVersion", "1.0"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let mut pairs: Vec<String> = parameters.iter().map(pair).collect();
        pairs.sort_unstable();
        let text = format!("GET&%2F&{}", encode(pairs.join("&").as_bytes()));
        assert_eq!(
            base64_hmac_sha1(b"testsecret&", text.as_bytes()),
            "OLeaidS1JvxuMvnyHOwuJ+uX5qY="
        );
        // The same but for the method.
        assert_ne!(
            signature(parameters.iter(), &"testsecret".into()),
            "OLeaidS1JvxuMvnyHOwuJ+uX5qY="
        );
    }
}

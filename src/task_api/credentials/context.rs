//! What the providers have access to: files, and HTTP with limits on time and size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqsign_core::{Context, FileRead, HttpSend, StaticEnv};
use reqwest::{Client, Method, Url, redirect};

use super::CredentialsError;
use super::source::{CredentialSource, Environment};
use crate::task_api::classify::is_plain_word;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_RESPONSE: usize = 64 * 1024;

/// Why a provider couldn't read a file or get a response. It is passed on as the source of the
/// provider's own error. The text of that error is never shown, as it quotes responses and URLs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TransportError {
    #[error("a file can't be read")]
    File,
    #[error("no answer")]
    Unreachable,
    #[error("an answer that can't be read")]
    InvalidResponse,
    #[error("HTTP {status}")]
    Status { status: u16, code: Option<String> },
}

impl TransportError {
    /// Finds it among the sources of a provider's error.
    pub(super) fn find_in(error: &reqsign_core::Error) -> Option<&Self> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl From<TransportError> for reqsign_core::Error {
    fn from(error: TransportError) -> Self {
        Self::unexpected("see the source").with_source(error)
    }
}

/// The context for a source's provider, with no more than it needs.
pub(super) fn context(
    source: CredentialSource,
    environment: &Environment,
) -> Result<Context, CredentialsError> {
    let context = Context::new().with_file_read(Files).with_env(StaticEnv {
        home_dir: environment.home.clone(),
        envs: environment.variables.clone(),
    });
    if !source.is_remote() {
        return Ok(context);
    }
    let mut client = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(redirect::Policy::none());
    let plain_sts = environment
        .get("ALIBABA_CLOUD_STS_ENDPOINT")
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    if source != CredentialSource::Oidc || plain_sts {
        // The other sources are local to the machine or the pod, so a proxy would reach the wrong
        // one. And a proxy could read what is sent over plain http.
        client = client.no_proxy();
    }
    let client = client.build().map_err(|_| CredentialsError::NoHttpClient)?;
    Ok(context.with_http_send(Http(client)))
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        tokio::fs::read(path)
            .await
            .map_err(|_| TransportError::File.into())
    }
}

#[derive(Debug)]
struct Http(Client);

impl HttpSend for Http {
    async fn http_send(
        &self,
        request: http::Request<Bytes>,
    ) -> reqsign_core::Result<http::Response<Bytes>> {
        let (parts, body) = request.into_parts();
        // Can fail: the provider builds the URL from what the operator configured.
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| TransportError::Unreachable)?;
        let (method, url, body) = token_into_body(parts.method, url, body);
        let response = self
            .0
            .request(method, url)
            .headers(parts.headers)
            .body(body)
            .send()
            .await
            .map_err(|_| TransportError::Unreachable)?;
        let status = response.status();
        let body = read(response).await?;
        if !status.is_success() {
            let (status, code) = (status.as_u16(), code_of(&body));
            return Err(TransportError::Status { status, code }.into());
        }
        let mut answer = http::Response::new(body);
        *answer.status_mut() = status;
        Ok(answer)
    }
}

/// Moves the token and its parameters from the query into a form, as the vendor's SDKs do.
/// Queries end up in the access logs of servers and proxies.
fn token_into_body(method: Method, url: Url, body: Bytes) -> (Method, Url, Bytes) {
    if !url.query_pairs().any(|(name, _)| name == "OIDCToken") {
        return (method, url, body);
    }
    let (mut target, mut form) = (url.clone(), url.clone());
    target.query_pairs_mut().clear();
    form.query_pairs_mut().clear();
    for (name, value) in url.query_pairs() {
        let public = matches!(&*name, "Action" | "Format" | "Timestamp" | "Version");
        let part = if public { &mut target } else { &mut form };
        part.query_pairs_mut().append_pair(&name, &value);
    }
    let form = form.query().unwrap_or_default().to_owned();
    (Method::POST, target, form.into())
}

async fn read(mut response: reqwest::Response) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|_| TransportError::Unreachable)?
    {
        if body.len() + chunk.len() > MAX_RESPONSE {
            return Err(TransportError::InvalidResponse);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The error code of a response, if it is a plain word, which is safe to show.
fn code_of(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = body.get("Code").or_else(|| body.get("code"))?.as_str()?;
    is_plain_word(code).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_sent_in_the_body() {
        let url = "https://sts.example.com/?Action=A&RoleArn=a%3Ab&Format=JSON&OIDCToken=x%2By";
        let (method, url, body) = token_into_body(Method::GET, url.parse().unwrap(), Bytes::new());
        assert_eq!(method, Method::POST);
        assert_eq!(
            url.as_str(),
            "https://sts.example.com/?Action=A&Format=JSON"
        );
        assert_eq!(body, "RoleArn=a%3Ab&OIDCToken=x%2By");
    }

    #[test]
    fn other_requests_are_not_changed() {
        let url: Url = "http://localhost:1/latest/?a=b".parse().unwrap();
        let (method, same, body) = token_into_body(Method::PUT, url.clone(), "x".into());
        assert_eq!((method, same, &*body), (Method::PUT, url, &b"x"[..]));
    }

    #[test]
    fn only_plain_codes_are_shown() {
        for (body, code) in [
            (r#"{"Code":"Throttling.User"}"#, Some("Throttling.User")),
            (r#"{"code":"A_1"}"#, Some("A_1")),
            (r#"{"Code":"a b"}"#, None),
            (r#"{"Code":""}"#, None),
            (r#"{"Code":7}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(code_of(body.as_bytes()).as_deref(), code, "{body}");
        }
    }

    #[test]
    fn transport_error_is_found_among_the_sources() {
        let inner: reqsign_core::Error = TransportError::Unreachable.into();
        let outer = reqsign_core::Error::unexpected("outer").with_source(inner);
        assert_eq!(
            TransportError::find_in(&outer),
            Some(&TransportError::Unreachable)
        );
        let other = reqsign_core::Error::unexpected("other");
        assert_eq!(TransportError::find_in(&other), None);
    }
}

//! HTTP for credentials, with limits on time and size. Its errors hold no text of a response and no URL.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use reqsign_core::HttpSend;
use reqwest::{Client, ClientBuilder, Request, StatusCode, redirect};

use super::Surroundings;
use crate::clock::Clock;
use crate::resolver::Resolver;
use crate::task_api::{
    classify::is_plain_word,
    connection_error::ConnectionError,
    response_body::{ReadError, read},
    waits::{Waits, date},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What answers on this machine or its link does so at once, and may not be there at all.
const LOCAL_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const LOCAL_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RESPONSE: usize = 64 * 1024;

/// Why a call brought nothing. A provider of reqsign passes it on as the source of its own error, whose
/// text is never shown, as it quotes responses and URLs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    #[error("no answer: {0}")]
    Unreachable(ConnectionError),
    #[error("an answer that can't be read")]
    InvalidResponse,
    #[error("no HTTPS client can be set up")]
    NoClient,
    #[error("HTTP {status}")]
    Status {
        status: StatusCode,
        code: Option<String>,
        waits: Waits,
    },
}

impl CallError {
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

impl From<CallError> for reqsign_core::Error {
    fn from(error: CallError) -> Self {
        Self::unexpected("see the source").with_source(error)
    }
}

/// The HTTP clients for credentials.
/// Each is made when it is first used: it reads the system's certificates, and most sources need one or
/// none.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    /// For STS. Its answers tell what time it is.
    pub sts: Http,
    /// For services of the machine or the pod: through a proxy, another machine's would answer.
    pub local: Http,
}

impl Clients {
    /// Services of this machine have its clock, and tell nothing.
    pub fn new(surroundings: &Surroundings) -> Self {
        let proxies = surroundings.proxies.clone();
        let sts = Http::new(move || builder(CONNECT_TIMEOUT).proxy(proxies.for_client()));
        Self {
            sts: Http {
                clock: Some(surroundings.clock.clone()),
                ..sts
            },
            local: Http::new(|| {
                builder(LOCAL_CONNECT_TIMEOUT)
                    .no_proxy()
                    .timeout(LOCAL_REQUEST_TIMEOUT)
            }),
        }
    }
}

fn builder(connect_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .dns_resolver(Resolver::for_connections(connect_timeout))
        .connect_timeout(connect_timeout)
        .timeout(REQUEST_TIMEOUT)
        .redirect(redirect::Policy::none())
}

/// One client.
#[derive(Clone)]
pub(super) struct Http {
    builder: Arc<dyn Fn() -> ClientBuilder + Send + Sync>,
    client: Arc<OnceLock<Client>>,
    clock: Option<Clock>,
}

impl Http {
    fn new(builder: impl Fn() -> ClientBuilder + Send + Sync + 'static) -> Self {
        let client = Arc::default();
        Self {
            builder: Arc::new(builder),
            client,
            clock: None,
        }
    }

    fn client(&self) -> Result<&Client, CallError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = (self.builder)().build().map_err(|_| CallError::NoClient)?;
        Ok(self.client.get_or_init(|| made))
    }

    /// The body of a successful response.
    pub async fn send(&self, request: Request) -> Result<Vec<u8>, CallError> {
        let response = self.client()?.execute(request).await;
        let response = response.map_err(|error| unreachable(&error))?;
        if let Some((clock, date)) = self.clock.as_ref().zip(date(response.headers())) {
            clock.heard(date);
        }
        let status = response.status();
        let waits = Waits::of(response.headers(), SystemTime::now());
        let body = read(response, MAX_RESPONSE)
            .await
            .map_err(|error| match error {
                ReadError::TooLarge => CallError::InvalidResponse,
                ReadError::Failed(error) => unreachable(&error),
            })?;
        if status.is_success() {
            return Ok(body);
        }
        let code = code_of(&body);
        Err(CallError::Status {
            status,
            code,
            waits,
        })
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl HttpSend for Http {
    async fn http_send(
        &self,
        request: http::Request<Bytes>,
    ) -> reqsign_core::Result<http::Response<Bytes>> {
        // Can fail: the provider builds the URL from what the operator configured.
        let request = Request::try_from(request);
        let request = request.map_err(|_| CallError::Unreachable(ConnectionError::Other))?;
        Ok(http::Response::new(self.send(request).await?.into()))
    }
}

fn unreachable(error: &reqwest::Error) -> CallError {
    CallError::Unreachable(ConnectionError::of(error))
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
    fn call_error_is_found_among_the_sources() {
        let refused = CallError::Unreachable(ConnectionError::Refused);
        let inner: reqsign_core::Error = refused.clone().into();
        let outer = reqsign_core::Error::unexpected("outer").with_source(inner);
        assert_eq!(CallError::find_in(&outer), Some(&refused));
        let other = reqsign_core::Error::unexpected("other");
        assert_eq!(CallError::find_in(&other), None);
    }
}

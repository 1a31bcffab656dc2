//! Calls the task API.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use reqwest::{
    Client, ClientBuilder, Method, Request, Response, StatusCode,
    header::{ACCEPT, HeaderMap, HeaderValue},
    redirect,
};
use rustls::crypto::CryptoProvider;
use tracing::debug;

use super::{
    body::{parse_error, parse_task},
    classify::classify,
    credentials::{Credentials, CredentialsError, SharedCredentials},
    endpoint::{Endpoints, Region, is_loopback},
    sign::{self, sign},
    waits::Waits,
};
use crate::rules::{PollError, PollResult, Reason};

const ACTION: &str = "DescribeTaskInfo";
const VERSION: &str = "2015-12-15";
/// The largest body that is read. No task has a larger one.
const BODY_MAX: usize = 1024 * 1024;

/// How the task API is called.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Where the task API is.
    pub endpoints: Endpoints,
    /// How long a call may take, from connecting to the end of the body.
    pub request_timeout: Duration,
    /// The credentials that sign calls. Without them, calls are unsigned.
    pub credentials: Option<SharedCredentials>,
}

/// A client of the task API. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct TaskApi {
    http: Client,
    /// For loopback endpoints, which never go through a proxy: such calls may be unencrypted and
    /// must not leave this machine.
    direct: Client,
    endpoints: Endpoints,
    credentials: Option<SharedCredentials>,
}

impl TaskApi {
    /// A client with these options.
    ///
    /// # Errors
    /// If the TLS library can't be set up, for example because there are no root certificates.
    pub fn new(options: &ClientOptions) -> Result<Self, reqwest::Error> {
        let builder = || Self::builder(options);
        Ok(Self {
            http: builder().build()?,
            direct: builder().no_proxy().build()?,
            endpoints: options.endpoints.clone(),
            credentials: options.credentials.clone(),
        })
    }

    fn builder(options: &ClientOptions) -> ClientBuilder {
        Client::builder()
            .user_agent(crate::USER_AGENT)
            .redirect(redirect::Policy::none())
            .connect_timeout(options.request_timeout.min(Duration::from_secs(5)))
            .timeout(options.request_timeout)
    }

    /// Fetches one task. The call is signed with `own` credentials if given, else with the shared ones.
    pub async fn describe(
        &self,
        region: &Region,
        task_id: &str,
        own: Option<&Credentials>,
    ) -> PollResult {
        let url = self
            .endpoints
            .task_url(region, task_id)
            .map_err(|error| explained(Reason::RequestRejected, error.to_string()))?;
        let mut request = Request::new(Method::GET, url);
        let accept = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, accept);

        if let Some(own) = own {
            sign_request(&mut request, own)?;
            return self.send(request, task_id).await;
        }
        let Some(shared) = &self.credentials else {
            return self.send(request, task_id).await;
        };
        let credentials = shared.get().await.map_err(|error| no_credentials(&error))?;
        sign_request(&mut request, &credentials)?;
        let result = self.send(request, task_id).await;
        if let Err(error) = &result
            && error.reason == Reason::CredentialsInvalid
        {
            shared.invalidate(&credentials);
        }
        result
    }

    async fn send(&self, request: Request, task_id: &str) -> PollResult {
        let http = if is_loopback(request.url()) {
            &self.direct
        } else {
            &self.http
        };
        let response = http
            .execute(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(refused(response).await);
        }
        let request_id = request_id(response.headers());
        let body = read(response, BODY_MAX).await?;
        parse_task(&body, task_id).map_err(|error| {
            debug!(%error, "invalid response of the task API");
            PollError {
                request_id,
                ..PollError::new(Reason::InvalidResponse)
            }
        })
    }
}

fn sign_request(request: &mut Request, credentials: &Credentials) -> Result<(), PollError> {
    let signed = sign(
        &sign::Request {
            method: request.method(),
            url: request.url(),
            action: ACTION,
            version: VERSION,
        },
        credentials,
        Timestamp::now(),
        &nonce()?,
    );
    let headers =
        signed.map_err(|error| explained(Reason::CredentialsInvalid, error.to_string()))?;
    request.headers_mut().extend(headers);
    Ok(())
}

/// 128 random bits in hex. The API refuses a nonce that it has seen before.
fn nonce() -> Result<String, PollError> {
    let mut bytes = [0_u8; 16];
    let provider = CryptoProvider::get_default();
    let filled = provider.is_some_and(|provider| provider.secure_random.fill(&mut bytes).is_ok());
    if !filled {
        return Err(PollError::new(Reason::TaskApiUnavailable));
    }
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The error for a response with a status other than 200.
async fn refused(response: Response) -> PollError {
    let status = response.status();
    let in_header = request_id(response.headers());
    let waits = Waits::of(response.headers(), SystemTime::now());
    let by_status = status == StatusCode::TOO_MANY_REQUESTS
        || !status.is_client_error()
        || waits.is_throttled();
    let body = match read(response, BODY_MAX).await {
        Ok(body) => body,
        // The missing part may have held the error code that decides.
        Err(error) if error.reason == Reason::TaskApiUnavailable && !by_status => {
            return error;
        }
        Err(_) => Vec::new(),
    };
    let (code, in_body) = parse_error(&body);
    let error = PollError {
        request_id: in_header.or_else(|| in_body.filter(|id| is_request_id(id))),
        ..classify(status, code.as_deref(), waits)
    };
    debug!(
        status = status.as_u16(),
        code = error.code,
        request_id = error.request_id,
        "task API refused the call"
    );
    error
}

/// What the vendor's support asks for.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-acs-request-id")?.to_str().ok()?;
    is_request_id(id).then(|| id.to_owned())
}

fn is_request_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// Reads a body of at most `max` bytes. It counts what arrives, as `Content-Length` may be wrong.
async fn read(mut response: Response, max: usize) -> Result<Vec<u8>, PollError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&error))?
    {
        if body.len() + chunk.len() > max {
            return Err(PollError::new(Reason::InvalidResponse));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Logs the error's kind, but never its text, which may hold a URL with a token.
fn unreachable(error: &reqwest::Error) -> PollError {
    debug!(
        timeout = error.is_timeout(),
        connect = error.is_connect(),
        body = error.is_body() || error.is_decode(),
        "task API unreachable"
    );
    PollError {
        is_silence: true,
        ..PollError::new(Reason::TaskApiUnavailable)
    }
}

fn no_credentials(error: &CredentialsError) -> PollError {
    if error.is_transient() {
        return PollError::new(Reason::TaskApiUnavailable);
    }
    explained(Reason::CredentialsInvalid, error.to_string())
}

fn explained(reason: Reason, detail: String) -> PollError {
    PollError {
        detail: Some(detail),
        ..PollError::new(reason)
    }
}

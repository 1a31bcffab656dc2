//! Calls the task API.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use reqwest::{
    Client, ClientBuilder, Method, Request, Response, StatusCode, Url,
    header::{ACCEPT, HeaderMap, HeaderValue},
    redirect,
};
use tokio::time::Instant;
use tracing::debug;

use super::{
    body::{cluster_in, parse_error, parse_task},
    classify::classify,
    connection_error::ConnectionError,
    credentials::{CredentialSource, Credentials, CredentialsError, Issuer, SharedCredentials},
    endpoint::{Endpoints, Region},
    response_body::{LargeBodies, LargeBody, LargeReadError, ReadError},
    sign::{self, nonce, sign},
    waits::{Waits, date},
};
use crate::{
    clock::Clock,
    proxy::Proxies,
    resolver::Resolver,
    rules::{PollError, PollResult, Reason, Service},
};

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
    /// Is told what time it is by the API's answers.
    pub clock: Clock,
    /// How the API is reached.
    pub proxies: Proxies,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Where.
    pub region: &'a Region,
    /// Which task.
    pub task_id: &'a str,
    /// The only cluster whose task counts: any other's is told exactly as one that doesn't exist. None for
    /// any.
    pub only_cluster: Option<&'a str>,
}

/// A client of the task API. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct TaskApi {
    http: Client,
    endpoints: Endpoints,
    request_timeout: Duration,
    credentials: Option<SharedCredentials>,
    clock: Clock,
    bodies: LargeBodies,
}

impl TaskApi {
    /// A client with these options.
    ///
    /// # Errors
    /// If the TLS library can't be set up, for example because there are no root certificates.
    pub fn new(options: &ClientOptions) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: Self::builder(options).build()?,
            endpoints: options.endpoints.clone(),
            request_timeout: options.request_timeout,
            credentials: options.credentials.clone(),
            clock: options.clock.clone(),
            bodies: LargeBodies::default(),
        })
    }

    fn builder(options: &ClientOptions) -> ClientBuilder {
        // Shorter than the whole, so that it shows which of both was too long.
        let connect_timeout = (options.request_timeout * 3 / 4).min(Duration::from_secs(5));
        Client::builder()
            .user_agent(crate::USER_AGENT)
            .dns_resolver(Resolver::for_connections(connect_timeout))
            .proxy(options.proxies.for_client())
            .redirect(redirect::Policy::none())
            .connect_timeout(connect_timeout)
            .timeout(options.request_timeout)
    }

    /// Fetches one task. The call is signed with `own` credentials if given, else with the shared ones.
    pub async fn describe(&self, query: Query<'_>, own: Option<&Credentials>) -> PollResult {
        let url = self
            .endpoints
            .task_url(query.region, query.task_id)
            .map_err(|error| explained(Reason::RequestRejected, error.to_string()))?;
        if let Some(own) = own {
            return self.ask(url, query, Some(own)).await;
        }
        let Some(shared) = &self.credentials else {
            return self.ask(url, query, None).await;
        };
        let credentials = shared.get().await.map_err(|error| no_credentials(&error))?;
        let mut result = self.ask(url.clone(), query, Some(&credentials)).await;
        if accepts_credentials(&result) == Some(false)
            && let Some(newer) = shared.refused(&credentials).await
        {
            // Rotated since it was read: that is no error.
            result = self.ask(url, query, Some(&newer)).await;
        }
        if let Some(accepted) = accepts_credentials(&result) {
            shared.note_answer(query.region.as_str(), accepted);
        }
        result
    }

    /// The shared credentials' source, and whether they can be had and are taken, once that is known.
    #[must_use]
    pub fn credentials_up(&self) -> Option<(CredentialSource, bool)> {
        let shared = self.credentials.as_ref()?;
        shared.source().zip(shared.are_up())
    }

    /// One call, signed with these credentials.
    async fn ask(
        &self,
        url: Url,
        query: Query<'_>,
        credentials: Option<&Credentials>,
    ) -> PollResult {
        let mut request = Request::new(Method::GET, url);
        let accept = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, accept);
        if let Some(credentials) = credentials {
            sign_request(&mut request, credentials)?;
        }
        self.send(request, query).await
    }

    async fn send(&self, request: Request, query: Query<'_>) -> PollResult {
        let deadline = Instant::now() + self.request_timeout;
        let response = self
            .http
            .execute(request)
            .await
            .map_err(|error| unreachable(&error))?;
        if let Some(date) = date(response.headers()) {
            self.clock.heard(date);
        }
        let status = response.status();
        let in_header = request_id(response.headers());
        let waits = Waits::of(response.headers(), SystemTime::now());
        let body = self.body_of(response, query.region, deadline).await;
        if status != StatusCode::OK {
            return Err(refused(status, in_header, waits, body));
        }
        let body = match body {
            Ok(body) => body,
            Err(error) if error.reason == Reason::InvalidResponse => {
                let reason = query.reason_of_invalid(&[]);
                return Err(PollError { reason, ..error });
            }
            Err(error) => return Err(error),
        };
        let error = |reason| PollError {
            request_id: in_header.or_else(|| request_id_in(&body.bytes)),
            ..PollError::new(reason)
        };
        // It holds its place until it is understood.
        match parse_task(&body.bytes, query.task_id) {
            Ok(task) if query.counts(task.cluster_id.as_deref()) => Ok(task),
            Ok(_) => Err(error(Reason::TaskNotFound)),
            Err(problem) => {
                debug!(error = %problem, "invalid response of the task API");
                Err(error(query.reason_of_invalid(&body.bytes)))
            }
        }
    }

    async fn body_of(
        &self,
        response: Response,
        region: &Region,
        deadline: Instant,
    ) -> Result<LargeBody, PollError> {
        let body = self
            .bodies
            .read(response, BODY_MAX, region.as_str(), deadline)
            .await;
        body.map_err(|error| match error {
            LargeReadError::Read(ReadError::TooLarge) => PollError::new(Reason::InvalidResponse),
            LargeReadError::Read(ReadError::Failed(error)) => unreachable(&error),
            LargeReadError::Busy => PollError {
                cause: Some("too many large answers came at a time"),
                ..PollError::new(Reason::TaskApiUnavailable)
            },
        })
    }
}

/// The error for a response with a status other than 200.
fn refused(
    status: StatusCode,
    in_header: Option<String>,
    waits: Waits,
    body: Result<LargeBody, PollError>,
) -> PollError {
    let by_status = status == StatusCode::TOO_MANY_REQUESTS
        || !status.is_client_error()
        || waits.is_throttled();
    let (code, in_body) = match body {
        Ok(body) => parse_error(&body.bytes),
        // The missing part may have held the error code that decides.
        Err(error) if error.reason == Reason::TaskApiUnavailable && !by_status => return error,
        Err(_) => (None, None),
    };
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

/// Whether the answer says that the credentials are valid; none where it doesn't tell.
fn accepts_credentials(result: &PollResult) -> Option<bool> {
    match result {
        Ok(_) => Some(true),
        Err(error) => match error.reason {
            // Only the API has codes.
            Reason::TaskNotFound | Reason::AccessDenied => error.code.is_some().then_some(true),
            Reason::CredentialsInvalid => Some(false),
            _ => None,
        },
    }
}

impl Query<'_> {
    /// Whether a task of that cluster may be told from one that doesn't exist.
    fn counts(&self, cluster: Option<&str>) -> bool {
        self.only_cluster.is_none_or(|only| cluster == Some(only))
    }

    /// What an answer means that describes no task: nothing may be told of one that isn't shown to be of the cluster.
    fn reason_of_invalid(&self, body: &[u8]) -> Reason {
        if self.only_cluster.is_none() || self.counts(cluster_in(body).as_deref()) {
            Reason::InvalidResponse
        } else {
            Reason::TaskNotFound
        }
    }
}

fn sign_request(request: &mut Request, credentials: &Credentials) -> Result<(), PollError> {
    let nonce = nonce().ok_or(PollError::new(Reason::TaskApiUnavailable))?;
    let signed = sign(
        &sign::Request {
            method: request.method(),
            url: request.url(),
            action: ACTION,
            version: VERSION,
        },
        credentials,
        Timestamp::now(),
        &nonce,
    );
    let headers =
        signed.map_err(|error| explained(Reason::CredentialsInvalid, error.to_string()))?;
    request.headers_mut().extend(headers);
    Ok(())
}

/// What the vendor's support asks for.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-acs-request-id")?.to_str().ok()?;
    is_request_id(id).then(|| id.to_owned())
}

fn request_id_in(body: &[u8]) -> Option<String> {
    parse_error(body).1.filter(|id| is_request_id(id))
}

fn is_request_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// Says why, but never in the error's own text, which may hold a URL with a token.
fn unreachable(error: &reqwest::Error) -> PollError {
    let cause = ConnectionError::of(error).as_str();
    debug!(cause, "task API unreachable");
    PollError {
        is_silence: true,
        cause: Some(cause),
        ..PollError::new(Reason::TaskApiUnavailable)
    }
}

/// The error of a call for which there are no credentials.
#[must_use]
pub fn no_credentials(error: &CredentialsError) -> PollError {
    // What has expired on arrival may not have by another clock.
    if let CredentialsError::ClockSkewed(_) | CredentialsError::Expired(_) = error {
        return explained(Reason::ClockSkewed, error.to_string());
    }
    if error.is_about_file() {
        let detail = "The controller's credentials can't be read: its log names the file and what is \
                      wrong in it";
        return explained(Reason::CredentialsInvalid, detail.to_owned());
    }
    if !error.is_transient() {
        return explained(Reason::CredentialsInvalid, error.to_string());
    }
    let service = match error.issuer() {
        Some(Issuer::Metadata) => Service::Metadata,
        Some(Issuer::CredentialsUri) => Service::CredentialsUri,
        Some(Issuer::AssumeRole | Issuer::AssumeRoleWithOidc) => Service::Sts,
        None => Service::File,
    };
    PollError {
        service,
        cause: error.cause(),
        ..PollError::new(Reason::TaskApiUnavailable)
    }
}

fn explained(reason: Reason, detail: String) -> PollError {
    PollError {
        detail: Some(detail),
        ..PollError::new(reason)
    }
}

//! Calls the task API.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use reqwest::{
    Client, ClientBuilder, Method, Request, Response, StatusCode, Url,
    header::{ACCEPT, HeaderValue},
    redirect,
};
use tokio::time::Instant;

use super::{
    call_error::{explained, no_credentials, refused, request_id, request_id_in, unreachable},
    credentials::{CredentialSource, Credentials, SharedCredentials},
    endpoint::{Endpoints, Region},
    questions::{ListQuery, Query, Question},
    response_body::{LargeBodies, LargeBody, LargeReadError, ReadError},
    sign::{self, nonce, sign},
    waits::{Waits, date},
};
use crate::{
    clock::Clock,
    proxy::Proxies,
    resolver::Resolver,
    rules::{PageResult, PollError, PollResult, Reason},
};

const VERSION: &str = "2015-12-15";
/// The largest body that is read. No task and no page of tasks has a larger one.
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
        self.ask(query, own).await
    }

    /// Fetches one page of a cluster's tasks: the API's action `DescribeClusterTasks`. Signed as [`Self::describe`].
    pub async fn list(&self, query: ListQuery<'_>, own: Option<&Credentials>) -> PageResult {
        self.ask(query, own).await
    }

    /// The shared credentials' source, and whether they can be had and are taken, once that is known.
    #[must_use]
    pub fn credentials_up(&self) -> Option<(CredentialSource, bool)> {
        let shared = self.credentials.as_ref()?;
        shared.source().zip(shared.are_up())
    }

    /// Asks with `own` credentials, else with the shared ones.
    async fn ask<Q: Question>(
        &self,
        question: Q,
        own: Option<&Credentials>,
    ) -> Result<Q::Answer, PollError> {
        let url = question
            .url(&self.endpoints)
            .map_err(|error| explained(Reason::RequestRejected, error.to_string()))?;
        if let Some(own) = own {
            return self.call(url, question, Some(own)).await;
        }
        let Some(shared) = &self.credentials else {
            return self.call(url, question, None).await;
        };
        let credentials = shared.get().await.map_err(|error| no_credentials(&error))?;
        let mut result = self.call(url.clone(), question, Some(&credentials)).await;
        if accepts_credentials(&result) == Some(false)
            && let Some(newer) = shared.refused(&credentials).await
        {
            // Rotated since it was read: that is no error.
            result = self.call(url, question, Some(&newer)).await;
        }
        if let Some(accepted) = accepts_credentials(&result) {
            shared.note_answer(question.region().as_str(), accepted);
        }
        result
    }

    /// One call, signed with these credentials.
    async fn call<Q: Question>(
        &self,
        url: Url,
        question: Q,
        credentials: Option<&Credentials>,
    ) -> Result<Q::Answer, PollError> {
        let mut request = Request::new(Method::GET, url);
        let accept = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, accept);
        if let Some(credentials) = credentials {
            sign_request(&mut request, Q::ACTION, credentials)?;
        }
        self.send(request, question).await
    }

    async fn send<Q: Question>(
        &self,
        request: Request,
        question: Q,
    ) -> Result<Q::Answer, PollError> {
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
        let body = self.body_of(response, question.region(), deadline).await;
        let body = body.map_err(|error| PollError {
            request_id: in_header.clone(),
            ..error
        });
        if status != StatusCode::OK {
            return Err(refused(status, in_header, waits, body));
        }
        let body = match body {
            Ok(body) => body,
            Err(error) if error.reason == Reason::InvalidResponse => {
                let reason = question.reason_of_too_large();
                return Err(PollError { reason, ..error });
            }
            Err(error) => return Err(error),
        };
        // It holds its place until it is understood.
        question.answer(&body.bytes).map_err(|reason| PollError {
            request_id: in_header.or_else(|| request_id_in(&body.bytes)),
            ..PollError::new(reason)
        })
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

/// Whether the answer says that the credentials are valid; none where it doesn't tell.
fn accepts_credentials<T>(result: &Result<T, PollError>) -> Option<bool> {
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

fn sign_request(
    request: &mut Request,
    action: &str,
    credentials: &Credentials,
) -> Result<(), PollError> {
    let nonce = nonce().ok_or(PollError::new(Reason::TaskApiUnavailable))?;
    let signed = sign(
        &sign::Request {
            method: request.method(),
            url: request.url(),
            action,
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

#[cfg(test)]
mod tests;

//! What a call is answered with that brings no answer about a task: why, in words that show no secret.

use reqwest::{StatusCode, header::HeaderMap};
use tracing::debug;

use super::{
    body::parse_error,
    classify::classify,
    connection_error::ConnectionError,
    credentials::{CredentialsError, Issuer},
    response_body::LargeBody,
    waits::Waits,
};
use crate::rules::{PollError, Reason, Service};

/// The error for a response with a status other than 200.
pub(super) fn refused(
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

/// Says why, but never in the error's own text, which may hold a URL with a token.
pub(super) fn unreachable(error: &reqwest::Error) -> PollError {
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

pub(super) fn explained(reason: Reason, detail: String) -> PollError {
    PollError {
        detail: Some(detail),
        ..PollError::new(reason)
    }
}

/// What the vendor's support asks for.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-acs-request-id")?.to_str().ok()?;
    is_request_id(id).then(|| id.to_owned())
}

pub(super) fn request_id_in(body: &[u8]) -> Option<String> {
    parse_error(body).1.filter(|id| is_request_id(id))
}

fn is_request_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

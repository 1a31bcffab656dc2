//! Classifies error responses: by the API's error code first, then by the HTTP status.

use std::time::Duration;

use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use reqwest::StatusCode;

use crate::rules::{PollError, RETRY_AFTER_MAX, Reason};

/// The error that a response with this status, code and `Retry-After` stands for.
pub fn classify(
    status: StatusCode,
    code: Option<&str>,
    retry_after: Option<&str>,
    now: Timestamp,
) -> PollError {
    // Only 4xx and 5xx have an error code. The body of a 202 or 304 is ignored.
    let is_error = status.is_client_error() || status.is_server_error();
    let by_code = code.filter(|_| is_error).and_then(by_code);
    let reason = by_code.unwrap_or_else(|| by_status(status));
    let asks_to_wait = matches!(reason, Reason::Throttled | Reason::TaskApiUnavailable);
    PollError {
        reason,
        code: code.filter(|code| is_plain_word(code)).map(str::to_owned),
        detail: None,
        is_silence: false,
        retry_after: retry_after
            .filter(|_| asks_to_wait)
            .and_then(|value| parse_retry_after(value, now)),
    }
}

/// The codes are those of the vendor's API error center and its SDKs.
fn by_code(code: &str) -> Option<Reason> {
    let mut parts = code.split('.');
    let family = parts.next()?;
    let throttling = family == "Throttling" || parts.any(|part| part == "Throttling");
    if throttling {
        return Some(Reason::Throttled);
    }
    match family {
        "ServiceUnavailable" | "InternalError" | "SignatureNonceUsed" => {
            Some(Reason::TaskApiUnavailable)
        }
        "InvalidTimeStamp" => Some(Reason::ClockSkewed),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidSecurityToken" => {
            Some(Reason::CredentialsInvalid)
        }
        "Forbidden" | "ErrorCheckAcl" => Some(Reason::AccessDenied),
        _ => None,
    }
}

fn by_status(status: StatusCode) -> Reason {
    match status.as_u16() {
        429 => Reason::Throttled,
        408 | 500..=599 => Reason::TaskApiUnavailable,
        401 => Reason::CredentialsInvalid,
        403 => Reason::AccessDenied,
        404 => Reason::TaskNotFound,
        400..=499 => Reason::RequestRejected,
        _ => Reason::InvalidResponse,
    }
}

/// Parses seconds or an HTTP date. Anything else counts as absent.
fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only digits, so a number that doesn't fit is too large.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let wait = Duration::try_from(date.duration_since(now)).unwrap_or_default();
    Some(wait.min(RETRY_AFTER_MAX))
}

fn is_plain_word(code: &str) -> bool {
    (1..=64).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_before_the_status() {
        let rows = [
            (400, Some("Throttling"), Reason::Throttled),
            (400, Some("Throttling.User"), Reason::Throttled),
            (400, Some("Throttling.Api"), Reason::Throttled),
            (503, Some("Rejected.Throttling"), Reason::Throttled),
            (429, None, Reason::Throttled),
            (429, Some("Whatever"), Reason::Throttled),
            (400, Some("ServiceUnavailable"), Reason::TaskApiUnavailable),
            (400, Some("InternalError"), Reason::TaskApiUnavailable),
            (400, Some("SignatureNonceUsed"), Reason::TaskApiUnavailable),
            (408, None, Reason::TaskApiUnavailable),
            (500, None, Reason::TaskApiUnavailable),
            (599, Some("Odd"), Reason::TaskApiUnavailable),
            (400, Some("InvalidTimeStamp.Expired"), Reason::ClockSkewed),
            (
                400,
                Some("InvalidAccessKeyId.NotFound"),
                Reason::CredentialsInvalid,
            ),
            (
                404,
                Some("InvalidAccessKeyId.NotFound"),
                Reason::CredentialsInvalid,
            ),
            (
                403,
                Some("SignatureDoesNotMatch"),
                Reason::CredentialsInvalid,
            ),
            (
                400,
                Some("InvalidSecurityToken.Expired"),
                Reason::CredentialsInvalid,
            ),
            (401, None, Reason::CredentialsInvalid),
            (403, Some("Forbidden.RAM"), Reason::AccessDenied),
            (400, Some("ErrorCheckAcl"), Reason::AccessDenied),
            (403, None, Reason::AccessDenied),
            (404, None, Reason::TaskNotFound),
            (404, Some("ErrorTaskNotFound"), Reason::TaskNotFound),
            (400, None, Reason::RequestRejected),
            (410, Some("InvalidParameter"), Reason::RequestRejected),
            (201, None, Reason::InvalidResponse),
            (204, None, Reason::InvalidResponse),
            (302, None, Reason::InvalidResponse),
            (202, Some("Throttling"), Reason::InvalidResponse),
            (304, Some("Forbidden.RAM"), Reason::InvalidResponse),
        ];
        for (status, code, reason) in rows {
            let status = StatusCode::from_u16(status).unwrap();
            let error = classify(status, code, None, Timestamp::UNIX_EPOCH);
            assert_eq!(error.reason, reason, "{status} {code:?}");
        }
    }

    #[test]
    fn only_a_plain_code_is_reported() {
        let long = "x".repeat(65);
        let rows = [
            ("Forbidden.RAM", true),
            ("a_b.C9", true),
            ("two words", false),
            ("sécret", false),
            ("a-b", false),
            ("", false),
            (&long, false),
        ];
        for (code, named) in rows {
            let error = classify(
                StatusCode::BAD_REQUEST,
                Some(code),
                None,
                Timestamp::UNIX_EPOCH,
            );
            assert_eq!(error.code.as_deref(), named.then_some(code), "{code:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_five_minutes() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let rows = [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("301", Some(300)),
            ("99999999999999999999999999", Some(300)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Mon, 06 Nov 2094 08:49:37 GMT", None),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(300)),
            ("-7", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in rows {
            let error = classify(StatusCode::TOO_MANY_REQUESTS, None, Some(value), now);
            assert_eq!(
                error.retry_after,
                seconds.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }

    #[test]
    fn retry_after_is_ignored_where_a_retry_does_not_help() {
        let error = classify(
            StatusCode::FORBIDDEN,
            None,
            Some("7"),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(error.retry_after, None);
    }
}

//! Classifies error responses: by the API's error code first, then by the HTTP status.

use reqwest::StatusCode;

use super::waits::Waits;
use crate::rules::{PollError, Reason};

/// The error that a response with this status, code and headers stands for.
pub fn classify(status: StatusCode, code: Option<&str>, waits: Waits) -> PollError {
    // Only 4xx and 5xx have an error code. The body of a 202 or 304 is ignored.
    let is_error = status.is_client_error() || status.is_server_error();
    let by_code = code.filter(|_| is_error).and_then(by_code);
    let reason = if is_error && waits.is_throttled() {
        Reason::Throttled
    } else {
        by_code.unwrap_or_else(|| by_status(status))
    };
    let asks_to_wait = matches!(reason, Reason::Throttled | Reason::TaskApiUnavailable);
    PollError {
        code: code.filter(|code| is_plain_word(code)).map(str::to_owned),
        retry_after: waits
            .wait(reason == Reason::Throttled)
            .filter(|_| asks_to_wait),
        ..PollError::new(reason)
    }
}

/// The codes are those of the vendor's API error center and its SDKs.
fn by_code(code: &str) -> Option<Reason> {
    let mut parts = code.split('.');
    let family = parts.next()?;
    let throttling = family == "Throttling" || parts.any(|part| part == "Throttling");
    if throttling || family == "FlowControlError" {
        return Some(Reason::Throttled);
    }
    match family {
        "ServiceUnavailable" | "InternalError" | "SignatureNonceUsed" => {
            Some(Reason::TaskApiUnavailable)
        }
        "InvalidTimeStamp" | "IllegalTimestamp" => Some(Reason::ClockSkewed),
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

/// Whether an error code is safe to show.
pub(super) fn is_plain_word(code: &str) -> bool {
    (1..=64).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn the_code_decides_before_the_status() {
        let rows = [
            (400, Some("Throttling"), Reason::Throttled),
            (400, Some("Throttling.User"), Reason::Throttled),
            (400, Some("Throttling.Api"), Reason::Throttled),
            (503, Some("Rejected.Throttling"), Reason::Throttled),
            (400, Some("FlowControlError"), Reason::Throttled),
            (429, None, Reason::Throttled),
            (429, Some("Whatever"), Reason::Throttled),
            (400, Some("ServiceUnavailable"), Reason::TaskApiUnavailable),
            (400, Some("InternalError"), Reason::TaskApiUnavailable),
            (400, Some("SignatureNonceUsed"), Reason::TaskApiUnavailable),
            (408, None, Reason::TaskApiUnavailable),
            (500, None, Reason::TaskApiUnavailable),
            (599, Some("Odd"), Reason::TaskApiUnavailable),
            (400, Some("InvalidTimeStamp.Expired"), Reason::ClockSkewed),
            (400, Some("IllegalTimestamp"), Reason::ClockSkewed),
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
            let error = classify(status, code, Waits::default());
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
            let error = classify(StatusCode::BAD_REQUEST, Some(code), Waits::default());
            assert_eq!(error.code.as_deref(), named.then_some(code), "{code:?}");
        }
    }

    /// An answer that asks to wait by that header.
    fn waits(name: &'static str, value: &'static str) -> Waits {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Waits::of(&headers, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn retry_after_is_ignored_where_a_retry_does_not_help() {
        let waits = waits("retry-after", "7");
        let refused = classify(StatusCode::FORBIDDEN, None, waits);
        assert_eq!(refused.retry_after, None);
        let down = classify(StatusCode::BAD_GATEWAY, None, waits);
        assert_eq!(down.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn any_error_with_the_vendors_header_is_throttled() {
        let waits = waits("x-acs-retry-after", "1500");
        for (status, code) in [
            (400, Some("InvalidParameter")),
            (403, Some("Forbidden.RAM")),
            (404, None),
            (503, Some("ServiceUnavailable")),
        ] {
            let error = classify(StatusCode::from_u16(status).unwrap(), code, waits);
            assert_eq!(error.reason, Reason::Throttled, "{status} {code:?}");
            assert_eq!(error.retry_after, Some(Duration::from_millis(1500)));
        }
        let moved = classify(StatusCode::FOUND, None, waits);
        assert_eq!(
            (moved.reason, moved.retry_after),
            (Reason::InvalidResponse, None)
        );
    }
}

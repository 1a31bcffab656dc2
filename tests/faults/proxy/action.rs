//! What the proxy does with a request.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::body::{Body, whole};

/// What the proxy does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Pass,
    /// Answers with this status and, in seconds, this `Retry-After`; the API server never hears.
    Fail(u16, Option<u32>),
    /// Passes it on that much later.
    Delay(Duration),
    /// Cuts the connection; the API server never hears.
    DropBefore,
    /// Cuts the connection once the API server has answered: the client never hears.
    DropAfter,
    /// Passes it on twice, one after the other, and answers with this one's answer.
    Replay(Answer),
    /// Passes it on once [`super::Proxy::release`] was called.
    Hold,
    /// Cuts the connection after so many bytes of the answer's body.
    CutBody(usize),
    /// A watch that begins well and then says that its version is too old.
    Gone,
    /// A watch refused because its version is too old.
    GoneStatus,
    /// Stops all traffic at that moment, until [`super::Proxy::thaw`]; what is under way then is
    /// lost.
    Freeze(Side),
}

/// Which of two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    First,
    Second,
}

/// Before a request takes effect, or after it did and before the client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// As the API server itself fails a request.
pub fn failure(code: u16, retry_after: Option<u32>) -> Response<Body> {
    let mut response = answer(code, status(code).to_string());
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A watch's stream of one event: its version is too old.
pub fn gone() -> Response<Body> {
    let event = json!({ "type": "ERROR", "object": status(410) });
    answer(200, format!("{event}\n"))
}

fn answer(code: u16, text: String) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": "disturbed by a test", "reason": reason, "code": code,
    })
}

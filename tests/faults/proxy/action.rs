//! The actions of the proxy.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::body::{Body, whole};

/// What the proxy does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Pass,
    /// Responds with this status and this `Retry-After` in seconds. The API server never gets the
    /// request.
    Fail(u16, Option<u32>),
    /// Passes it on after this delay.
    Delay(Duration),
    /// Cuts the connection. The API server never gets the request.
    DropBefore,
    /// Cuts the connection after the response of the API server. The client never gets it.
    DropAfter,
    /// Passes it on twice, one after the other, and returns this response.
    Replay(Answer),
    /// Passes it on once [`super::Proxy::release`] is called.
    Hold,
    /// Cuts the connection after this many bytes of the response body.
    CutBody(usize),
    /// A watch that starts, and then reports that its version is too old.
    Gone,
    /// A watch refused because its version is too old.
    GoneStatus,
    /// Stops all traffic until [`super::Proxy::thaw`]. What is in flight then is lost.
    Freeze(Side),
}

/// Which of two responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    First,
    Second,
}

/// Before a request takes effect, or after that but before the client gets the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// A response like that of the API server to a failed request.
pub fn failure(code: u16, retry_after: Option<u32>) -> Response<Body> {
    let mut response = answer(code, status(code).to_string());
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A watch with one event: its version is too old.
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

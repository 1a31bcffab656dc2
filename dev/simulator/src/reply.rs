//! Replies, and how they are sent.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{
    Either, Full,
    channel::{Channel, SendError, Sender},
};
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER},
};
use serde_json::json;

use crate::{
    acs3::Refusal,
    decision::Ticket,
    fault::{Fault, Kind, Slow},
};

pub(crate) type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

const BLANKS: &[u8] = &[b' '; 16 * 1024];

/// The reply to one request.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) delay: Duration,
    pub(crate) kind: Option<Kind>,
    headers: HeaderMap,
    body: Vec<u8>,
    truncate: Option<usize>,
    slow: Option<Slow>,
}

impl Reply {
    pub(crate) fn ok(content_type: &str, body: String) -> Self {
        let mut reply = Self {
            body: body.into_bytes(),
            ..Self::default()
        };
        reply.set_header(CONTENT_TYPE, content_type);
        reply
    }

    pub(crate) fn refusal(refusal: &Refusal, request_id: &str) -> Self {
        let fault = Fault {
            message: Some(refusal.message.clone()),
            ..Fault::error(refusal.status, refusal.code)
        };
        Self::default().with_fault(&fault, request_id)
    }

    /// The reply with a fault applied.
    pub(crate) fn with_fault(mut self, fault: &Fault, request_id: &str) -> Self {
        if let Some(status) = status(fault) {
            self.status = StatusCode::from_u16(status).unwrap_or_default();
            if status >= 300 || fault.code.is_some() {
                self.body = error_body(fault, status, request_id).into_bytes();
                self.set_header(CONTENT_TYPE, "application/json");
            }
        }
        if let Some(body) = &fault.body {
            self.body = body.clone().into_bytes();
        }
        if fault.kind == Some(Kind::Garbage) {
            self.body = (0..=255).rev().cycle().take(600).collect();
        }
        if let Some(size) = fault.size {
            self.body.resize(size.max(self.body.len()), b' ');
        }
        self.headers_of(fault);
        self.delay = fault.delay.unwrap_or_default();
        self.kind = fault.kind;
        self.truncate = fault.truncate;
        self.slow = fault.slow;
        self
    }

    fn headers_of(&mut self, fault: &Fault) {
        let named = [
            (CONTENT_TYPE, &fault.content_type),
            (RETRY_AFTER, &fault.retry_after),
            (LOCATION, &fault.redirect),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                self.set_header(name, value);
            }
        }
        for (name, value) in &fault.headers {
            if let Ok(name) = name.parse() {
                self.set_header(name, value);
            }
        }
    }

    /// Sets a header. A value that can't be one is ignored.
    pub(crate) fn set_header(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    /// Converts it to a response. A body in pieces is sent by a task, which keeps the ticket until the end.
    pub(crate) fn into_response(mut self, ticket: Ticket) -> Response<Body> {
        let endless = self.kind == Some(Kind::Endless);
        let body = Bytes::from(std::mem::take(&mut self.body));
        let body = if endless || self.truncate.is_some() || self.slow.is_some() {
            if !endless {
                self.headers.insert(CONTENT_LENGTH, body.len().into());
            }
            let (sender, channel) = Channel::new(1);
            let pieces = Pieces {
                body,
                truncate: self.truncate,
                slow: self.slow,
                endless,
            };
            tokio::spawn(async move {
                // An error means that the client closed the connection.
                let _ = pieces.send(sender).await;
                drop(ticket);
            });
            Either::Right(channel)
        } else {
            Either::Left(Full::new(body))
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// A body that is sent in pieces or in part.
struct Pieces {
    body: Bytes,
    truncate: Option<usize>,
    slow: Option<Slow>,
    endless: bool,
}

impl Pieces {
    async fn send(self, mut sender: Sender<Bytes, io::Error>) -> Result<(), SendError> {
        let end = self.truncate.unwrap_or(usize::MAX).min(self.body.len());
        let size = self.slow.map_or(end, |slow| slow.bytes.get()).max(1);
        for start in (0..end).step_by(size) {
            if let Some(slow) = self.slow.filter(|_| start > 0) {
                tokio::time::sleep(slow.every).await;
            }
            sender
                .send_data(self.body.slice(start..end.min(start.saturating_add(size))))
                .await?;
        }
        if self.endless {
            loop {
                sender.send_data(Bytes::from_static(BLANKS)).await?;
            }
        }
        if end < self.body.len() {
            // The bytes must arrive before the connection is closed.
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.abort(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// The status that a fault sets, if any.
fn status(fault: &Fault) -> Option<u16> {
    let by_redirect = fault.redirect.as_ref().map(|_| 302);
    fault
        .status
        .or(by_redirect)
        .or(fault.code.as_ref().map(|_| 400))
}

fn error_body(fault: &Fault, status: u16, request_id: &str) -> String {
    let code = fault.code.as_deref().unwrap_or_else(|| usual_code(status));
    let message = fault
        .message
        .as_deref()
        .unwrap_or("This answer is simulated.");
    json!({"code": code, "message": message, "requestId": request_id}).to_string()
}

fn usual_code(status: u16) -> &'static str {
    match status {
        401 => "InvalidAccessKeyId.NotFound",
        403 => "Forbidden.RAM",
        404 => "ErrorTaskNotFound",
        429 => "Throttling",
        500 => "InternalError",
        501.. => "ServiceUnavailable",
        _ => "BadRequest",
    }
}

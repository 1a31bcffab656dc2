//! Bodies of responses, whole or cut short.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

/// The body of a response.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// An error that makes the server cut the connection.
#[derive(Clone, Copy, Debug)]
pub struct Cut;

/// A complete body.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    let body = Full::new(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

/// The first `after` bytes of a body, in the pieces in which it arrives, then a cut.
pub fn cut(body: Body, after: usize) -> Body {
    let state = (body.into_data_stream(), Some(after));
    let pieces = stream::unfold(state, |(mut pieces, left)| async move {
        let left = left?;
        if left == 0 {
            // The bytes must arrive before the connection is cut.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Some((Err(Cut.into()), (pieces, None)));
        }
        let piece = pieces.next().await?;
        let piece = piece.map(|mut piece| {
            piece.truncate(left);
            piece
        });
        let left = left - piece.as_ref().map_or(0, Bytes::len);
        Some((piece.map(Frame::data), (pieces, Some(left))))
    });
    StreamBody::new(pieces).boxed_unsync()
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut by a test")
    }
}

impl Error for Cut {}

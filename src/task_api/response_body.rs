//! Bodies of responses, bounded.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// From this size on, a body is large.
const LARGE: usize = 64 * 1024;
/// How many large bodies may be held at a time, over all calls. Each takes a few MiB until it is understood.
const LARGE_AT_ONCE: usize = 4;

static LARGE_BODIES: Semaphore = Semaphore::const_new(LARGE_AT_ONCE);

/// Why a body wasn't read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is longer than it may be.
    TooLarge,
    /// Too many others are large.
    Busy,
    /// It broke off.
    Failed(reqwest::Error),
}

/// A body. A large one holds its place until this is dropped.
#[derive(Debug)]
pub(super) struct ResponseBody {
    pub bytes: Vec<u8>,
    _place: Option<SemaphorePermit<'static>>,
}

/// Reads a body of at most `max` bytes. It counts what arrives, as `Content-Length` may be wrong. A large one waits
/// for its turn, `patience` at most; meanwhile the rest stays on the way.
pub(super) async fn read(
    mut response: reqwest::Response,
    max: usize,
    patience: Duration,
) -> Result<ResponseBody, ReadError> {
    let mut bytes = Vec::new();
    let mut place = None;
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Failed)? {
        let length = bytes.len() + chunk.len();
        if length > max {
            return Err(ReadError::TooLarge);
        }
        if length > LARGE && place.is_none() {
            let turn = timeout(patience, LARGE_BODIES.acquire()).await;
            // The semaphore is never closed.
            place = Some(turn.ok().and_then(Result::ok).ok_or(ReadError::Busy)?);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(ResponseBody {
        bytes,
        _place: place,
    })
}

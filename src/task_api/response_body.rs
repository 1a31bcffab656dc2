//! Bodies of responses, bounded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// From this size on, a body is large.
const LARGE: usize = 64 * 1024;
/// How many large bodies of one region may be held at a time. Each takes a few MiB until it is understood.
const LARGE_AT_ONCE: usize = 4;

/// Why a body wasn't read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is longer than it may be.
    TooLarge,
    /// It broke off.
    Failed(reqwest::Error),
}

/// Why a body that may be large wasn't read.
#[derive(Debug)]
pub(super) enum LargeReadError {
    /// As any other.
    Read(ReadError),
    /// Too many others of its region were large.
    Busy,
}

/// Reads a body of at most `max` bytes. It counts what arrives, as `Content-Length` may be wrong.
pub(super) async fn read(
    mut response: reqwest::Response,
    max: usize,
) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Failed)? {
        append(&mut bytes, &chunk, max)?;
    }
    Ok(bytes)
}

fn append(bytes: &mut Vec<u8>, chunk: &[u8], max: usize) -> Result<(), ReadError> {
    if bytes.len() + chunk.len() > max {
        return Err(ReadError::TooLarge);
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

/// A body that may be large. Then it holds a place of its region until this is dropped.
#[derive(Debug)]
pub(super) struct LargeBody {
    pub bytes: Vec<u8>,
    _place: Option<OwnedSemaphorePermit>,
}

/// The places of large bodies, by region: one region's answers hold up no other's. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct LargeBodies(Arc<Mutex<HashMap<String, Arc<Semaphore>>>>);

impl LargeBodies {
    /// As [`read`]. A large body waits for its turn, up to `deadline`; meanwhile the rest of it stays on the way.
    pub(super) async fn read(
        &self,
        mut response: reqwest::Response,
        max: usize,
        region: &str,
        deadline: Instant,
    ) -> Result<LargeBody, LargeReadError> {
        let mut bytes = Vec::new();
        let mut place = None;
        let mut has_waited = false;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // Its time was over while it waited.
                Err(error) if has_waited && error.is_timeout() => return Err(LargeReadError::Busy),
                Err(error) => return Err(LargeReadError::Read(ReadError::Failed(error))),
            };
            append(&mut bytes, &chunk, max).map_err(LargeReadError::Read)?;
            if bytes.len() > LARGE && place.is_none() {
                let places = self.of(region);
                has_waited = places.available_permits() == 0;
                let turn = timeout_at(deadline, places.acquire_owned()).await;
                // They are never closed.
                place = Some(turn.ok().and_then(Result::ok).ok_or(LargeReadError::Busy)?);
            }
        }
        Ok(LargeBody {
            bytes,
            _place: place,
        })
    }

    fn of(&self, region: &str) -> Arc<Semaphore> {
        let mut by_region = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for.
        by_region.retain(|_, places| Arc::strong_count(places) > 1);
        let places = by_region.entry(region.to_owned());
        places
            .or_insert_with(|| Arc::new(Semaphore::new(LARGE_AT_ONCE)))
            .clone()
    }
}

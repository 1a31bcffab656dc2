//! Bodies of responses, bounded.

/// Why a body wasn't read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is longer than it may be.
    TooLarge,
    /// It broke off.
    Failed(reqwest::Error),
}

/// Reads a body of at most `max` bytes. It counts what arrives, as `Content-Length` may be wrong.
pub(super) async fn read(
    mut response: reqwest::Response,
    max: usize,
) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Failed)? {
        if body.len() + chunk.len() > max {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

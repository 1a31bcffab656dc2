//! Asking a running controller whether it is ready, as `helm test` does: the image has no other
//! program, and needs none.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::time::sleep;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a controller doesn't count as ready.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Nobody answers there.
    #[error("no controller answers at {0}: {1}; check --host and --port")]
    Unreachable(String, String),
    /// It answers, and knows not all objects yet.
    #[error("the controller at {0} says: {1}")]
    NotReady(String, String),
}

/// Asks `/readyz` there, over and over for as long as `patience` lasts, and returns what it says.
///
/// # Errors
/// Where it isn't ready by then, or nobody answers.
pub async fn check(host: &str, port: u16, patience: Duration) -> Result<String, CheckError> {
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    let address = if is_bare_v6 {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let began = Instant::now();
    loop {
        let error = match ask(&address).await {
            Ok((true, text)) => return Ok(text),
            Ok((false, text)) => CheckError::NotReady(address.clone(), text),
            Err(error) => CheckError::Unreachable(address.clone(), innermost(&error)),
        };
        if began.elapsed() >= patience {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}

async fn ask(address: &str) -> reqwest::Result<(bool, String)> {
    let builder = reqwest::Client::builder();
    let client = builder.no_proxy().timeout(TIMEOUT).build()?;
    let response = client
        .get(format!("http://{address}/readyz"))
        .send()
        .await?;
    let is_ready = response.status().is_success();
    Ok((is_ready, response.text().await?.trim().to_owned()))
}

/// What the others only wrap.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

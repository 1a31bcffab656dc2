//! Checks whether a running controller is ready. `helm test` uses it, as the image has no other
//! program.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::time::sleep;

use crate::resolver::Resolver;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a controller is not ready.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Nothing answers at the address.
    #[error("no controller answers at {0}: {1}; check --host and --port")]
    Unreachable(String, String),
    /// It answers, but hasn't listed all objects yet.
    #[error("the controller at {0} says: {1}")]
    NotReady(String, String),
}

/// Requests `/readyz` until the controller is ready, for at most `wait`. Returns the response.
///
/// # Errors
/// If it isn't ready by then, or nothing answers.
pub async fn check(host: &str, port: u16, wait: Duration) -> Result<String, CheckError> {
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    let address = if is_bare_v6 {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let began = Instant::now();
    loop {
        let error = match request(&address).await {
            Ok((true, text)) => return Ok(text),
            Ok((false, text)) => CheckError::NotReady(address.clone(), text),
            Err(error) => CheckError::Unreachable(address.clone(), innermost(&error)),
        };
        if began.elapsed() >= wait {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}

async fn request(address: &str) -> reqwest::Result<(bool, String)> {
    let builder = reqwest::Client::builder().dns_resolver(Resolver::for_connections(TIMEOUT));
    let client = builder.no_proxy().timeout(TIMEOUT).build()?;
    let response = client
        .get(format!("http://{address}/readyz"))
        .send()
        .await?;
    let is_ready = response.status().is_success();
    Ok((is_ready, response.text().await?.trim().to_owned()))
}

/// The text of the innermost error. The outer ones only wrap it.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

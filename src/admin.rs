//! Health and metrics for the cluster's own eyes.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, time::Instant};

use crate::metrics::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A part that has shown no sign of life for so long is stuck: it shows one every five seconds.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// A part of the process that must go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The loop that tracks objects.
    Engine,
    /// The task that takes and renews the Lease.
    Lease,
}

/// What the process says of itself.
#[derive(Debug, Default)]
pub struct Health {
    synced: AtomicBool,
    /// Each part's last sign of life, from its first on.
    beats: Mutex<BTreeMap<Part, Instant>>,
}

impl Health {
    /// All objects are known.
    pub fn set_synced(&self) {
        self.synced.store(true, Ordering::Release);
    }

    /// Whether all objects were known at least once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// A sign of life.
    pub fn beat(&self, part: Part) {
        self.beats().insert(part, Instant::now());
    }

    /// A part that is stuck.
    #[must_use]
    pub fn stuck(&self) -> Option<Part> {
        let beats = self.beats();
        let mut stuck = beats.iter().filter(|(_, at)| at.elapsed() > STUCK_AFTER);
        stuck.next().map(|(part, _)| *part)
    }

    fn beats(&self) -> MutexGuard<'_, BTreeMap<Part, Instant>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Opens the port, so that one in use is known before anything else starts.
///
/// # Errors
/// Where the address can't be listened on.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves `/livez`, `/readyz` and `/metrics` until the process ends.
///
/// # Errors
/// Never in practice: connections that fail are the client's loss.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Shared { health, metrics });
    axum::serve(listener, router).await
}

async fn livez(State(shared): State<Shared>) -> Response {
    let Some(part) = shared.health.stuck() else {
        return "ok\n".into_response();
    };
    let why = format!("{part:?} has shown no sign of life for {STUCK_AFTER:?}\n");
    (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    if shared.health.is_synced() {
        return "ok\n".into_response();
    }
    let why = "not ready: the ScaleOutTasks aren't listed yet; the log says what is in the way\n";
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

async fn metrics_text(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_without_a_sign_of_life_is_stuck_until_the_next() {
        let health = Health::default();
        assert_eq!(health.stuck(), None);
        health.beat(Part::Engine);
        health.beat(Part::Lease);
        advance(STUCK_AFTER).await;
        health.beat(Part::Engine);
        assert_eq!(health.stuck(), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!(health.stuck(), Some(Part::Lease));
        health.beat(Part::Lease);
        assert_eq!(health.stuck(), None);
    }
}

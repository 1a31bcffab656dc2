//! The HTTP endpoints for health and metrics.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use crate::metrics::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A part without a heartbeat for this long is stuck. A healthy one sends a heartbeat at least
/// every five seconds.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Connections at a time. One more ends the oldest, so that health is answered whoever else comes.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection lasts at most. It is for one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A part of the process that must keep running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The loop that tracks objects.
    Engine,
    /// The task that acquires and renews the Lease.
    Lease,
}

/// The health of the process.
#[derive(Debug, Default)]
pub struct Health {
    synced: AtomicBool,
    /// Each part's last heartbeat. A part is in the map from its first heartbeat.
    beats: Mutex<BTreeMap<Part, Instant>>,
}

impl Health {
    /// Records that all objects are listed.
    pub fn set_synced(&self) {
        self.synced.store(true, Ordering::Release);
    }

    /// Whether all objects were listed at least once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Records a heartbeat.
    pub fn beat(&self, part: Part) {
        self.beats().insert(part, Instant::now());
    }

    /// A part that is stuck, if any.
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

/// Opens the port. This comes first, so that a port in use is reported before anything starts. `0.0.0.0`, as
/// `[::]`, stands for all addresses: those of IPv6 too, where the machine has any.
///
/// # Errors
/// If the process can't listen on the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let port = address.port();
    if !address.ip().is_unspecified() {
        return TcpListener::bind(address).await;
    }
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        listener => listener,
    }
}

/// Serves `/livez`, `/readyz` and `/metrics` until the process ends. Anyone in the network may connect, so what
/// connections take is bounded.
pub async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Arc<Metrics>) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Shared { health, metrics });
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.add(serve_one(stream, router.clone())),
                Err(error) => {
                    debug!(%error, "can't accept a connection at the admin address");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.running.join_next() => {}
        }
    }
}

/// Connections that are open.
#[derive(Default)]
struct Connections {
    running: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        if self.oldest_first.len() >= CONNECTIONS_MAX {
            self.oldest_first.retain(|one| !one.is_finished());
        }
        if self.oldest_first.len() >= CONNECTIONS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        self.oldest_first.push_back(self.running.spawn(connection));
    }
}

/// Answers one request.
async fn serve_one(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, connection).await {
        debug!(%error, "a connection at the admin address failed");
    }
}

async fn livez(State(shared): State<Shared>) -> Response {
    let Some(part) = shared.health.stuck() else {
        return "ok\n".into_response();
    };
    let why = format!("{part:?} has sent no heartbeat for {STUCK_AFTER:?}\n");
    (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    if shared.health.is_synced() {
        return "ok\n".into_response();
    }
    let why = "not ready: the ScaleOutTasks aren't listed yet; see the log for the reason\n";
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

async fn metrics_text(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let (format, encoded) = if takes_open_metrics(&headers) {
        (OPEN_METRICS, shared.metrics.encode())
    } else {
        (TEXT, shared.metrics.encode_text())
    };
    match encoded {
        Ok(text) => ([(CONTENT_TYPE, format)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether `Accept` names `OpenMetrics`. Who takes anything, as a person by curl, gets the format that all read.
fn takes_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let mut ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next() == Some("application/openmetrics-text");
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
        is_it && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use tokio::time::advance;

    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("text/plain;version=0.0.4", false),
            ("application/openmetrics-text", true),
            (prometheus, true),
            ("application/openmetrics-text; q=0, text/plain", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(takes_open_metrics(&headers), expected, "{accept}");
        }
        assert!(!takes_open_metrics(&HeaderMap::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_without_a_heartbeat_is_stuck_until_the_next() {
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

//! The server and its handle.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Limited};
use hyper::{
    Response,
    body::Incoming,
    header::{DATE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::{self, Runtime},
    sync::oneshot,
};
use tracing::{debug, info};

use crate::{
    acs3::Received,
    call,
    decision::{self, Decision, Ticket},
    fault::{Fault, Kind, Scope},
    limit::{Limiter, RateLimit},
    list::List,
    metadata, percent,
    record::{ListCall, Request},
    reply::Body,
    script::{Credentials, Script},
    state::{Shared, State, lock},
    sts::{self, Exchange},
    task::Task,
};

/// A running simulator. It has its own thread, so it can be used in sync and async code. It stops when
/// it is dropped.
///
/// Every method is cheap and may be called from any thread at any time.
pub struct Simulator {
    address: SocketAddr,
    shared: Shared,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts on a free port of 127.0.0.1. Fails if there is no free port or thread.
    pub fn start(script: Script) -> io::Result<Self> {
        Self::start_on(script, (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts on this address. Also fails if it is in use or not an address of this machine.
    pub fn start_on(script: Script, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::new(Mutex::new(State::new(script)));
        let (stop, stopped) = oneshot::channel();
        let state = shared.clone();
        let thread = thread::Builder::new()
            .name("simulator".to_owned())
            .spawn(move || serve(&runtime, listener, &state, stopped))?;
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint of the task API: `http://127.0.0.1:PORT`. Any path may follow before `/tasks/` and
    /// `/clusters/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The endpoint of the simulated STS: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn sts_url(&self) -> String {
        self.url()
    }

    /// The number of requests for this task in all regions, including those with faults.
    #[must_use]
    pub fn requests(&self, task_id: &str) -> usize {
        lock(&self.shared).record.tasks.count(task_id)
    }

    /// The number of requests for single tasks.
    #[must_use]
    pub fn total_requests(&self) -> usize {
        lock(&self.shared).record.tasks.total
    }

    /// The newest 200,000 requests for single tasks, oldest first.
    #[must_use]
    pub fn request_log(&self) -> Vec<Request> {
        lock(&self.shared).record.tasks.log()
    }

    /// The number of calls for pages of this cluster's list in all regions, including those with faults.
    #[must_use]
    pub fn list_calls(&self, cluster_id: &str) -> usize {
        lock(&self.shared).record.lists.count(cluster_id)
    }

    /// The number of calls for pages of lists.
    #[must_use]
    pub fn total_list_calls(&self) -> usize {
        lock(&self.shared).record.lists.total
    }

    /// The newest 200,000 calls for pages of lists, oldest first.
    #[must_use]
    pub fn list_log(&self) -> Vec<ListCall> {
        lock(&self.shared).record.lists.log()
    }

    /// The number of requests in flight, for tasks and for lists, including those that hang.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        lock(&self.shared).record.in_flight()
    }

    /// The largest number of requests that were in flight at the same time.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        lock(&self.shared).record.max_in_flight(None)
    }

    /// The largest number of requests to this region that were in flight at the same time.
    #[must_use]
    pub fn max_in_flight_in(&self, region: &str) -> usize {
        lock(&self.shared).record.max_in_flight(Some(region))
    }

    /// Adds or replaces a task. Its clock and its faults start again.
    pub fn set_task(&self, task: Task) {
        lock(&self.shared).set_task(task);
    }

    /// Adds or replaces tasks. The last is the newest.
    pub fn set_tasks(&self, tasks: impl IntoIterator<Item = Task>) {
        let mut state = lock(&self.shared);
        tasks.into_iter().for_each(|task| state.set_task(task));
    }

    /// Changes a task in all regions, while its clock and its faults go on. `updated` moves if anything
    /// that its body shows has changed. Returns whether there is such a task. Its ID and region stay, and
    /// so do its faults: [`Self::set_fault`] changes them.
    pub fn change_task(&self, task_id: &str, change: impl FnMut(&mut Task)) -> bool {
        let now = Instant::now();
        lock(&self.shared).tasks.change(task_id, now, change)
    }

    /// Replaces how the list of a cluster, or of all without one of their own, behaves. Its faults start
    /// again.
    pub fn set_list(&self, list: List) {
        lock(&self.shared).set_list(list);
    }

    /// Removes a task in all regions. Its requests stay counted.
    pub fn remove_task(&self, task_id: &str) {
        lock(&self.shared).remove_task(task_id);
    }

    /// Replaces the faults of a task by this one. Requests count from now. If tasks with this ID are in
    /// several regions, it has priority over the faults of each.
    pub fn set_fault(&self, task_id: &str, fault: Fault) {
        self.set_faults(Scope::Task(None, task_id.to_owned()), vec![fault]);
    }

    /// Replaces the faults of all tasks by this one. With [`Fault::in_region`], it applies to one region.
    /// Faults of a single task have priority.
    pub fn set_fault_for_all(&self, fault: Fault) {
        self.set_faults(Scope::AllTasks, vec![fault]);
    }

    /// Replaces the faults of a cluster's list by this one. It has priority over those of all lists.
    pub fn set_list_fault(&self, cluster_id: &str, fault: Fault) {
        self.set_faults(Scope::List(cluster_id.to_owned()), vec![fault]);
    }

    /// Replaces the faults of all lists by this one.
    pub fn set_list_fault_for_all(&self, fault: Fault) {
        self.set_faults(Scope::AllLists, vec![fault]);
    }

    /// Replaces the faults of the simulated STS by this one.
    pub fn set_sts_fault(&self, fault: Fault) {
        self.set_faults(Scope::Sts, vec![fault]);
    }

    /// Removes all faults. Requests that already hang keep hanging.
    pub fn clear_faults(&self) {
        lock(&self.shared).faults.clear();
    }

    fn set_faults(&self, scope: Scope, faults: Vec<Fault>) {
        lock(&self.shared).faults.set(scope, faults, Instant::now());
    }

    /// Sets or removes the rate limit. Its buckets are full at first.
    pub fn set_rate_limit(&self, limit: Option<RateLimit>) {
        lock(&self.shared).limiter = limit.map(Limiter::new);
    }

    /// Sets its clock, as answers show it in `Date`, so many seconds ahead of this machine's. Signatures are still
    /// checked by this machine's.
    pub fn set_clock_ahead(&self, seconds: i64) {
        lock(&self.shared).ahead = SignedDuration::from_secs(seconds);
    }

    /// Adds or replaces an access key. From then on, requests must be signed.
    pub fn set_credentials(&self, credentials: Credentials) {
        lock(&self.shared).keys.add(credentials);
    }

    /// Removes an access key, which may be one issued by the simulated STS.
    pub fn revoke(&self, access_key_id: &str) {
        lock(&self.shared).keys.remove(access_key_id);
    }

    /// Sets how long credentials are valid that the simulated STS issues from now on.
    pub fn set_sts_lifetime(&self, lifetime: Duration) {
        lock(&self.shared).sts_lifetime = lifetime;
    }

    /// The address of the simulated credentials URI.
    #[must_use]
    pub fn credentials_uri(&self) -> String {
        format!("{}/credentials", self.url())
    }

    /// All calls of the simulated STS, oldest first.
    #[must_use]
    pub fn sts_exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared).exchanges.clone()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Fails only after a panic, which the thread has reported.
            let _ = thread.join();
        }
    }
}

/// Serves until the handle is dropped. All connections end with the runtime.
fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    shared: &Shared,
    stopped: oneshot::Receiver<Infallible>,
) {
    runtime.block_on(async {
        tokio::select! {
            _ = stopped => {}
            error = accept(listener, shared) => tracing::error!(%error, "the server ended"),
        }
    });
}

async fn accept(listener: TcpListener, shared: &Shared) -> io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, shared.clone()));
            }
            Err(error) => {
                // Most likely there are no free file descriptors. Retry later.
                debug!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, shared: Shared) {
    // Without it, small pieces of an answer wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(Resettable {
        stream,
        reset: reset.clone(),
    });
    let service = service_fn(|request| respond(request, &shared, &reset));
    if let Err(error) = http1::Builder::new().serve_connection(io, service).await {
        debug!(%error, "a connection ended");
    }
}

async fn respond(
    request: hyper::Request<Incoming>,
    shared: &Shared,
    reset: &AtomicBool,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, 1 << 20)
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let received = Received {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &body,
    };
    let (
        Decision {
            reply,
            state,
            tasks,
            fault,
        },
        ticket,
    ) = decide(shared, received);
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let (task_id, cluster_id) = (ticket.task_id(), ticket.cluster_id());
    let (region, fault) = (ticket.region(), fault.as_deref());
    match reply.kind {
        Some(Kind::Hang) => {
            info!(task_id, cluster_id, region, fault, "not answered");
            pending().await
        }
        Some(Kind::Reset) => {
            info!(task_id, cluster_id, region, fault, "connection reset");
            reset.store(true, Ordering::Relaxed);
            Err(io::ErrorKind::ConnectionReset.into())
        }
        _ => {
            let (status, state) = (reply.status.as_u16(), state.as_deref());
            info!(
                task_id,
                cluster_id, region, status, state, tasks, fault, "answered"
            );
            ticket.answered(status);
            let mut response = reply.into_response(ticket);
            if let Some(date) = shifted_date(shared) {
                response.headers_mut().insert(DATE, date);
            }
            Ok(response)
        }
    }
}

/// What `Date` says where the clock is set otherwise; the server adds the right one by itself.
fn shifted_date(shared: &Shared) -> Option<HeaderValue> {
    let ahead = lock(shared).ahead;
    let date = (Timestamp::now() + ahead).strftime("%a, %d %b %Y %H:%M:%S GMT");
    (!ahead.is_zero()).then(|| date.to_string().parse().ok())?
}

/// Decides about a request to the task API, to STS if its parameters are those of an exchange, or to the
/// metadata service by its path.
fn decide(shared: &Shared, received: Received<'_>) -> (Decision, Ticket) {
    let form = String::from_utf8_lossy(received.body);
    let pairs = percent::form(received.query).chain(percent::form(&form));
    let parameters: HashMap<_, _> = pairs.collect();
    let is_task = received.path.contains("/tasks/") || received.path.ends_with("/tasks");
    if !is_task && sts::is_exchange(&parameters) {
        decision::exchange(shared, received.method, &parameters)
    } else if let Some(asked) = metadata::asked(received) {
        decision::metadata(shared, received, &asked)
    } else {
        call::decide(shared, received)
    }
}

/// A connection that can end in a reset.
struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // With zero linger, closing sends RST instead of FIN.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

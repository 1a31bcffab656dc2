//! A client of the API server that is made anew where its credentials no longer count: a program of the kubeconfig
//! (exec plugin) may give a certificate that expires, or a token that says nothing of its end.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use tokio::{runtime::Handle, task::spawn_blocking, time::Instant};
use tower_service::Service;
use tracing::{info, warn};

/// How often a new client is made at most.
const PERIOD: Duration = Duration::from_secs(10);

/// Makes a client, and may run a program for it, which blocks.
type Connect = dyn Fn() -> Result<Client, String> + Send + Sync;

/// Passes requests on to the newest client. Clones share it.
#[derive(Clone)]
pub struct Reconnecting(Arc<Inner>);

struct Inner {
    connect: Box<Connect>,
    state: Mutex<State>,
}

struct State {
    client: Client,
    /// When the last one was begun.
    renewed_at: Instant,
}

impl Reconnecting {
    /// Begins with `client`, and makes others by `connect`.
    pub fn new(
        client: Client,
        connect: impl Fn() -> Result<Client, String> + Send + Sync + 'static,
    ) -> Self {
        let renewed_at = Instant::now();
        Self(Arc::new(Inner {
            connect: Box::new(connect),
            state: Mutex::new(State { client, renewed_at }),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = &self.0.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API server refused who we are. In the background: requests that are under way don't wait.
    fn refused(&self) {
        let mut state = self.state();
        if state.renewed_at.elapsed() < PERIOD {
            return;
        }
        state.renewed_at = Instant::now();
        let (this, runtime) = (self.clone(), Handle::current());
        spawn_blocking(move || {
            let _runtime = runtime.enter();
            match (this.0.connect)() {
                Ok(client) => {
                    info!("the API server refused the credentials; they are read anew");
                    this.state().client = client;
                }
                Err(error) => warn!(
                    error,
                    "can't read the kubeconfig's credentials anew; retrying"
                ),
            }
        });
    }
}

impl Service<Request<Body>> for Reconnecting {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, kube::Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<kube::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        let client = this.state().client.clone();
        Box::pin(async move {
            let response = client.send(request).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                this.refused();
            }
            Ok(response)
        })
    }
}

//! A proxy between the controller and the API server. It can disturb each single request as networks,
//! proxies and API servers do.
//!
//! It speaks plain HTTP to the controller, and uses the given client for the API server.

mod action;
mod body;
mod request;
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::request::Parts;
use kube::Client;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinHandle,
};

pub use self::{
    action::{Action, Answer, Side},
    request::{Kind, Point, Record, Request, is_streaming_list},
};
use self::{body::Cut, request::Counter};

/// Decides what to do with each request.
pub type Plan = Box<dyn FnMut(&Request) -> Action + Send>;

/// A running proxy. It stops when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    directory: TempDir,
    serving: JoinHandle<()>,
}

/// What all connections share.
struct Shared {
    upstream: Client,
    /// The plan and the counter share a lock, so that requests get numbers and actions in one order.
    planned: Mutex<(Plan, Counter)>,
    records: watch::Sender<Vec<Record>>,
    traffic: watch::Sender<Traffic>,
    released: watch::Sender<bool>,
    cut: Notify,
    /// Where the open connections come from.
    connections: watch::Sender<HashSet<SocketAddr>>,
}

/// Whether requests and responses are passed on.
#[derive(Debug)]
struct Traffic {
    /// The number of the current process of the client.
    life: u32,
    frozen: bool,
}

impl Proxy {
    /// Starts a proxy to the API server of `upstream`, which must not retry by itself.
    pub async fn start(upstream: Client, plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(KUBECONFIG), kubeconfig(address)).unwrap();
        let shared = Arc::new(Shared {
            upstream,
            planned: Mutex::new((plan, Counter::default())),
            records: watch::Sender::default(),
            traffic: watch::Sender::new(Traffic {
                life: 1,
                frozen: false,
            }),
            released: watch::Sender::default(),
            cut: Notify::new(),
            connections: watch::Sender::default(),
        });
        let serving = tokio::spawn(server::serve(listener, shared.clone()));
        Self {
            address,
            shared,
            directory,
            serving,
        }
    }

    /// A kubeconfig for clients of the proxy.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join(KUBECONFIG)
    }

    /// Replaces the plan for all later requests.
    pub fn set_plan(&self, plan: Plan) {
        lock(&self.shared.planned).0 = plan;
    }

    /// Cuts all connections, like a network that is down for a moment.
    pub fn cut(&self) {
        self.shared.cut.notify_one();
    }

    /// Passes on all requests that are held. Later ones are not held.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// All requests up to now.
    pub fn records(&self) -> Vec<Record> {
        self.shared.records.borrow().clone()
    }

    /// Waits until the requests and responses are as `wanted`.
    pub async fn until(&self, wanted: impl FnMut(&Vec<Record>) -> bool) {
        let mut records = self.shared.records.subscribe();
        records.wait_for(wanted).await.unwrap();
    }

    /// Waits until a request has stopped all traffic.
    pub async fn frozen(&self) {
        let mut traffic = self.shared.traffic.subscribe();
        traffic.wait_for(|traffic| traffic.frozen).await.unwrap();
    }

    /// Passes on the traffic of the client's next process. What the last process sent is lost.
    pub async fn thaw(&self) {
        // Connections are accepted in their order: once this one is, all of the last process are.
        let newest = TcpStream::connect(self.address).await.unwrap();
        let newest_from = newest.local_addr().unwrap();
        let mut connections = self.shared.connections.subscribe();
        let accepted = connections.wait_for(|open| open.contains(&newest_from));
        accepted.await.unwrap();
        self.shared.traffic.send_modify(|traffic| {
            traffic.life += 1;
            traffic.frozen = false;
        });
    }

    /// The URL of the proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.shared.connections.borrow().len()
    }

    /// A directory for files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn arrived(&self, life: u32, head: &Parts) -> (usize, bool, Action) {
        let mut planned = lock(&self.planned);
        let (plan, counter) = &mut *planned;
        let request = counter.count(life, head);
        let streams = request.streams();
        let action = plan(&request);
        let record = Record {
            request,
            action: action.clone(),
            answers: Vec::new(),
        };
        let mut index = 0;
        self.records.send_modify(|records| {
            index = records.len();
            records.push(record);
        });
        (index, streams, action)
    }

    fn answered(&self, index: usize, status: u16) {
        self.records
            .send_modify(|records| records[index].answers.push(status));
    }

    fn life(&self) -> u32 {
        self.traffic.borrow().life
    }

    /// Stops all traffic, unless the process that sent the request is gone.
    fn freeze(&self, life: u32) {
        self.traffic
            .send_modify(|traffic| traffic.frozen |= traffic.life == life);
    }

    /// Waits while traffic is stopped. Fails if the process is gone then.
    async fn until_flowing(&self, life: u32) -> Result<(), Cut> {
        let mut traffic = self.traffic.subscribe();
        let flowing = |traffic: &Traffic| traffic.life != life || !traffic.frozen;
        let traffic = traffic.wait_for(flowing).await.map_err(|_| Cut)?;
        if traffic.life == life {
            Ok(())
        } else {
            Err(Cut)
        }
    }

    async fn until_released(&self) {
        let mut released = self.released.subscribe();
        released.wait_for(|released| *released).await.unwrap();
    }

    fn connected(self: &Arc<Self>, from: SocketAddr) -> Connection {
        self.connections.send_modify(|open| {
            open.insert(from);
        });
        Connection {
            shared: self.clone(),
            from,
            life: self.life(),
        }
    }
}

/// An open connection. It belongs to the process that opened it.
struct Connection {
    shared: Arc<Shared>,
    from: SocketAddr,
    life: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let open = &self.shared.connections;
        open.send_modify(|open| {
            open.remove(&self.from);
        });
    }
}

const KUBECONFIG: &str = "kubeconfig";

fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: proxy
clusters: [{{ name: proxy, cluster: {{ server: \"http://{address}\" }} }}]
users: [{{ name: proxy, user: {{}} }}]
contexts: [{{ name: proxy, context: {{ cluster: proxy, user: proxy, namespace: default }} }}]
"
    )
}

/// Ignores poisoning: the test that panicked reports it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Servers that take connections and never answer.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{copy, sink},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// A connection counts once it is this old. A client may open one just before the end of the last
/// is seen here.
const GRACE: Duration = Duration::from_millis(250);
/// The pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(10);

/// Servers on loopback addresses of their own. They end when this is dropped.
pub struct HangingServers {
    addresses: Vec<SocketAddr>,
    connections: Arc<Connections>,
    // Ended when it is dropped.
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Connections {
    accepted: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
}

/// One open connection, counted until this is dropped.
struct Counted(Arc<Connections>);

impl HangingServers {
    /// Starts so many, each on a loopback address of its own: 127.0.1.1, 127.0.1.2, …. There are
    /// 64,770. Fails where the system has no port to give.
    pub async fn start(count: u16) -> io::Result<Self> {
        let connections = Arc::new(Connections::default());
        let mut addresses = Vec::new();
        let mut accepting = JoinSet::new();
        for number in 0..count {
            let [high, low] = (number + number / 254 * 2 + 1).to_be_bytes();
            let address = Ipv4Addr::new(127, 0, high + 1, low);
            let listener = TcpListener::bind((address, 0)).await?;
            addresses.push(listener.local_addr()?);
            accepting.spawn(accept(listener, connections.clone()));
        }
        Ok(Self {
            addresses,
            connections,
            _accepting: accepting,
        })
    }

    /// The address of each, with its port.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many connections there have been to all of them.
    pub fn accepted(&self) -> usize {
        self.connections.accepted.load(Ordering::Relaxed)
    }

    /// How many connections are open to all of them.
    pub fn open(&self) -> usize {
        self.connections.open.load(Ordering::Relaxed)
    }

    /// The most connections that were open at the same time.
    pub fn most_open(&self) -> usize {
        self.connections.most.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, connections: Arc<Connections>) {
    let mut held = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some will be given back.
            sleep(PAUSE).await;
            continue;
        };
        connections.accepted.fetch_add(1, Ordering::Relaxed);
        while held.try_join_next().is_some() {}
        held.spawn(hold(stream, connections.clone()));
    }
}

/// Keeps a connection open, whatever comes, until the client ends it.
async fn hold(mut stream: TcpStream, connections: Arc<Connections>) {
    let mut void = sink();
    let mut ended = Box::pin(copy(&mut stream, &mut void));
    if timeout(GRACE, &mut ended).await.is_ok() {
        return;
    }
    let _counted = Counted::new(connections);
    // An error ends it too.
    ended.await.ok();
}

impl Counted {
    fn new(connections: Arc<Connections>) -> Self {
        let open = connections.open.fetch_add(1, Ordering::Relaxed) + 1;
        connections.most.fetch_max(open, Ordering::Relaxed);
        Self(connections)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

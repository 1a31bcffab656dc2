//! Endpoints that take connections and never answer.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream as StdStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use testbed::harness::Result;

/// They end when this is dropped.
pub struct Hanging {
    addresses: Vec<SocketAddr>,
    open: Arc<Mutex<Open>>,
    _tasks: JoinSet<()>,
}

/// All connections that are open.
struct Open {
    by_number: HashMap<u64, Arc<TcpStream>>,
    last: u64,
    most: usize,
    /// Up to twice as many it is looked at closely.
    expected: usize,
}

impl Hanging {
    /// So many endpoints, each with a loopback address of its own: the same host would be one
    /// queue. `expected` is how many connections they are promised at most.
    pub async fn start(endpoints: u16, expected: usize) -> Result<Self> {
        let open = Arc::new(Mutex::new(Open {
            by_number: HashMap::new(),
            last: 0,
            most: 0,
            expected,
        }));
        let (mut addresses, mut tasks) = (Vec::new(), JoinSet::new());
        for number in 0..endpoints {
            let [high, low] = number.to_be_bytes();
            let address = IpAddr::V4(Ipv4Addr::new(127, 77, high, low));
            let listener = TcpListener::bind((address, 0)).await?;
            addresses.push(listener.local_addr()?);
            tasks.spawn(accept(listener, open.clone()));
        }
        Ok(Self {
            addresses,
            open,
            _tasks: tasks,
        })
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many connections were open at the same time at most, since the start.
    pub fn most(&self) -> usize {
        lock(&self.open).most
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        lock(&self.open).last
    }
}

async fn accept(listener: TcpListener, open: Arc<Mutex<Open>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let stream = Arc::new(stream);
        let number = lock(&open).add(stream.clone());
        connections.spawn(until_closed(stream, number, open.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn until_closed(stream: Arc<TcpStream>, number: u64, open: Arc<Mutex<Open>>) {
    let mut taken = [0; 1024];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut taken) {
            Ok(0) => break,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
            _ => {}
        }
    }
    lock(&open).by_number.remove(&number);
}

impl Open {
    fn add(&mut self, stream: Arc<TcpStream>) -> u64 {
        self.last += 1;
        self.by_number.insert(self.last, stream);
        let mut now = self.by_number.len();
        if now > self.most.max(self.expected) && now <= self.expected * 2 {
            // Some may be closed, and their tasks not have had their turn yet.
            now = self.by_number.values().filter(|one| is_open(one)).count();
        }
        self.most = self.most.max(now);
        self.last
    }
}

/// What the kernel knows by now.
fn is_open(stream: &TcpStream) -> bool {
    let Ok(own) = stream.as_fd().try_clone_to_owned() else {
        return true;
    };
    match StdStream::from(own).peek(&mut [0]) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

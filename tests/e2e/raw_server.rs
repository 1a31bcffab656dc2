//! A server that answers with bytes as they are given, however wrong they are as HTTP, until it is
//! healed.

use std::{
    io, slice,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Slow enough that a hundred bytes outlast any time-out of a test.
const DRIP: Duration = Duration::from_millis(100);
/// The pause within a flood: it is to go on for ever, not to take the processor from others.
const WAVE: Duration = Duration::from_millis(20);
/// So long may a client take to leave after it was answered.
const FAREWELL: Duration = Duration::from_secs(5);
const HEALTHY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 19\r\nconnection: close\r\n\r\n{\"state\":\"success\"}";

/// How connections are treated.
#[derive(Clone, Debug)]
pub enum Wire {
    /// Nobody listens.
    Refuse,
    /// Closed as soon as they are there.
    Close,
    /// Closed once all parts were sent.
    Send(Vec<Part>),
}

/// A part of an answer.
#[derive(Clone, Debug)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These, one by one.
    Drip(Vec<u8>),
    /// These, again and again until the client leaves.
    Flood(Vec<u8>),
    /// The request itself, credentials included.
    Echo,
    /// Nothing, for ever.
    Hang,
    /// A reset in place of an orderly end.
    Reset,
}

/// A running server. It ends when this is dropped.
pub struct RawServer {
    url: String,
    /// What it will listen with, where it doesn't yet.
    silent: Option<TcpSocket>,
    served: Arc<Served>,
    serving: Option<JoinHandle<()>>,
}

struct Served {
    wire: Wire,
    healed: AtomicBool,
    connections: AtomicUsize,
}

impl RawServer {
    /// Starts on a free port of 127.0.0.1.
    pub fn start(wire: Wire) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let mut server = Self {
            url: format!("http://{}", socket.local_addr().unwrap()),
            silent: Some(socket),
            served: Arc::new(Served {
                wire,
                healed: AtomicBool::new(false),
                connections: AtomicUsize::new(0),
            }),
            serving: None,
        };
        if !matches!(server.served.wire, Wire::Refuse) {
            server.listen();
        }
        server
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.served.connections.load(Ordering::Relaxed)
    }

    /// From now on every task has succeeded.
    pub fn heal(&mut self) {
        self.served.healed.store(true, Ordering::Relaxed);
        self.listen();
    }

    fn listen(&mut self) {
        if let Some(socket) = self.silent.take() {
            let listener = socket.listen(64).unwrap();
            self.serving = Some(tokio::spawn(accept(listener, self.served.clone())));
        }
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn accept(listener: TcpListener, served: Arc<Served>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        served.connections.fetch_add(1, Ordering::Relaxed);
        let served = served.clone();
        // An error means that the client left.
        tokio::spawn(async move { served.answer(stream).await.ok() });
    }
}

impl Served {
    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let healed = self.healed.load(Ordering::Relaxed);
        if !healed && matches!(self.wire, Wire::Close) {
            return Ok(());
        }
        // Requests are small: one read brings them whole.
        let mut request = vec![0; 16 * 1024];
        let length = stream.read(&mut request).await?;
        if healed {
            stream.write_all(HEALTHY).await?;
        } else if let Wire::Send(parts) = &self.wire {
            for part in parts {
                part.send(&mut stream, &request[..length]).await?;
            }
            if matches!(parts.last(), Some(Part::Reset)) {
                return Ok(());
            }
        }
        stream.shutdown().await?;
        // Closing before the client does could destroy what it hasn't read yet.
        timeout(
            FAREWELL,
            tokio::io::copy(&mut stream, &mut tokio::io::sink()),
        )
        .await??;
        Ok(())
    }
}

impl Part {
    async fn send(&self, stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => stream.write_all(bytes).await,
            Self::Drip(bytes) => {
                for byte in bytes {
                    stream.write_all(slice::from_ref(byte)).await?;
                    sleep(DRIP).await;
                }
                Ok(())
            }
            Self::Flood(bytes) => loop {
                stream.write_all(bytes).await?;
                sleep(WAVE).await;
            },
            Self::Echo => stream.write_all(request).await,
            Self::Hang => std::future::pending().await,
            Self::Reset => {
                // What was sent must arrive before the reset overtakes it.
                sleep(DRIP).await;
                stream.set_zero_linger()
            }
        }
    }
}

//! A server that sends given bytes, even if they are not valid HTTP. Once healed, it sends a good
//! answer.

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

/// The pause between two bytes: a hundred of them take longer than any timeout of a test.
const DRIP: Duration = Duration::from_millis(100);
/// The pause within a flood, which must not take the processor from others.
const WAVE: Duration = Duration::from_millis(20);
/// How long a client may take to close the connection after the answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const HEALTHY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 19\r\nconnection: close\r\n\r\n{\"state\":\"success\"}";

/// How connections are treated.
#[derive(Clone, Debug)]
pub enum Wire {
    /// Nothing listens.
    Refuse,
    /// Connections are closed at once.
    Close,
    /// All parts are sent, then the connection is closed.
    Send(Vec<Part>),
}

/// A part of an answer.
#[derive(Clone, Debug)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, one by one.
    Drip(Vec<u8>),
    /// These bytes, again and again until the client closes the connection.
    Flood(Vec<u8>),
    /// The request itself, credentials included.
    Echo,
    /// Nothing, forever.
    Hang,
    /// A reset instead of an orderly close.
    Reset,
}

/// A running server. It ends when this is dropped.
pub struct RawServer {
    url: String,
    /// The bound socket, while the server doesn't listen yet.
    socket: Option<TcpSocket>,
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
            socket: Some(socket),
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

    /// From now on, answers that the task succeeded.
    pub fn heal(&mut self) {
        self.served.healed.store(true, Ordering::Relaxed);
        self.listen();
    }

    fn listen(&mut self) {
        if let Some(socket) = self.socket.take() {
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
        // An error means that the client closed the connection.
        tokio::spawn(async move { served.answer(stream).await.ok() });
    }
}

impl Served {
    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let healed = self.healed.load(Ordering::Relaxed);
        if !healed && matches!(self.wire, Wire::Close) {
            return Ok(());
        }
        // Requests are small enough for one read.
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
        // If the server closed first, the client could lose what it hasn't read yet.
        timeout(
            CLOSE_TIMEOUT,
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
                // The bytes must arrive before the reset.
                sleep(DRIP).await;
                stream.set_zero_linger()
            }
        }
    }
}

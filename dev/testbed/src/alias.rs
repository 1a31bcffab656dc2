//! A second address of a server, which the controller treats as another host.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Forwards connections until it is dropped.
pub struct Alias {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Alias {
    /// A new address for the server at `url`, such as `http://127.0.0.1:8080`.
    pub async fn of(url: &str) -> Self {
        let server: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        // If one side breaks the connection, the other side is closed too.
                        copy_bidirectional(&mut client, &mut server).await.ok();
                    }
                });
            }
        });
        Self { address, accepting }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

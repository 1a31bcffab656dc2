//! The proxy's server. It carries out the plan for each request.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, header, request::Parts};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{
    Action, Answer, Connection, Shared, Side,
    action::{failure, gone},
    body::{Body, Cut, cut, whole},
};

/// Serves until it is dropped. Then all connections end too.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, from)) = accepted {
                connections.spawn(serve_one(stream, shared.connected(from)));
            },
            Some(_ended) = connections.join_next() => {}
            () = shared.cut.notified() => connections.abort_all(),
        }
    }
}

async fn serve_one(stream: TcpStream, connection: Connection) {
    // Without it, small pieces of a response wait for acknowledgements.
    stream.set_nodelay(true).ok();
    let Connection { shared, life, .. } = &connection;
    let service = service_fn(|request| respond(request, shared.clone(), *life));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // It returns an error whenever a test cuts the connection.
    serving.await.ok();
}

async fn respond(
    request: hyper::Request<Incoming>,
    shared: Arc<Shared>,
    life: u32,
) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let (index, streams, action) = shared.arrived(life, &head);
    let pending = PendingRequest {
        shared: shared.clone(),
        life,
        index,
        streams,
        head,
        body,
    };
    shared.until_flowing(life).await?;
    let answer = pending.answer(action).await?;
    shared.until_flowing(life).await?;
    Ok(answer)
}

/// A request that waits for its response.
struct PendingRequest {
    shared: Arc<Shared>,
    life: u32,
    index: usize,
    /// Whether it is a watch, also one that begins with all objects.
    streams: bool,
    head: Parts,
    body: Bytes,
}

impl PendingRequest {
    async fn answer(&self, action: Action) -> Result<Response<Body>, Cut> {
        match action {
            Action::Pass => self.forward().await,
            Action::Fail(code, retry_after) => Ok(failure(code, retry_after)),
            Action::Delay(pause) => {
                sleep(pause).await;
                self.forward().await
            }
            Action::DropBefore => Err(Cut),
            Action::DropAfter => {
                self.forward().await?;
                Err(Cut)
            }
            Action::Replay(wanted) => {
                let first = self.forward().await?;
                let second = self.forward().await?;
                Ok(match wanted {
                    Answer::First => first,
                    Answer::Second => second,
                })
            }
            Action::Hold => {
                self.shared.until_released().await;
                self.forward().await
            }
            Action::CutBody(after) => Ok(self.forward().await?.map(|body| cut(body, after))),
            Action::Gone => Ok(gone()),
            Action::GoneStatus => Ok(failure(410, None)),
            Action::Freeze(side) => {
                if side == Side::After {
                    self.forward().await?;
                }
                self.shared.freeze(self.life);
                self.shared.until_flowing(self.life).await?;
                Err(Cut)
            }
        }
    }

    /// Returns the response of the API server. A watch is passed on as it arrives, other responses
    /// once they are complete. If that connection breaks, this one is cut.
    async fn forward(&self) -> Result<Response<Body>, Cut> {
        let mut request = http::Request::new(kube::client::Body::from(self.body.clone()));
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = end_to_end(&self.head.headers);
        let (shared, index) = (self.shared.clone(), self.index);
        let streams = self.streams;
        let answered = async move {
            let response = shared.upstream.send(request).await.map_err(|_| Cut)?;
            let (mut head, body) = response.into_parts();
            head.headers = end_to_end(&head.headers);
            let body = if streams {
                body.map_err(Into::into).boxed_unsync()
            } else {
                whole(body.collect().await.map_err(|_| Cut)?.to_bytes())
            };
            shared.answered(index, head.status.as_u16());
            Ok(Response::from_parts(head, body))
        };
        // In its own task: the request takes effect even if the client closes the connection.
        tokio::spawn(answered).await.map_err(|_| Cut)?
    }
}

/// The headers that don't belong to a single connection.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

//! A client of the API server whose connections find it by our resolver. kube's own has no place for another.

use std::{
    error::Error,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::{
        legacy::{
            self,
            connect::{
                Connect, Connection, HttpConnector,
                proxy::{SocksV5, Tunnel},
            },
        },
        proxy::matcher::Matcher,
    },
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tower_service::Service;

use crate::resolver::Resolver;

/// Where the configuration sets none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

type BoxError = Box<dyn Error + Send + Sync>;

/// A client for the cluster, through the configuration's proxy if it has one.
///
/// # Errors
/// If the configuration can't be used.
pub fn client(config: &Config) -> kube::Result<Client> {
    let timeout = config.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let mut connector = HttpConnector::new_with_resolver(Resolver::for_connections(timeout));
    connector.enforce_http(false);
    let Some(proxy) = config.proxy_url.clone() else {
        return client_by(connector, config);
    };
    match proxy.scheme_str() {
        Some("socks5") => client_by(SocksV5::new(proxy, connector), config),
        Some("http") => client_by(tunnel(proxy, connector), config),
        Some("https") => {
            let connector = config.rustls_https_connector_with_connector(connector)?;
            client_by(tunnel(proxy, connector), config)
        }
        _ => Err(kube::Error::ProxyProtocolUnsupported {
            proxy_url: Box::new(proxy),
        }),
    }
}

/// With the user and password of the proxy's URL.
fn tunnel<C>(proxy: Uri, connector: C) -> Tunnel<C> {
    let matcher = Matcher::builder().all(proxy.to_string()).build();
    let intercept = matcher.intercept(&Uri::from_static("https://any"));
    let user = intercept.and_then(|intercept| intercept.basic_auth().cloned());
    let tunnel = Tunnel::new(proxy, connector);
    match user {
        Some(user) => tunnel.with_auth(user),
        None => tunnel,
    }
}

fn client_by<C>(connector: C, config: &Config) -> kube::Result<Client>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Error + Send + Sync + 'static,
{
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let connections = Connections(legacy::Client::builder(TokioExecutor::new()).build(connector));
    let builder = ClientBuilder::new(connections, &*config.default_namespace)
        .with_layer(&config.extra_headers_layer()?);
    let to_server = config.base_uri_layer();
    Ok(match config.auth_layer()? {
        Some(user) => builder.with_layer(&user).with_layer(&to_server).build(),
        None => builder.with_layer(&to_server).build(),
    })
}

/// The HTTP client, with the error that kube's layers know.
#[derive(Clone)]
struct Connections<C>(legacy::Client<C, Body>);

impl<C: Connect + Clone + Send + Sync + 'static> Service<Request<Body>> for Connections<C> {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let responding = self.0.request(request);
        Box::pin(async { Ok(responding.await?) })
    }
}

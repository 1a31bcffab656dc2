//! Why a connection failed: the log says it, and the object's message names the service.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use testbed::world::{World, eventually};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::raw_server::{Part, RawServer, Wire};

/// What nobody may see, in a header, a query or a body.
const SECRETS: [&str; 3] = ["hunter2", "an-oidc-token", "a-security-token"];

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for that name, from one year to another. It answers nothing.
async fn tls_server(
    servers: &mut JoinSet<()>,
    authority: &Authority,
    name: &str,
    years: (i32, i32),
) -> SocketAddr {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
            }
        }
    });
    address
}

/// An address where a connection is neither taken nor refused, as behind a firewall: its queue is full.
fn full_address() -> (SocketAddr, Vec<std::net::TcpStream>, StdListener) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap().into_std().unwrap();
    let address = listener.local_addr().unwrap();
    let brief = std::time::Duration::from_millis(200);
    let waiting = (0..8).map_while(|_| std::net::TcpStream::connect_timeout(&address, brief).ok());
    (address, waiting.collect(), listener)
}

fn head(length: usize) -> Part {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{\"state\""
    );
    Part::Bytes(head.into_bytes())
}

/// The causes on the wire, and what a raw server does for each.
fn raw_rows() -> Vec<(&'static str, Wire)> {
    vec![
        ("the connection was refused", Wire::Refuse),
        (
            "the connection was reset",
            Wire::Send(vec![head(50), Part::Reset]),
        ),
        (
            "the connection was closed before the answer was complete",
            Wire::Send(vec![head(50)]),
        ),
        (
            "the answer isn't HTTP",
            Wire::Send(vec![Part::Bytes(b"SSH-2.0-hunter2\r\n\r\n".to_vec())]),
        ),
        (
            "timed out while sending the request or waiting for the answer",
            Wire::Send(vec![Part::Hang]),
        ),
        (
            "timed out while reading the answer",
            Wire::Send(vec![head(50), Part::Hang]),
        ),
    ]
}

/// The log's line about the object's reason, as JSON.
fn line(world: &World, name: &str, reason: &str) -> Option<Value> {
    let log = world.log();
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["name"] == name && line["reason"] == reason)
}

async fn check_cause(world: &World, name: &str, cause: &str, message: &str) {
    let object = world.until_reason(name, "TaskApiUnavailable").await;
    assert_eq!(object.ready().unwrap().message, message, "{cause}");
    eventually("the line in the log", || async {
        line(world, name, "TaskApiUnavailable").is_some()
    })
    .await;
    let line = line(world, name, "TaskApiUnavailable").unwrap();
    assert_eq!(line["cause"], cause, "{line}");
}

/// No URL of what can't be reached, no token and no header at any level.
fn check_nothing_leaks(world: &World, urls: &[&str]) {
    let log = world.log();
    let parts = ["/tasks/", "Signature=", "Bearer "];
    for secret in SECRETS.iter().chain(&parts).chain(urls) {
        let leaked = log.lines().find(|line| line.contains(secret));
        assert_eq!(leaked, None, "{secret}");
    }
}

fn write_certificate(directory: &Path, authority: &Authority) -> PathBuf {
    let path = directory.join("ca.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    path
}

const LOG: [&str; 4] = ["--log-format", "json", "--log-filter", "trace"];
const MESSAGE: &str = "The task API can't be reached or is in trouble; trying again";

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_each_failed_connection_is_in_the_log() {
    let mut world = World::new("causes").await;
    let (known, unknown) = (authority("known"), authority("unknown"));
    let mut servers = JoinSet::new();
    let mut rows: Vec<(&str, String)> = Vec::new();
    for (cause, authority, name, years) in [
        (
            "the certificate's issuer is unknown",
            &unknown,
            "localhost",
            (2020, 2999),
        ),
        (
            "the certificate has expired",
            &known,
            "localhost",
            (2000, 2001),
        ),
        (
            "the certificate is not valid yet",
            &known,
            "localhost",
            (2998, 2999),
        ),
        (
            "the certificate is for another name",
            &known,
            "other.test",
            (2020, 2999),
        ),
    ] {
        let address = tls_server(&mut servers, authority, name, years).await;
        rows.push((cause, format!("https://localhost:{}", address.port())));
    }
    let plain = RawServer::start(Wire::Send(vec![Part::Bytes(
        b"HTTP/1.1 400 Bad\r\n\r\n".to_vec(),
    )]));
    rows.push((
        "the TLS handshake failed",
        plain.url().replace("http:", "https:"),
    ));
    let raw: Vec<(&str, RawServer)> = raw_rows()
        .into_iter()
        .map(|(cause, wire)| (cause, RawServer::start(wire)))
        .collect();
    rows.extend(
        raw.iter()
            .map(|(cause, server)| (*cause, server.url().to_owned())),
    );
    let (full, _waiting, _listener) = full_address();
    rows.push(("timed out while connecting", format!("http://{full}")));

    let directory = tempfile::tempdir().unwrap();
    let certificate = write_certificate(directory.path(), &known);
    let endpoints = rows.iter().enumerate();
    let endpoints = endpoints.map(|(n, (_, url))| format!("--endpoint-for=row-{n}={url}"));
    let endpoints: Vec<String> = endpoints.collect();
    let mut args: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    args.extend(LOG);
    args.extend(["--request-timeout", "2s"]);
    let env = [
        ("SSL_CERT_FILE", certificate.to_str().unwrap()),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hunter2"),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", "a-security-token"),
    ];
    world.start_with(&args, &env);
    for n in 0..rows.len() {
        let spec = json!({ "taskId": "T-1", "region": format!("row-{n}") });
        world.create(&format!("row-{n}"), spec).await;
    }
    for (n, (cause, _)) in rows.iter().enumerate() {
        check_cause(&world, &format!("row-{n}"), cause, MESSAGE).await;
    }
    let urls: Vec<&str> = rows.iter().map(|(_, url)| url.as_str()).collect();
    check_nothing_leaks(&world, &urls);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_answers_is_in_the_log() {
    for (answer, cause) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "the proxy asks for a user and password (407)",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "the proxy refused to connect",
        ),
    ] {
        let mut world = World::new("proxy").await;
        let wire = Wire::Send(vec![Part::Bytes(answer.as_bytes().to_vec())]);
        let proxy = RawServer::start(wire);
        let url = proxy.url().replace("http://", "http://me:hunter2@");
        let mut args = vec![
            "--endpoint-for=x=https://cs.example.com",
            "--credentials=none",
        ];
        args.extend(LOG);
        world.start_with(
            &args,
            &[("HTTPS_PROXY", &url), ("NO_PROXY", "127.0.0.1,localhost")],
        );
        world
            .create("one", json!({ "taskId": "T-1", "region": "x" }))
            .await;
        check_cause(&world, "one", cause, MESSAGE).await;
        check_nothing_leaks(&world, &[&url, proxy.url(), "https://cs.example.com"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_names_the_service_that_cannot_be_reached() {
    let refused = RawServer::start(Wire::Refuse);
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "an-oidc-token").unwrap();
    let token = token.to_str().unwrap();
    let uri = format!("{}/?token=hunter2", refused.url());
    let rows: [(&[(&str, &str)], &str); 3] = [
        (
            &[
                ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r"),
                (
                    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
                    "acs:ram::1:oidc-provider/p",
                ),
                ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token),
                ("ALIBABA_CLOUD_STS_ENDPOINT", refused.url()),
            ],
            "STS, where the credentials come from, can't be reached or is in trouble; trying again",
        ),
        (
            &[
                ("ALIBABA_CLOUD_ECS_METADATA", "role"),
                ("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", refused.url()),
            ],
            "The metadata service, where the credentials come from, can't be reached or is in trouble; \
             trying again",
        ),
        (
            &[("ALIBABA_CLOUD_CREDENTIALS_URI", &uri)],
            "The service of ALIBABA_CLOUD_CREDENTIALS_URI, where the credentials come from, can't be \
             reached or is in trouble; trying again",
        ),
    ];
    for (env, message) in rows {
        let mut world = World::new("services").await;
        world.start_with(&LOG, env);
        world.create("one", json!({ "taskId": "T-1" })).await;
        check_cause(&world, "one", "the connection was refused", message).await;
        check_nothing_leaks(&world, &[refused.url()]);
    }
}

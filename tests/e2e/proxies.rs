//! Proxies of the environment, as kubectl and curl read them. The API server has a name here that only the proxy
//! knows.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde_json::json;
use testbed::world::{GROUP, USER, World, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Speaks HTTP's CONNECT and SOCKS5 at one port, and leads every connection to one address.
struct Proxy {
    address: SocketAddr,
    /// What was asked for.
    targets: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Proxy {
    async fn start(leads_to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let asked = targets.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(lead(stream, leads_to, asked.clone()));
            }
        });
        Self {
            address,
            targets,
            _serving: serving,
        }
    }

    fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

async fn lead(mut client: TcpStream, to: SocketAddr, asked: Arc<Mutex<Vec<String>>>) {
    let target = match client.read_u8().await {
        Ok(5) => socks(&mut client).await,
        Ok(_) => connect(&mut client).await,
        Err(_) => return,
    };
    asked.lock().unwrap().push(target);
    let mut server = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// The rest of `CONNECT host:port HTTP/1.1`.
async fn connect(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    head.split_whitespace().nth(1).unwrap().to_owned()
}

/// RFC 1928, with a name and without authentication.
async fn socks(client: &mut TcpStream) -> String {
    let methods = client.read_u8().await.unwrap();
    client
        .read_exact(&mut vec![0; methods.into()])
        .await
        .unwrap();
    client.write_all(&[5, 0]).await.unwrap();
    let mut request = [0; 5];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(
        request[..4],
        [5, 1, 0, 3],
        "a name, for the proxy to resolve"
    );
    let mut name = vec![0; request[4].into()];
    client.read_exact(&mut name).await.unwrap();
    let port = client.read_u16().await.unwrap();
    client
        .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    format!("{}:{port}", String::from_utf8(name).unwrap())
}

/// A kubeconfig for the API server under a name that nobody here resolves, and its real address.
fn named(world: &World) -> (PathBuf, SocketAddr) {
    let path = world.plane.user(USER, Some(GROUP)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find("https://127.0.0.1:").unwrap() + "https://".len();
    let address: String = text[at..]
        .chars()
        .take_while(|char| char.is_ascii_digit() || matches!(char, '.' | ':'))
        .collect();
    let named = address.replace("127.0.0.1", "api.test");
    let mut kubeconfig: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    cluster["server"] = json!(format!("https://{named}"));
    cluster["tls-server-name"] = json!("127.0.0.1");
    let path = path.with_extension("named");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    (path, address.parse().unwrap())
}

async fn tracks(variables: &[(&str, &str)], scheme: &str) -> Vec<String> {
    let mut world = World::new("proxied").await;
    world.add_task("{id: T-1}");
    let (kubeconfig, address) = named(&world);
    let proxy = Proxy::start(address).await;
    let url = format!("{scheme}://{}", proxy.address);
    let values: Vec<(&str, String)> = variables
        .iter()
        .map(|(name, value)| (*name, value.replace("PROXY", &url)))
        .collect();
    let mut env = vec![("KUBECONFIG", kubeconfig.to_str().unwrap())];
    env.extend(values.iter().map(|(name, value)| (*name, value.as_str())));
    world.start_with(&["--credentials", "none"], &env);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    proxy.targets()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_reached_by_the_proxy_of_the_environment() {
    // The proxy's own host is none of those that are reached without one; the task API is on this machine.
    let odd = [
        ("HTTPS_PROXY", "PROXY"),
        ("NO_PROXY", "127.0.0.1,,other.test, ,*.a.b:443,"),
    ];
    for (variables, scheme) in [
        (&odd[..], "http"),
        (&[("ALL_PROXY", "PROXY")], "socks5"),
        (&[("https_proxy", "PROXY")], "socks5h"),
    ] {
        let targets = tracks(variables, scheme).await;
        assert!(!targets.is_empty(), "{variables:?}");
        assert!(
            targets.iter().all(|target| target.starts_with("api.test:")),
            "{targets:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_reached_without_the_proxy_where_no_proxy_says_so() {
    for no_proxy in ["api.test", ".test", "*", "x, api.test"] {
        let mut world = World::new("direct").await;
        let (kubeconfig, address) = named(&world);
        let proxy = Proxy::start(address).await;
        let url = format!("http://{}", proxy.address);
        let env = [
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
            ("HTTPS_PROXY", &url),
            ("NO_PROXY", no_proxy),
        ];
        world.start_with(&["--credentials", "none"], &env);
        // Nobody here knows its name.
        eventually("it is tried", || async {
            world.log().contains("can't watch")
        })
        .await;
        assert_eq!(proxy.targets(), [""; 0], "{no_proxy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_proxy_ends_the_start_and_is_not_shown() {
    let mut world = World::new("noproxy").await;
    let env = [("HTTPS_PROXY", "ftp://user:hunter2@proxy")];
    world.start_with(&["--credentials", "none"], &env);
    assert_eq!(world.wait(), 1);
    let log = world.log();
    assert!(log.contains("HTTPS_PROXY names no proxy"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

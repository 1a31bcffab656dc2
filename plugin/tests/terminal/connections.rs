//! Ways to the API server: a program for credentials, a proxy.

use std::{
    fs,
    io::{BufRead, BufReader, Write, copy},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::world::{World, eventually};

use crate::stage::{Ran, command, end};

/// The administrator's kubeconfig.
fn kubeconfig(world: &World) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(world.plane.kubeconfig()).unwrap()).unwrap()
}

/// A proxy that makes tunnels on this machine, and refuses others.
struct Proxy {
    url: String,
    /// The client's ends of all tunnels.
    tunnels: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tunnels = Arc::new(Mutex::new(Vec::new()));
        let made = tunnels.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                made.lock().unwrap().push(client.try_clone().unwrap());
                thread::spawn(move || tunnel(client));
            }
        });
        Self { url, tunnels }
    }

    fn count(&self) -> usize {
        self.tunnels.lock().unwrap().len()
    }

    /// Breaks all tunnels.
    fn cut(&self) {
        for client in self.tunnels.lock().unwrap().iter() {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

fn tunnel(mut client: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?);
    let mut request = String::new();
    lines.read_line(&mut request).ok()?;
    let mut header = String::new();
    while lines.read_line(&mut header).ok()? > 2 {
        header.clear();
    }
    let target = request.split(' ').nth(1)?;
    if !target.starts_with("127.") {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").ok()?;
        return None;
    }
    let server = TcpStream::connect(target).ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut from, mut to) = (server.try_clone().ok()?, server);
    let mut back = client.try_clone().ok()?;
    thread::spawn(move || copy(&mut from, &mut back));
    copy(&mut lines, &mut to).ok()?;
    Some(())
}

/// A kubeconfig's program for credentials: it prints what is in a file, and notes that it ran.
struct Credentials {
    directory: TempDir,
}

impl Credentials {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        let script =
            format!("#!/bin/sh\necho run >> {place}/runs\ncat {place}/credential || exit 3\n");
        let program = directory.path().join("program");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    /// What it prints from now on.
    fn set(&self, status: &Value) {
        let credential = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status });
        fs::write(
            self.directory.path().join("credential"),
            credential.to_string(),
        )
        .unwrap();
    }

    fn runs(&self) -> usize {
        let runs = fs::read_to_string(self.directory.path().join("runs"));
        runs.unwrap_or_default().lines().count()
    }

    /// The kubeconfig of a user whose credentials it gives.
    fn kubeconfig(&self, mut config: Value) -> PathBuf {
        let program = self.directory.path().join("program");
        config["users"][0]["user"] = json!({ "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": program, "interactiveMode": "Never",
        } });
        let path = self.directory.path().join("kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        path
    }
}

/// The token of a new service account that may see the objects.
fn token(world: &World, name: &str) -> String {
    world.kubectl_text(&["create", "serviceaccount", name]);
    let account = format!("--serviceaccount={}:{name}", world.namespace);
    world.kubectl_text(&["create", "rolebinding", name, "--role=watcher", &account]);
    world
        .kubectl_text(&["create", "token", name])
        .trim()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_are_asked_for_anew() {
    let mut world = World::new("refused").await;
    world.add_task("{id: T-1, duration: 10h}");
    world.start();
    world.create("t-1", json!({ "taskId": "T-1" })).await;
    let resource = "--resource=scaleouttasks.scaleout.dev";
    world.kubectl_text(&[
        "create",
        "role",
        "watcher",
        "--verb=get,list,watch",
        resource,
    ]);
    let old = token(&world, "old");
    let new = token(&world, "new");
    let credentials = Credentials::new();
    credentials.set(&json!({ "token": old }));
    let proxy = Proxy::start();
    let mut config = kubeconfig(&world);
    config["clusters"][0]["cluster"]["proxy-url"] = proxy.url.clone().into();
    let path = credentials.kubeconfig(config);
    let mut watch = command(&path, &world.namespace, &["watch", "t-1"])
        .spawn()
        .unwrap();
    let mut said = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("t-1"), "{line}");

    world.kubectl_text(&["delete", "serviceaccount", "old"]);
    // The API server remembers for a while whom it knew.
    eventually("the old token is refused", || async {
        let mut why = command(&path, &world.namespace, &["why", "t-1"]);
        let ran: Ran = tokio::task::block_in_place(|| why.output().unwrap()).into();
        ran.code == 2 && ran.stderr.contains("401 Unauthorized")
    })
    .await;
    let runs = credentials.runs();
    credentials.set(&json!({ "token": new }));
    proxy.cut();
    world.kubectl_text(&[
        "patch",
        "sot/t-1",
        "--type=merge",
        "-p",
        r#"{"spec":{"suspend":true}}"#,
    ]);
    while !line.contains("Suspended") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
    }
    assert!(credentials.runs() > runs);
    world.kubectl_text(&["delete", "sot/t-1"]);
    let ran = end(watch);
    assert_eq!(ran.code, 4, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_for_credentials_that_fails_is_named() {
    let world = World::new("noprogram").await;
    let credentials = Credentials::new();
    let path = credentials.kubeconfig(kubeconfig(&world));
    let mut watch = command(&path, &world.namespace, &["watch"]);
    let ran: Ran = tokio::task::block_in_place(|| watch.output().unwrap()).into();
    assert_eq!(ran.code, 2, "{ran:?}");
    for said in [
        "There is no cluster to ask: the kubeconfig's program for credentials, ",
        "/program, failed (exit status: 3): cat: ",
    ] {
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_may_end_with_a_line() {
    let mut world = World::new("lines").await;
    world.add_task("{id: T-1, duration: 1s}");
    world.start();
    let mut config = kubeconfig(&world);
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("token"), format!("{token}\n")).unwrap();
    config["users"][0]["user"] = json!({ "tokenFile": "token" });
    let path = directory.path().join("kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    let mut track = command(&path, &world.namespace, &["track", "T-1"]);
    let ran: Ran = tokio::task::block_in_place(|| track.output().unwrap()).into();
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_for_credentials_and_a_proxy_of_the_kubeconfig_are_used() {
    let mut world = World::new("connections").await;
    world.add_task("{id: T-1, duration: 2s}");
    world.start();
    let mut config = kubeconfig(&world);
    let user = &config["users"][0]["user"];
    let credentials = Credentials::new();
    credentials.set(&json!({ "token": user["token"] }));
    let proxy = Proxy::start();
    config["clusters"][0]["cluster"]["proxy-url"] = proxy.url.clone().into();
    let path = credentials.kubeconfig(config);
    let mut track = command(&path, &world.namespace, &["track", "T-1"]);
    let ran: Ran = tokio::task::block_in_place(|| track.output().unwrap()).into();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(credentials.runs() > 0);
    assert!(proxy.count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_not_for_this_machine_and_one_that_refuses_is_said() {
    let mut world = World::new("environment").await;
    world.add_task("{id: T-1}");
    world.start();
    let mut track = command(
        world.plane.kubeconfig(),
        &world.namespace,
        &["track", "T-1"],
    );
    // Nothing listens there; and what kube can't read of NO_PROXY hinders nobody.
    track
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", ",,x");
    let ran: Ran = tokio::task::block_in_place(|| track.output().unwrap()).into();
    assert_eq!(ran.code, 0, "{ran:?}");
    let directory = tempfile::tempdir().unwrap();
    let mut config = kubeconfig(&world);
    config["clusters"][0]["cluster"]["server"] = "https://api.invalid:6443".into();
    let path = directory.path().join("kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    let proxy = Proxy::start();
    let mut watch = command(&path, &world.namespace, &["watch"]);
    watch.env("HTTPS_PROXY", &proxy.url).env_remove("NO_PROXY");
    let ran: Ran = tokio::task::block_in_place(|| watch.output().unwrap()).into();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr
            .contains("The API server https://api.invalid:6443 can't be asked: "),
        "{ran:?}"
    );
    assert!(proxy.count() > 0, "the proxy wasn't asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_and_the_kubeconfig_are_chosen_as_for_kubectl() {
    let world = World::new("contexts").await;
    let directory = tempfile::tempdir().unwrap();
    let mut config = kubeconfig(&world);
    let mut other = config["contexts"][0].clone();
    other["name"] = "other".into();
    other["context"]["namespace"] = world.namespace.clone().into();
    config["contexts"].as_array_mut().unwrap().push(other);
    let path = directory.path().join("kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    let run = |args: &[&str]| -> Ran {
        let mut command = std::process::Command::new(crate::stage::PROGRAM);
        command.args(args).env("KUBECONFIG", "/nowhere");
        tokio::task::block_in_place(|| command.output().unwrap()).into()
    };
    let file = path.to_str().unwrap();
    let ran = run(&["--kubeconfig", file, "--context", "other", "watch", "a"]);
    assert!(
        ran.stderr.contains(&format!(
            "no ScaleOutTask a in namespace {}",
            world.namespace
        )),
        "{ran:?}"
    );
    let ran = run(&["--kubeconfig", file, "watch", "a"]);
    assert!(ran.stderr.contains("in namespace default"), "{ran:?}");
    let ran = run(&["--kubeconfig", file, "--context", "none", "watch", "a"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("There is no cluster to ask") && ran.stderr.contains("none"),
        "{ran:?}"
    );
}

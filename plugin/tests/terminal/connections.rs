//! Ways to the API server: a program for credentials, a proxy.

use std::{
    fs,
    io::{BufRead, BufReader, Write, copy},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};
use testbed::world::World;

use crate::stage::{Ran, command};

/// The administrator's kubeconfig.
fn kubeconfig(world: &World) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(world.plane.kubeconfig()).unwrap()).unwrap()
}

fn decoded(value: &Value) -> String {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}

/// A proxy that makes tunnels, and counts them.
fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let tunnels = count.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            tunnels.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || tunnel(client));
        }
    });
    (url, count)
}

fn tunnel(mut client: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?);
    let mut request = String::new();
    lines.read_line(&mut request).ok()?;
    let mut header = String::new();
    while lines.read_line(&mut header).ok()? > 2 {
        header.clear();
    }
    let server = TcpStream::connect(request.split(' ').nth(1)?).ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut from, mut to) = (server.try_clone().ok()?, server);
    let mut back = client.try_clone().ok()?;
    thread::spawn(move || copy(&mut from, &mut back));
    copy(&mut lines, &mut to).ok()?;
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_for_credentials_and_a_proxy_of_the_kubeconfig_are_used() {
    let mut world = World::new("connections").await;
    world.add_task("{id: T-1, duration: 2s}");
    world.start();
    let directory = tempfile::tempdir().unwrap();
    let mut config = kubeconfig(&world);
    let user = &mut config["users"][0]["user"];
    let mut status = json!({});
    for (key, name) in [
        ("client-certificate-data", "clientCertificateData"),
        ("client-key-data", "clientKeyData"),
    ] {
        if user.get(key).is_some() {
            status[name] = decoded(&user[key]).into();
        }
    }
    if let Some(token) = user.get("token") {
        status["token"] = token.clone();
    }
    let credential = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status });
    let program = directory.path().join("program");
    let runs = directory.path().join("runs");
    fs::write(
        &program,
        format!(
            "#!/bin/sh\necho run >> {}\ncat <<'END'\n{credential}\nEND\n",
            runs.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    *user = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": program, "interactiveMode": "IfAvailable",
    } });
    let (url, tunnels) = proxy();
    config["clusters"][0]["cluster"]["proxy-url"] = url.into();
    let path = directory.path().join("kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    let mut track = command(&path, &world.namespace, &["track", "T-1"]);
    let ran: Ran = tokio::task::block_in_place(|| track.output().unwrap()).into();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(runs.exists());
    assert!(tunnels.load(Ordering::Relaxed) > 0);
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
    let (url, tunnels) = proxy();
    let mut watch = command(&path, &world.namespace, &["watch"]);
    watch.env("HTTPS_PROXY", url).env_remove("NO_PROXY");
    let ran: Ran = tokio::task::block_in_place(|| watch.output().unwrap()).into();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("The API server can't be asked"),
        "{ran:?}"
    );
    assert!(
        tunnels.load(Ordering::Relaxed) > 0,
        "the proxy wasn't asked"
    );
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
        ran.stderr.contains("The kubeconfig can't be used") && ran.stderr.contains("none"),
        "{ran:?}"
    );
}

//! Runs the program, with a terminal and without.

use std::{
    ffi::OsStr,
    io::{BufRead, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::PostParams};
use serde_json::json;
use terminal::{Terminal, without_times};
use testbed::world::World;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-scaleouttask");

/// How a run ended, and what it printed.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Ran {
    /// The last line of the output, without its time.
    pub fn last(&self) -> &str {
        let line = self.stdout.lines().last().unwrap_or_default();
        line.split_once(' ').map_or(line, |(_, rest)| rest)
    }
}

/// The program, for the user of that kubeconfig, in that namespace.
pub fn command(kubeconfig: &Path, namespace: &str, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(args)
        .args(["--namespace", namespace])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end as the administrator.
pub fn run(world: &World, args: &[&str]) -> Ran {
    run_as(world.plane.kubeconfig(), world, args)
}

/// The same as another user.
pub fn run_as(kubeconfig: &Path, world: &World, args: &[&str]) -> Ran {
    let mut command = command(kubeconfig, &world.namespace, args);
    tokio::task::block_in_place(|| command.output().unwrap()).into()
}

/// The same with something on standard input.
pub fn run_with_input(world: &World, args: &[&str], input: &str) -> Ran {
    let mut command = command(world.plane.kubeconfig(), &world.namespace, args);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    tokio::task::block_in_place(|| child.wait_with_output().unwrap()).into()
}

/// Starts it.
pub fn start(world: &World, args: &[&str]) -> Child {
    command(world.plane.kubeconfig(), &world.namespace, args)
        .spawn()
        .unwrap()
}

/// Waits until it ends.
pub fn end(child: Child) -> Ran {
    tokio::task::block_in_place(|| child.wait_with_output().unwrap()).into()
}

/// Starts it in a terminal.
pub fn terminal(world: &World, args: &[&str], columns: u16, env: &[(&str, &OsStr)]) -> Terminal {
    let args = [args, &["--namespace", &world.namespace]].concat();
    let kubeconfig = world.plane.kubeconfig().as_os_str();
    let env = [&[("KUBECONFIG", kubeconfig)], env].concat();
    Terminal::start(PROGRAM, &args, &env, columns)
}

/// Creates the Node of an instance, named after it.
pub async fn add_node(world: &World, instance: &str, ready: &str) {
    let node = json!({
        "metadata": { "name": instance },
        "spec": { "providerID": format!("cn-hangzhou.{instance}") },
        "status": { "conditions": [{ "type": "Ready", "status": ready }] },
    });
    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
}

/// Has the Node of that name be Ready.
pub fn set_node_ready(world: &World, name: &str) {
    let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    let node = format!("node/{name}");
    let patch = ready.to_string();
    world.kubectl_text(&["patch", &node, "--subresource=status", "--patch", &patch]);
}

/// Waits until the program in a terminal ends. Returns its exit code and the screen, without times and the world's
/// namespace.
pub fn drawn(world: &World, terminal: &mut Terminal) -> (i32, String) {
    let (code, screen) = tokio::task::block_in_place(|| terminal.wait());
    let screen = without_times(screen.trim_end());
    (code, screen.replace(&world.namespace, "NAMESPACE"))
}

/// Waits until a program has printed a line with that text.
pub fn read_until(lines: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(
            lines.read_line(&mut line).unwrap() > 0,
            "never said: {text}"
        );
    }
}

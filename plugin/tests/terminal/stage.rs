//! Runs the program without a terminal.

use std::{
    ffi::OsStr,
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use terminal::Terminal;
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

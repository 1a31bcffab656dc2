//! Builds the controller with cargo, and runs it like a user.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use controlplane::Process;

use super::{cluster::Access, error::Error, interrupt, screen};

const NAME: &str = "scaleouttask-controller";

/// The region of the simulated tasks.
const REGION: &str = "cn-hangzhou";

/// Builds the controller and returns its path. Cargo shows the progress.
pub(crate) fn build(repository: &Path) -> Result<PathBuf, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // In the current directory, so that a relative target directory stays the same.
    build
        .args(["build", "--bin", NAME, "--manifest-path"])
        .arg(repository.join("Cargo.toml"));
    // `cargo run` set these variables for xtask. They would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let ours = ["CARGO_MANIFEST_", "CARGO_PKG_"];
        if ours
            .iter()
            .any(|ours| name.to_string_lossy().starts_with(ours))
        {
            build.env_remove(name);
        }
    }
    let status = build.status().map_err(Error::io("start cargo"))?;
    // Ctrl-C ends cargo too, perhaps before it is handled here.
    if status.signal().is_some() {
        return Err(Error::Interrupted);
    }
    interrupt::check()?;
    if !status.success() {
        return Err(Error::Build);
    }
    // It is in the same directory as this program.
    let us = std::env::current_exe().map_err(Error::io("find the target directory"))?;
    let program = us.with_file_name(NAME);
    screen::done(format!("in {}", program.display()));
    Ok(program)
}

/// Starts the controller against the cluster and the task API. `program` may be a command with words before the
/// controller's. With `nodes`, it watches the cluster's Nodes.
pub(crate) fn start(
    program: &[OsString],
    access: &Access,
    api: &str,
    nodes: bool,
) -> Result<Process, Error> {
    let log = access.directory.join("controller.log");
    let mut words = program.iter();
    let mut command = Command::new(words.next().map_or(NAME.as_ref(), OsString::as_os_str));
    command.args(words);
    command.env("KUBECONFIG", &access.kubeconfig).args([
        "run",
        "--namespace",
        &access.namespace,
        "--region",
        REGION,
        "--endpoint",
        api,
        "--credentials",
        "none",
        "--poll-interval",
        "1s",
        "--sources",
        "--admin-address",
        "127.0.0.1:0",
        "--log-format",
        "text",
    ]);
    if nodes {
        command.arg("--nodes");
    }
    let process = Process::spawn(NAME, &command, &log)?;
    screen::done(format!("its log is {}", log.display()));
    Ok(process)
}

//! Runs the controller like a user.

use std::ffi::OsString;

use controlplane::Process;

use super::{cluster::Access, error::Error, programs::command, screen};

const NAME: &str = "scaleouttask-controller";

/// The region of the simulated tasks.
const REGION: &str = "cn-hangzhou";

/// Starts the controller against the cluster and the task API. With `nodes`, it watches the cluster's Nodes.
pub(crate) fn start(
    program: &[OsString],
    access: &Access,
    api: &str,
    nodes: bool,
) -> Result<Process, Error> {
    let log = access.directory.join("controller.log");
    let mut command = command(program);
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

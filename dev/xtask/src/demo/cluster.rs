//! The control plane of the demo.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use controlplane::{Binaries, ControlPlane, Options, StderrProgress};

use super::error::Error;
use super::{interrupt, screen};

/// Prints the name, the reason of `Ready` and the finish time of each object.
const REASONS: &str = r#"jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].reason} {.status.finishedAt}{"\n"}{end}"#;

/// Finds or builds the programs.
pub(crate) fn binaries() -> Result<Binaries, Error> {
    let mut progress = StderrProgress::indented(screen::INDENT);
    let binaries = Binaries::locate_or_build(&mut progress)?;
    screen::done(format!("in {}", binaries.directory().display()));
    Ok(binaries)
}

/// Starts etcd and kube-apiserver.
pub(crate) fn start(binaries: &Binaries) -> Result<ControlPlane, Error> {
    let plane = ControlPlane::start_with(binaries, &Options::default())?;
    screen::done(plane.server());
    Ok(plane)
}

/// Installs the CRD and waits until the API server serves it.
pub(crate) fn install_crd(plane: &ControlPlane, crd: &Path) -> Result<(), Error> {
    let crd = crd.to_string_lossy();
    kubectl(plane, &["apply", "--filename", &crd])?;
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "--filename",
        &crd,
    ];
    kubectl(plane, &wait)?;
    screen::done("scaleouttasks.scaleout.dev is established");
    Ok(())
}

/// Runs kubectl and returns its output. In its own process group, so that Ctrl-C reaches only the
/// demo.
pub(crate) fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> Result<String, Error> {
    interrupt::check()?;
    let mut command: Command = plane.kubectl();
    let answer = command
        .args(arguments)
        .process_group(0)
        .output()
        .map_err(Error::io("start kubectl"))?;
    if !answer.status.success() {
        return Err(Error::Kubectl {
            arguments: arguments.join(" "),
            output: String::from_utf8_lossy(&answer.stderr)
                .trim_end()
                .to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Shows a command of kubectl and its output.
pub(crate) fn show(plane: &ControlPlane, arguments: &[&str]) -> Result<(), Error> {
    let typed: Vec<String> = arguments.iter().copied().map(quoted).collect();
    screen::command(format!("kubectl {}", typed.join(" ")));
    screen::say(&kubectl(plane, arguments)?);
    Ok(())
}

/// The names and reasons of all finished objects.
pub(crate) fn finished(plane: &ControlPlane) -> Result<Vec<(String, String)>, Error> {
    let reasons = kubectl(plane, &["get", "scaleouttasks", "--output", REASONS])?;
    let finished = |line: &str| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name, reason, _finished_at] => Some(((*name).to_owned(), (*reason).to_owned())),
        _ => None,
    };
    Ok(reasons.lines().filter_map(finished).collect())
}

/// Quotes an argument for a shell.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,".contains(c);
    if argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{argument}'")
}

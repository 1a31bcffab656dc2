//! The programs that the demo shows: the controller and the kubectl plugin.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::{error::Error, interrupt, screen};
use crate::{cargo::cargo, cluster::repository};

const CONTROLLER: &str = "scaleouttask-controller";
const PLUGIN: &str = "kubectl-scaleouttask";

/// How each is started: a command, and words before the program's arguments.
pub(crate) struct Programs {
    pub(crate) controller: Vec<OsString>,
    pub(crate) plugin: Vec<OsString>,
}

impl Programs {
    /// Builds both. Cargo shows the progress.
    pub(super) fn build() -> Result<Self, Error> {
        let mut build = cargo();
        // In the current directory, so that a relative target directory stays the same.
        build
            .args(["build", "--package", CONTROLLER, "--package", PLUGIN])
            .args(["--bin", CONTROLLER, "--bin", PLUGIN, "--manifest-path"])
            .arg(repository().join("Cargo.toml"));
        let status = build.status().map_err(Error::io("start cargo"))?;
        // Ctrl-C ends cargo too, perhaps before it is handled here.
        if status.signal().is_some() {
            return Err(Error::Interrupted);
        }
        interrupt::check()?;
        if !status.success() {
            return Err(Error::Build);
        }
        // They are in the same directory as this program.
        let us = std::env::current_exe().map_err(Error::io("find the target directory"))?;
        let [controller, plugin] = [CONTROLLER, PLUGIN].map(|name| us.with_file_name(name));
        screen::done(format!("{}", controller.display()));
        screen::done(format!("{}", plugin.display()));
        Ok(Self {
            controller: vec![controller.into()],
            plugin: vec![plugin.into()],
        })
    }
}

/// The command of a program.
pub(super) fn command(program: &[OsString]) -> Command {
    let mut words = program.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
    command.args(words);
    command
}

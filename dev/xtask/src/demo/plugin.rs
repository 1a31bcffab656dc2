//! The kubectl plugin: a live view of the tasks, and why one failed.

use std::ffi::OsString;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{
    cluster::{Access, quoted},
    error::Error,
    interrupt,
    programs::command,
    screen,
};

/// All tasks, until each has ended.
pub(super) const WATCH: [&str; 2] = ["watch", "--all"];

/// How long a view may take to end once there is nothing left to see.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The plugin for one cluster.
pub(super) struct Plugin<'a> {
    pub(super) program: &'a [OsString],
    pub(super) access: &'a Access,
}

impl Plugin<'_> {
    /// Shows a command and its output.
    pub(super) fn show(&self, arguments: &[&str]) -> Result<(), Error> {
        self.start(arguments)?.wait()
    }

    /// Shows a command, and starts it on this terminal.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<View, Error> {
        screen::command(self.typed(arguments));
        let child = self.command(arguments).spawn();
        child.map(View).map_err(Error::io("start the plugin"))
    }

    /// What a reader has to type.
    pub(super) fn typed(&self, arguments: &[&str]) -> String {
        let words: Vec<String> = arguments.iter().copied().map(quoted).collect();
        self.access
            .typed(&format!("scaleouttask {}", words.join(" ")))
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.program);
        command
            .env("KUBECONFIG", &self.access.kubeconfig)
            .args(arguments)
            .args(["--namespace", &self.access.namespace]);
        command
    }
}

/// A view on this terminal. It ends when this is dropped.
pub(super) struct View(Child);

impl View {
    /// Waits until it ends, for some seconds at most. How the tasks ended is no matter here.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + END_LIMIT;
        while self.goes_on()? && Instant::now() < deadline {
            interrupt::sleep(Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn goes_on(&mut self) -> Result<bool, Error> {
        let ended = self
            .0
            .try_wait()
            .map_err(Error::io("wait for the plugin"))?;
        Ok(ended.is_none())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // It leaves nothing on the terminal that had to be put right.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

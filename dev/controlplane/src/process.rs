//! A child process that never outlives us, whatever way we end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Runs its arguments as a child. Each line on its input is the name of a signal to pass on; the
/// input's end, which also comes when we are killed, kills the child.
const SUPERVISOR: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{
  while read -r signal; do kill -s "$signal" "$child"; done
  kill -s KILL "$child"
} <&3 2>/dev/null &
watcher=$!
wait "$child"
status=$?
kill -s KILL "$watcher" 2>/dev/null
exit "$status"
"#;

/// By its path: the tests of what happens without Go have an empty `PATH`.
pub(crate) const SHELL: &str = "/bin/sh";

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How many lines of a log an error carries.
const TAIL: usize = 20;

/// A signal for a [`Process`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`: end in an orderly way.
    Terminate,
    /// `SIGKILL`: end at once.
    Kill,
    /// `SIGSTOP`: freeze.
    Stop,
    /// `SIGCONT`: go on after [`Signal::Stop`].
    Continue,
}

/// A running program, its output in a log file.
///
/// It is killed when this is dropped, and also when this process panics, exits or is killed. It
/// has a process group of its own: Ctrl-C reaches only us, and we decide what follows.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    supervisor: Child,
    control: Option<ChildStdin>,
}

impl Process {
    /// Starts `command` (its program, arguments, environment and directory) with its output
    /// appended to the file `log`.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self, Error> {
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(log)
                .map_err(Error::io(format!("write {}", log.display())))
        };
        let mut supervisor = supervise(name, command)
            .stdin(Stdio::piped())
            .stdout(open()?)
            .stderr(open()?)
            .spawn()
            .map_err(Error::io(format!("start {name} by way of {SHELL}")))?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            control: supervisor.stdin.take(),
            supervisor,
        })
    }

    /// The file that the program's output goes to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&String::from_utf8_lossy(
            &std::fs::read(&self.log).unwrap_or_default(),
        ))
    }

    /// How the program ended, or none while it runs.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.supervisor
            .try_wait()
            .map_err(Error::io(format!("wait for {}", self.name)))
    }

    /// Fails with [`Error::Exited`], which carries the end of the log, if the program ended.
    pub fn check_running(&mut self) -> Result<(), Error> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => Err(Error::Exited {
                name: self.name.clone(),
                status: status.to_string(),
                log: self.log_tail(),
            }),
        }
    }

    /// Sends a signal. A program that ended already is left in peace.
    pub fn signal(&mut self, signal: Signal) {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        if let Some(control) = &mut self.control {
            // The pipe is broken once the program ended: there is nobody left to tell.
            let _ = writeln!(control, "{name}");
        }
    }

    /// Terminates the program, kills it if it still runs after `grace`, and waits for its end.
    pub fn stop(&mut self, grace: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::Terminate);
        let deadline = Instant::now() + grace;
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return self.kill();
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the program and waits for its end.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.signal(Signal::Kill);
        self.supervisor
            .wait()
            .map_err(Error::io(format!("wait for {}", self.name)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.control.take());
        let _ = self.supervisor.wait();
    }
}

fn supervise(name: &str, command: &Command) -> Command {
    let mut supervisor = Command::new(SHELL);
    supervisor
        .args([OsStr::new("-c"), OsStr::new(SUPERVISOR), OsStr::new(name)])
        .arg(command.get_program())
        .args(command.get_args())
        .process_group(0);
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => supervisor.env(key, value),
            None => supervisor.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        supervisor.current_dir(directory);
    }
    supervisor
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

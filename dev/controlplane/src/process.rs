//! A child process that never outlives this process, however this one ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Runs its arguments as a child. Each line on its input is the name of a signal to pass on. The end
/// of the input kills the child. It ends also if this process is killed.
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

/// An absolute path, because the tests without Go have an empty `PATH`.
pub(crate) const SHELL: &str = "/bin/sh";

/// How often a condition is checked.
const POLL: Duration = Duration::from_millis(20);

/// How many lines of a log an error contains.
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
    /// `SIGCONT`: continue after [`Signal::Stop`].
    Continue,
}

/// A running program with its output in a log file.
///
/// It is killed when this is dropped, and also when this process panics, exits or is killed. It has its
/// own process group, so Ctrl-C reaches only this process.
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
            .map_err(Error::io(format!("start {name} with {SHELL}")))?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            control: supervisor.stdin.take(),
            supervisor,
        })
    }

    /// The file with the output of the program.
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

    /// The exit status of the program, or `None` while it runs.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.supervisor
            .try_wait()
            .map_err(Error::io(format!("wait for {}", self.name)))
    }

    /// Fails with [`Error::Exited`] and the end of the log if the program has exited.
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

    /// Sends a signal. Does nothing if the program has exited.
    pub fn signal(&mut self, signal: Signal) {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        if let Some(control) = &mut self.control {
            // Fails if the program has exited, which is fine.
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

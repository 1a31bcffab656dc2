//! The controller as a separate process.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use controlplane::{Process, Signal, free_port};

use crate::{
    harness::{Usage, find, usage},
    world::PATIENCE,
};

/// The controller's program that was built for this test.
///
/// Cargo passes its path to the tests that it runs. A test that is started by hand finds it in the
/// directory above its own.
pub fn program() -> PathBuf {
    const NAME: &str = "scaleouttask-controller";
    if let Some(path) = env::var_os(format!("CARGO_BIN_EXE_{NAME}")) {
        return path.into();
    }
    let test = env::current_exe().unwrap();
    let above = test.parent().and_then(Path::parent).unwrap();
    above.join(NAME)
}

/// A running controller. It is killed when this is dropped.
pub struct Controller {
    process: Process,
    admin_port: u16,
}

impl Controller {
    /// The command that starts it, without its arguments.
    pub fn command() -> Command {
        let mut command = Command::new(program());
        command
            .arg("run")
            .env("SCALEOUTTASK_LOG_FILTER", "scaleouttask_controller=debug");
        command
    }

    /// Starts it with a free admin port.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let admin_port = free_port().unwrap();
        command.args(["--admin-address", &format!("127.0.0.1:{admin_port}")]);
        let process = Process::spawn("controller", &command, log).unwrap();
        Self {
            process,
            admin_port,
        }
    }

    /// Its admin port.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// Its use of processor and memory so far.
    pub fn usage(&self) -> Usage {
        let address = format!("127.0.0.1:{}", self.admin_port);
        usage(find(&program().to_string_lossy(), &address).unwrap()).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.process.exit_status().unwrap().is_none()
    }

    /// Stops it by SIGTERM. Returns its exit code and how long that took.
    pub fn stop(mut self) -> (i32, Duration) {
        let began = Instant::now();
        self.signal(Signal::Terminate);
        (self.wait(), began.elapsed())
    }

    /// Waits until it ends by itself. Returns its exit code.
    pub fn wait(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.exit_status().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < PATIENCE, "the controller doesn't stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// Status and body of a page on its admin port, or 0 and the error if it doesn't answer.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.admin_port);
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        match http.get(url).send().await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap()),
            Err(error) => (0, error.to_string()),
        }
    }
}

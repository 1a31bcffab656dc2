//! One controller as a process of its own.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use controlplane::{Process, Signal};

use crate::world::PATIENCE;

/// A running controller; it ends when this is dropped.
pub struct Controller {
    process: Process,
    admin_port: u16,
}

impl Controller {
    /// How it is started, but for its arguments.
    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scaleouttask-controller"));
        command
            .arg("run")
            .env("SCALEOUTTASK_LOG_FILTER", "scaleouttask_controller=debug");
        command
    }

    /// Starts it with an admin port of its own.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let admin_port = free_port();
        command.args(["--admin-address", &format!("127.0.0.1:{admin_port}")]);
        let process = Process::spawn("controller", &command, log).unwrap();
        Self {
            process,
            admin_port,
        }
    }

    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    pub fn is_running(&mut self) -> bool {
        self.process.exit_status().unwrap().is_none()
    }

    /// Stops it as a cluster would, and says how it ended and how long that took.
    pub fn stop(mut self) -> (i32, Duration) {
        let asked = Instant::now();
        self.signal(Signal::Terminate);
        let status = loop {
            if let Some(status) = self.process.exit_status().unwrap() {
                break status;
            }
            assert!(asked.elapsed() < PATIENCE, "the controller doesn't stop");
            std::thread::sleep(Duration::from_millis(20));
        };
        (status.code().unwrap_or(-1), asked.elapsed())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// Status and body of one of its own pages; 0 and why, where it doesn't answer.
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

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

//! The program runs a script until it gets a signal, and reports errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    io::{BufRead, BufReader},
    process::{ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(10);

fn simulator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command.env_remove("RUST_LOG").stderr(Stdio::piped());
    command
}

/// The lines of a log, to be received with a timeout.
fn lines(log: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Fails if the test has ended.
            let _ = sender.send(line);
        }
    });
    receiver
}

#[test]
fn it_runs_the_demonstration_and_stops_on_a_signal() {
    let mut child = simulator()
        .args(["--listen", "127.0.0.1:0"])
        .spawn()
        .unwrap();
    let log = lines(child.stderr.take().unwrap());
    let next = || log.recv_timeout(LIMIT).unwrap();
    assert!(next().contains("playing the demonstration"));
    let listening = next();
    assert!(listening.contains("http://127.0.0.1:") && listening.contains("T-succeeds"));
    let signal = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(next().contains("SIGTERM"));
}

#[test]
fn a_wrong_script_is_reported_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("wrong.yaml");
    std::fs::write(&script, "tasks:\n  - id: a\n    x: 1\n").unwrap();
    let output = simulator().arg(&script).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(error.lines().count(), 1);
    assert!(
        error.contains("wrong.yaml: the script is wrong: "),
        "{error}"
    );
    assert!(
        error.contains("unknown field `x`") && error.contains("line 3"),
        "{error}"
    );
}

//! `cargo xtask dns-test`: how the static program finds the API server, STS and the task API by their names, where
//! DNS is as it is in clusters.
//!
//! It runs in a network namespace of its own, with its own `/etc/resolv.conf` and `/etc/hosts`.

mod cases;
mod server;
mod stage;

use std::{
    io,
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use self::{cases::CASES, stage::Stage};
use crate::image::{Architecture, Binary};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Program(#[from] crate::image::Error),
    #[error(transparent)]
    ControlPlane(#[from] controlplane::Error),
    #[error(transparent)]
    Script(#[from] simulator::ScriptError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0} failed: {1}")]
    Run(String, String),
    #[error("{0}; the end of the controller's log:\n{1}")]
    Case(String, String),
}

/// Builds the program and tests it.
pub fn main() -> ExitCode {
    exit_code(build_and_enter())
}

/// The same with a program that is there, in namespaces of this process alone.
pub fn inside(program: &str) -> ExitCode {
    exit_code(test(Path::new(program)))
}

fn exit_code(passed: Result<bool, Error>) -> ExitCode {
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("can't test: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build_and_enter() -> Result<bool, Error> {
    let program = Binary::build("scaleouttask-controller", Architecture::of_this_machine())?;
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
        .arg(std::env::current_exe()?)
        .args(["dns-test", "--inside"])
        .arg(program.path);
    let entered = unshare.status();
    let failed = |error: io::Error| Error::Run("unshare".to_owned(), error.to_string());
    Ok(entered.map_err(failed)?.success())
}

fn test(program: &Path) -> Result<bool, Error> {
    let began = Instant::now();
    let stage = Stage::set(program)?;
    let mut failed = 0;
    for (index, case) in CASES.iter().enumerate() {
        match stage.play(index, case) {
            Ok(took) => println!("ok      {:4.1} s  {}", took.as_secs_f32(), case.title),
            Err(error) => {
                failed += 1;
                println!("FAILED          {}: {error}", case.title);
            }
        }
    }
    let passed = CASES.len() - failed;
    let seconds = began.elapsed().as_secs();
    println!("{passed} passed, {failed} failed, in {seconds} s");
    Ok(failed == 0)
}

//! `cargo xtask versions`: runs the tests that speak with an API server against other versions of Kubernetes.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{ExitCode, Stdio},
};

use controlplane::{StderrProgress, versions};

use crate::{cargo::cargo, cluster::repository};

/// The minor versions of Kubernetes that get patches, and the oldest one whose types the program is built on.
const MINORS: [u32; 5] = [33, 34, 35, 36, 37];
/// The tests that speak with an API server.
const TESTS: [&str; 4] = ["e2e", "faults", "chart", "terminal"];

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    ControlPlane(#[from] controlplane::Error),
    #[error("can't run cargo: {0}")]
    Cargo(#[from] std::io::Error),
}

/// What became of the tests.
#[derive(Default)]
struct Outcome {
    passed: usize,
    failed: Vec<String>,
    has_ended_well: bool,
}

/// Runs the tests against these minor versions, such as `33` for 1.33; against all if there are none.
pub fn main(minors: &[u32]) -> ExitCode {
    let minors = if minors.is_empty() { &MINORS } else { minors };
    match run(minors) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The minor versions that the arguments name.
pub fn minors(arguments: &[&str]) -> Option<Vec<u32>> {
    let minor = |argument: &&str| argument.strip_prefix("1.")?.parse().ok();
    arguments.iter().map(minor).collect()
}

fn run(minors: &[u32]) -> Result<bool, Error> {
    let mut rows = Vec::new();
    let mut progress = StderrProgress::default();
    for minor in minors {
        let version = versions::newest_patch(*minor)?;
        let binaries = versions::binaries(&version, &mut progress)?;
        println!("Kubernetes {version}");
        let outcome = test(binaries.directory())?;
        rows.push((version, outcome));
    }
    println!("\n| Kubernetes | passed | failed |\n| --- | --- | --- |");
    for (version, outcome) in &rows {
        let failed = match outcome.failed.as_slice() {
            [] if outcome.has_ended_well => "–".to_owned(),
            [] => "did not end".to_owned(),
            names => names.join(", "),
        };
        println!("| {version} | {} | {failed} |", outcome.passed);
    }
    Ok(rows.iter().all(|(_, outcome)| outcome.has_ended_well))
}

fn test(assets: &Path) -> Result<Outcome, Error> {
    let mut cargo = cargo();
    cargo.current_dir(repository());
    cargo.args(["test", "--locked", "--no-fail-fast"]);
    for test in TESTS {
        cargo.args(["--test", test]);
    }
    cargo
        .env("KUBEBUILDER_ASSETS", assets)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped());
    let mut child = cargo.spawn()?;
    let mut outcome = Outcome::default();
    let lines = child
        .stdout
        .take()
        .map(|output| BufReader::new(output).lines());
    for line in lines.into_iter().flatten() {
        outcome.read(&line?);
    }
    outcome.has_ended_well = child.wait()?.success();
    Ok(outcome)
}

impl Outcome {
    /// Reads a line of the test runner's.
    fn read(&mut self, line: &str) {
        let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        else {
            println!("{line}");
            return;
        };
        match result {
            "ok" => self.passed += 1,
            "FAILED" => self.failed.push(name.to_owned()),
            _ => println!("{line}"),
        }
    }
}

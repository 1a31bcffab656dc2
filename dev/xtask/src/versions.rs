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
const TESTS: [&str; 5] = ["e2e", "faults", "load", "chart", "terminal"];
/// Those of them that show what a version may break.
const BRIEF: [&str; 3] = ["e2e", "chart", "terminal"];
/// What load and memory are like doesn't depend on the version, and takes the longest.
const SKIPPED_IN_BRIEF: [&str; 4] = ["many::", "memory::", "clocks::", "once::more_tasks"];

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

/// Which tests, against which versions.
pub struct Choice {
    is_brief: bool,
    /// Minor versions, such as `33` for 1.33; all if there are none.
    minors: Vec<u32>,
}

impl Choice {
    /// What the arguments name.
    pub fn of(arguments: &[&str]) -> Option<Self> {
        let (brief, minors): (Vec<&str>, Vec<&str>) = arguments
            .iter()
            .partition(|argument| **argument == "--brief");
        let minor = |argument: &str| argument.strip_prefix("1.")?.parse().ok();
        Some(Self {
            is_brief: !brief.is_empty(),
            minors: minors.into_iter().map(minor).collect::<Option<_>>()?,
        })
    }
}

/// Runs the tests.
pub fn main(choice: &Choice) -> ExitCode {
    match run(choice) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(choice: &Choice) -> Result<bool, Error> {
    let minors = match choice.minors.as_slice() {
        [] => &MINORS,
        named => named,
    };
    let mut rows = Vec::new();
    let mut progress = StderrProgress::default();
    for minor in minors {
        let version = versions::newest_patch(*minor)?;
        let binaries = versions::binaries(&version, &mut progress)?;
        println!("Kubernetes {version}");
        let outcome = test(binaries.directory(), choice.is_brief)?;
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

fn test(assets: &Path, is_brief: bool) -> Result<Outcome, Error> {
    let mut cargo = cargo();
    cargo.current_dir(repository());
    cargo.args(["test", "--locked", "--no-fail-fast"]);
    let tests = if is_brief { &BRIEF[..] } else { &TESTS };
    for test in tests {
        cargo.args(["--test", test]);
    }
    if is_brief {
        cargo.arg("--");
        for name in SKIPPED_IN_BRIEF {
            cargo.args(["--skip", name]);
        }
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

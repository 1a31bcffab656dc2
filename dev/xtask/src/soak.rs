//! `cargo xtask soak`: the long runs of the model checker and of requests that are disturbed.

use std::process::ExitCode;

use crate::{cargo::cargo, cluster::repository};

/// Checks more than a million states, and each disturbance of each request of a source. Takes some minutes, mostly for
/// the build.
pub fn main() -> ExitCode {
    let status = cargo()
        .current_dir(repository())
        .args(["test", "--release", "--locked", "--package"])
        .args(["scaleouttask-controller", "--test", "model"])
        .args(["--test", "faults", "--", "--ignored", "--nocapture"])
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("can't run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

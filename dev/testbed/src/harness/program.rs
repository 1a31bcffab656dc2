//! The program to measure: the release build.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Result;
use crate::repository;

/// The variable that names another program to measure instead.
const OTHER: &str = "SCALEOUTTASK_PROGRAM";

/// Builds the controller as in its image, and returns its path.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os(OTHER) {
        return Ok(Path::new(&path).canonicalize()?);
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(repository())
        .args(["xtask", "program"])
        .stderr(Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err("the controller can't be built".into());
    }
    let printed = String::from_utf8(built.stdout)?;
    Ok(printed.trim().into())
}

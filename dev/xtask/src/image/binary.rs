//! Builds the static binary for one architecture. It is the same, bit for bit, for any location of the checkout and
//! the toolchain.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use super::{architecture::Architecture, error::Error};
use crate::{cargo::cargo, cluster::repository};

const PROFILE: &str = "dist";
const PROGRAMS: [&str; 3] = [
    "scaleouttask-controller",
    "kubectl-scaleouttask",
    "simulator",
];

pub struct Binary {
    pub path: PathBuf,
    pub version: String,
    pub target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

impl Binary {
    pub fn build(program: &str, architecture: Architecture) -> Result<Self, Error> {
        if !PROGRAMS.contains(&program) {
            return Err(Error::Program(program.to_owned()));
        }
        let metadata: Metadata = serde_json::from_slice(&metadata(&["--no-deps"])?)?;
        let mut packages = metadata.packages.into_iter();
        let package = packages.find(|package| package.name == program);
        let version = package.map(|package| package.version).unwrap_or_default();
        let target = architecture.target();
        add_target(target)?;
        // Its own target directory, so that other flags don't make cargo rebuild everything.
        let directory = metadata.target_directory.join("dist");
        let mut cargo = cargo();
        cargo
            .current_dir(&metadata.workspace_root)
            .args([
                "build",
                "--locked",
                "--target",
                target,
                "--profile",
                PROFILE,
            ])
            .args(["--package", program, "--bin", program])
            .env("CARGO_TARGET_DIR", &directory)
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                flags(&metadata.workspace_root, &directory),
            )
            .envs(architecture.tools()?);
        run(&mut cargo, "cargo build")?;
        Ok(Self {
            path: directory.join(target).join(PROFILE).join(program),
            version,
            target_directory: metadata.target_directory,
        })
    }

    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        fs::read(&self.path).map_err(|error| Error::read(&self.path, error))
    }
}

/// The output of `cargo metadata`.
pub fn metadata(arguments: &[&str]) -> Result<Vec<u8>, Error> {
    let mut cargo = cargo();
    cargo
        .current_dir(repository())
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(arguments);
    let output = cargo.output().map_err(|error| Error::Run {
        program: "cargo".to_owned(),
        error,
    })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        Err(Error::Failed("cargo metadata".to_owned()))
    }
}

/// Flags that keep the names of directories out of the binary.
fn flags(workspace: &Path, target: &Path) -> String {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let home_of = |variable: &str, otherwise: &str| {
        env::var_os(variable).map_or_else(|| home.join(otherwise), PathBuf::from)
    };
    let places = [
        (workspace.to_owned(), "/src"),
        (target.to_owned(), "/target"),
        (home_of("CARGO_HOME", ".cargo"), "/cargo"),
        (home_of("RUSTUP_HOME", ".rustup"), "/rustup"),
    ];
    let remap =
        |(from, to): &(PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
    places.iter().map(remap).collect::<Vec<_>>().join("\x1f")
}

/// Adds the target with rustup. Without rustup, it must be installed already.
fn add_target(target: &'static str) -> Result<(), Error> {
    let mut rustup = Command::new("rustup");
    match rustup.args(["--quiet", "target", "add", target]).status() {
        Ok(status) if !status.success() => Err(Error::Target(target)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn run(command: &mut Command, name: &str) -> Result<(), Error> {
    let status = command.status().map_err(|error| Error::Run {
        program: name.to_owned(),
        error,
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed(name.to_owned()))
    }
}

//! `cargo xtask arm64-test`: runs the controller and the kubectl plugin for arm64, on a processor that qemu plays.

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
};

use crate::{
    cargo::cargo,
    cluster::repository,
    demo::{self, Programs},
    image::{self, Architecture, Binary},
};

const QEMU: &str = "qemu-aarch64";
const PROGRAM: &str = "scaleouttask-controller";
const PLUGIN: &str = "kubectl-scaleouttask";
/// Debian's packages of qemu and the C compiler.
const PACKAGES: [&str; 2] = ["qemu-user", "gcc-aarch64-linux-gnu"];
/// The unit tests of signatures, the vendor's vectors among them.
const SIGNATURES: &str = "task_api::sign";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{QEMU} is missing: install it from your system's packages, such as qemu-user")]
    NoQemu,
    #[error("can't run {0}: {1}")]
    Run(&'static str, std::io::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("can't read the CRD: {0}")]
    Read(std::io::Error),
    #[error("it doesn't print the CRD of crds/, but exits with {0} and says:\n{1}")]
    Crd(std::process::ExitStatus, String),
    #[error("the tests of signatures failed, or there are none")]
    Signatures,
}

/// Runs the test.
pub fn main() -> ExitCode {
    match check() {
        Ok(programs) => demo::with(programs),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What needs no cluster.
fn check() -> Result<Programs, Error> {
    install()?;
    let program = Binary::build(PROGRAM, Architecture::Arm64)?;
    let plugin = Binary::build(PLUGIN, Architecture::Arm64)?;
    println!("crd");
    let mut crd = Command::new(QEMU);
    let printed = crd
        .arg(&program.path)
        .args(["crd", "scaleouttasks"])
        .output();
    let printed = printed.map_err(|error| Error::Run(QEMU, error))?;
    let expected = fs::read(repository().join("crds/scaleouttasks.yaml")).map_err(Error::Read)?;
    if expected != printed.stdout || !printed.status.success() {
        let said = String::from_utf8_lossy(&printed.stderr).into_owned();
        return Err(Error::Crd(printed.status, said));
    }
    println!("  is that of crds/");
    println!("signatures");
    check_signatures()?;
    let [controller, plugin] =
        [program, plugin].map(|binary| vec![QEMU.into(), binary.path.into()]);
    Ok(Programs { controller, plugin })
}

fn check_signatures() -> Result<(), Error> {
    let target = Architecture::Arm64.target();
    let mut cargo = cargo();
    cargo
        .current_dir(repository())
        .args(["test", "--locked", "--package", PROGRAM, "--lib"])
        .args(["--target", target, SIGNATURES])
        .envs(Architecture::Arm64.tools()?)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", QEMU);
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::Run("cargo", error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let has_run = output.status.success() && !said.contains(" 0 passed");
    has_run.then_some(()).ok_or(Error::Signatures)
}

/// Installs what is missing where that is possible.
fn install() -> Result<(), Error> {
    let is_complete = || image::works(QEMU) && Architecture::Arm64.tools().is_ok();
    if !is_complete() && image::works("apt-get") {
        for arguments in [
            &["update"][..],
            &[&["install", "--yes"][..], &PACKAGES].concat(),
        ] {
            // What is missing all the same is said below.
            let _ = Command::new("apt-get")
                .arg("--quiet")
                .args(arguments)
                .status();
        }
    }
    if !image::works(QEMU) {
        return Err(Error::NoQemu);
    }
    Ok(())
}

//! The pinned Go module behind the binaries, and the Go toolchain that builds it.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::error::{Error, create_dir, write};
use crate::process::Process;

/// The files of the Go module.
const MODULE: [(&str, &str); 3] = [
    ("go.mod", include_str!("../go/go.mod")),
    ("go.sum", include_str!("../go/go.sum")),
    ("tools.go", include_str!("../go/tools.go")),
];

/// How often a build's progress is told.
const TICK: Duration = Duration::from_millis(100);

/// A program and the Go package it is built from.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    package: &'static str,
}

/// What a control plane needs.
pub(crate) const PROGRAMS: [Program; 3] = [
    Program {
        name: "etcd",
        package: "go.etcd.io/etcd/server/v3",
    },
    Program {
        name: "kube-apiserver",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
    },
    Program {
        name: "kubectl",
        package: "k8s.io/kubernetes/cmd/kubectl",
    },
];

/// The version of Kubernetes that the module pins, such as `v1.37.2`.
pub(crate) fn kubernetes_version() -> &'static str {
    required("k8s.io/kubernetes")
}

/// Names what is built: the version, the platform and a hash of the module.
pub(crate) fn build_id() -> String {
    // FNV-1a, since it has to be the same for every compiler.
    let bytes = MODULE
        .iter()
        .flat_map(|(name, text)| name.bytes().chain(text.bytes()));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{}-{os}-{arch}-{hash:016x}", kubernetes_version())
}

/// Writes the module's files.
pub(crate) fn write_module(directory: &Path) -> Result<(), Error> {
    create_dir(directory)?;
    MODULE
        .iter()
        .try_for_each(|(name, text)| write(&directory.join(name), text))
}

/// Fails with one clear line if there is no Go, or one that cannot build the module.
pub(crate) fn check_toolchain(module: &Path) -> Result<(), Error> {
    let minimum = minimum_version();
    // Inside the module a newer toolchain is fetched, if that is allowed; `/` shows Go's own.
    if go_version(module, &minimum)?.is_some_and(|found| minor(&found) >= minor(&minimum)) {
        return Ok(());
    }
    let found = go_version(Path::new("/"), &minimum)?.unwrap_or_else(|| "older".to_owned());
    Err(Error::GoTooOld { minimum, found })
}

/// Builds `program` as the file `target`, telling `tick` about ten times a second.
pub(crate) fn build(
    module: &Path,
    program: &Program,
    target: &Path,
    tick: &mut dyn FnMut(),
) -> Result<(), Error> {
    let mut command = go(module);
    command
        .args([
            "build",
            "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
        ])
        .arg(linker_flags())
        .arg("-o")
        .arg(target)
        .arg(program.package);
    let log = target.with_extension("log");
    let mut build = Process::spawn("go", &command, &log)?;
    let status = loop {
        match build.exit_status()? {
            Some(status) => break status,
            None => tick(),
        }
        thread::sleep(TICK);
    };
    let output = build.log_tail();
    let _ = std::fs::remove_file(&log);
    if status.success() {
        return Ok(());
    }
    Err(Error::GoBuild {
        program: program.name,
        output,
    })
}

/// `go` in the module, whatever the caller's environment is set up to build.
fn go(directory: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(directory)
        .stdin(Stdio::null())
        .envs([
            ("CGO_ENABLED", "0"),
            ("GO111MODULE", "on"),
            ("GOWORK", "off"),
        ])
        .env_remove("GOOS")
        .env_remove("GOARCH");
    go
}

/// What Go calls itself in `directory`, such as `go1.26.1`; none if it refuses to work there.
fn go_version(directory: &Path, minimum: &str) -> Result<Option<String>, Error> {
    let answer = go(directory)
        .args(["env", "GOVERSION"])
        .output()
        .map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                return Error::GoMissing {
                    minimum: minimum.to_owned(),
                };
            }
            Error::Io {
                action: "start go".to_owned(),
                source,
            }
        })?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    Ok((answer.status.success() && !version.is_empty()).then_some(version))
}

/// `1.26` of the module's `go 1.26.0`.
fn minimum_version() -> String {
    let version = required("go");
    version
        .rsplit_once('.')
        .map_or(version, |(minor, _)| minor)
        .to_owned()
}

/// 26 of `go1.26.1`, `1.26` and `go1.26rc1`.
fn minor(version: &str) -> Option<u32> {
    let minor = version.split('.').nth(1)?;
    let end = minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(minor.len());
    minor[..end].parse().ok()
}

/// Without these the API server would report v0.0.0.
fn linker_flags() -> String {
    let version = kubernetes_version();
    let minor = minor(version).unwrap_or_default();
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
    )
}

/// The version that go.mod gives for `name`.
fn required(name: &str) -> &'static str {
    let words = |line: &'static str| {
        let mut words = line.split_whitespace();
        (words.next(), words.next())
    };
    let (_, go_mod) = MODULE[0];
    let version = go_mod
        .lines()
        .map(words)
        .find(|(first, _)| *first == Some(name));
    version.and_then(|(_, version)| version).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_pins_kubernetes_1_37_and_go_1_26() {
        assert!(
            kubernetes_version().starts_with("v1.37."),
            "{}",
            kubernetes_version()
        );
        assert_eq!(minimum_version(), "1.26");
        assert!(
            linker_flags().ends_with("gitMinor=37"),
            "{}",
            linker_flags()
        );
    }

    #[test]
    fn minor_version_is_read_from_every_form() {
        for version in ["go1.26.1", "go1.26rc1", "1.26", "v1.26.0"] {
            assert_eq!(minor(version), Some(26), "{version}");
        }
        assert_eq!(minor("devel"), None);
    }
}

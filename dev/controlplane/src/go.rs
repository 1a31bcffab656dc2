//! The pinned Go modules behind the programs, and the Go toolchain that builds them.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::error::{Error, create_dir, write};
use crate::process::Process;

/// How often the progress of a build is reported.
const TICK: Duration = Duration::from_millis(100);

/// A Go module that pins programs and all their dependencies.
pub(crate) struct Module {
    /// Its directory in the cache.
    pub(crate) name: &'static str,
    /// The dependency whose version names its builds.
    pub(crate) main: &'static str,
    /// The names and contents of its files.
    files: [(&'static str, &'static str); 3],
    /// Whether Go may add to `go.mod` and `go.sum` what they lack.
    is_open: bool,
}

/// Kubernetes and programs on the same libraries, so that these are built only once.
pub(crate) static KUBERNETES: Module = Module {
    name: "control-plane",
    main: "k8s.io/kubernetes",
    files: [
        ("go.mod", include_str!("../go/kubernetes/go.mod")),
        ("go.sum", include_str!("../go/kubernetes/go.sum")),
        ("tools.go", include_str!("../go/kubernetes/tools.go")),
    ],
    is_open: false,
};

/// Prometheus.
pub(crate) static PROMETHEUS: Module = Module {
    name: "prometheus",
    main: "github.com/prometheus/prometheus",
    files: [
        ("go.mod", include_str!("../go/prometheus/go.mod")),
        ("go.sum", include_str!("../go/prometheus/go.sum")),
        ("tools.go", include_str!("../go/prometheus/tools.go")),
    ],
    is_open: false,
};

/// The vendor's own library for credentials, and a program that prints what it finds.
pub(crate) static ALIBABA_CLOUD: Module = Module {
    name: "alibabacloud",
    main: "github.com/aliyun/credentials-go",
    files: [
        ("go.mod", include_str!("../go/alibabacloud/go.mod")),
        ("go.sum", include_str!("../go/alibabacloud/go.sum")),
        ("main.go", include_str!("../go/alibabacloud/main.go")),
    ],
    is_open: false,
};

/// A program and its Go package.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    package: &'static str,
}

impl Program {
    const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }
}

const KUBE_APISERVER: Program =
    Program::new("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
const KUBE_CTL: Program = Program::new("kubectl", "k8s.io/kubernetes/cmd/kubectl");

/// The programs of a control plane, from [`KUBERNETES`].
pub(crate) static CONTROL_PLANE: [Program; 3] = [
    Program::new("etcd", "go.etcd.io/etcd/server/v3"),
    KUBE_APISERVER,
    KUBE_CTL,
];

/// The API server alone.
pub(crate) static API_SERVER: [Program; 1] = [KUBE_APISERVER];

/// kubectl alone.
pub(crate) static KUBECTL: [Program; 1] = [KUBE_CTL];

/// Helm, from [`KUBERNETES`].
pub(crate) static HELM: [Program; 1] = [Program::new("helm", "helm.sh/helm/v4/cmd/helm")];

/// Generates CRDs from Go types, from [`KUBERNETES`].
pub(crate) static CONTROLLER_GEN: [Program; 1] = [Program::new(
    "controller-gen",
    "sigs.k8s.io/controller-tools/cmd/controller-gen",
)];

/// Checks and tests alerts, from [`PROMETHEUS`].
pub(crate) static PROMTOOL: [Program; 1] = [Program::new(
    "promtool",
    "github.com/prometheus/prometheus/cmd/promtool",
)];

/// Prints the access key that the vendor's library finds, from [`ALIBABA_CLOUD`].
pub(crate) static VENDORS_CREDENTIALS: [Program; 1] = [Program::new(
    "vendors-credentials",
    "controlplane/alibabacloud",
)];

impl Module {
    /// Kubernetes alone, of another version, by its `go.mod`.
    pub(crate) fn of_kubernetes(go_mod: &'static str) -> Self {
        Self {
            name: KUBERNETES.name,
            main: KUBERNETES.main,
            files: [
                ("go.mod", go_mod),
                ("go.sum", ""),
                ("tools.go", "package tools\n"),
            ],
            is_open: true,
        }
    }

    /// The ID of a build: the version, the platform and a hash of the module.
    pub(crate) fn build_id(&self) -> String {
        // FNV-1a, because the hash must be the same with every compiler.
        let bytes = self
            .files
            .iter()
            .flat_map(|(name, text)| name.bytes().chain(text.bytes()));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        format!("{}-{os}-{arch}-{hash:016x}", self.version())
    }

    /// Writes the module's files.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Error> {
        create_dir(directory)?;
        self.files
            .iter()
            .try_for_each(|(name, text)| write(&directory.join(name), text))
    }

    /// The version of its main dependency.
    pub(crate) fn version(&self) -> &'static str {
        self.required(self.main)
    }

    /// The required version of Go, such as `1.26` for `go 1.26.0`.
    fn minimum_version(&self) -> String {
        let version = self.required("go");
        version
            .rsplit_once('.')
            .map_or(version, |(minor, _)| minor)
            .to_owned()
    }

    /// Without these flags, the API server would report v0.0.0.
    fn linker_flags(&self) -> String {
        let version = self.required(KUBERNETES.main);
        let minor = minor(version).unwrap_or_default();
        let package = "k8s.io/component-base/version";
        format!(
            "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
        )
    }

    /// The version of `name` in go.mod.
    fn required(&self, name: &str) -> &'static str {
        let words = |line: &'static str| {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| *word == "require");
            (words.next(), words.next())
        };
        let (_, go_mod) = self.files[0];
        let version = go_mod
            .lines()
            .map(words)
            .find(|(first, _)| *first == Some(name));
        version.and_then(|(_, version)| version).unwrap_or_default()
    }
}

/// Fails with one clear line if there is no Go or if it is too old for the module.
pub(crate) fn check_toolchain(module: &Module, directory: &Path) -> Result<(), Error> {
    let minimum = module.minimum_version();
    // In the module's directory, Go fetches a newer toolchain if allowed. In `/`, it reports its own
    // version.
    if go_version(directory, &minimum)?.is_some_and(|found| minor(&found) >= minor(&minimum)) {
        return Ok(());
    }
    let found = go_version(Path::new("/"), &minimum)?.unwrap_or_else(|| "older".to_owned());
    Err(Error::GoTooOld { minimum, found })
}

/// Builds `program` as the file `target`. Calls `tick` about ten times a second.
pub(crate) fn build(
    module: &Module,
    directory: &Path,
    program: &Program,
    target: &Path,
    tick: &mut dyn FnMut(),
) -> Result<(), Error> {
    let mut command = go(directory, Path::new("go"));
    let rest = if module.is_open { "mod" } else { "readonly" };
    command
        .args([
            "build",
            &format!("-mod={rest}"),
            "-trimpath",
            "-buildvcs=false",
            // promtool needs no service discovery here, which is most of its size.
            "-tags=remove_all_sd",
            "-ldflags",
        ])
        .arg(module.linker_flags())
        .arg("-o")
        .arg(target)
        .arg(program.package);
    finish(&command, program.name, &target.with_extension("log"), tick)
}

/// What Go prints about modules.
pub(crate) fn list(arguments: &[&str]) -> Result<String, Error> {
    let output = go(Path::new("/"), Path::new("go"))
        .args(["list", "-m"])
        .args(arguments)
        .output()
        .map_err(|source| not_started(source, &KUBERNETES.minimum_version()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    let program = "the list of versions";
    Err(Error::GoBuild { program, output })
}

/// Runs a program that itself calls Go for the module.
pub(crate) fn run(
    module: &Path,
    path: &Path,
    arguments: &[String],
    name: &'static str,
) -> Result<(), Error> {
    let mut command = go(module, path);
    command.args(arguments);
    let log = module.join(format!("{name}.{}.log", std::process::id()));
    finish(&command, name, &log, &mut || {})
}

fn finish(
    command: &Command,
    program: &'static str,
    log: &Path,
    tick: &mut dyn FnMut(),
) -> Result<(), Error> {
    let mut process = Process::spawn("go", command, log)?;
    let status = loop {
        match process.exit_status()? {
            Some(status) => break status,
            None => tick(),
        }
        thread::sleep(TICK);
    };
    let output = process.log_tail();
    let _ = std::fs::remove_file(log);
    if status.success() {
        return Ok(());
    }
    Err(Error::GoBuild { program, output })
}

/// A command for `go`, or a program that calls it, in the module. Ignores what the caller's
/// environment is set up to build.
fn go(directory: &Path, program: &Path) -> Command {
    let mut go = Command::new(program);
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

/// The version of Go in `directory`, such as `go1.26.1`, or `None` if it refuses to work there.
fn go_version(directory: &Path, minimum: &str) -> Result<Option<String>, Error> {
    let answer = go(directory, Path::new("go"))
        .args(["env", "GOVERSION"])
        .output()
        .map_err(|source| not_started(source, minimum))?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    Ok((answer.status.success() && !version.is_empty()).then_some(version))
}

fn not_started(source: io::Error, minimum: &str) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        let minimum = minimum.to_owned();
        return Error::GoMissing { minimum };
    }
    Error::io("start go")(source)
}

/// The minor version: 26 for `go1.26.1`, `1.26` and `go1.26rc1`.
fn minor(version: &str) -> Option<u32> {
    let minor = version.split('.').nth(1)?;
    let end = minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(minor.len());
    minor[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_pins_kubernetes_1_37_and_go_1_26() {
        let version = KUBERNETES.required(KUBERNETES.main);
        assert!(version.starts_with("v1.37."), "{version}");
        assert_eq!(KUBERNETES.minimum_version(), "1.26");
        let flags = KUBERNETES.linker_flags();
        assert!(flags.ends_with("gitMinor=37"), "{flags}");
    }

    #[test]
    fn each_build_id_has_the_pinned_version() {
        for module in [&KUBERNETES, &PROMETHEUS] {
            assert!(module.build_id().starts_with('v'), "{}", module.build_id());
        }
    }

    #[test]
    fn minor_version_is_parsed_from_every_form() {
        for version in ["go1.26.1", "go1.26rc1", "1.26", "v1.26.0"] {
            assert_eq!(minor(version), Some(26), "{version}");
        }
        assert_eq!(minor("devel"), None);
    }
}

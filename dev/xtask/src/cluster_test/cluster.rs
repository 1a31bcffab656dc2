//! The cluster, used through kubectl and helm.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use controlplane::{Binaries, StderrProgress, tools};

use super::error::Error;
use crate::image;

/// The name of the release. It must not be one of a user's.
pub const RELEASE: &str = "scaleout-test";
/// The labels of all its objects.
pub const OF_RELEASE: &str =
    "app.kubernetes.io/name=scaleouttask-controller,app.kubernetes.io/instance=scaleout-test";
/// The namespace of the controller.
pub const SYSTEM: &str = "scaleout-test-system";
/// The namespace of the tasks and the simulated task API.
pub const TASKS: &str = "scaleout-test-tasks";

pub struct Cluster {
    kubectl: PathBuf,
    helm: PathBuf,
}

impl Cluster {
    pub fn find() -> Result<Self, Error> {
        if env::var_os("KUBECONFIG").is_none_or(|path| path.is_empty()) {
            return Err(Error::NoKubeconfig);
        }
        let mut progress = StderrProgress::default();
        Ok(Self {
            kubectl: Binaries::locate_or_build(&mut progress)?.kubectl(),
            helm: tools::helm(&mut progress)?,
        })
    }

    pub fn kubectl(&self, namespace: &str, arguments: &[&str]) -> Result<String, Error> {
        let mut all = vec!["--namespace", namespace];
        all.extend(arguments);
        run(&self.kubectl, &all)
    }

    pub fn helm(&self, arguments: &[&str]) -> Result<String, Error> {
        run(&self.helm, arguments)
    }

    pub fn create_namespaces(&self) -> Result<(), Error> {
        for namespace in [SYSTEM, TASKS] {
            self.kubectl(namespace, &["create", "namespace", namespace])?;
            let level = "pod-security.kubernetes.io/enforce=restricted";
            self.kubectl(namespace, &["label", "namespace", namespace, level])?;
        }
        Ok(())
    }

    pub fn clean(&self) -> Result<(), Error> {
        for namespace in [SYSTEM, TASKS] {
            let delete = [
                "delete",
                "namespace",
                namespace,
                "--ignore-not-found",
                "--timeout=90s",
            ];
            self.kubectl(namespace, &delete)?;
        }
        // A failed release may have left these outside of its namespace.
        for kind in ["clusterrole", "clusterrolebinding"] {
            self.kubectl(SYSTEM, &["delete", kind, "--selector", OF_RELEASE])?;
        }
        Ok(())
    }

    /// Whether the CRD is missing or left by an earlier run, so that it can be installed.
    pub fn may_install_crd(&self) -> Result<bool, Error> {
        let owner = r"--output=jsonpath={.metadata.name} {.metadata.annotations.meta\.helm\.sh/release-namespace}";
        let crd = [
            "get",
            "crd",
            "scaleouttasks.scaleout.dev",
            "--ignore-not-found",
            owner,
        ];
        let found = self.kubectl(SYSTEM, &crd)?;
        Ok(found.is_empty() || found.ends_with(&format!(" {SYSTEM}")))
    }

    /// The reason of the object's `Ready` condition.
    pub fn reason(&self, name: &str) -> Result<String, Error> {
        let path = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].reason}"#;
        self.kubectl(TASKS, &["get", "scaleouttask", name, path])
    }

    pub fn lease_holder(&self, lease: &str) -> Result<String, Error> {
        let path = "--output=jsonpath={.spec.holderIdentity}";
        self.kubectl(SYSTEM, &["get", "lease", lease, path])
    }

    /// Prints the state of the cluster after a failure.
    pub fn show_state(&self) {
        let commands: [(&str, &[&str]); 5] = [
            (SYSTEM, &["get", "pods", "--output=wide"]),
            (SYSTEM, &["get", "events"]),
            (
                SYSTEM,
                &[
                    "logs",
                    "--selector=app.kubernetes.io/name=scaleouttask-controller",
                    "--tail=40",
                ],
            ),
            (TASKS, &["get", "pods,scaleouttasks", "--output=wide"]),
            (TASKS, &["get", "events"]),
        ];
        for (namespace, command) in commands {
            match self.kubectl(namespace, command) {
                Ok(text) => eprintln!("{text}"),
                Err(error) => eprintln!("{error}"),
            }
        }
    }
}

/// Builds the images and imports them into the containerd of this machine.
pub fn import() -> Result<(), Error> {
    for program in ["scaleouttask-controller", "simulator"] {
        import_archive(&image::build(program)?)?;
    }
    Ok(())
}

fn import_archive(archive: &Path) -> Result<(), Error> {
    let archive = archive.to_string_lossy();
    let import = ["--namespace", "k8s.io", "images", "import", &archive];
    run(Path::new("ctr"), &import).map(drop)
}

fn run(program: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| Error::Run {
        program: program.display().to_string(),
        error,
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Err(Error::Failed {
            command: format!("{name} {}", arguments.join(" ")),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

//! A cluster whose pods run, used through kubectl and helm.

mod error;
mod images;

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use controlplane::{StderrProgress, tools};

pub use error::Error;
pub use images::Images;

/// The name of the release. It must not be one of a user's.
pub const RELEASE: &str = "scaleout-test";
/// The name of its Deployment and its Lease.
pub const NAME: &str = "scaleout-test-scaleouttask-controller";
/// The labels of all its objects.
pub const OF_RELEASE: &str =
    "app.kubernetes.io/name=scaleouttask-controller,app.kubernetes.io/instance=scaleout-test";
/// The namespace of the controller.
pub const SYSTEM: &str = "scaleout-test-system";
pub const CHART: &str = "charts/scaleouttask-controller";
/// The timeline of the tasks of the demo.
pub const DEMO: &str = "dev/xtask/demo/simulator.yaml";
/// How long a rollout, or a wait for a task, may take.
pub const LIMIT: &str = "--timeout=90s";

/// The label of the namespaces that are made and deleted.
const OF_TEST: &str = "scaleout-test=true";

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
            kubectl: tools::kubectl(&mut progress)?,
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

    /// kubectl with a manifest on its standard input.
    pub fn kubectl_with(
        &self,
        namespace: &str,
        arguments: &[&str],
        manifest: &str,
    ) -> Result<String, Error> {
        let mut all = vec!["--namespace", namespace];
        all.extend(arguments);
        all.extend(["--filename", "-"]);
        run_with(&self.kubectl, &all, manifest)
    }

    /// Creates a namespace that enforces the restricted Pod Security level.
    pub fn create_namespace(&self, namespace: &str) -> Result<(), Error> {
        self.kubectl(namespace, &["create", "namespace", namespace])?;
        let level = "pod-security.kubernetes.io/enforce=restricted";
        let label = ["label", "namespace", namespace, level, OF_TEST];
        self.kubectl(namespace, &label).map(drop)
    }

    /// Deletes the namespaces that this made, and what a failed release may have left outside of them.
    pub fn clean(&self) -> Result<(), Error> {
        let mine = format!("--selector={OF_TEST}");
        let delete = ["delete", "namespaces", &mine, "--timeout=90s"];
        self.kubectl(SYSTEM, &delete)?;
        let kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,\
                     validatingadmissionpolicybindings";
        let label = format!("--selector={OF_RELEASE}");
        self.kubectl(SYSTEM, &["delete", kinds, &label]).map(drop)
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

    /// Starts a simulated task API in a pod. Returns its URL.
    pub fn start_simulator(
        &self,
        namespace: &str,
        script: &Path,
        images: &Images,
    ) -> Result<String, Error> {
        let script = format!("--from-file=tasks.yaml={}", text(script));
        self.kubectl(namespace, &["create", "configmap", "simulator", &script])?;
        let manifest = repository().join("dev/xtask/cluster/simulator.yaml");
        self.kubectl(namespace, &["apply", "--filename", &text(&manifest)])?;
        let image = format!("simulator={}simulator:0.1.0", images.prefix());
        self.kubectl(namespace, &["set", "image", "deployment/simulator", &image])?;
        let rollout = ["rollout", "status", "deployment/simulator", LIMIT];
        self.kubectl(namespace, &rollout)?;
        // By address, because not every test cluster has DNS.
        let address = [
            "get",
            "service",
            "simulator",
            "--output=jsonpath={.spec.clusterIP}",
        ];
        let address = self.kubectl(namespace, &address)?;
        Ok(format!("http://{address}:8081"))
    }

    /// The reason of the object's `Ready` condition.
    pub fn reason(&self, namespace: &str, name: &str) -> Result<String, Error> {
        let path = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].reason}"#;
        self.kubectl(namespace, &["get", "scaleouttask", name, path])
    }

    pub fn lease_holder(&self) -> Result<String, Error> {
        let path = "--output=jsonpath={.spec.holderIdentity}";
        self.kubectl(SYSTEM, &["get", "lease", NAME, path])
    }

    /// Prints the state of a namespace after a failure.
    pub fn show_state(&self, namespace: &str) {
        let commands: [&[&str]; 4] = [
            &["get", "pods", "--output=wide"],
            &["get", "scaleouttasks,scaleouttasksources", "--output=wide"],
            &["get", "events"],
            &[
                "logs",
                "--selector=app.kubernetes.io/name=scaleouttask-controller",
                "--tail=40",
            ],
        ];
        for command in commands {
            match self.kubectl(namespace, command) {
                Ok(text) => eprintln!("{text}"),
                Err(error) => eprintln!("{error}"),
            }
        }
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub fn step(title: &str) {
    println!("{title}");
}

pub fn done(what: &str) {
    println!("  {what}");
}

fn run(program: &Path, arguments: &[&str]) -> Result<String, Error> {
    run_with(program, arguments, "")
}

fn run_with(program: &Path, arguments: &[&str], input: &str) -> Result<String, Error> {
    let start = || {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that doesn't read it says itself what is wrong.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    };
    let output = start().map_err(|error| Error::Run {
        program: program.display().to_string(),
        error,
    })?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Err(Error::Failed {
            command: format!("{name} {}", arguments.join(" ")),
            output: text(&output.stderr) + &text(&output.stdout),
        })
    }
}

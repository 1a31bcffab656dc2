//! A real API server without a node, for releases of the chart.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use controlplane::{ControlPlane, Options};
use serde_json::{Value, json};
use testbed::render::{NAMESPACE, RELEASE, helm, text, values_file};

pub const CRD: &str = "scaleouttasks.scaleout.dev";
pub const SOURCE_CRD: &str = "scaleouttasksources.scaleout.dev";

/// The test's own control plane, as there is only one CRD in a cluster.
pub struct Cluster(pub ControlPlane);

impl Cluster {
    pub fn start() -> Self {
        Self(ControlPlane::start(&Options::default()).unwrap())
    }

    /// One that takes itself for one of three API servers: it serves a new kind 5 s later, as the others
    /// might not know it yet.
    pub fn start_as_one_of_three() -> Self {
        let options = Options::default().apiserver_arg("--apiserver-count=3");
        Self(ControlPlane::start(&options).unwrap())
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        text(&self.0.kubectl().args(arguments).output().unwrap())
    }

    /// Passes objects to kubectl and returns its output. A warning is an error.
    pub fn kubectl_with(&self, arguments: &[&str], objects: &[Value]) -> Result<String, String> {
        let mut command = self.0.kubectl();
        command.args(arguments).args(["--filename", "-"]);
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let output = with_input(command, &list.to_string());
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        if warnings.is_empty() {
            text(&output)
        } else {
            Err(warnings)
        }
    }

    pub fn helm(&self, arguments: &[&str], values: &Value) -> Result<String, String> {
        let mut command = helm();
        command.env("KUBECONFIG", self.0.kubeconfig());
        command.args(arguments).args(["--namespace", NAMESPACE]);
        let file = values_file(values);
        if !matches!(arguments[0], "uninstall" | "rollback") {
            command.arg("--values").arg(file.path());
        }
        text(&command.output().unwrap())
    }

    /// Creates a namespace that accepts only restricted pods, and its service accounts, which no
    /// controller creates here.
    pub fn create_namespace(&self, name: &str) {
        let level = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let meta = |kind: &str, metadata: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata });
        let objects = [
            meta("Namespace", json!({ "name": name, "labels": level })),
            meta(
                "ServiceAccount",
                json!({ "name": "default", "namespace": name }),
            ),
            meta(
                "ServiceAccount",
                json!({ "name": RELEASE, "namespace": name }),
            ),
        ];
        self.kubectl_with(&["create"], &objects).unwrap();
    }

    pub fn until_established(&self) {
        self.until_served(CRD);
    }

    pub fn until_served(&self, crd: &str) {
        let crd = format!("crd/{crd}");
        self.kubectl(&["wait", &crd, "--for=condition=Established"])
            .unwrap();
    }

    pub fn crd(&self) -> Value {
        let crd = self.kubectl(&["get", "crd", CRD, "--output=json"]);
        serde_json::from_str(&crd.unwrap()).unwrap()
    }
}

/// Runs a command with that on its standard input.
pub fn with_input(mut command: Command, input: &str) -> std::process::Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

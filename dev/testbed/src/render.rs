//! Renders the chart with Helm.

use std::{
    io::Write,
    process::{Command, Output},
    sync::OnceLock,
};

use controlplane::{StderrProgress, tools};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::repository;

/// The chart's directory.
pub const CHART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../charts/scaleouttask-controller"
);
/// The name of the release and of its objects.
pub const RELEASE: &str = "scaleouttask-controller";
/// The namespace of the release.
pub const NAMESPACE: &str = "scaleout-system";

/// Helm with its own home directory. It reads and writes none of the user's files.
pub fn helm() -> Command {
    static HELM: OnceLock<(std::path::PathBuf, TempDir)> = OnceLock::new();
    let (program, home) = HELM.get_or_init(|| {
        let program = tools::helm(&mut StderrProgress::default()).unwrap();
        (program, tempfile::tempdir().unwrap())
    });
    let mut helm = Command::new(program);
    helm.env("HOME", home.path())
        .env_remove("KUBECONFIG")
        .envs(["CACHE", "CONFIG", "DATA"].map(|kind| (format!("HELM_{kind}_HOME"), home.path())));
    helm
}

/// A file with values, for `--values`.
pub fn values_file(values: &Value) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(values.to_string().as_bytes()).unwrap();
    file
}

/// All objects of a release in [`NAMESPACE`], or Helm's error about the values.
pub fn render(values: &Value) -> Result<Vec<Value>, String> {
    render_as(RELEASE, NAMESPACE, values)
}

/// All objects of a release of that name.
pub fn render_as(release: &str, namespace: &str, values: &Value) -> Result<Vec<Value>, String> {
    let file = values_file(values);
    let output = helm()
        .args(["template", release, CHART, "--namespace", namespace])
        .arg("--values")
        .arg(file.path())
        .output()
        .unwrap();
    let text = text(&output)?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    Ok(objects
        .into_iter()
        .filter(|object| !object.is_null())
        .collect())
}

/// The standard output of a program, or its standard error if it failed.
pub fn text(output: &Output) -> Result<String, String> {
    if output.status.success() {
        Ok(String::from_utf8(output.stdout.clone()).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The only object with that kind and name.
pub fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "two of {kind} {name}");
    object
}

/// What the chart's Roles and `ClusterRole` grant the controller.
pub fn granted(objects: &[Value]) -> Vec<Value> {
    let is_role = |object: &&Value| {
        let is_for_users = object["metadata"]["labels"]
            .as_object()
            .is_some_and(|labels| labels.keys().any(|label| label.contains("aggregate-to-")));
        matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")) && !is_for_users
    };
    let roles = objects.iter().filter(is_role);
    roles
        .flat_map(|role| role["rules"].as_array().unwrap().clone())
        .collect()
}

/// The text of a file in the repository.
pub fn read(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All objects for these values. Panics if Helm refuses them.
pub fn rendered(values: &Value) -> Vec<Value> {
    render(values).unwrap()
}

/// The pod template of the Deployment.
pub fn pod(objects: &[Value]) -> &Value {
    &find(objects, "Deployment", RELEASE)["spec"]["template"]
}

/// The controller's container in the pod template.
pub fn container(objects: &[Value]) -> &Value {
    &pod(objects)["spec"]["containers"][0]
}

/// The arguments of the controller's container.
pub fn arguments(objects: &[Value]) -> Vec<&str> {
    let arguments = container(objects)["args"].as_array().unwrap();
    arguments
        .iter()
        .map(|argument| argument.as_str().unwrap())
        .collect()
}

/// The kind and name of each object, sorted.
pub fn kinds(objects: &[Value]) -> Vec<String> {
    let name = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!(
            "{} {}",
            text(&object["kind"]),
            text(&object["metadata"]["name"])
        )
    };
    let mut kinds: Vec<String> = objects.iter().map(name).collect();
    kinds.sort();
    kinds
}

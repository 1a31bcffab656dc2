//! The chart as a part of another, with tasks among that one's own templates.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::render::{CHART, NAMESPACE, helm, text};

use crate::{
    cluster::Cluster,
    readme::{Shell, block},
};

const SECTION: &str = "### Part of another chart";

/// A chart that has this one as a dependency.
pub struct Parent(TempDir);

impl Parent {
    /// The text is that of its own `values.yaml`.
    pub fn new(values: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let about = json!({
            "apiVersion": "v2", "name": "parent", "version": "0.1.0",
            "dependencies": [{ "name": "scaleouttask-controller", "version": "*" }],
        });
        fs::write(path.join("Chart.yaml"), about.to_string()).unwrap();
        fs::write(path.join("values.yaml"), values).unwrap();
        fs::create_dir(path.join("templates")).unwrap();
        copy(
            Path::new(CHART),
            &path.join("charts/scaleouttask-controller"),
        );
        Self(directory)
    }

    /// Adds a task with that in its metadata.
    fn with_task(self, metadata: &Value) -> Self {
        let mut task = json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
            "metadata": metadata, "spec": { "taskId": "T-1" },
        });
        task["metadata"]["name"] = json!("web-pool");
        fs::write(self.path().join("templates/task.yaml"), task.to_string()).unwrap();
        self
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().into()
    }

    /// Its objects, without a cluster.
    pub fn render(&self) -> Vec<Value> {
        let mut command = helm();
        command
            .args(["template", "parent", "--namespace", NAMESPACE])
            .arg(self.path());
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text(&command.output().unwrap()).unwrap()).unwrap();
        objects
            .into_iter()
            .filter(|object| !object.is_null())
            .collect()
    }

    fn helm(&self, cluster: &Cluster, verb: &str) -> Result<String, String> {
        let path = self.path();
        let more = ["--create-namespace"].into_iter();
        let more = more.filter(|_| verb == "install");
        let arguments: Vec<&str> = [verb, "parent", path.to_str().unwrap()]
            .into_iter()
            .chain(more)
            .collect();
        cluster.helm(&arguments, &json!({}))
    }
}

/// Copies a directory.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn uid(cluster: &Cluster) -> Result<String, String> {
    let task = ["get", "scaleouttask", "web-pool", "--namespace", NAMESPACE];
    cluster.kubectl(&[&task[..], &["--output=jsonpath={.metadata.uid}"]].concat())
}

#[test]
fn a_parent_has_tasks_once_the_crd_is_there() {
    let cluster = Cluster::start_as_one_of_three();
    let plain = Parent::new("").with_task(&json!({}));
    let error = plain.helm(&cluster, "install").unwrap_err();
    assert!(
        error.contains("no matches for kind \"ScaleOutTask\""),
        "{error}"
    );

    let shell = Shell::new(&json!({}));
    let apply = block(SECTION, "console", "crds/");
    shell.run(&cluster, &apply).unwrap();
    let parent = Parent::new(&block(SECTION, "yaml", "install: false")).with_task(&json!({}));
    parent.helm(&cluster, "install").unwrap();
    let before = uid(&cluster).unwrap();
    // As before an upgrade to another version.
    shell.run(&cluster, &apply).unwrap();
    parent.helm(&cluster, "upgrade").unwrap();
    assert_eq!(uid(&cluster).unwrap(), before);
    cluster.helm(&["uninstall", "parent"], &json!({})).unwrap();
    assert!(uid(&cluster).unwrap_err().contains("NotFound"));
}

/// Says of a Deployment what its controller, which doesn't run here, says once its pods are ready.
fn play_ready(cluster: &Cluster, name: &str) {
    let deployment = format!("deployment/{name}");
    let kubectl = |arguments: &[&str]| {
        let namespace = ["--namespace", NAMESPACE];
        cluster.kubectl(&[arguments, &namespace].concat()).unwrap()
    };
    kubectl(&["wait", &deployment, "--for=create", "--timeout=60s"]);
    let condition =
        |kind: &str, reason: &str| json!({ "type": kind, "status": "True", "reason": reason });
    let status = json!({ "status": {
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "conditions": [condition("Available", "MinimumReplicasAvailable"), condition("Progressing", "NewReplicaSetAvailable")],
    } });
    let patch = format!("--patch={status}");
    kubectl(&[
        "patch",
        &deployment,
        "--subresource=status",
        "--type=merge",
        &patch,
    ]);
}

#[test]
fn a_parent_has_tasks_as_hooks_where_helm_waits() {
    let cluster = Cluster::start_as_one_of_three();
    let hook: Value = serde_saphyr::from_str(&block(SECTION, "yaml", "helm.sh/hook")).unwrap();
    let parent = Parent::new("").with_task(&hook["metadata"]);
    let shell = Shell::new(&json!({}));
    shell.link("my-chart", &parent.path());
    let upgrade = block(SECTION, "console", "helm upgrade");
    thread::scope(|threads| {
        let installed = threads.spawn(|| shell.run(&cluster, &upgrade));
        play_ready(&cluster, "my-chart-scaleouttask-controller");
        installed.join().unwrap().unwrap();
    });
    let before = uid(&cluster).unwrap();
    shell.run(&cluster, &upgrade).unwrap();
    assert_ne!(uid(&cluster).unwrap(), before, "it isn't made anew");
    cluster
        .helm(&["uninstall", "my-chart"], &json!({}))
        .unwrap();
    uid(&cluster).unwrap();
}

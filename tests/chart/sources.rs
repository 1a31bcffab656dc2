//! Sources of a release, whose kind comes with the same release: made by its first install, kept by all that follows.

use std::{fs, path::Path, thread};

use serde_json::{Value, json};
use testbed::render::{CHART, NAMESPACE, RELEASE, find, helm, kinds, rendered, text, values_file};

use crate::{
    cluster::{Cluster, SOURCE_CRD},
    parent::copy,
};

fn values(list: &[&str]) -> Value {
    let list: Vec<Value> = list.iter().map(|id| json!({ "clusterId": id })).collect();
    json!({ "credentials": { "none": true }, "sources": { "list": list } })
}

/// What is rendered for a cluster that has the kind.
fn rendered_where_served(values: &Value) -> Vec<Value> {
    let file = values_file(values);
    let mut command = helm();
    command
        .args(["template", RELEASE, CHART, "--namespace", NAMESPACE])
        .args(["--api-versions", "scaleout.dev/v1alpha1/ScaleOutTaskSource"])
        .arg("--values")
        .arg(file.path());
    let rendered = text(&command.output().unwrap()).unwrap();
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&rendered).unwrap();
    objects.retain(|object| !object.is_null());
    objects
}

#[test]
fn a_source_is_a_hook_only_where_its_kind_is_not_served_yet() {
    let pods = |objects: &[Value]| {
        let pods = kinds(objects).into_iter();
        pods.filter(|kind| kind.starts_with("Pod ")).count()
    };
    let values = values(&["c-1"]);
    let first = rendered(&values);
    let hook = &find(&first, "ScaleOutTaskSource", "c-1")["metadata"];
    assert_eq!(
        hook["annotations"]["helm.sh/hook"],
        "post-install,post-upgrade"
    );
    // Without a policy, or by that one, it would be deleted before it is made.
    let policy = hook["annotations"]["helm.sh/hook-delete-policy"]
        .as_str()
        .unwrap();
    assert!(!policy.contains("before-hook-creation"), "{policy}");
    let wait = find(&first, "Pod", &format!("{RELEASE}-wait"));
    let test = find(&first, "Pod", &format!("{RELEASE}-test"));
    assert_eq!(wait["metadata"]["labels"], test["metadata"]["labels"]);
    for part in ["securityContext", "containers", "affinity"] {
        assert_eq!(wait["spec"][part], test["spec"][part], "{part}");
    }
    for more in [
        json!({ "service": { "enabled": false } }),
        json!({ "replicas": 0 }),
    ] {
        let mut values = values.clone();
        values
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let objects = rendered(&values);
        assert!(
            !kinds(&objects).contains(&format!("Pod {RELEASE}-wait")),
            "{more}"
        );
    }

    let served = rendered_where_served(&values);
    let source = &find(&served, "ScaleOutTaskSource", "c-1")["metadata"];
    let keep = json!({
        "helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    });
    assert_eq!(source["annotations"], keep);
    assert_eq!(source["labels"], hook["labels"]);
    assert_eq!((pods(&first), pods(&served)), (2, 1));
}

/// A cluster that accepts pods in the namespace of the release.
fn cluster() -> Cluster {
    let cluster = Cluster::start_as_one_of_three();
    cluster.create_namespace(NAMESPACE);
    // Helm creates the account itself.
    let account = [
        "delete",
        "serviceaccount",
        RELEASE,
        "--namespace",
        NAMESPACE,
    ];
    cluster.kubectl(&account).unwrap();
    cluster
}

/// Runs Helm while the pod that waits for the controller is there, which no kubelet runs here: it succeeds once the
/// kind is served, as the controller lists it then.
fn helm_with_wait(cluster: &Cluster, arguments: &[&str], values: &Value) {
    let pod = format!("pod/{RELEASE}-wait");
    let kubectl = |arguments: &[&str]| {
        let namespace = ["--namespace", NAMESPACE];
        cluster.kubectl(&[arguments, &namespace].concat())
    };
    thread::scope(|threads| {
        let ended = threads.spawn(|| cluster.helm(arguments, values));
        kubectl(&["wait", &pod, "--for=create", "--timeout=60s"]).unwrap();
        cluster.until_served(SOURCE_CRD);
        let patch = "--patch={\"status\":{\"phase\":\"Succeeded\"}}";
        kubectl(&["patch", &pod, "--subresource=status", "--type=merge", patch]).unwrap();
        ended.join().unwrap().unwrap();
    });
    assert!(kubectl(&["get", &pod]).unwrap_err().contains("NotFound"));
}

fn source(cluster: &Cluster, name: &str) -> Result<Value, String> {
    let get = [
        "get",
        "sots",
        name,
        "--namespace",
        NAMESPACE,
        "--output=json",
    ];
    Ok(serde_json::from_str(&cluster.kubectl(&get)?).unwrap())
}

fn uid(cluster: &Cluster, name: &str) -> Value {
    source(cluster, name).unwrap()["metadata"]["uid"].clone()
}

#[test]
fn a_release_makes_its_sources_at_once_and_never_deletes_one() {
    let cluster = cluster();
    helm_with_wait(&cluster, &["install", RELEASE, CHART], &values(&["C-1"]));
    let first = source(&cluster, "c-1").unwrap();
    assert_eq!(first["spec"], json!({ "clusterId": "C-1" }));
    let first = first["metadata"]["uid"].clone();

    // From now on it is an object like any other: what is changed in the values is changed there.
    let upgrade = ["upgrade", RELEASE, CHART];
    let mut changed = values(&["C-1"]);
    changed["sources"]["list"][0]["interval"] = json!("1m");
    cluster.helm(&upgrade, &changed).unwrap();
    let now = source(&cluster, "c-1").unwrap();
    assert_eq!(now["metadata"]["uid"], first);
    assert_eq!(now["spec"]["interval"], "1m");

    cluster.helm(&upgrade, &values(&["C-1", "c-2"])).unwrap();
    let second = uid(&cluster, "c-2");
    // One that were deleted would take its objects along.
    cluster.helm(&upgrade, &values(&["c-2"])).unwrap();
    cluster
        .helm(&["rollback", RELEASE, "1"], &json!({}))
        .unwrap();
    cluster.helm(&["uninstall", RELEASE], &json!({})).unwrap();
    let both = || [uid(&cluster, "c-1"), uid(&cluster, "c-2")];
    assert_eq!(both(), [first.clone(), second.clone()]);

    cluster
        .helm(&["install", RELEASE, CHART], &values(&["C-1", "c-2"]))
        .unwrap();
    assert_eq!(both(), [first, second]);
}

#[test]
fn a_source_that_is_not_to_be_kept_goes_with_its_entry_or_the_release() {
    let cluster = cluster();
    let values = |list: &[&str]| {
        let mut values = values(list);
        values["sources"]["keep"] = json!(false);
        values
    };
    helm_with_wait(
        &cluster,
        &["install", RELEASE, CHART],
        &values(&["c-1", "c-2"]),
    );
    let upgrade = ["upgrade", RELEASE, CHART];
    cluster.helm(&upgrade, &values(&["c-1", "c-2"])).unwrap();
    let first = uid(&cluster, "c-1");
    cluster.helm(&upgrade, &values(&["c-1"])).unwrap();
    assert_eq!(uid(&cluster, "c-1"), first);
    let gone = |name: &str| source(&cluster, name).unwrap_err().contains("NotFound");
    assert!(gone("c-2"));
    cluster.helm(&["uninstall", RELEASE], &json!({})).unwrap();
    assert!(gone("c-1"));
}

#[test]
fn an_upgrade_from_a_chart_without_the_kind_makes_sources_too() {
    let cluster = cluster();
    let older = tempfile::tempdir().unwrap();
    copy(Path::new(CHART), older.path());
    let template = older.path().join("templates/crd.yaml");
    let text = fs::read_to_string(&template).unwrap();
    let fewer = text.replace(
        "list \"scaleouttasks\" \"scaleouttasksources\"",
        "list \"scaleouttasks\"",
    );
    assert_ne!(fewer, text);
    fs::write(&template, fewer).unwrap();
    let install = ["install", RELEASE, older.path().to_str().unwrap()];
    cluster.helm(&install, &values(&[])).unwrap();
    helm_with_wait(&cluster, &["upgrade", RELEASE, CHART], &values(&["c-1"]));
    let before = uid(&cluster, "c-1");
    cluster
        .helm(&["upgrade", RELEASE, CHART], &values(&["c-1"]))
        .unwrap();
    assert_eq!(uid(&cluster, "c-1"), before);
}

/// As Helm 3 does, and Helm 4 with the releases that Helm 3 made.
#[test]
fn without_server_side_apply_no_change_is_passed_over_in_silence() {
    let cluster = cluster();
    let install = ["install", RELEASE, CHART, "--server-side=false"];
    helm_with_wait(&cluster, &install, &values(&["c-1"]));
    let upgrade = ["upgrade", RELEASE, CHART];
    let mut changed = values(&["c-1"]);
    changed["sources"]["list"][0]["interval"] = json!("1m");
    let error = cluster.helm(&upgrade, &changed).unwrap_err();
    let expected = format!("the source {NAMESPACE}/c-1 is there and differs from sources.list[0]");
    assert!(error.contains(&expected), "{error}");
    let interval = || source(&cluster, "c-1").unwrap()["spec"]["interval"].clone();
    let first = uid(&cluster, "c-1");
    cluster.helm(&upgrade, &values(&["c-1"])).unwrap();
    cluster.helm(&upgrade, &changed).unwrap();
    assert_eq!(interval(), "1m");

    // The same after it was kept.
    cluster.helm(&["uninstall", RELEASE], &json!({})).unwrap();
    let error = cluster.helm(&install, &values(&["c-1"])).unwrap_err();
    assert!(error.contains(&expected), "{error}");
    cluster.helm(&install, &changed).unwrap();
    cluster.helm(&upgrade, &values(&["c-1"])).unwrap();
    assert_eq!(interval(), Value::Null);
    assert_eq!(uid(&cluster, "c-1"), first);
}

/// Of three API servers, some don't serve the kind yet. What is missing then, the next upgrade makes.
#[test]
fn without_a_service_to_wait_by_the_first_install_fails_and_the_next_upgrade_mends_it() {
    let cluster = cluster();
    let mut values = values(&["c-1"]);
    values["service"] = json!({ "enabled": false });
    let error = cluster
        .helm(&["install", RELEASE, CHART], &values)
        .unwrap_err();
    assert!(
        error.contains("no matches for kind \"ScaleOutTaskSource\""),
        "{error}"
    );
    cluster.until_served(SOURCE_CRD);
    cluster.helm(&["upgrade", RELEASE, CHART], &values).unwrap();
    assert_eq!(source(&cluster, "c-1").unwrap()["spec"]["clusterId"], "c-1");
}

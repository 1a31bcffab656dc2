//! Releases of the chart on a real API server without a node: which objects it accepts, and how Helm
//! installs, upgrades and uninstalls them.

use std::{collections::BTreeMap, fs, path::Path};

use controlplane::{StderrProgress, tools};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::render::{CHART, NAMESPACE, RELEASE, find, helm, render, text};

use crate::{
    cluster::{CRD, Cluster, SOURCE_CRD},
    parent::copy,
    settings,
};

#[test]
fn the_api_server_accepts_every_object_with_all_values() {
    let cluster = Cluster::start();
    let crds = tools::monitoring_crds(&mut StderrProgress::default()).unwrap();
    for kind in ["podmonitors", "prometheusrules"] {
        let crd = crds.join(format!("monitoring.coreos.com_{kind}.yaml"));
        cluster
            .kubectl(&["create", "--filename", crd.to_str().unwrap()])
            .unwrap();
    }
    for crd in ["podmonitors", "prometheusrules"] {
        let crd = format!("crd/{crd}.monitoring.coreos.com");
        cluster
            .kubectl(&["wait", &crd, "--for=condition=Established"])
            .unwrap();
    }
    for namespace in [NAMESPACE, "team-a", "team-b"] {
        cluster.create_namespace(namespace);
    }
    // As they are once the release has installed them.
    let objects = render(&json!({})).unwrap();
    for crd in [CRD, SOURCE_CRD] {
        let object = find(&objects, "CustomResourceDefinition", crd).clone();
        cluster.kubectl_with(&["create"], &[object]).unwrap();
        cluster.until_served(crd);
    }
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for (name, values) in settings::all() {
        let mut objects = render(&values).unwrap();
        // Pod Security refuses pods, but only warns about Deployments. So check a pod, too.
        let template = find(&objects, "Deployment", RELEASE)["spec"]["template"].clone();
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
        pod["metadata"]["name"] = json!("as-the-deployment-makes-it");
        pod["metadata"]["namespace"] = json!(NAMESPACE);
        objects.push(pod);
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
        ];
        let applied = cluster.kubectl_with(&apply, &objects);
        let applied = applied.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(applied.lines().count(), objects.len(), "{name}: {applied}");
        for object in &objects {
            *kinds
                .entry(object["kind"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
    }
    println!("accepted: {kinds:?}");
    for kind in [
        "NetworkPolicy",
        "PodMonitor",
        "PrometheusRule",
        "PodDisruptionBudget",
        "ValidatingAdmissionPolicy",
        "ScaleOutTaskSource",
    ] {
        assert!(kinds.contains_key(kind), "{kinds:?}");
    }
}

#[test]
fn a_pod_that_is_less_restricted_is_refused() {
    let cluster = Cluster::start();
    cluster.create_namespace(NAMESPACE);
    let values = json!({ "securityContext": { "allowPrivilegeEscalation": true } });
    let objects = render(&values).unwrap();
    let mut pod = find(&objects, "Pod", &format!("{RELEASE}-test")).clone();
    pod["metadata"]["annotations"] = json!({});
    let error = cluster
        .kubectl_with(&["create", "--dry-run=server"], &[pod])
        .unwrap_err();
    assert!(
        error.contains("violates PodSecurity \"restricted:latest\""),
        "{error}"
    );
}

/// The chart with an older CRD, without `ttlSecondsAfterFinished`.
pub fn older_chart() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(Path::new(CHART), directory.path());
    let path = directory.path().join("files/scaleouttasks.yaml");
    let mut crd: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let properties = crd
        .pointer_mut(properties)
        .unwrap()
        .as_object_mut()
        .unwrap();
    assert!(properties.remove("ttlSecondsAfterFinished").is_some());
    fs::write(&path, crd.to_string()).unwrap();
    directory
}

pub fn knows_ttl(crd: &Value) -> bool {
    let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/ttlSecondsAfterFinished";
    crd.pointer(field).is_some()
}

#[test]
fn an_upgrade_updates_the_crd_and_an_uninstall_keeps_objects() {
    let cluster = Cluster::start();
    let older = older_chart();
    let values = json!({ "credentials": { "none": true } });
    let chart = older.path().to_str().unwrap();
    cluster
        .helm(&["install", RELEASE, chart, "--create-namespace"], &values)
        .unwrap();
    assert!(!knows_ttl(&cluster.crd()));
    cluster.until_established();
    let object = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": "one", "namespace": "default" }, "spec": { "taskId": "T-1" },
    });
    cluster.kubectl_with(&["create"], &[object]).unwrap();
    let uid = [
        "get",
        "scaleouttask",
        "one",
        "--output=jsonpath={.metadata.uid}",
    ];
    let before = cluster.kubectl(&uid).unwrap();

    cluster.helm(&["upgrade", RELEASE, CHART], &values).unwrap();
    assert!(knows_ttl(&cluster.crd()));
    assert_eq!(cluster.kubectl(&uid).unwrap(), before);

    cluster.helm(&["uninstall", RELEASE], &values).unwrap();
    assert_eq!(cluster.kubectl(&uid).unwrap(), before);
    let left = cluster.kubectl(&[
        "get",
        "deployments,roles,rolebindings,services,serviceaccounts,pdb",
        "--all-namespaces",
        "--selector=app.kubernetes.io/name=scaleouttask-controller",
        "--output=name",
    ]);
    assert_eq!(left.unwrap(), "");

    // The remaining CRD still belongs to the old release. Another one must take it over explicitly.
    cluster.helm(&["install", RELEASE, CHART], &values).unwrap();
    cluster.helm(&["uninstall", RELEASE], &values).unwrap();
    let error = cluster
        .helm(&["install", "other", CHART], &values)
        .unwrap_err();
    assert!(error.contains("scaleouttasks.scaleout.dev"), "{error}");
    take_over_crds(&cluster, "other");
    cluster.helm(&["install", "other", CHART], &values).unwrap();
    assert_eq!(cluster.kubectl(&uid).unwrap(), before);

    // A shard can be installed as well.
    let shard = json!({
        "selector": "team=web", "crds": { "install": false }, "rbac": { "aggregateToView": false },
    });
    cluster.helm(&["install", "web", CHART], &shard).unwrap();
}

/// Lets another release manage the CRDs, as the chart's README describes.
fn take_over_crds(cluster: &Cluster, release: &str) {
    let label = "app.kubernetes.io/managed-by=Helm";
    let change = ["--overwrite", "crd", CRD, SOURCE_CRD];
    let labelled = [&["label"], change.as_slice(), &[label]].concat();
    cluster.kubectl(&labelled).unwrap();
    let name = format!("meta.helm.sh/release-name={release}");
    let namespace = format!("meta.helm.sh/release-namespace={NAMESPACE}");
    let annotated = [&["annotate"], change.as_slice(), &[&name, &namespace]].concat();
    cluster.kubectl(&annotated).unwrap();
}

#[test]
fn releases_of_the_same_name_work_in_two_namespaces() {
    let cluster = Cluster::start();
    let values = json!({ "credentials": { "none": true }, "namespaces": ["team-a"] });
    for namespace in [NAMESPACE, "team-a"] {
        cluster.create_namespace(namespace);
        // Helm creates the account itself.
        let account = [
            "delete",
            "serviceaccount",
            RELEASE,
            "--namespace",
            namespace,
        ];
        cluster.kubectl(&account).unwrap();
    }
    cluster.helm(&["install", RELEASE, CHART], &values).unwrap();
    let mut second = helm();
    second
        .env("KUBECONFIG", cluster.0.kubeconfig())
        .args(["install", RELEASE, CHART, "--namespace", "team-a"])
        .args([
            "--set",
            "crds.install=false,credentials.none=true,namespaces={team-a}",
        ]);
    text(&second.output().unwrap()).unwrap();
}

#[test]
fn viewers_and_editors_have_the_usual_permissions() {
    let cluster = Cluster::start();
    cluster.create_namespace(NAMESPACE);
    let may_edit = json!({ "rbac": { "aggregateToEdit": true } });
    let objects = render(&may_edit).unwrap();
    for crd in [CRD, SOURCE_CRD] {
        let object = find(&objects, "CustomResourceDefinition", crd).clone();
        cluster.kubectl_with(&["create"], &[object]).unwrap();
        cluster.until_served(crd);
    }
    // No controller manager aggregates roles here, so these roles are bound directly.
    let roles: Vec<Value> = ["view", "edit"]
        .map(|role| {
            find(
                &objects,
                "ClusterRole",
                &format!("{NAMESPACE}-{RELEASE}-{role}"),
            )
            .clone()
        })
        .into();
    cluster.kubectl_with(&["create"], &roles).unwrap();
    for role in ["view", "edit"] {
        let cluster_role = format!("--clusterrole={NAMESPACE}-{RELEASE}-{role}");
        let user = format!("--user={role}er");
        cluster
            .kubectl(&["create", "rolebinding", role, &cluster_role, &user])
            .unwrap();
    }
    let can = |user: &str, verb: &str, part: &str| {
        let all = [CRD, SOURCE_CRD].map(|crd| {
            let output = cluster
                .0
                .kubectl()
                .args(["auth", "can-i", verb, crd, "--as", user])
                .arg(format!("--subresource={part}"))
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).trim() == "yes"
        });
        assert_eq!(all[0], all[1], "{user}: {verb} {part}");
        all[0]
    };
    for verb in ["get", "list", "watch"] {
        assert!(can("viewer", verb, ""), "{verb}");
    }
    for verb in ["create", "update", "patch", "delete"] {
        assert!(can("editer", verb, ""), "{verb}");
        assert!(!can("viewer", verb, ""), "{verb}");
        assert!(!can("editer", verb, "status"), "{verb}");
    }
}

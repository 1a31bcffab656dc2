//! The admission policy: which bounds it has, and what the API server makes of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::render::{NAMESPACE, RELEASE, find, read, render, rendered, text};

use crate::cluster::{Cluster, SOURCE_CRD, with_input};

/// How long the API server may take until it follows a policy.
const LIMIT: Duration = Duration::from_secs(30);
/// kubectl's copy of what was applied.
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn enabled(mut values: Value) -> Value {
    values["admissionPolicy"]["enabled"] = json!(true);
    values
}

fn named(kind: &str, values: &Value) -> Value {
    find(&rendered(values), kind, &format!("{NAMESPACE}-{RELEASE}")).clone()
}

fn policy(values: Value) -> Value {
    named("ValidatingAdmissionPolicy", &enabled(values))
}

#[test]
fn each_bound_can_be_left_out_but_not_all() {
    let count = |values: Value| {
        let policy = policy(values);
        policy["spec"]["validations"].as_array().unwrap().len()
    };
    let all = count(json!({}));
    let bounds = [
        ("minPollInterval", 1),
        ("maxTimeout", 1),
        ("maxNameLength", 1),
        ("maxLabels", 1),
        ("maxAnnotations", 1),
        // With those of kubectl's copy and of managedFields.
        ("maxMetadataSize", 3),
    ];
    assert_eq!(all, bounds.iter().map(|(_, count)| count).sum::<usize>());
    let mut none = json!({});
    for (bound, validations) in bounds {
        for nothing in [json!(null), json!("")] {
            let without = json!({ "admissionPolicy": { bound: nothing } });
            assert_eq!(count(without), all - validations, "{bound}");
        }
        none["admissionPolicy"][bound] = json!(null);
    }
    let error = render(&enabled(none)).unwrap_err();
    assert!(error.contains("admissionPolicy has no bound"), "{error}");
}

#[test]
fn wrong_bounds_are_refused_with_their_names() {
    for (name, value) in [
        ("minPollInterval", json!("often")),
        ("maxTimeout", json!(24)),
        ("maxLabels", json!(0)),
        ("maxMetadataSize", json!(16385)),
        ("namespaceSelector", json!({ "labels": {} })),
    ] {
        let error = render(&json!({ "admissionPolicy": { name: value } })).unwrap_err();
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn the_bounds_hold_in_the_chosen_namespaces() {
    let selector = |values: Value| {
        let kind = "ValidatingAdmissionPolicyBinding";
        let binding = named(kind, &enabled(values));
        assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
        binding["spec"]["matchResources"]["namespaceSelector"].clone()
    };
    assert_eq!(selector(json!({})), json!(null));
    // Never the status, which is the controller's.
    let rules = policy(json!({}))["spec"]["matchConstraints"]["resourceRules"].clone();
    assert_eq!(rules[0]["resources"], json!(["scaleouttasks"]));
    assert_eq!(rules[0]["operations"], json!(["CREATE", "UPDATE"]));
    let tenants = json!({ "matchExpressions": [{ "key": "tenant", "operator": "Exists" }] });
    let chosen = json!({ "admissionPolicy": { "namespaceSelector": tenants } });
    assert_eq!(selector(chosen.clone()), tenants);
    // Another tenant's namespace is no business of this release.
    let mut watched = chosen;
    watched["namespaces"] = json!(["team-a"]);
    assert_eq!(
        selector(watched)["matchExpressions"],
        json!([
            tenants["matchExpressions"][0],
            { "key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a"] },
        ])
    );
}

fn object(name: &str, metadata: &Value, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": name, "namespace": "default" }, "spec": { "taskId": "T-1" },
    });
    for (part, fields) in [("metadata", metadata), ("spec", spec)] {
        for (field, value) in fields.as_object().unwrap() {
            object[part][field] = value.clone();
        }
    }
    object
}

/// That many labels or annotations, together of `size` characters where that is said.
fn entries(count: usize, size: Option<usize>) -> Value {
    let mut entries: BTreeMap<String, String> = (0..count)
        .map(|number| (format!("k{number:05}"), String::new()))
        .collect();
    if let (Some(size), Some(mut last)) = (size, entries.last_entry()) {
        *last.get_mut() = "v".repeat(size - 6 * count);
    }
    json!(entries)
}

/// As many in as few characters as can be.
fn short_entries(count: usize) -> Value {
    let key = |number: usize| (format!("{number:x}"), json!(""));
    (0..count)
        .map(key)
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn owners(size: usize) -> Value {
    json!([{ "apiVersion": "v1", "kind": "Pod", "uid": "u", "name": "n".repeat(size - 6) }])
}

impl Cluster {
    /// A cluster that has the CRD and no policy yet.
    fn with_crd() -> Self {
        let cluster = Self::start();
        let crd: Value = serde_saphyr::from_str(&read("crds/scaleouttasks.yaml")).unwrap();
        cluster.kubectl_with(&["create"], &[crd]).unwrap();
        cluster.until_established();
        cluster
    }

    /// Brings the policy of these values, and waits until the API server follows it.
    fn bound(&self, values: &Value) {
        let values = enabled(values.clone());
        let kinds = ["", "Binding"].map(|end| format!("ValidatingAdmissionPolicy{end}"));
        let objects = kinds.map(|kind| named(&kind, &values));
        self.kubectl_with(&["create"], &objects).unwrap();
        let probe = object("probe", &json!({}), &json!({ "pollInterval": "1s" }));
        let begin = Instant::now();
        while self.try_create(&probe).is_ok() {
            assert!(begin.elapsed() < LIMIT, "the policy isn't followed");
        }
    }

    /// Without kubectl's own ways with annotations and managed fields.
    fn try_create(&self, object: &Value) -> Result<String, String> {
        let plural = object["kind"].as_str().unwrap().to_lowercase() + "s";
        let url = format!("/apis/scaleout.dev/v1alpha1/namespaces/default/{plural}?dryRun=All");
        let mut create = self.0.kubectl();
        create.args(["create", "--raw", &url, "--filename", "-"]);
        text(&with_input(create, &object.to_string()))
    }

    fn merge(&self, name: &str, patch: &Value) -> Result<String, String> {
        let patch = patch.to_string();
        self.kubectl(&["patch", "sot", name, "--type=merge", "--patch", &patch])
    }
}

#[test]
fn each_bound_refuses_what_is_over_it_and_takes_what_is_at_it() {
    let cluster = Cluster::with_crd();
    cluster.bound(&json!({}));
    let none = json!({});
    let spec = |field: &str, value: &str| object("one", &none, &json!({ field: value }));
    let name = |length: usize| object(&"n".repeat(length), &none, &none);
    let metadata = |field: &str, value: Value| object("one", &json!({ field: value }), &none);
    let copy = |length: usize| metadata("annotations", json!({ COPY: "c".repeat(length) }));
    let unnamed = json!({ "name": null, "generateName": "one-" });
    cluster.try_create(&object("", &unnamed, &none)).unwrap();
    for (at, over, message) in [
        (
            spec("pollInterval", "5s"),
            spec("pollInterval", "4.9s"),
            "spec.pollInterval must be at least 5s",
        ),
        (
            spec("timeout", "24h"),
            spec("timeout", "24h1s"),
            "spec.timeout must be at most 24h",
        ),
        (name(128), name(129), "metadata.name must have at most 128"),
        (
            metadata("labels", entries(32, None)),
            metadata("labels", entries(33, None)),
            "metadata.labels must be at most 32",
        ),
        (
            metadata("annotations", entries(32, None)),
            metadata("annotations", entries(33, None)),
            "metadata.annotations must be at most 32",
        ),
        (
            metadata("annotations", entries(2, Some(8192))),
            metadata("annotations", entries(2, Some(8193))),
            "must have at most 8192 characters together",
        ),
        (
            metadata("ownerReferences", owners(8192)),
            metadata("ownerReferences", owners(8193)),
            "must have at most 8192 characters together",
        ),
        (
            metadata("finalizers", finalizers(100)),
            metadata("finalizers", finalizers(200)),
            "must have at most 8192 characters together",
        ),
        (copy(65536), copy(65537), "last-applied-configuration] must"),
        (
            metadata("managedFields", manager(&entries(8000, None))),
            metadata("managedFields", manager(&entries(9000, None))),
            "metadata.managedFields must have at most 65536",
        ),
        // Where no field of an object is, any amount could be.
        (
            metadata(
                "managedFields",
                held(&json!({ "f:a": { "f:b": { "f:c": {} } } })),
            ),
            metadata(
                "managedFields",
                held(&json!({ "f:a": { "f:b": { "f:c": { "f:d": {} } } } })),
            ),
            "metadata.managedFields must have at most 65536",
        ),
    ] {
        cluster.try_create(&at).unwrap();
        let error = cluster.try_create(&over).expect_err(message);
        assert!(error.contains(message), "{message}: {error}");
        assert!(error.contains(&format!("{NAMESPACE}-{RELEASE}")), "{error}");
    }
}

/// A source with that in its metadata and its template.
fn source(metadata: &Value, template: &Value) -> Value {
    let mut object = object("one", metadata, &json!({}));
    object["kind"] = json!("ScaleOutTaskSource");
    object["spec"] = json!({ "clusterId": "c-1", "template": template });
    object
}

#[test]
fn sources_have_the_same_bounds_where_tasks_are_found() {
    let name = format!("{NAMESPACE}-{RELEASE}-sources");
    let kinds = ["", "Binding"].map(|end| format!("ValidatingAdmissionPolicy{end}"));
    let off = rendered(&enabled(json!({})));
    assert!(off.iter().all(|object| object["metadata"]["name"] != name));
    let objects = rendered(&enabled(json!({ "sources": { "enabled": true } })));
    let cluster = Cluster::start();
    let crd: Value = serde_saphyr::from_str(&read("crds/scaleouttasksources.yaml")).unwrap();
    cluster.kubectl_with(&["create"], &[crd]).unwrap();
    cluster.until_served(SOURCE_CRD);
    let policy = kinds.map(|kind| find(&objects, &kind, &name).clone());
    cluster.kubectl_with(&["create"], &policy).unwrap();

    let none = json!({});
    let template = |field: &str, value: &str| source(&none, &json!({ "spec": { field: value } }));
    let begin = Instant::now();
    while cluster.try_create(&template("pollInterval", "1s")).is_ok() {
        assert!(begin.elapsed() < LIMIT, "the policy isn't followed");
    }
    let labels = json!({ "metadata": { "labels": { "team": "web" } } });
    let fields = |deepest: Value| {
        let template = json!({ "f:metadata": { "f:labels": { "f:team": deepest } } });
        let mut held = held(&none);
        held[0]["fieldsV1"] = json!({ "f:spec": { "f:template": template } });
        source(&json!({ "managedFields": held }), &labels)
    };
    let metadata = |field: &str, value: Value| source(&json!({ field: value }), &none);
    for (at, over, message) in [
        (
            template("pollInterval", "5s"),
            template("pollInterval", "4.9s"),
            "spec.template.spec.pollInterval must be at least 5s",
        ),
        (
            template("timeout", "24h"),
            template("timeout", "24h1s"),
            "spec.template.spec.timeout must be at most 24h",
        ),
        (
            metadata("labels", entries(32, None)),
            metadata("labels", entries(33, None)),
            "metadata.labels must be at most 32",
        ),
        (
            metadata("annotations", entries(2, Some(8192))),
            metadata("annotations", entries(2, Some(8193))),
            "must have at most 8192 characters together",
        ),
        (
            fields(json!({})),
            fields(json!({ "f:more": {} })),
            "metadata.managedFields must have at most 65536",
        ),
    ] {
        cluster.try_create(&at).unwrap();
        let error = cluster.try_create(&over).expect_err(message);
        assert!(error.contains(message), "{message}: {error}");
        assert!(error.contains(&name), "{error}");
    }
    // As people write them.
    for how in [
        &["apply"][..],
        &["apply", "--server-side", "--force-conflicts"],
    ] {
        cluster
            .kubectl_with(how, &[source(&none, &labels)])
            .unwrap();
    }
}

/// A field manager that says it holds these labels.
fn manager(labels: &Value) -> Value {
    let labels = labels.as_object().unwrap().keys();
    let labels: serde_json::Map<_, _> = labels.map(|key| (format!("f:{key}"), json!({}))).collect();
    held(&json!({ "f:labels": labels }))
}

/// A field manager that says it holds these parts of the metadata.
fn held(metadata: &Value) -> Value {
    json!([{
        "manager": "m", "operation": "Update", "apiVersion": "scaleout.dev/v1alpha1",
        "time": "2026-01-15T08:02:01Z", "fieldsType": "FieldsV1",
        "fieldsV1": { "f:metadata": metadata },
    }])
}

/// Each of 50 characters.
fn finalizers(count: usize) -> Value {
    (0..count)
        .map(|number| json!(format!("example.com/{number:038}")))
        .collect()
}

/// What `kubectl apply` adds fits beside what the bounds allow, escaped as it is.
#[test]
fn the_readmes_manifest_and_the_largest_allowed_one_can_be_applied() {
    let cluster = Cluster::with_crd();
    cluster.bound(&json!({}));
    let readme = read("README.md");
    let (_, manifest) = readme.split_once("```yaml\n").unwrap();
    let (manifest, _) = manifest.split_once("```").unwrap();
    let manifest: Value = serde_saphyr::from_str(manifest).unwrap();
    let mut annotations = entries(32, Some(8192 - 3));
    annotations["k00031"] = json!("<".repeat(8192 - 3 - 6 * 32));
    let metadata = json!({ "annotations": annotations, "labels": { "abc": "" } });
    let largest = object(&"n".repeat(128), &metadata, &json!({ "timeout": "24h" }));
    for object in [manifest, largest] {
        cluster
            .kubectl_with(&["apply"], std::slice::from_ref(&object))
            .unwrap();
        // Also once it is there, and changed.
        let mut changed = object;
        changed["spec"]["suspend"] = json!(true);
        cluster.kubectl_with(&["apply"], &[changed]).unwrap();
    }
}

#[test]
fn what_was_over_a_bound_before_can_be_changed_elsewhere_and_mended() {
    let cluster = Cluster::with_crd();
    let annotations = entries(40, Some(9000));
    let metadata = json!({
        "labels": entries(40, None), "annotations": annotations,
        "finalizers": ["example.com/hold"], "ownerReferences": owners(300),
    });
    let spec = json!({ "pollInterval": "1s", "timeout": "48h" });
    let old = object(&"n".repeat(200), &metadata, &spec);
    let name = old["metadata"]["name"].as_str().unwrap();
    cluster
        .kubectl_with(&["create"], std::slice::from_ref(&old))
        .unwrap();
    cluster.bound(&json!({}));
    let spec = |field: &str, value: Value| json!({ "spec": { field: value } });
    let label = |value: Value| json!({ "metadata": { "labels": { "k00001": value } } });
    let annotation =
        |key: &str, value: Value| json!({ "metadata": { "annotations": { key: value } } });
    for (patch, refused) in [
        (spec("suspend", json!(true)), None),
        (label(json!("")), None),
        (spec("pollInterval", json!("2s")), Some("spec.pollInterval")),
        (spec("timeout", json!("36h")), Some("spec.timeout")),
        (
            json!({ "metadata": { "labels": { "another": "" } } }),
            Some("metadata.labels must"),
        ),
        (
            annotation("another", json!("")),
            Some("metadata.annotations must"),
        ),
        (
            annotation("k00001", json!("longer")),
            Some("8192 characters together"),
        ),
        // Less of each, though still too much.
        (label(json!(null)), None),
        (annotation("k00000", json!(null)), None),
        (annotation("k00039", json!("v".repeat(8300))), None),
        (annotation("k00001", json!("longer")), Some("8192")),
        (spec("pollInterval", json!("5s")), None),
        (spec("pollInterval", json!("1s")), Some("spec.pollInterval")),
        (spec("timeout", json!(null)), None),
    ] {
        let patched = cluster.merge(name, &patch);
        match refused {
            None => drop(patched.unwrap_or_else(|error| panic!("{patch}: {error}"))),
            Some(message) => {
                let error = patched.expect_err(message);
                assert!(error.contains(message), "{message}: {error}");
            }
        }
    }
    // The controller's own write, and the end.
    let status = r#"{"status":{"state":"running"}}"#;
    let patch = ["patch", "sot", name, "--type=merge", "--patch", status];
    cluster
        .kubectl(&[&patch[..], &["--subresource=status"]].concat())
        .unwrap();
    cluster
        .kubectl(&["delete", "sot", name, "--wait=false"])
        .unwrap();
    let released = json!({ "metadata": { "finalizers": null } });
    cluster.merge(name, &released).unwrap();
    let gone = ["get", "sot", name, "--ignore-not-found", "--output=name"];
    assert_eq!(cluster.kubectl(&gone).unwrap(), "");
}

/// Each is told which bound it is over: none is too dear to be looked at. An old one can still be changed.
#[test]
fn objects_near_the_limit_of_etcd_are_looked_at() {
    let cluster = Cluster::with_crd();
    // Some 1.3 MB are kept: labels count twice, for the fields of their manager.
    let large = json!({ "labels": entries(40_000, None) });
    let large = object("large", &large, &json!({}));
    cluster
        .kubectl_with(&["create"], std::slice::from_ref(&large))
        .unwrap();
    // The dearest setting: all that is allowed is counted, entry by entry.
    cluster.bound(&json!({ "admissionPolicy": {
        "maxMetadataSize": 16384, "maxLabels": null, "maxAnnotations": null,
    } }));
    let managers = manager(&short_entries(14_000));
    let short = json!({ "labels": short_entries(3000), "managedFields": managers });
    let dearest = object("dearest", &short, &json!({}));
    cluster.try_create(&dearest).unwrap();
    let error = cluster.try_create(&large).unwrap_err();
    assert!(error.contains("16384 characters together"), "{error}");
    cluster
        .merge("large", &json!({ "spec": { "suspend": true } }))
        .unwrap();
}

//! Pods under `restricted-v2`, the constraints that give each namespace a user and groups of its own.

use serde_json::{Value, json};
use testbed::render::{CHART, find, helm, rendered, text};

use crate::parent::Parent;

/// The pods of a release: the Deployment's, and that of `helm test`.
fn pods(objects: &[Value]) -> Vec<Value> {
    let specs = objects
        .iter()
        .filter_map(|object| match object["kind"].as_str() {
            Some("Deployment") => Some(object["spec"]["template"]["spec"].clone()),
            Some("Pod") => Some(object["spec"].clone()),
            _ => None,
        });
    let specs: Vec<Value> = specs.collect();
    assert_eq!(specs.len(), 2);
    specs
}

/// All security contexts of a pod, its own first.
fn contexts(spec: &Value) -> Vec<&Value> {
    let containers = spec["containers"].as_array().unwrap().iter();
    let of_containers = containers.map(|container| &container["securityContext"]);
    std::iter::once(&spec["securityContext"])
        .chain(of_containers)
        .collect()
}

/// What `restricted-v2` refuses of a pod, in a namespace whose users nobody knows beforehand.
fn refused(spec: &Value) -> Vec<String> {
    let mut refused = Vec::new();
    for context in contexts(spec) {
        for field in ["runAsUser", "fsGroup", "seLinuxOptions", "privileged"] {
            if !context[field].is_null() {
                refused.push(format!("{field}: {}", context[field]));
            }
        }
    }
    for context in &contexts(spec)[1..] {
        if context["allowPrivilegeEscalation"] != false
            || context["capabilities"]["drop"] != json!(["ALL"])
        {
            refused.push(context.to_string());
        }
    }
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if !spec[field].is_null() {
            refused.push(field.to_owned());
        }
    }
    let admitted = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "name",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().unwrap().keys();
        refused.extend(
            kinds
                .filter(|kind| !admitted.contains(&kind.as_str()))
                .cloned(),
        );
    }
    refused
}

fn assert_admitted(objects: &[Value]) {
    for spec in pods(objects) {
        assert_eq!(refused(&spec), [""; 0]);
        let own = &spec["securityContext"];
        assert_eq!(
            own["runAsNonRoot"], true,
            "root is refused by the kubelet, too"
        );
        assert_eq!(own["runAsGroup"], Value::Null);
        assert_eq!(own["seccompProfile"]["type"], "RuntimeDefault");
    }
}

fn assert_user_of_the_image(objects: &[Value]) {
    for spec in pods(objects) {
        let own = &spec["securityContext"];
        assert_eq!(refused(&spec), ["runAsUser: 65532"]);
        assert_eq!(own["runAsGroup"], 65532);
        assert_eq!(own["runAsNonRoot"], true);
    }
}

#[test]
fn one_value_leaves_the_user_and_groups_to_openshift() {
    assert_user_of_the_image(&rendered(&json!({})));
    assert_admitted(&rendered(&json!({ "openshift": { "enabled": true } })));
    let own = json!({
        "openshift": { "enabled": true },
        "podSecurityContext": { "fsGroup": 65532 }, "securityContext": { "runAsUser": 65532 },
    });
    assert_admitted(&rendered(&own));
}

#[test]
fn a_parent_sets_that_value_where_helm_ignores_its_nulls() {
    let nulls =
        "scaleouttask-controller: {podSecurityContext: {runAsUser: null, runAsGroup: null}}";
    assert_user_of_the_image(&Parent::new(nulls).render());
    let value = "scaleouttask-controller: {openshift: {enabled: true}}";
    assert_admitted(&Parent::new(value).render());
}

#[test]
fn the_user_is_left_to_openshift_where_helm_sees_its_api() {
    let render = |enabled: &str| {
        let output = helm()
            .args([
                "template",
                "x",
                CHART,
                "--api-versions",
                "security.openshift.io/v1",
            ])
            .args(["--set", &format!("openshift.enabled={enabled}")])
            .output()
            .unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text(&output).unwrap()).unwrap();
        find(&objects, "ServiceAccount", "x-scaleouttask-controller");
        objects
    };
    assert_admitted(&render("auto"));
    assert_user_of_the_image(&render("false"));
}

//! What `Chart.yaml` tells Artifact Hub is well-formed, and true of the chart.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::render::{NAMESPACE, find, read, rendered};

use crate::cluster::{CRD, Cluster, SOURCE_CRD};

fn chart() -> Value {
    serde_saphyr::from_str(&read("charts/scaleouttask-controller/Chart.yaml")).unwrap()
}

fn annotation(name: &str) -> String {
    let chart = chart();
    let value = &chart["annotations"][format!("artifacthub.io/{name}")];
    value
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {value}"))
        .to_owned()
}

/// An annotation that is a list in YAML.
fn entries(name: &str) -> Vec<Value> {
    let entries: Vec<Value> = serde_saphyr::from_str(&annotation(name)).unwrap();
    assert!(!entries.is_empty(), "{name}");
    entries
}

#[test]
fn each_annotation_has_a_form_that_artifact_hub_reads() {
    for (name, value) in chart()["annotations"].as_object().unwrap() {
        let value = value
            .as_str()
            .unwrap_or_else(|| panic!("{name} isn't a string"));
        match name.strip_prefix("artifacthub.io/").unwrap() {
            "operator" | "prerelease" | "containsSecurityUpdates" => {
                value.parse::<bool>().unwrap();
            }
            "license" => assert!(read("Cargo.toml").contains(&format!("license = \"{value}\""))),
            "category" => assert_eq!(value, "integration-delivery"),
            "changes" | "images" | "crds" | "crdsExamples" => {
                entries(name.strip_prefix("artifacthub.io/").unwrap());
            }
            other => panic!("Artifact Hub has no {other}"),
        }
    }
    for change in entries("changes") {
        let kinds = [
            "added",
            "changed",
            "deprecated",
            "removed",
            "fixed",
            "security",
        ];
        assert!(
            kinds.contains(&change["kind"].as_str().unwrap()),
            "{change}"
        );
        assert!(change["description"].is_string(), "{change}");
    }
}

#[test]
fn the_images_named_are_those_that_the_pods_run() {
    let mut named = BTreeSet::new();
    for image in entries("images") {
        assert!(image["name"].is_string(), "{image}");
        named.insert(image["image"].as_str().unwrap().to_owned());
    }
    let mut run = BTreeSet::new();
    for object in rendered(&json!({})) {
        for pod in [&object["spec"], &object["spec"]["template"]["spec"]] {
            for kind in ["containers", "initContainers"] {
                let containers = pod[kind].as_array().into_iter().flatten();
                run.extend(
                    containers.map(|container| container["image"].as_str().unwrap().to_owned()),
                );
            }
        }
    }
    assert_eq!(named, run);
}

#[test]
fn the_crds_named_are_those_of_the_chart_and_their_examples_are_accepted() {
    let objects = rendered(&json!({}));
    let mut described = BTreeSet::new();
    for object in objects
        .iter()
        .filter(|object| object["kind"] == "CustomResourceDefinition")
    {
        for version in object["spec"]["versions"].as_array().unwrap() {
            let about = [
                &object["metadata"]["name"],
                &object["spec"]["names"]["kind"],
                &version["name"],
            ];
            described.insert(about.map(|name| name.as_str().unwrap().to_owned()));
        }
    }
    let mut named = BTreeSet::new();
    for crd in entries("crds") {
        assert!(
            crd["displayName"].is_string() && crd["description"].is_string(),
            "{crd}"
        );
        let about = [&crd["name"], &crd["kind"], &crd["version"]];
        named.insert(about.map(|name| name.as_str().unwrap().to_owned()));
    }
    assert_eq!(named, described);

    let examples = entries("crdsExamples");
    let kinds = |all: &[Value]| -> BTreeSet<String> {
        let kinds = all
            .iter()
            .map(|one| one["kind"].as_str().unwrap().to_owned());
        kinds.collect()
    };
    assert_eq!(kinds(&examples), kinds(&entries("crds")));
    let cluster = Cluster::start();
    for crd in [CRD, SOURCE_CRD] {
        let object = find(&objects, "CustomResourceDefinition", crd).clone();
        cluster.kubectl_with(&["create"], &[object]).unwrap();
        cluster.until_served(crd);
    }
    cluster.create_namespace(NAMESPACE);
    let create = ["create", "--validate=strict", "--namespace", NAMESPACE];
    cluster.kubectl_with(&create, &examples).unwrap();
}

//! The schema of the values: it is complete, and its errors name the value.

use serde_json::{Map, Value, json};
use testbed::render::{read, render};

use crate::settings;

fn schema() -> Value {
    serde_json::from_str(&read("charts/scaleouttask-controller/values.schema.json")).unwrap()
}

fn values() -> Value {
    serde_saphyr::from_str(&read("charts/scaleouttask-controller/values.yaml")).unwrap()
}

/// The properties of a group of values. `None` for objects that are passed on unchanged.
fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    (schema["additionalProperties"] == false)
        .then(|| schema["properties"].as_object())
        .flatten()
}

/// Finds names that only the values or only the schema have.
fn differences(path: &str, schema: &Value, values: &Value, found: &mut Vec<String>) {
    let (Some(properties), Some(values)) = (properties(schema), values.as_object()) else {
        return;
    };
    for name in values.keys().filter(|name| !properties.contains_key(*name)) {
        found.push(format!("{path}{name} has no schema"));
    }
    for (name, schema) in properties {
        match values.get(name) {
            Some(value) => differences(&format!("{path}{name}."), schema, value, found),
            None => found.push(format!("{path}{name} has no default")),
        }
    }
}

#[test]
fn values_and_schema_have_the_same_names() {
    let mut found = Vec::new();
    differences("", &schema(), &values(), &mut found);
    // For parent charts, and for a field that few pods have.
    found.sort();
    let expected = ["enabled", "global", "resources.claims"];
    assert_eq!(found, expected.map(|name| format!("{name} has no default")));
}

/// As `helm upgrade --reuse-values` does with what an older version of the chart didn't have.
#[test]
fn a_value_that_is_missing_is_done_without_or_named() {
    for (name, value) in values().as_object().unwrap() {
        check_without(&[name]);
        for inner in value.as_object().into_iter().flat_map(Map::keys) {
            check_without(&[name, inner]);
        }
    }
}

/// Renders the defaults, and all that can be enabled, without that value.
fn check_without(path: &[&str]) {
    for mut values in [json!({}), settings::everything()] {
        let value = path
            .iter()
            .fold(&mut values, |values, name| &mut values[*name]);
        *value = Value::Null;
        let path = path.join(".");
        match render(&values) {
            Ok(objects) => check_rendered(&path, &objects),
            Err(error) => {
                let name = format!("'{}'", path.rsplit('.').next().unwrap());
                let mut lines = error.lines();
                let is_named =
                    lines.any(|line| line.contains("missing propert") && line.contains(&name));
                let answers = [format!("{path} is false"), format!("needs {path}")];
                let is_said = is_named || answers.iter().any(|answer| error.contains(answer));
                assert!(is_said, "{path}: {error}");
            }
        }
    }
}

/// Nothing is filled in, and no network policy is open for all ports.
fn check_rendered(path: &str, objects: &[Value]) {
    let text = json!(objects).to_string();
    assert!(!text.contains("<nil>") && !text.contains("%!"), "{path}");
    assert!(!text.contains("=0\""), "{path}");
    let policies = objects
        .iter()
        .filter(|object| object["kind"] == "NetworkPolicy");
    for policy in policies {
        let rules = ["ingress", "egress"].map(|way| policy["spec"][way].as_array());
        let is_open = |rule: &Value| rule["ports"].as_array().is_none_or(Vec::is_empty);
        assert!(
            !rules.into_iter().flatten().flatten().any(is_open),
            "{path}: {policy}"
        );
    }
}

#[test]
fn wrong_values_are_refused_with_their_names() {
    let rows = [
        (json!({ "replica": 3 }), "replica"),
        (json!({ "replicas": "two" }), "replicas"),
        (json!({ "replicas": -1 }), "replicas"),
        (json!({ "image": { "repo": "x" } }), "repo"),
        (json!({ "image": { "digest": "sha256:12" } }), "digest"),
        (
            json!({ "image": { "pullPolicy": "Sometimes" } }),
            "pullPolicy",
        ),
        (json!({ "region": "cn_hangzhou" }), "region"),
        (json!({ "region": "evil.example.com/" }), "region"),
        (json!({ "endpoint": "cs.example.com" }), "endpoint"),
        (
            json!({ "endpointFor": { "cn-beijing": "ftp://x" } }),
            "endpointFor",
        ),
        (json!({ "endpointFor": { "CN": "https://x" } }), "'CN'"),
        (json!({ "pollInterval": 15 }), "pollInterval"),
        (json!({ "pollInterval": "15 seconds" }), "pollInterval"),
        (json!({ "requestsPerSecond": 0 }), "requestsPerSecond"),
        (json!({ "concurrency": 0 }), "concurrency"),
        (json!({ "maxCalls": 0 }), "maxCalls"),
        (json!({ "network": "intranet" }), "network"),
        (json!({ "requestTimeout": "" }), "requestTimeout"),
        (
            json!({ "allowedClusterIds": ["c1,c2"] }),
            "allowedClusterIds",
        ),
        (json!({ "namespaces": "default" }), "namespaces"),
        (json!({ "namespaces": ["a", "a"] }), "namespaces"),
        (json!({ "nodes": true }), "nodes"),
        (json!({ "nodes": { "enabled": "yes" } }), "nodes"),
        (json!({ "credentials": { "key": "x" } }), "credentials"),
        (
            json!({ "credentials": { "rrsa": { "roleArn": "tracker" } } }),
            "roleArn",
        ),
        (
            json!({ "credentials": { "rrsa": { "roleArn": "acs:ram::1:role/x" } } }),
            "oidcProviderArn",
        ),
        (
            json!({ "credentials": { "none": true, "ecsRamRole": "worker" } }),
            "set only one of",
        ),
        (
            json!({ "secretCredentials": { "enabled": true } }),
            "secretCredentials",
        ),
        (
            json!({ "namespaces": ["a"], "secretCredentials": { "enabled": true, "namespaces": ["b"] } }),
            "secretCredentials.namespaces has b",
        ),
        (json!({ "admin": { "port": 80 } }), "port"),
        (json!({ "admin": { "address": "localhost" } }), "address"),
        (json!({ "log": { "format": "xml" } }), "format"),
        (json!({ "extraArgs": ["region=x"] }), "extraArgs"),
        (json!({ "extraArguments": [] }), "extraArguments"),
        (
            json!({ "extraVolumes": [{ "emptyDir": {} }] }),
            "extraVolumes",
        ),
        (json!({ "pollInterval": "500ms" }), "pollInterval"),
        (
            json!({ "endpoint": "https://cs.example.com/{region}" }),
            "endpoint",
        ),
        (json!({ "admin": { "address": "999.1" } }), "address"),
        (
            json!({ "prometheusRule": { "runbookBaseUrl": "wiki" } }),
            "runbookBaseUrl",
        ),
        (json!({ "extraEnv": [{ "value": "x" }] }), "extraEnv"),
        (json!({ "resources": { "limit": {} } }), "resources"),
        (
            json!({ "livenessProbe": { "periodSeconds": 0 } }),
            "livenessProbe",
        ),
        (json!({ "podLabels": { "a": 1 } }), "podLabels"),
        (json!({ "openshift": { "enabled": "yes" } }), "openshift"),
        (json!({ "service": { "port": 0 } }), "service"),
        (
            json!({ "podMonitor": { "interval": "often" } }),
            "podMonitor",
        ),
        (
            json!({ "networkPolicy": { "taskApiPorts": ["https"] } }),
            "networkPolicy",
        ),
    ];
    for (values, name) in rows {
        let error = render(&values).expect_err(name);
        assert!(error.contains(name), "{values}: {error}");
    }
}

/// Values with that source.
fn sources(source: &Value) -> Value {
    json!({ "sources": { "list": [source] } })
}

#[test]
fn wrong_sources_are_refused_with_their_names() {
    let rows = [
        (json!({ "sources": [] }), "sources"),
        (json!({ "sources": { "enabled": "yes" } }), "enabled"),
        (sources(&json!({})), "clusterId"),
        (sources(&json!({ "clusterId": "c_1" })), "clusterId"),
        (
            sources(&json!({ "clusterId": "c1", "cluster": "c1" })),
            "cluster",
        ),
        (sources(&json!({ "clusterId": "c1", "name": "C1" })), "name"),
        (
            sources(&json!({ "clusterId": "c1", "namespace": "a.b" })),
            "namespace",
        ),
        (
            sources(&json!({ "clusterId": "c1", "region": "CN" })),
            "region",
        ),
        (
            sources(&json!({ "clusterId": "c1", "taskTypes": [] })),
            "taskTypes",
        ),
        (
            sources(&json!({ "clusterId": "c1", "taskTypes": ["*", "a"] })),
            "taskTypes",
        ),
        (
            sources(&json!({ "clusterId": "c1", "interval": "often" })),
            "interval",
        ),
        (
            sources(&json!({ "clusterId": "c1", "lookback": 1 })),
            "lookback",
        ),
        (
            sources(&json!({ "clusterId": "c1", "template": { "spec": { "taskId": "T-1" } } })),
            "taskId",
        ),
        (
            sources(
                &json!({ "clusterId": "c1", "template": { "metadata": { "labels": { "a": 1 } } } }),
            ),
            "labels",
        ),
        (
            sources(&json!({ "clusterId": "c1", "credentialsSecretRef": { "name": "keys" } })),
            "sources.list[0].credentialsSecretRef needs secretCredentials.enabled",
        ),
        (
            sources(
                &json!({ "clusterId": "c1", "template": { "spec": { "waitForNodes": true } } }),
            ),
            "sources.list[0].template.spec.waitForNodes needs nodes.enabled",
        ),
        (
            json!({ "allowedClusterIds": ["c2"], "sources": { "list": [{ "clusterId": "c1" }] } }),
            "sources.list[0] has the cluster c1, which allowedClusterIds has not",
        ),
        (
            json!({ "namespaces": ["a"], "sources": { "list": [{ "clusterId": "c1", "namespace": "b" }] } }),
            "sources.list[0] has the namespace b, which namespaces has not",
        ),
        (
            json!({ "sources": { "list": [{ "clusterId": "c1" }, { "clusterId": "C1" }] } }),
            "sources.list[1] is called c1 in scaleout-system, as sources.list[0] is",
        ),
    ];
    for (values, name) in rows {
        let error = render(&values).expect_err(name);
        assert!(error.contains(name), "{values}: {error}");
    }
}

//! Sets of values that are checked by Helm's lint and the API server.

use serde_json::{Value, json};
use testbed::render::read;

/// All sets, with their names.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("default", json!({})),
        ("rrsa", rrsa()),
        (
            "secret",
            json!({ "credentials": { "existingSecret": "task-api" } }),
        ),
        ("ecs", json!({ "credentials": { "ecsRamRole": "worker" } })),
        ("unsigned", json!({ "credentials": { "none": true } })),
        ("namespaced", namespaced()),
        (
            "shard",
            json!({ "selector": "team in (web,data),!legacy", "crds": { "install": false } }),
        ),
        ("everything", everything()),
        (
            "sources",
            json!({ "sources": { "list": [{ "clusterId": "C-1" }, { "clusterId": "c-2" }] } }),
        ),
        ("openshift", json!({ "openshift": { "enabled": true } })),
        ("one team", documented("one-team")),
        ("shared", documented("shared")),
        ("team-a", documented("release-team-a")),
        ("team-b", documented("release-team-b")),
    ]
}

/// A file of values for tenants.
fn documented(name: &str) -> Value {
    serde_saphyr::from_str(&read(&format!("docs/tenants/{name}.yaml"))).unwrap()
}

pub fn rrsa() -> Value {
    json!({ "credentials": { "rrsa": {
        "roleArn": "acs:ram::1234567890123456:role/tracker",
        "oidcProviderArn": "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1",
    } } })
}

/// Two namespaces, Secrets in one of them, the cluster's Nodes, and sources.
pub fn namespaced() -> Value {
    json!({
        "namespaces": ["team-a", "team-b"],
        "secretCredentials": { "enabled": true, "namespaces": ["team-b"] },
        "nodes": { "enabled": true },
        "sources": { "enabled": true },
    })
}

/// A source with everything.
pub fn source() -> Value {
    json!({
        "name": "mine", "namespace": "team-a", "clusterId": "c1", "region": "cn-hangzhou",
        "credentialsSecretRef": { "name": "keys" }, "suspend": false, "taskTypes": ["nodepool_scaleout"],
        "interval": "1m", "lookback": "0s",
        "template": {
            "metadata": { "labels": { "team": "web" }, "annotations": { "example.com/note": "yes" } },
            "spec": {
                "pollInterval": "30s", "timeout": "1h", "ttlSecondsAfterFinished": 604_800, "waitForNodes": true,
            },
        },
    })
}

/// Everything that is off by default, and every setting of pods.
pub fn everything() -> Value {
    json!({
        "replicas": 3,
        "image": { "repository": "registry.example.com/tracker", "digest": format!("sha256:{:064}", 1) },
        "imagePullSecrets": [{ "name": "registry" }],
        "region": "cn-hangzhou",
        "endpointFor": { "cn-beijing": "https://cs.example.com/proxy" },
        "allowedClusterIds": ["c1", "c2"],
        "allowedRegions": ["cn-hangzhou"],
        "access": { "rules": [{ "namespaces": ["*"], "clusterIds": ["c1"] }] },
        "secretCredentials": { "enabled": true, "namespaces": ["team-a"] },
        "nodes": { "enabled": true },
        "sources": { "list": [source()], "keep": false },
        "admissionPolicy": {
            "enabled": true, "namespaceSelector": { "matchLabels": { "tenant": "yes" } },
        },
        "serviceAccount": { "annotations": { "example.com/owner": "platform" } },
        "log": { "filter": "debug" },
        "commonLabels": { "cost": "1234" },
        "deploymentAnnotations": { "example.com/reload": "true" },
        "dnsConfig": { "options": [{ "name": "ndots", "value": "2" }] },
        "hostAliases": [{ "ip": "10.0.0.9", "hostnames": ["cs.example.com"] }],
        "extraArgs": ["--allow-insecure-endpoint"],
        "extraVolumes": [{ "name": "more", "configMap": { "name": "more" } }],
        "extraVolumeMounts": [{ "name": "more", "mountPath": "/etc/more", "readOnly": true }],
        "extraEnv": [{ "name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128" }],
        "podLabels": { "team": "platform" },
        "podAnnotations": { "example.com/note": "yes" },
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": { "kubernetes.io/os": "linux" },
        "tolerations": [{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "gpu", "operator": "DoesNotExist" }] }],
        } } },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": { "matchLabels": { "app.kubernetes.io/name": "scaleouttask-controller" } },
        }],
        "service": { "port": 9090, "annotations": { "example.com/scrape": "yes" } },
        "podMonitor": { "enabled": true, "interval": "30s", "labels": { "release": "prometheus" } },
        "prometheusRule": { "enabled": true, "labels": { "release": "prometheus" } },
        "dashboard": { "enabled": true, "annotations": { "grafana_folder": "Platform" } },
        "networkPolicy": {
            "enabled": true,
            "metricsFrom": [{ "namespaceSelector": { "matchLabels": { "team": "monitoring" } } }],
            "dnsTo": [{ "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } } }],
            "apiServerTo": [{ "ipBlock": { "cidr": "10.0.0.1/32" } }],
            "taskApiTo": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"] } }],
        },
    })
}

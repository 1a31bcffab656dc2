//! The network policy: what the pods may reach, and what may reach them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::render::{NAMESPACE, RELEASE, find, render, render_as, rendered};

use crate::settings;

#[test]
fn the_network_policy_allows_only_the_egress_that_is_needed() {
    let ports = |values: Value| -> Vec<u64> {
        let objects = rendered(&values);
        let policy = find(&objects, "NetworkPolicy", RELEASE);
        let rules = policy["spec"]["egress"].as_array().unwrap().clone();
        let ports = rules
            .iter()
            .flat_map(|rule| rule["ports"].as_array().unwrap().clone());
        let ports: BTreeSet<u64> = ports.map(|port| port["port"].as_u64().unwrap()).collect();
        ports.into_iter().collect()
    };
    let with = |credentials: Value| json!({ "networkPolicy": { "enabled": true }, "credentials": credentials });
    // Port 80 is for the metadata service.
    assert_eq!(ports(with(json!({}))), [53, 80, 443, 6443]);
    assert_eq!(
        ports(with(json!({ "ecsRamRole": "worker" }))),
        [53, 80, 443, 6443]
    );
    assert_eq!(
        ports(with(settings::rrsa()["credentials"].clone())),
        [53, 443, 6443]
    );
    assert_eq!(ports(with(json!({ "none": true }))), [53, 443, 6443]);

    let objects = rendered(&settings::everything());
    let policy = find(&objects, "NetworkPolicy", RELEASE);
    let values = &settings::everything()["networkPolicy"];
    assert_eq!(
        policy["spec"]["ingress"][0]["from"][0],
        values["metricsFrom"][0]
    );
    for (index, value) in ["dnsTo", "apiServerTo", "taskApiTo"].iter().enumerate() {
        assert_eq!(
            policy["spec"]["egress"][index]["to"], values[value],
            "{value}"
        );
    }
}

#[test]
fn the_network_policy_follows_the_endpoints_and_allows_helm_test() {
    let values = json!({
        "endpoint": "http://tasks.example.com:8081/proxy", "allowInsecureEndpoint": true,
        "endpointFor": { "cn-beijing": "http://10.1.2.3", "cn-hangzhou": "https://[fd00::1]:9443" },
        "networkPolicy": {
            "enabled": true, "dnsPorts": [5353],
            "metricsFrom": [{ "podSelector": {} }],
            "extraEgress": [{ "ports": [{ "port": 3128 }] }],
        },
        "credentials": { "none": true },
    });
    let objects = rendered(&values);
    let policy = find(&objects, "NetworkPolicy", RELEASE);
    let egress = &policy["spec"]["egress"];
    let ports = |rule: &Value| -> Vec<u64> {
        let ports = rule["ports"].as_array().unwrap().iter();
        ports.map(|port| port["port"].as_u64().unwrap()).collect()
    };
    assert_eq!(ports(&egress[0]), [5353, 5353]);
    let mut to_the_api = ports(&egress[2]);
    to_the_api.sort_unstable();
    assert_eq!(to_the_api, [80, 443, 8081, 9443]);
    assert_eq!(egress[3], values["networkPolicy"]["extraEgress"][0]);
    let test = find(&objects, "Pod", &format!("{RELEASE}-test"));
    assert_eq!(
        policy["spec"]["ingress"][0]["from"][1]["podSelector"]["matchLabels"],
        test["metadata"]["labels"]
    );
}

#[test]
fn the_network_policy_opens_proxies_and_where_credentials_come_from() {
    let ports = |name: &str, env: Value| -> Vec<u64> {
        let mut env = env;
        env["name"] = json!(name);
        let values = json!({
            "networkPolicy": { "enabled": true }, "credentials": { "none": true }, "extraEnv": [env],
        });
        let objects = rendered(&values);
        let policy = find(&objects, "NetworkPolicy", RELEASE);
        let ports = policy["spec"]["egress"][2]["ports"].as_array().unwrap();
        ports
            .iter()
            .map(|port| port["port"].as_u64().unwrap())
            .collect()
    };
    let value = |value: &str| json!({ "value": value });
    let uri = "ALIBABA_CLOUD_CREDENTIALS_URI";
    for (name, url, port) in [
        (uri, "http://169.254.170.2:7002/credentials", 7002),
        (uri, "http://169.254.170.2/credentials:9", 80),
        ("ALIBABA_CLOUD_STS_ENDPOINT", "sts.example.com:8443", 8443),
        (
            "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT",
            "http://10.0.0.9:8080",
            8080,
        ),
        ("HTTPS_PROXY", "http://user:1@proxy.example.com:3128", 3128),
        ("https_proxy", "proxy.example.com:3128", 3128),
        ("HTTP_PROXY", "http://proxy.example.com", 80),
        ("all_proxy", "socks5://proxy.example.com", 1080),
    ] {
        assert_eq!(ports(name, value(url)), [443, port], "{name}={url}");
    }
    for (name, env) in [
        ("NO_PROXY", value("10.0.0.1:6443")),
        ("RUST_LOG", value("http://x:1")),
        (
            uri,
            json!({ "valueFrom": { "fieldRef": { "fieldPath": "status.hostIP" } } }),
        ),
    ] {
        assert_eq!(ports(name, env), [443], "{name}");
    }
}

#[test]
fn plain_http_to_another_machine_must_be_allowed() {
    for (values, name) in [
        (
            json!({ "endpoint": "http://cs.example.com" }),
            "endpoint is plain http",
        ),
        (
            json!({ "endpointFor": { "cn-beijing": "http://cs.example.com" } }),
            "endpointFor.cn-beijing is plain http",
        ),
    ] {
        let error = render(&values).unwrap_err();
        assert!(error.contains(name), "{error}");
        let mut allowed = values.clone();
        allowed["allowInsecureEndpoint"] = json!(true);
        rendered(&allowed);
    }
    rendered(&json!({ "endpoint": "http://127.0.0.1:8081" }));
}

#[test]
fn a_name_that_no_service_can_have_is_corrected_or_refused() {
    let objects = render_as("tasks.web", NAMESPACE, &json!({})).unwrap();
    find(&objects, "Service", "tasks-web-scaleouttask-controller");
    let error = render_as("1-web", NAMESPACE, &json!({})).unwrap_err();
    assert!(error.contains("set fullnameOverride"), "{error}");
}

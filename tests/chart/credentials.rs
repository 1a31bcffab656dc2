//! Where the pods get their cloud credentials from.

use serde_json::{Value, json};
use testbed::render::{container, pod, rendered};

use crate::settings;

#[test]
fn each_source_of_credentials_is_set_by_one_value() {
    let variables = |values: &Value| -> Vec<String> {
        let objects = rendered(values);
        let variables = container(&objects)["env"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        variables
            .iter()
            .map(|variable| variable["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(variables(&json!({})).is_empty());
    assert_eq!(
        variables(&settings::rrsa()),
        [
            "ALIBABA_CLOUD_ROLE_ARN",
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
        ]
    );
    assert!(variables(&json!({ "credentials": { "existingSecret": "keys" } })).is_empty());
    assert_eq!(
        variables(&json!({ "credentials": { "ecsRamRole": "worker" } })),
        ["ALIBABA_CLOUD_ECS_METADATA"]
    );
    assert!(variables(&json!({ "credentials": { "none": true } })).is_empty());
}

#[test]
fn the_token_for_rrsa_is_mounted_where_the_variable_says_and_only_for_sts() {
    let objects = rendered(&settings::rrsa());
    let container = container(&objects);
    let variables = container["env"].as_array().unwrap();
    let file = variables
        .iter()
        .find(|variable| variable["name"] == "ALIBABA_CLOUD_OIDC_TOKEN_FILE");
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = mounts
        .iter()
        .find(|mount| mount["name"] == "rrsa-token")
        .unwrap();
    let path = format!("{}/token", mount["mountPath"].as_str().unwrap());
    assert_eq!(file.unwrap()["value"], json!(path));
    let volumes = pod(&objects)["spec"]["volumes"].as_array().unwrap();
    let volume = volumes
        .iter()
        .find(|volume| volume["name"] == "rrsa-token")
        .unwrap();
    let token = &volume["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], "sts.aliyuncs.com");
}

#[test]
fn the_key_of_a_secret_is_mounted_where_the_flag_says_and_nothing_else_of_it() {
    let objects = rendered(&json!({ "credentials": { "existingSecret": "keys" } }));
    let container = container(&objects);
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "credentials");
    let path = mount.unwrap()["mountPath"].as_str().unwrap();
    let flag = format!("--credentials-directory={path}");
    let args = container["args"].as_array().unwrap();
    assert!(args.contains(&json!(flag)), "{args:?}");
    let volumes = pod(&objects)["spec"]["volumes"].as_array().unwrap();
    let volume = volumes
        .iter()
        .find(|volume| volume["name"] == "credentials");
    let item = |key: &str| json!({ "key": key, "path": key });
    assert_eq!(
        volume.unwrap()["projected"]["sources"],
        json!([
            { "secret": {
                "name": "keys", "items": [item("accessKeyId"), item("accessKeySecret")],
            } },
            { "secret": {
                "name": "keys", "optional": true, "items": [item("securityToken")],
            } },
        ])
    );
}

//! The API server itself refuses bad specs, with a message that names the field.

use serde_json::{Value, json};
use testbed::world::World;

fn with(field: &str, value: Value) -> Value {
    let mut spec = json!({ "taskId": "T-1" });
    spec[field] = value;
    spec
}

/// Bad specs, the field that the message names, and a part of the message that says what is right.
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_specs() -> Vec<(Value, &'static str, &'static str)> {
    let secret = |name: &str| json!({ "name": name });
    vec![
        (json!({}), "spec.taskId", "Required"),
        (json!({ "taskId": null }), "spec.taskId", "Required"),
        (json!({ "taskId": 5 }), "spec.taskId", "string"),
        (
            json!({ "taskId": "" }),
            "spec.taskId",
            "must start with a letter or digit",
        ),
        (
            json!({ "taskId": "-T" }),
            "spec.taskId",
            "must start with a letter or digit",
        ),
        (
            json!({ "taskId": "." }),
            "spec.taskId",
            "must start with a letter or digit",
        ),
        (
            json!({ "taskId": "../secrets" }),
            "spec.taskId",
            "must start with a letter or digit",
        ),
        (
            json!({ "taskId": "T 1" }),
            "spec.taskId",
            "hold only letters",
        ),
        (
            json!({ "taskId": "T-1\n" }),
            "spec.taskId",
            "hold only letters",
        ),
        (
            json!({ "taskId": "T/1" }),
            "spec.taskId",
            "hold only letters",
        ),
        (
            json!({ "taskId": "T?x=1" }),
            "spec.taskId",
            "hold only letters",
        ),
        (
            json!({ "taskId": "T-1é" }),
            "spec.taskId",
            "hold only letters",
        ),
        (json!({ "taskId": "x".repeat(129) }), "spec.taskId", "128"),
        (
            with("region", json!("")),
            "spec.region",
            "lower-case letters",
        ),
        (
            with("region", json!("CN-hangzhou")),
            "spec.region",
            "lower-case letters",
        ),
        (
            with("region", json!("cn.hangzhou")),
            "spec.region",
            "lower-case letters",
        ),
        (
            with("region", json!("cn-hangzhou-")),
            "spec.region",
            "lower-case letters",
        ),
        (
            with("region", json!("-cn")),
            "spec.region",
            "lower-case letters",
        ),
        (
            with("region", json!("evil.example/")),
            "spec.region",
            "lower-case letters",
        ),
        (
            with("region", json!("a@b")),
            "spec.region",
            "lower-case letters",
        ),
        (with("region", json!("a".repeat(33))), "spec.region", "32"),
        (with("clusterId", json!("")), "spec.clusterId", "at least 1"),
        (
            with("clusterId", json!("c".repeat(65))),
            "spec.clusterId",
            "64",
        ),
        (
            with("credentialsSecretRef", json!({})),
            "spec.credentialsSecretRef.name",
            "Required",
        ),
        (
            with("credentialsSecretRef", json!("keys")),
            "spec.credentialsSecretRef",
            "object",
        ),
        (
            with("credentialsSecretRef", secret("")),
            "spec.credentialsSecretRef.name",
            "name of a Secret",
        ),
        (
            with("credentialsSecretRef", secret("Keys")),
            "spec.credentialsSecretRef.name",
            "name of a Secret",
        ),
        (
            with("credentialsSecretRef", secret("a/b")),
            "spec.credentialsSecretRef.name",
            "name of a Secret",
        ),
        (
            with("credentialsSecretRef", secret("a..b")),
            "spec.credentialsSecretRef.name",
            "name of a Secret",
        ),
        (
            with("pollInterval", json!("")),
            "spec.pollInterval",
            "from 1s to 1h",
        ),
        (
            with("pollInterval", json!("15")),
            "spec.pollInterval",
            "from 1s to 1h",
        ),
        (
            with("pollInterval", json!("999ms")),
            "spec.pollInterval",
            "from 1s to 1h",
        ),
        (
            with("pollInterval", json!("1h1s")),
            "spec.pollInterval",
            "from 1s to 1h",
        ),
        (
            with("pollInterval", json!("-15s")),
            "spec.pollInterval",
            "from 1s to 1h",
        ),
        (
            with("pollInterval", json!("often")),
            "spec.pollInterval",
            "from 1s to 1h",
        ),
        (
            with("pollInterval", json!(15)),
            "spec.pollInterval",
            "string",
        ),
        (with("timeout", json!("0s")), "spec.timeout", "at least 1s"),
        (with("timeout", json!("1d")), "spec.timeout", "at least 1s"),
        (
            with("timeout", json!("9999999h")),
            "spec.timeout",
            "at least 1s",
        ),
        (with("suspend", json!("yes")), "spec.suspend", "boolean"),
        (
            with("ttlSecondsAfterFinished", json!(-1)),
            "spec.ttlSecondsAfterFinished",
            "greater than or equal to 0",
        ),
        (
            with("ttlSecondsAfterFinished", json!(2_147_483_648_i64)),
            "spec.ttlSecondsAfterFinished",
            "2147483647",
        ),
        (
            with("ttlSecondsAfterFinished", json!("1h")),
            "spec.ttlSecondsAfterFinished",
            "integer",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_specs_are_refused_with_a_message_that_names_the_field() {
    let world = World::new("specs").await;
    for (spec, field, hint) in bad_specs() {
        let refused = world.try_create("bad", spec.clone()).await;
        let Err(kube::Error::Api(status)) = refused else {
            panic!("{spec} was accepted: {refused:?}");
        };
        assert!(status.message.contains(field), "{spec}: {}", status.message);
        assert!(status.message.contains(hint), "{spec}: {}", status.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_specs_are_stored_unchanged() {
    let world = World::new("good").await;
    let specs = [
        json!({ "taskId": "T-5faa48fb31b6b8078d000006" }),
        json!({ "taskId": "install-addons-c3xxxxxx", "region": "cn-hangzhou", "clusterId": "c1" }),
        json!({ "taskId": "x".repeat(128), "region": "a".repeat(32), "clusterId": "c".repeat(64) }),
        json!({ "taskId": "T", "pollInterval": "1s", "timeout": "1s", "ttlSecondsAfterFinished": 0 }),
        json!({ "taskId": "T", "pollInterval": "0.5h", "timeout": "1h30m", "suspend": true }),
        json!({ "taskId": "T", "pollInterval": "1h0m0.000s", "timeout": "292y".replace("292y", "2562047h") }),
        json!({ "taskId": "T", "credentialsSecretRef": { "name": "my.keys-1" } }),
        json!({ "taskId": "T", "region": null, "timeout": null }),
    ];
    for (number, spec) in specs.into_iter().enumerate() {
        let created = world.create(&format!("good-{number}"), spec.clone()).await;
        let mut kept = serde_json::to_value(&created.spec).unwrap();
        let mut given = spec;
        for value in [&mut kept, &mut given] {
            value
                .as_object_mut()
                .unwrap()
                .retain(|_, value| !value.is_null());
        }
        assert_eq!(kept, given);
        assert_eq!(created.status.observed_generation, Some(-1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn immutable_fields_cannot_be_changed() {
    let world = World::new("immutable").await;
    world
        .create("with", json!({ "taskId": "T-1", "region": "cn-hangzhou" }))
        .await;
    world.create("without", json!({ "taskId": "T-1" })).await;
    let rows = [
        (
            "with",
            json!({ "taskId": "T-2" }),
            "spec.taskId",
            "taskId is immutable",
        ),
        (
            "with",
            json!({ "region": "cn-beijing" }),
            "spec.region",
            "region is immutable",
        ),
        (
            "with",
            json!({ "region": null }),
            "spec.region",
            "region is immutable",
        ),
        (
            "without",
            json!({ "region": "cn-hangzhou" }),
            "spec.region",
            "region is immutable",
        ),
    ];
    for (name, change, field, message) in rows {
        let refused = world.patch(name, json!({ "spec": change })).await;
        let Err(kube::Error::Api(status)) = refused else {
            panic!("{change} was accepted: {refused:?}");
        };
        assert!(
            status.message.contains(field),
            "{change}: {}",
            status.message
        );
        assert!(
            status.message.contains(message),
            "{change}: {}",
            status.message
        );
    }
    world
        .patch("with", json!({ "spec": { "pollInterval": "30s" } }))
        .await
        .unwrap();
}

//! Signed calls with each kind of credentials. The simulator checks the signatures.

use std::{fs, time::Duration};

use serde_json::json;
use testbed::world::{World, eventually};

const KEY: (&str, &str) = ("LTAI5tExample", "an-example-of-a-secret");
const TOKEN: &str = "an-example-of-a-token";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_the_environment_signs_calls_that_the_api_accepts() {
    let script = format!(
        "{{credentials: [{{accessKeyId: {}, accessKeySecret: {}}}]}}",
        KEY.0, KEY.1
    );
    let mut world = World::with_script("key", script.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    let env = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY.1),
    ];
    world.start_with(&[], &env);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    check_all_signed(&world, KEY.0);
    assert!(!world.log().contains(KEY.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn sts_credentials_from_the_environment_sign_calls_that_the_api_accepts() {
    let script = format!(
        "{{credentials: [{{accessKeyId: {}, accessKeySecret: {}, securityToken: {TOKEN}}}]}}",
        KEY.0, KEY.1
    );
    let mut world = World::with_script("sts", script.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    let env = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY.1),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN),
    ];
    world.start_with(&[], &env);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    check_all_signed(&world, KEY.0);
    assert!(!world.log().contains(KEY.1) && !world.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_stalls_the_object_and_is_not_shown() {
    let script = format!(
        "{{credentials: [{{accessKeyId: {}, accessKeySecret: {}}}]}}",
        KEY.0, KEY.1
    );
    let mut world = World::with_script("wrong", script.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    let env = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "mistyped"),
    ];
    world.start_with(&[], &env);
    world.create("one", json!({ "taskId": "T-1" })).await;
    let object = world.until_reason("one", "CredentialsInvalid").await;
    let message = &object.ready().unwrap().message;
    assert!(message.contains("SignatureDoesNotMatch"), "{message}");
    assert!(!message.contains("mistyped") && !world.log().contains("mistyped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oidc_token_is_exchanged_and_refreshed_before_expiry() {
    let mut world = World::with_script("oidc", "{sts: {lifetime: 6s}}".parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 1h}");
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    fs::write(&token_file, "first-oidc-token").unwrap();
    let sts = world.simulator.sts_url();
    let env = [
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/reader"),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::1:oidc-provider/ack",
        ),
        (
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
            token_file.to_str().unwrap(),
        ),
        ("ALIBABA_CLOUD_STS_ENDPOINT", sts.as_str()),
    ];
    world.start_with(&[], &env);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskRunning").await;
    assert_eq!(
        world.simulator.sts_exchanges()[0].oidc_token,
        "first-oidc-token"
    );
    // The kubelet rotates the token, so the next exchange must use the new one.
    fs::write(&token_file, "second-oidc-token").unwrap();
    eventually("three exchanges", || async {
        world.simulator.sts_exchanges().len() >= 3
    })
    .await;
    let exchanges = world.simulator.sts_exchanges();
    assert_eq!(exchanges[1].oidc_token, "second-oidc-token");
    for pair in exchanges.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(
            apart < Duration::from_secs(6),
            "refreshed after expiry: {apart:?}"
        );
    }
    // The old credentials were used until the new ones were there: no call was refused.
    let refused = world
        .simulator
        .request_log()
        .into_iter()
        .filter(|call| call.answered != Some(200));
    assert_eq!(refused.count(), 0);
    for token in ["first-oidc-token", "second-oidc-token"] {
        assert!(!world.log().contains(token));
    }
}

fn check_all_signed(world: &World, access_key_id: &str) {
    let log = world.simulator.request_log();
    assert!(!log.is_empty());
    for request in log {
        assert!(request.authorization);
        assert_eq!(request.access_key_id.as_deref(), Some(access_key_id));
        assert_eq!(request.answered, Some(200));
    }
}

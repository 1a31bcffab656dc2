//! Credentials from the Secret that an object refers to.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::{
    WholeObject,
    secrets::{self, grant_secrets},
    world::{World, eventually, eventually_within},
};

const ALLOW: [&str; 3] = ["--credentials", "none", "--secret-credentials"];
const KEYS: &str = "{credentials: [
    {accessKeyId: LTAI-one, accessKeySecret: first-secret},
    {accessKeyId: LTAI-two, accessKeySecret: second-secret, securityToken: a-token}]}";

async fn put_secret(world: &World, name: &str, data: Value) {
    secrets::put(world, &world.namespace, name, &data).await;
}

fn spec(task: &str, secret: &str) -> Value {
    json!({ "taskId": task, "credentialsSecretRef": { "name": secret } })
}

async fn poll_now(world: &World, name: &str, request: &str) {
    let annotation = json!({ "scaleout.dev/poll-requested-at": request });
    let patch = json!({ "metadata": { "annotations": annotation } });
    world.patch(name, patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_is_polled_with_the_credentials_of_its_secret() {
    let mut world = World::with_script("secrets", KEYS.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    world.add_task("{id: T-2}");
    grant_secrets(&world).await;
    let one = json!({ "accessKeyId": "LTAI-one\n", "accessKeySecret": "first-secret\n" });
    put_secret(&world, "one", one).await;
    let two = json!({ "accessKeyId": "LTAI-two", "accessKeySecret": "second-secret",
        "securityToken": "a-token" });
    put_secret(&world, "two", two).await;
    world.start_with(&ALLOW, &[]);
    world.create("one", spec("T-1", "one")).await;
    world.create("two", spec("T-2", "two")).await;
    world.until_reason("one", "TaskSucceeded").await;
    world.until_reason("two", "TaskSucceeded").await;
    for request in world.simulator.request_log() {
        let key = if request.task_id == "T-1" {
            "LTAI-one"
        } else {
            "LTAI-two"
        };
        assert_eq!(request.access_key_id.as_deref(), Some(key));
        assert_eq!(request.answered, Some(200));
    }
    for secret in ["first-secret", "second-secret", "a-token"] {
        assert!(!world.log().contains(secret));
    }
    // Secrets are read by name, never listed or watched.
    let verbs = world.audited_verbs("secrets");
    assert!(
        !verbs.is_empty() && verbs.iter().all(|verb| verb == "get"),
        "{verbs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_secret_is_shown_and_a_correction_helps() {
    let mut world = World::with_script("mend", KEYS.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    world.start_with(&ALLOW, &[]);
    world.create("one", spec("T-1", "keys")).await;
    until_message(&world, "grant its service account get").await;
    grant_secrets(&world).await;
    until_message(
        &world,
        "Secret keys of spec.credentialsSecretRef doesn't exist",
    )
    .await;
    put_secret(&world, "keys", json!({ "accessKeyId": "LTAI-one" })).await;
    until_message(&world, "has no accessKeySecret").await;
    let mistyped = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "mistyped" });
    put_secret(&world, "keys", mistyped).await;
    until_message(&world, "SignatureDoesNotMatch").await;

    // Refused credentials aren't cached for the whole minute.
    let right = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "first-secret" });
    put_secret(&world, "keys", right).await;
    let corrected = Instant::now();
    until_message(&world, "succeeded").await;
    assert!(
        corrected.elapsed() < Duration::from_secs(15),
        "{corrected:?}"
    );
    world.until_reason("one", "TaskSucceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_after_its_object_is_no_failure() {
    let mut world = World::with_script("late", KEYS.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    grant_secrets(&world).await;
    world.start_with(&ALLOW, &[]);
    world.create("one", spec("T-1", "keys")).await;
    let object = world.until_reason("one", "CredentialsInvalid").await;
    assert_eq!(object.ready().unwrap().status, "Unknown");
    let types = object.status.conditions.iter().map(|one| &*one.type_);
    assert_eq!(types.collect::<Vec<_>>(), ["Ready", "Reconciling"]);
    let keys = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "first-secret" });
    put_secret(&world, "keys", keys).await;
    world.until_reason("one", "TaskSucceeded").await;
}

/// Requests polls until the message of the object `one` contains `expected`. Changes of permissions
/// and Secrets take a moment to be seen.
async fn until_message(world: &World, expected: &str) {
    static REQUESTS: AtomicU32 = AtomicU32::new(0);
    eventually(expected, || async {
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed).to_string();
        poll_now(world, "one", &request).await;
        let handled = |object: &WholeObject| {
            object.status.last_handled_poll_request.as_ref() == Some(&request)
        };
        let object = world.until("one", handled).await;
        let ready = object.ready().unwrap();
        // `Stalled`, or `Finished`.
        assert_eq!(object.status.conditions.len(), 2);
        ready.message.contains(expected)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_takes_effect_within_a_minute() {
    let mut world = World::with_script("rotate", KEYS.parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 10h}");
    grant_secrets(&world).await;
    let one = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "first-secret" });
    put_secret(&world, "keys", one).await;
    world.start_with(&ALLOW, &[]);
    world.create("one", spec("T-1", "keys")).await;
    world.until_reason("one", "TaskRunning").await;
    let two = json!({ "accessKeyId": "LTAI-two", "accessKeySecret": "second-secret",
        "securityToken": "a-token" });
    put_secret(&world, "keys", two).await;
    let changed = Instant::now();
    let limit = Duration::from_secs(90);
    eventually_within(limit, "the new key is used", || async {
        let log = world.simulator.request_log();
        log.last().unwrap().access_key_id.as_deref() == Some("LTAI-two")
    })
    .await;
    let took = changed.elapsed();
    assert!(took < Duration::from_secs(65), "{took:?}");
    let refused = world.simulator.request_log();
    assert!(
        refused
            .iter()
            .all(|call| call.answered.is_none_or(|code| code == 200))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_read_unless_the_operator_allows_it() {
    let mut world = World::with_script("forbidden", KEYS.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    grant_secrets(&world).await;
    let keys = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "first-secret" });
    put_secret(&world, "keys", keys).await;
    world.start();
    world.create("one", spec("T-1", "keys")).await;
    let object = world.until_reason("one", "CredentialsInvalid").await;
    let message = &object.ready().unwrap().message;
    assert!(message.contains("--secret-credentials"), "{message}");
    assert_eq!(world.simulator.total_requests(), 0);
    assert_eq!(world.audited_verbs("secrets"), [""; 0]);
    // Allowed later, the object recovers by itself.
    world.stop();
    world.start_with(&ALLOW, &[]);
    world.until_reason("one", "TaskSucceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_account_delays_no_other_in_the_same_region() {
    let mut world = World::with_script("accounts", KEYS.parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 10h}");
    world.add_task("{id: T-2, duration: 10h}");
    grant_secrets(&world).await;
    let one = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "first-secret" });
    put_secret(&world, "one", one).await;
    let two = json!({ "accessKeyId": "LTAI-two", "accessKeySecret": "second-secret",
        "securityToken": "a-token" });
    put_secret(&world, "two", two).await;
    // The same account in another Secret waits too.
    let again = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "first-secret" });
    put_secret(&world, "one-again", again).await;
    world.start_with(&ALLOW, &[]);
    world.create("one", spec("T-1", "one")).await;
    world.until_reason("one", "TaskRunning").await;
    let throttling = "{status: 429, retryAfter: \"300\"}".parse().unwrap();
    world.simulator.set_fault("T-1", throttling);
    eventually("throttling", || async {
        let log = world.simulator.request_log();
        log.iter().any(|call| call.answered == Some(429))
    })
    .await;
    let before = world.simulator.requests("T-1");
    world.create("two", spec("T-2", "two")).await;
    world.create("three", spec("T-2", "one-again")).await;
    world.until_reason("two", "TaskRunning").await;
    world.until_reason("three", "Pending").await;
    eventually("many polls of the other account", || async {
        world.simulator.requests("T-2") >= 4
    })
    .await;
    assert_eq!(world.simulator.requests("T-1"), before);
    assert_eq!(world.get("three").await.status.state, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_secret_is_assumed_with_its_own_key_and_once() {
    let script = KEYS.replace("]}", "], sts: {lifetime: 1h}}");
    let mut world = World::with_script("role", script.parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 1h}");
    grant_secrets(&world).await;
    let secret = json!({
        "accessKeyId": "LTAI-two", "accessKeySecret": "second-secret", "securityToken": "a-token",
        "roleArn": "acs:ram::1:role/reader", "externalId": "e", "roleSessionName": "me",
    });
    put_secret(&world, "keys", secret).await;
    let sts = world.simulator.sts_url();
    world.start_with(&ALLOW, &[("ALIBABA_CLOUD_STS_ENDPOINT", &sts)]);
    world.create("one", spec("T-1", "keys")).await;
    world.until_reason("one", "TaskRunning").await;
    eventually("five calls", || async {
        world.simulator.requests("T-1") >= 5
    })
    .await;
    for request in world.simulator.request_log() {
        assert!(request.access_key_id.unwrap().starts_with("STS."));
        assert_eq!(request.answered, Some(200));
    }
    let exchanges = world.simulator.sts_exchanges();
    assert_eq!(exchanges.len(), 1);
    let call = &exchanges[0];
    assert_eq!(
        [&*call.signed_by, &*call.role_arn],
        ["LTAI-two", "acs:ram::1:role/reader"]
    );
    assert_eq!([&*call.external_id, &*call.role_session_name], ["e", "me"]);
    for secret in [
        "second-secret",
        "a-token",
        "SimulatedSecret",
        "SimulatedToken",
    ] {
        assert!(!world.log().contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_be_assumed_is_shown_with_its_secret() {
    let script = KEYS.replace("]}", "], sts: {}}");
    let mut world = World::with_script("no-role", script.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    grant_secrets(&world).await;
    let secret = json!({ "accessKeyId": "LTAI-one", "accessKeySecret": "first-secret",
        "roleArn": "acs:ram::1:role/reader" });
    put_secret(&world, "keys", secret).await;
    let refused = "{status: 403, code: NoPermission}";
    world.simulator.set_sts_fault(refused.parse().unwrap());
    let sts = world.simulator.sts_url();
    world.start_with(&ALLOW, &[("ALIBABA_CLOUD_STS_ENDPOINT", &sts)]);
    world.create("one", spec("T-1", "keys")).await;
    let object = world.until_reason("one", "CredentialsInvalid").await;
    assert_eq!(
        object.ready().unwrap().message,
        "Secret keys of spec.credentialsSecretRef: STS (AssumeRole) answered HTTP 403, NoPermission; \
         check the role's ARN and its trust policy, and that the key may call sts:AssumeRole"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_replaced_in_a_secret_is_no_error_for_any_of_its_objects() {
    let mut world = World::with_script("replaced", KEYS.parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 1h}");
    grant_secrets(&world).await;
    let key = |id: &str, secret: &str| json!({ "accessKeyId": id, "accessKeySecret": secret });
    put_secret(&world, "keys", key("LTAI-one", "first-secret")).await;
    world.start_with(&ALLOW, &[]);
    let names: Vec<String> = (0..10).map(|n| format!("one-{n}")).collect();
    for name in &names {
        world.create(name, spec("T-1", "keys")).await;
    }
    for name in &names {
        world.until_reason(name, "TaskRunning").await;
    }
    // The Secret was read a moment ago, and is read again a second later at the soonest.
    let calls = world.simulator.requests("T-1");
    eventually("two calls more each", || async {
        world.simulator.requests("T-1") >= calls + 20
    })
    .await;
    world.simulator.set_credentials(simulator::Credentials {
        access_key_id: "LTAI-new".to_owned(),
        access_key_secret: "new-secret".to_owned(),
        security_token: None,
    });
    put_secret(&world, "keys", key("LTAI-new", "new-secret")).await;
    world.simulator.revoke("LTAI-one");
    eventually("calls with the new key", || async {
        let log = world.simulator.request_log();
        let new = |call: &&simulator::Request| call.access_key_id.as_deref() == Some("LTAI-new");
        log.iter().filter(new).count() >= 30
    })
    .await;
    for name in &names {
        assert_eq!(world.get(name).await.ready().unwrap().reason, "TaskRunning");
        assert_eq!(world.writes(name).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_refused_is_asked_for_again_once_its_secret_is_corrected() {
    let script = KEYS.replace("]}", "], sts: {}}");
    let mut world = World::with_script("corrected", script.parse().unwrap()).await;
    world.add_task("{id: T-1}");
    grant_secrets(&world).await;
    let secret = |key: &str| {
        json!({ "accessKeyId": "LTAI-one", "accessKeySecret": key,
            "roleArn": "acs:ram::1:role/reader" })
    };
    put_secret(&world, "keys", secret("mistyped")).await;
    let sts = world.simulator.sts_url();
    world.start_with(&ALLOW, &[("ALIBABA_CLOUD_STS_ENDPOINT", &sts)]);
    world.create("one", spec("T-1", "keys")).await;
    let object = world.until_reason("one", "CredentialsInvalid").await;
    let message = &object.ready().unwrap().message;
    assert!(
        message.contains("check the access key that the role is assumed with"),
        "{message}"
    );
    put_secret(&world, "keys", secret("first-secret")).await;
    // What was refused is known for some seconds.
    let asked = AtomicU32::new(0);
    eventually_within(Duration::from_secs(20), "success", || async {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        poll_now(&world, "one", &number.to_string()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.get("one").await.ready().unwrap().reason == "TaskSucceeded"
    })
    .await;
}

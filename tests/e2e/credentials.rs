//! Signed calls with each kind of credentials. The simulator checks the signatures.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use simulator::{Fault, Script, Simulator};
use testbed::world::{World, eventually};

const KEY: (&str, &str) = ("LTAI5tExample", "an-example-of-a-secret");
const TOKEN: &str = "an-example-of-a-token";
/// The ID of a key that goes with [`TOKEN`].
const TEMPORARY: &str = "LTAI5tTemporary";

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

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_the_instances_role_are_renewed_before_they_expire() {
    let script = "{metadata: {role: node, lifetime: 6s}}";
    let mut world = World::with_script("metadata", script.parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 1h}");
    let url = world.simulator.url();
    world.start_with(
        &[],
        &[("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", &url)],
    );
    world.create("one", json!({ "taskId": "T-1" })).await;
    let keys = || {
        let log = world.simulator.request_log();
        let keys = log.into_iter().filter_map(|call| call.access_key_id);
        keys.collect::<BTreeSet<_>>().len()
    };
    eventually("calls with the third key", || async { keys() >= 3 }).await;
    let calls = world.simulator.request_log();
    let refused = calls.iter().filter(|call| call.answered != Some(200));
    // The last may not be answered yet.
    assert!(refused.count() <= 1);
    assert_eq!(world.writes("one").len(), 1);
}

/// A file that the controller finds in its home directory, and its content.
type HomeFile = (&'static str, String);

/// What configures a source, and whose key the calls are signed with in the end.
struct Source {
    what: &'static str,
    file: Option<HomeFile>,
    env: Vec<(&'static str, String)>,
    signed_by: &'static str,
}

fn cli(mode: &str) -> HomeFile {
    let key = format!(
        r#""access_key_id":"{}","access_key_secret":"{}""#,
        KEY.0, KEY.1
    );
    let role = r#""ram_role_arn":"acs:ram::1:role/reader","ram_session_name":"me""#;
    let config = format!(
        r#"{{"current":"p","profiles":[{{"name":"p",{key},{role},{mode}}},
            {{"name":"base",{key},{role},"mode":"RamRoleArn"}}]}}"#
    );
    (".aliyun/config.json", config)
}

fn ini(file: &'static str, rest: &str) -> HomeFile {
    let key = format!(
        "access_key_id = {} # note\naccess_key_secret = {}\n",
        KEY.0, KEY.1
    );
    (file, format!("[default]\n{key}{rest}\n"))
}

/// Each source, and each mode and type of its file.
fn sources(uri: &str, token_file: &str) -> Vec<Source> {
    let sdk = ".alibabacloud/credentials.ini";
    let oidc = format!(
        r#""mode":"OIDC","oidc_provider_arn":"acs:ram::1:oidc-provider/ack","oidc_token_file":"{token_file}""#
    );
    let chain = r#""mode":"ChainableRamRoleArn","source_profile":"base""#;
    let uri_mode = format!(r#""mode":"CredentialsURI","credentials_uri":"{uri}""#);
    let rows = [
        (
            "CLI, AK",
            cli(r#""mode":"AK","sts_token":"left-over""#),
            KEY.0,
        ),
        ("CLI, RamRoleArn", cli(r#""mode":"RamRoleArn""#), "STS."),
        (
            "CLI, EcsRamRole",
            cli(r#""mode":"EcsRamRole","ram_role_name":"node""#),
            "STS.",
        ),
        ("CLI, OIDC", cli(&oidc), "STS."),
        ("CLI, ChainableRamRoleArn", cli(chain), "STS."),
        ("CLI, CredentialsURI", cli(&uri_mode), "STS."),
        ("file, access_key", ini(sdk, "type = access_key"), KEY.0),
        (
            "file of the Go SDK",
            ini(".alibabacloud/credentials", "type = access_key"),
            KEY.0,
        ),
        (
            "file, ram_role_arn",
            ini(
                sdk,
                "type = ram_role_arn\nrole_arn = acs:ram::1:role/reader",
            ),
            "STS.",
        ),
        (
            "file, ecs_ram_role",
            ini(sdk, "type = ecs_ram_role\nrole_name = node"),
            "STS.",
        ),
        (
            "file, oidc_role_arn",
            ini(
                sdk,
                &format!(
                    "type = oidc_role_arn\nrole_arn = acs:ram::1:role/reader\n\
                     oidc_provider_arn = acs:ram::1:oidc-provider/ack\n\
                     oidc_token_file_path = {token_file}"
                ),
            ),
            "STS.",
        ),
    ];
    // A temporary key of its own, which the API takes with its token only.
    let temporary = |file: HomeFile| (file.0, file.1.replace(KEY.0, TEMPORARY));
    let sts_token = format!(r#""mode":"StsToken","sts_token":"{TOKEN}""#);
    let sts = format!("type = sts\nsecurity_token = {TOKEN}");
    let rows = rows.into_iter().chain([
        ("CLI, StsToken", temporary(cli(&sts_token)), TEMPORARY),
        ("file, sts", temporary(ini(sdk, &sts)), TEMPORARY),
    ]);
    let mut sources: Vec<Source> = rows
        .into_iter()
        .map(|(what, file, signed_by)| Source {
            what,
            file: Some(file),
            env: Vec::new(),
            signed_by,
        })
        .collect();
    sources.push(Source {
        what: "the instance's role",
        file: None,
        env: Vec::new(),
        signed_by: "STS.",
    });
    sources.push(Source {
        what: "the credentials URI",
        file: None,
        env: vec![("ALIBABA_CLOUD_CREDENTIALS_URI", uri.to_owned())],
        signed_by: "STS.",
    });
    sources
}

fn put(home: &Path, (name, content): &HomeFile) {
    let path = home.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_source_mode_and_type_signs_calls_that_the_api_accepts() {
    let script = format!(
        "{{credentials: [{{accessKeyId: {0}, accessKeySecret: {1}}},
            {{accessKeyId: {TEMPORARY}, accessKeySecret: {1}, securityToken: {TOKEN}}}],
            sts: {{}}, metadata: {{role: node}}}}",
        KEY.0, KEY.1
    );
    let mut world = World::with_script("sources", script.parse().unwrap()).await;
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    fs::write(&token_file, "an-oidc-token\n").unwrap();
    let uri = world.simulator.credentials_uri();
    let sources = sources(&uri, token_file.to_str().unwrap());
    for (n, source) in sources.iter().enumerate() {
        let home = directory.path().join(n.to_string());
        fs::create_dir(&home).unwrap();
        if let Some(file) = &source.file {
            put(&home, file);
        }
        let (sts, url) = (world.simulator.sts_url(), world.simulator.url());
        let mut env = vec![
            ("HOME", home.to_str().unwrap()),
            ("ALIBABA_CLOUD_STS_ENDPOINT", &sts),
            ("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", &url),
        ];
        env.extend(
            source
                .env
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        world.start_with(&[], &env);
        let (name, task) = (format!("one-{n}"), format!("T-{n}"));
        world.add_task(&format!("{{id: {task}}}"));
        world.create(&name, json!({ "taskId": task })).await;
        world.until_reason(&name, "TaskSucceeded").await;
        let log = world.log();
        assert!(
            !log.contains(KEY.1) && !log.contains("an-oidc-token") && !log.contains(TOKEN),
            "{}",
            source.what
        );
        world.stop();
        let calls = world.simulator.request_log();
        let calls: Vec<_> = calls.iter().filter(|call| call.task_id == task).collect();
        assert!(!calls.is_empty());
        for call in calls {
            let key = call.access_key_id.as_deref().unwrap_or_default();
            assert!(key.starts_with(source.signed_by), "{}: {key}", source.what);
            assert_eq!(call.answered, Some(200), "{}", source.what);
        }
    }
}

/// What the vendor's library finds with that home directory: ID, secret and token.
fn vendors_key(program: &Path, home: &Path) -> (String, String, Option<String>) {
    let output = Command::new(program)
        .env_clear()
        .env("HOME", home)
        .env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let key: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| key[name].as_str().map(str::to_owned);
    let token = text("token").filter(|token| !token.is_empty());
    (text("id").unwrap(), text("secret").unwrap(), token)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_own_library_reads_the_same_key_from_the_same_files() {
    let mut progress = controlplane::StderrProgress::default();
    let program = controlplane::tools::vendors_credentials(&mut progress).unwrap();
    let sdk = ".alibabacloud/credentials";
    let files = [
        cli(r#""mode":"AK""#),
        cli(r#""mode":"AK","sts_token":"left-over""#),
        cli(r#""mode":"StsToken","sts_token":"an-sts-token""#),
        ini(sdk, "type = access_key"),
        ini(sdk, "type = access_key\nenable = true"),
        // One section twice, and comments where the library takes them for such.
        ini(sdk, "  # note\n[default]\ntype = access_key#note"),
    ];
    for (n, file) in files.into_iter().enumerate() {
        let home = tempfile::tempdir().unwrap();
        put(home.path(), &file);
        let (id, secret, token) = vendors_key(&program, home.path());
        // The API accepts no other ID, secret or token than those.
        let mut world = World::new("vendor").await;
        world.simulator.set_credentials(simulator::Credentials {
            access_key_id: id,
            access_key_secret: secret,
            security_token: token,
        });
        world.add_task("{id: T-1}");
        world.start_with(&[], &[("HOME", home.path().to_str().unwrap())]);
        world
            .create(&format!("one-{n}"), json!({ "taskId": "T-1" }))
            .await;
        world
            .until_reason(&format!("one-{n}"), "TaskSucceeded")
            .await;
        for call in world.simulator.request_log() {
            assert_eq!(call.answered, Some(200), "{file:?}");
        }
    }
}

/// Files as the kubelet mounts a Secret: behind a link that is swapped.
fn mount(directory: &Path, version: &str, key: (&str, &str)) {
    let data = directory.join(version);
    fs::create_dir(&data).unwrap();
    fs::write(data.join("accessKeyId"), key.0).unwrap();
    fs::write(data.join("accessKeySecret"), key.1).unwrap();
    let swapped = directory.join("..data_tmp");
    std::os::unix::fs::symlink(version, &swapped).unwrap();
    fs::rename(swapped, directory.join("..data")).unwrap();
    for name in ["accessKeyId", "accessKeySecret"] {
        let link = directory.join(name);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(format!("..data/{name}"), link).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_directory_is_replaced_without_a_restart_and_without_an_error() {
    let script = format!(
        "{{credentials: [{{accessKeyId: {}, accessKeySecret: {}}}]}}",
        KEY.0, KEY.1
    );
    let mut world = World::with_script("directory", script.parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 1h}");
    let directory = tempfile::tempdir().unwrap();
    mount(directory.path(), "..1", KEY);
    world.start_with(
        &[
            "--credentials-directory",
            directory.path().to_str().unwrap(),
        ],
        &[],
    );
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskRunning").await;

    let next = ("LTAI5tNext", "the-next-secret");
    let script = simulator::Credentials {
        access_key_id: next.0.to_owned(),
        access_key_secret: next.1.to_owned(),
        security_token: None,
    };
    world.simulator.set_credentials(script);
    mount(directory.path(), "..2", next);
    // The old key is refused from now on, before its files are read again in their time.
    world.simulator.revoke(KEY.0);
    let is_next = |call: &simulator::Request| call.access_key_id.as_deref() == Some(next.0);
    eventually("calls with the new key", || async {
        world
            .simulator
            .request_log()
            .iter()
            .filter(|call| is_next(call))
            .count()
            >= 3
    })
    .await;
    let object = world.get("one").await;
    assert_eq!(object.ready().unwrap().reason, "TaskRunning");
    assert_eq!(world.writes("one").len(), 1);
    let log = world.log();
    assert!(log.contains("the access key has changed"), "{log}");
    assert!(!log.contains(KEY.1) && !log.contains(next.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_of_credentials_ends_the_start_with_1_and_is_named() {
    let mut world = World::new("broken").await;
    let home = tempfile::tempdir().unwrap();
    let rows = [
        (".aliyun/config.json", "{", "isn't valid JSON (line 1"),
        (
            ".aliyun/config.json",
            r#"{"current":"p","profiles":[{"name":"p","mode":"CloudSSO"}]}"#,
            "needs a person",
        ),
        (
            ".alibabacloud/credentials",
            "[other]\n",
            "has no profile default: it has other",
        ),
        (
            ".alibabacloud/credentials.ini",
            "[default]\nenable = false\n",
            "switched off",
        ),
    ];
    for (file, content, expected) in rows {
        put(home.path(), &(file, content.to_owned()));
        world.start_with(&[], &[("HOME", home.path().to_str().unwrap())]);
        let code = world.wait();
        let log = world.log();
        assert_eq!(code, 1, "{log}");
        let last = log.lines().last().unwrap();
        assert!(last.contains(file) && last.contains(expected), "{log}");
        fs::remove_file(home.path().join(file)).unwrap();
    }
    let nowhere = ["--credentials-directory", "/nowhere"];
    world.start_with(&nowhere, &[]);
    assert_eq!(world.wait(), 1);
    assert!(
        world
            .log()
            .contains("the credentials directory /nowhere isn't a directory")
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_down_where_no_region_takes_them_and_one_alone_says_nothing() {
    let script = format!(
        "{{credentials: [{{accessKeyId: {}, accessKeySecret: {}}}]}}",
        KEY.0, KEY.1
    );
    let mut world = World::with_script("up", script.parse().unwrap()).await;
    world.add_task("{id: T-1, duration: 1h}");
    let odd = Simulator::start(Script::default()).unwrap();
    odd.set_fault_for_all(Fault::error(403, "InvalidAccessKeyId.NotFound"));
    let endpoint = format!("--endpoint-for=cn-odd={}", odd.url());
    let env = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY.1),
    ];
    world.start_with(&[&endpoint], &env);
    world.create("good", json!({ "taskId": "T-1" })).await;
    world.until_reason("good", "TaskRunning").await;
    let elsewhere = json!({ "taskId": "T-1", "region": "cn-odd" });
    world.create("odd", elsewhere).await;
    world.until_reason("odd", "CredentialsInvalid").await;
    let up = |value: u8| format!("scaleouttask_credentials_up{{source=\"environment\"}} {value}\n");
    let (_, metrics) = world.admin("/metrics").await;
    assert!(metrics.contains(&up(1)), "{metrics}");
    world.simulator.revoke(KEY.0);
    world.until_reason("good", "CredentialsInvalid").await;
    eventually("they are down", || async {
        world.admin("/metrics").await.1.contains(&up(0))
    })
    .await;
}

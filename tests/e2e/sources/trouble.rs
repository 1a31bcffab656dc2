//! Sources that can't list: what they show, and that they go on once it is mended.

use std::{fs, path::Path, time::Duration};

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use simulator::{Fault, List, Script, Task};
use testbed::{
    alias::Alias,
    controller::Controller,
    secrets::{grant_secrets, put_secret_in},
    world::{GROUP, USER, World, eventually},
};

use super::{
    ARGS, create, create_with, edit, lists_begun, running, shown, spec_of, until_listed,
    until_listed_of, until_names, with, world,
};

/// A list that goes wrong, and what its source shows.
struct Row {
    fault: &'static str,
    reason: &'static str,
    /// `Ready`, what is beside it, and a part of the message.
    shows: (&'static str, &'static str, &'static str),
    /// Whether the answer names a request.
    is_answer: bool,
}

const WAITS: (&str, &str) = ("Unknown", "Reconciling");
const STALLS: (&str, &str) = ("False", "Stalled");

/// The API's error, what follows, and what the message says.
const ERRORS: [(&str, &str, (&str, &str), &str); 7] = [
    (
        "{status: 403, code: Forbidden.RAM, message: LEAK}",
        "AccessDenied",
        STALLS,
        "(Forbidden.RAM): grant the credentials the RAM action cs:DescribeClusterTasks",
    ),
    (
        "{status: 401, code: InvalidAccessKeyId.NotFound, message: LEAK}",
        "CredentialsInvalid",
        STALLS,
        "check the access key, its secret and its token",
    ),
    (
        "{status: 400, code: InvalidTimeStamp.Expired, message: LEAK}",
        "ClockSkewed",
        STALLS,
        "synchronise the clock of the controller's node",
    ),
    (
        "{status: 400, code: InvalidParameter, message: LEAK}",
        "RequestRejected",
        STALLS,
        "(InvalidParameter): check spec.clusterId, spec.region",
    ),
    (
        "{status: 404, code: ErrorClusterNotFound, message: LEAK}",
        "TaskNotFound",
        WAITS,
        "doesn't know the cluster yet; looking again",
    ),
    (
        "{status: 429, code: Throttling.User, message: LEAK}",
        "Throttled",
        WAITS,
        "asks for fewer calls; trying again later",
    ),
    (
        "{status: 503, message: LEAK}",
        "TaskApiUnavailable",
        WAITS,
        UNAVAILABLE,
    ),
];
const UNAVAILABLE: &str = "can't be reached or is in trouble; trying again";
/// Connections that break: before the answer, and in it.
const BROKEN: [(&str, bool); 3] = [
    ("{kind: reset}", false),
    ("{kind: hang}", false),
    ("{truncate: 20}", true),
];
const UNUSABLE: [&str; 12] = [
    "{kind: garbage}",
    "{kind: endless}",
    "{status: 201}",
    "{redirect: 'http://127.0.0.1:1/LEAK'}",
    "{body: ''}",
    "{body: '{}'}",
    "{body: '[]'}",
    r#"{body: '{"tasks": "LEAK"}'}"#,
    r#"{body: '{"tasks": ["LEAK"]}'}"#,
    r#"{body: '{"tasks": [[{"LEAK": 1}]]}'}"#,
    r#"{body: '{"code": "LEAK", "message": "LEAK", "page_info": {}}'}"#,
    "{body: '<html>LEAK</html>', contentType: text/html}",
];

fn rows() -> Vec<Row> {
    let row = |fault, reason, (ready, beside), words, is_answer| Row {
        fault,
        reason,
        shows: (ready, beside, words),
        is_answer,
    };
    let errors = ERRORS.map(|(fault, reason, shows, words)| row(fault, reason, shows, words, true));
    let unavailable = "TaskApiUnavailable";
    let broken =
        BROKEN.map(|(fault, is_answer)| row(fault, unavailable, WAITS, UNAVAILABLE, is_answer));
    let words = "answer can't be used; trying again";
    let unusable = UNUSABLE.map(|fault| row(fault, "InvalidResponse", WAITS, words, true));
    errors.into_iter().chain(broken).chain(unusable).collect()
}

/// A world whose sources have a region, and so a host, each: who is throttled delays no other.
async fn hosts(name: &str, count: usize) -> (World, Vec<Alias>) {
    let mut world = World::new(name).await;
    let mut hosts = Vec::new();
    let mut args: Vec<String> = ARGS.map(str::to_owned).to_vec();
    args.extend(["--request-timeout", "2s"].map(str::to_owned));
    for number in 0..count {
        let host = Alias::of(&world.simulator.url()).await;
        args.push("--endpoint-for".to_owned());
        args.push(format!("r-{number}={}", host.url()));
        hosts.push(host);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    world.start_with(&args, &[]);
    (world, hosts)
}

/// All Events of the namespace: about what, reason and note.
async fn events(world: &World) -> Vec<(String, String, String)> {
    let api: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let all = api.list(&ListParams::default()).await.unwrap();
    let parts = |event: Event| {
        let regarding = event.regarding.unwrap_or_default();
        assert_eq!(regarding.kind.as_deref(), Some("ScaleOutTaskSource"));
        (
            regarding.name.unwrap_or_default(),
            event.reason.unwrap_or_default(),
            event.note.unwrap_or_default(),
        )
    };
    all.into_iter().map(parts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_list_that_fails_is_told_with_its_mend_and_without_the_answers_text() {
    let (world, _hosts) = hosts("fails", rows().len()).await;
    for (number, row) in rows().iter().enumerate() {
        let name = format!("c-{number}");
        let fault: Fault = row.fault.parse().unwrap();
        world.simulator.set_list(List::of(&name).fault(fault));
        let mut spec = spec_of(&name);
        spec["region"] = format!("r-{number}").into();
        world.create_source(&name, spec).await;
    }
    for (number, row) in rows().iter().enumerate() {
        let name = format!("c-{number}");
        let Row { fault, reason, .. } = row;
        let status = world.until_source_reason(&name, reason).await;
        let (ready, beside, message) = shown(&world, &name).await;
        let (expected, words) = ((row.shows.0, row.shows.1), row.shows.2);
        assert_eq!((ready.as_str(), beside.as_str()), expected, "{fault}");
        assert!(message.contains(words), "{fault}: {message}");
        assert_eq!(
            (status.made, status.observed_generation),
            (None, Some(1)),
            "{fault}"
        );
        eventually(fault, || async {
            events(&world).await.iter().any(|(about, why, note)| {
                let names_request = note.contains("(request ID ");
                *about == name && why == reason && names_request == row.is_answer
            })
        })
        .await;
        let log = world.log();
        let line = log.lines().find(|line| {
            line.contains(&format!("name={name} "))
                && line.contains(&format!("reason=\"{reason}\""))
        });
        let line = line.unwrap_or_else(|| panic!("{fault} isn't logged"));
        assert_eq!(line.contains("request_id="), row.is_answer, "{line}");
    }
    let all = world.sources().list(&ListParams::default()).await.unwrap();
    let texts = [
        serde_json::to_string(&all.items).unwrap(),
        format!("{:?}", events(&world).await),
        world.log(),
    ];
    for text in texts {
        assert!(!text.contains("LEAK"), "{text}");
    }

    // An edit is tried at once.
    world.simulator.clear_faults();
    for number in 0..rows().len() {
        let name = format!("c-{number}");
        world.simulator.set_list(List::of(&name));
        edit(&world, &name, json!({ "interval": "6s" })).await;
    }
    for (number, row) in rows().iter().enumerate() {
        let name = format!("c-{number}");
        world.until_source_reason(&name, "Listing").await;
        assert_eq!(shown(&world, &name).await.0, "True", "{}", row.fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_fails_for_a_while_is_read_again_by_itself() {
    let (world, _hosts) = hosts("heals", 3).await;
    let faults = ["{status: 500}", "{kind: reset}", "{status: 429}"];
    for (number, fault) in faults.iter().enumerate() {
        let name = format!("c-{number}");
        world
            .simulator
            .set_task(Task::in_state(&format!("T-{number}"), "running").in_cluster(&name));
        let mut spec = spec_of(&name);
        spec["region"] = format!("r-{number}").into();
        world.create_source(&name, spec).await;
        world.until_source_reason(&name, "Listing").await;
        world
            .simulator
            .set_list_fault(&name, fault.parse().unwrap());
    }
    for (number, reason) in ["TaskApiUnavailable", "TaskApiUnavailable", "Throttled"]
        .iter()
        .enumerate()
    {
        let name = format!("c-{number}");
        let status = world.until_source_reason(&name, reason).await;
        assert_eq!(shown(&world, &name).await.0, "False", "it listed before");
        assert_eq!(status.made, Some(1), "what was made stays");
    }
    world.simulator.clear_faults();
    for number in 0..faults.len() {
        world
            .until_source_reason(&format!("c-{number}"), "Listing")
            .await;
    }
    until_names(&world, &["t-0", "t-1", "t-2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_source_lists_nothing_until_it_is_resumed() {
    let world = world("suspended").await;
    world.simulator.set_task(running("T-1"));
    create_with(&world, json!({ "suspend": true })).await;
    let status = world.until_source_reason("src", "Suspended").await;
    assert_eq!((status.made, world.simulator.total_list_calls()), (None, 0));
    let (ready, beside, message) = shown(&world, "src").await;
    assert_eq!((ready.as_str(), beside.as_str()), ("Unknown", ""));
    assert!(message.contains("set spec.suspend to false"), "{message}");
    edit(&world, "src", json!({ "suspend": false })).await;
    world.until_reason("t-1", "TaskRunning").await;
    world.until_source_reason("src", "Listing").await;

    edit(&world, "src", json!({ "suspend": true })).await;
    world.until_source_reason("src", "Suspended").await;
    assert_eq!(shown(&world, "src").await.0, "False", "it was listed");
    // Its objects are polled as any other.
    let (lists, calls) = (
        world.simulator.total_list_calls(),
        world.simulator.requests("T-1"),
    );
    world.simulator.set_task(running("T-2"));
    eventually("further polls", || async {
        world.simulator.requests("T-1") >= calls + 6
    })
    .await;
    assert!(world.simulator.total_list_calls() <= lists + 1);
    until_names(&world, &["t-1"]).await;
    edit(&world, "src", json!({ "suspend": null })).await;
    until_names(&world, &["t-1", "t-2"]).await;
    let events = world.events("src").await;
    let reasons: Vec<&str> = events.iter().map(|(_, reason)| &**reason).collect();
    assert_eq!(reasons[..3], ["Suspended", "Listing", "Suspended"]);
    assert!(events.iter().all(|(kind, _)| kind == "Normal"));
}

fn write_rules(directory: &Path, rules: &Value) -> String {
    let path = directory.join("access.yaml");
    fs::write(&path, json!({ "rules": rules }).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs a controller with these rules and arguments until each source of a spec shows its reason and words. None of
/// them is listed.
async fn blocked(
    name: &str,
    rules: &Value,
    args: &[&str],
    rows: &[(&str, Value, &str, &str)],
) -> World {
    let mut world = World::new(name).await;
    world.simulator.set_task(running("T-1"));
    let directory = tempfile::tempdir().unwrap();
    let file = write_rules(directory.path(), rules);
    let access = ["--access-file", &file];
    world.start_with(&[&ARGS[..], &access, args].concat(), &[]);
    for (source, more, _, _) in rows {
        world.create_source(source, with(more.clone())).await;
    }
    for (source, _, reason, words) in rows {
        world.until_source_reason(source, reason).await;
        let (ready, beside, message) = shown(&world, source).await;
        assert_eq!((ready.as_str(), beside.as_str()), STALLS, "{source}");
        assert!(message.contains(words), "{source}: {message}");
        eventually("the Event", || async {
            world.events(source).await == [("Warning".to_owned(), (*reason).to_owned())]
        })
        .await;
    }
    assert_eq!(world.simulator.total_list_calls(), 0);
    assert!(super::objects(&world).await.is_empty());
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_does_not_allow_is_never_asked() {
    let rule =
        json!([{ "namespaces": ["ruled*"], "clusterIds": ["c-2"], "regions": ["cn-hangzhou"] }]);
    let rows = [
        (
            "cluster",
            json!({}),
            "NotAllowed",
            "create the source again with a spec.clusterId that is allowed",
        ),
        (
            "region",
            json!({ "clusterId": "c-2", "region": "cn-beijing" }),
            "NotAllowed",
            "doesn't allow this region here",
        ),
        (
            "secret",
            json!({ "clusterId": "c-2", "credentialsSecretRef": { "name": "keys" } }),
            "CredentialsInvalid",
            "--secret-credentials",
        ),
    ];
    blocked("ruled", &rule, &[], &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_a_rule_may_list_nothing() {
    let rule = json!([{ "namespaces": ["others"] }]);
    let rows = [(
        "src",
        json!({}),
        "NotAllowed",
        "have none for this namespace",
    )];
    blocked("unruled", &rule, &[], &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_a_rule_does_not_allow_are_not_used() {
    let secret = json!({ "credentialsSecretRef": { "name": "keys" } });
    let rule = json!([{ "namespaces": ["*"], "credentials": ["secret"] }]);
    let rows = [(
        "src",
        json!({}),
        "NotAllowed",
        "set spec.credentialsSecretRef",
    )];
    blocked("own-keys", &rule, &["--secret-credentials"], &rows).await;
    let rule = json!([{ "namespaces": ["*"], "credentials": ["controller"] }]);
    let rows = [(
        "src",
        secret,
        "NotAllowed",
        "remove spec.credentialsSecretRef",
    )];
    let world = blocked("controllers-keys", &rule, &["--secret-credentials"], &rows).await;
    assert!(world.audited_verbs("secrets").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_than_the_controllers_is_not_listed() {
    let rule = json!([{ "namespaces": ["*"] }]);
    let rows = [(
        "src",
        json!({}),
        "ClusterMismatch",
        "the controller's --allowed-cluster-id",
    )];
    let world = blocked("mismatch", &rule, &["--allowed-cluster-id", "c-2"], &rows).await;
    let task = Task::in_state("T-2", "running").in_cluster("c-2");
    world.simulator.set_task(task);
    world.create_source("good", spec_of("c-2")).await;
    world.until_source_reason("good", "Listing").await;
    until_names(&world, &["t-2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_become_wider_let_a_source_list_and_narrower_ones_stop_it() {
    let mut world = World::new("wider").await;
    world.simulator.set_task(running("T-1"));
    let directory = tempfile::tempdir().unwrap();
    let narrow = json!([{ "namespaces": ["none"] }]);
    let file = write_rules(directory.path(), &narrow);
    let args = [&ARGS[..], &["--access-file", &file]].concat();
    world.start_with(&args, &[]);
    create(&world).await;
    world.until_source_reason("src", "NotAllowed").await;
    world.stop();
    write_rules(directory.path(), &json!([{ "namespaces": ["wider*"] }]));
    world.start_with(&args, &[]);
    world.until_source_reason("src", "Listing").await;
    world.until_reason("t-1", "TaskRunning").await;
    world.stop();
    write_rules(directory.path(), &narrow);
    let lists = world.simulator.total_list_calls();
    world.start_with(&args, &[]);
    world.until_source_reason("src", "NotAllowed").await;
    assert_eq!(world.simulator.total_list_calls(), lists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_bounds_how_often_a_source_lists() {
    let mut world = World::new("seldom").await;
    world.simulator.set_list(List::of(super::CLUSTER));
    let directory = tempfile::tempdir().unwrap();
    let rule = json!([{ "namespaces": ["*"], "minPollInterval": "9s" }]);
    let file = write_rules(directory.path(), &rule);
    world.start_with(&[&ARGS[..], &["--access-file", &file]].concat(), &[]);
    create(&world).await;
    eventually("four lists", || async {
        lists_begun(&world, super::CLUSTER) >= 4
    })
    .await;
    let log = world.simulator.list_log();
    // The first interval ends at the source's own moment.
    let gaps = log.windows(2).skip(1).map(|pair| pair[1].at - pair[0].at);
    let shortest = gaps.min().unwrap();
    assert!(shortest >= Duration::from_secs(8), "{shortest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_region_a_source_says_so() {
    let world = World::new("nowhere").await;
    let mut command = Controller::command();
    command
        .args(["--namespace", &world.namespace, "--poll-interval", "1s"])
        .args(["--endpoint", &world.simulator.url()])
        .args(ARGS)
        .env("KUBECONFIG", world.plane.user(USER, Some(GROUP)).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let _controller = Controller::spawn(command, &directory.path().join("log"));
    create(&world).await;
    world.until_source_reason("src", "RegionMissing").await;
    let (ready, beside, message) = shown(&world, "src").await;
    assert_eq!((ready.as_str(), beside.as_str()), STALLS);
    assert!(message.contains("--region"), "{message}");
    world
        .simulator
        .set_task(Task::in_state("T-2", "running").in_cluster("c-2"));
    let mut spec = spec_of("c-2");
    spec["region"] = "cn-hangzhou".into();
    world.create_source("good", spec).await;
    let object = world.until_reason("t-2", "TaskRunning").await;
    assert_eq!(object.spec.region.as_deref(), Some("cn-hangzhou"));
}

const KEYS: &str = "{credentials: [{accessKeyId: LTAI-victim, accessKeySecret: right}]}";
const SECRETS: [&str; 2] = ["--secret-credentials", "--sources"];

fn of_secret() -> Value {
    json!({ "credentialsSecretRef": { "name": "keys" } })
}

async fn secrets_world(name: &str) -> World {
    let script: Script = KEYS.parse().unwrap();
    let mut world = World::with_script(name, script).await;
    world.simulator.set_task(running("T-1"));
    let args = [&["--credentials", "none"][..], &SECRETS].concat();
    world.start_with(&args, &[]);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_after_its_source_is_used_for_lists_and_objects() {
    let world = secrets_world("late-secret").await;
    grant_secrets(&world).await;
    create_with(&world, of_secret()).await;
    world.until_source_reason("src", "CredentialsInvalid").await;
    let (ready, beside, message) = shown(&world, "src").await;
    assert_eq!((ready.as_str(), beside.as_str()), WAITS);
    assert!(
        message.contains("isn't there or not complete yet"),
        "{message}"
    );
    assert_eq!(world.simulator.total_list_calls(), 0);
    put_secret_in(&world, &world.namespace, "keys", "right").await;
    world.until_source_reason("src", "Listing").await;
    let object = world.until_reason("t-1", "TaskRunning").await;
    let secret = object.spec.credentials_secret_ref.map(|secret| secret.name);
    assert_eq!(secret.as_deref(), Some("keys"));
    let keys = world.simulator.list_log();
    assert!(
        keys.iter()
            .all(|call| call.access_key_id.as_deref() == Some("LTAI-victim"))
    );
    assert!(!world.log().contains("right"), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_is_told_and_a_correction_helps() {
    let world = secrets_world("wrong-key").await;
    grant_secrets(&world).await;
    put_secret_in(&world, &world.namespace, "keys", "mistyped").await;
    create_with(&world, of_secret()).await;
    world.until_source_reason("src", "CredentialsInvalid").await;
    let (ready, beside, message) = shown(&world, "src").await;
    assert_eq!((ready.as_str(), beside.as_str()), STALLS);
    assert!(message.contains("(SignatureDoesNotMatch)"), "{message}");
    put_secret_in(&world, &world.namespace, "keys", "right").await;
    // A key that was refused is kept for a few seconds more.
    let mut seconds = (6..=30).cycle();
    eventually("it lists", || {
        let interval = format!("{}s", seconds.next().unwrap());
        let world = &world;
        async move {
            edit(world, "src", json!({ "interval": interval })).await;
            let status = world.sources().get("src").await.unwrap().status.unwrap();
            status.made == Some(1)
        }
    })
    .await;
    world.until_source_reason("src", "Listing").await;
    world.until_reason("t-1", "TaskRunning").await;
    assert!(!world.log().contains("mistyped"));
}

/// Two sources of one account and one of another, all at one host.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_throttled_waits_as_long_as_the_api_says_and_no_other_does() {
    const WAIT: Duration = Duration::from_secs(14);
    const MARGIN: Duration = Duration::from_millis(500);
    let world = secrets_world("throttled").await;
    grant_secrets(&world).await;
    put_secret_in(&world, &world.namespace, "keys", "right").await;
    world.simulator.set_list(List::of("c-2"));
    world.simulator.set_list(List::of("c-3"));
    let second = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other" },
        "stringData": { "accessKeyId": "LTAI-other", "accessKeySecret": "another" },
    });
    world.simulator.set_credentials(simulator::Credentials {
        access_key_id: "LTAI-other".to_owned(),
        access_key_secret: "another".to_owned(),
        security_token: None,
    });
    let api: Api<k8s_openapi::api::core::v1::Secret> =
        Api::namespaced(world.client.clone(), &world.namespace);
    let secret = serde_json::from_value(second).unwrap();
    api.create(&kube::api::PostParams::default(), &secret)
        .await
        .unwrap();
    for (cluster, secret) in [("c-1", "keys"), ("c-2", "keys"), ("c-3", "other")] {
        let mut spec = spec_of(cluster);
        spec["credentialsSecretRef"] = json!({ "name": secret });
        world.create_source(cluster, spec).await;
        world.until_source_reason(cluster, "Listing").await;
    }
    let fault = format!(
        "{{requests: '1', status: 429, headers: {{x-acs-retry-after: '{}'}}}}",
        WAIT.as_millis()
    );
    world
        .simulator
        .set_list_fault("c-1", fault.parse().unwrap());
    let throttled = || {
        let log = world.simulator.list_log();
        log.iter()
            .find(|call| call.answered == Some(429))
            .map(|call| call.at)
    };
    eventually("it is throttled", || async { throttled().is_some() }).await;
    let at = throttled().unwrap();
    until_listed_of(&world, "c-1").await;
    until_listed_of(&world, "c-2").await;
    let log = world.simulator.list_log();
    // What was under way at that moment counts for neither.
    let is_within = |time| (at + MARGIN..at + WAIT.saturating_sub(MARGIN)).contains(&time);
    let within = |cluster: &str| {
        let calls = log.iter().filter(|call| call.cluster_id == cluster);
        calls.filter(|call| is_within(call.at)).count()
    };
    assert_eq!((within("c-1"), within("c-2")), (0, 0), "the account waits");
    assert!(within("c-3") >= 2, "{}", within("c-3"));
    // A single failure shows nothing.
    assert!(
        world
            .events("c-1")
            .await
            .iter()
            .all(|(_, reason)| reason == "Listing")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_appears_late_is_listed_then() {
    let world = world("late-cluster").await;
    create(&world).await;
    world.until_source_reason("src", "TaskNotFound").await;
    world.simulator.set_task(running("T-1"));
    world.until_source_reason("src", "Listing").await;
    until_listed(&world).await;
    until_names(&world, &["t-1"]).await;
}

//! What the operator lets a namespace ask.

use std::{fs, path::Path};

use serde_json::{Value, json};
use testbed::{
    WholeObject,
    secrets::{grant_secrets, put_secret_in},
    world::{World, eventually, ready},
};

fn write_rules(directory: &Path, rules: &str) -> String {
    let path = directory.join("access.yaml");
    fs::write(&path, rules).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a tenant sees of an object, without what differs for any two of them.
fn seen(object: &WholeObject) -> Value {
    let mut status = serde_json::to_value(&object.status).unwrap();
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"].take();
    }
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_task_is_told_exactly_as_one_that_does_not_exist() {
    let mut world = World::new("oracle").await;
    world.add_task("{id: T-own, clusterId: c1, duration: 1h}");
    world.add_task("{id: T-theirs, clusterId: c2, instances: [{id: i-secret}]}");
    let directory = tempfile::tempdir().unwrap();
    let rules = "rules: [{namespaces: ['*'], clusterIds: [c1]}]";
    let file = write_rules(directory.path(), rules);
    world.start_with(&["--credentials", "none", "--access-file", &file], &[]);
    let spec = |task: &str| json!({ "taskId": task, "clusterId": "c1" });
    world.create("own", spec("T-own")).await;
    world.create("theirs", spec("T-theirs")).await;
    world.create("none", spec("T-none")).await;
    world
        .create("unnamed", json!({ "taskId": "T-theirs" }))
        .await;
    world
        .create("other", json!({ "taskId": "T-theirs", "clusterId": "c2" }))
        .await;
    world.until_reason("own", "TaskRunning").await;
    let theirs = world.until_reason("theirs", "TaskNotFound").await;
    let none = world.until_reason("none", "TaskNotFound").await;
    assert_eq!(seen(&theirs), seen(&none));
    for name in ["unnamed", "other"] {
        let object = world.until_reason(name, "NotAllowed").await;
        assert_eq!(ready(&object), ("NotAllowed", "False", "Stalled"));
    }
    // Alike in Events, which name a request ID each.
    let warning = ("Warning".to_owned(), "TaskNotFound".to_owned());
    for name in ["theirs", "none"] {
        eventually("the Event", || async {
            world.events(name).await.contains(&warning)
        })
        .await;
        let events = world.kubectl_text(&["get", "events", "-o", "wide"]);
        let mut lines = events.lines();
        let line = lines.find(|line| line.contains(&format!("scaleouttask/{name} ")));
        assert!(line.unwrap().contains("request ID"), "{events}");
    }
    // And in metrics: no call about either of them is a success.
    let calls = world.simulator.requests("T-theirs") + world.simulator.requests("T-none");
    assert!(calls >= 4, "{calls}");
    let (_, metrics) = world.admin("/metrics").await;
    let outcome = r#"task_api_requests_total{region="cn-hangzhou",outcome="TaskNotFound"}"#;
    assert!(metrics.contains(outcome), "{metrics}");
    assert!(!world.log().contains("i-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_become_narrower_hide_what_was_shown_and_stop_all_calls() {
    let mut world = World::new("narrower").await;
    world.add_task("{id: T-1}");
    world.add_task("{id: T-2, duration: 1h}");
    let directory = tempfile::tempdir().unwrap();
    let file = write_rules(directory.path(), "rules: [{namespaces: ['narrower*']}]");
    let args = ["--credentials", "none", "--access-file", &file];
    world.start_with(&args, &[]);
    world.create("ended", json!({ "taskId": "T-1" })).await;
    world.create("running", json!({ "taskId": "T-2" })).await;
    world.until_reason("ended", "TaskSucceeded").await;
    world.until_reason("running", "TaskRunning").await;
    world.stop();
    write_rules(directory.path(), "rules: [{namespaces: [narrow]}]");
    let calls = world.simulator.total_requests();
    world.start_with(&args, &[]);
    for name in ["ended", "running"] {
        let object = world.until_reason(name, "NotAllowed").await;
        assert_eq!(object.status.state, None);
        assert_eq!(object.status.cluster_id, None);
        assert_eq!(object.status.finished_at, None);
    }
    assert_eq!(world.simulator.total_requests(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_not_allowed_is_never_asked() {
    let mut world = World::new("regions").await;
    world.add_task("{id: T-1}");
    world.start_with(
        &["--credentials", "none", "--allowed-region", "cn-beijing"],
        &[],
    );
    world.create("default", json!({ "taskId": "T-1" })).await;
    world
        .create("other", json!({ "taskId": "T-1", "region": "cn-shanghai" }))
        .await;
    world
        .create("good", json!({ "taskId": "T-1", "region": "cn-beijing" }))
        .await;
    world.until_reason("good", "TaskSucceeded").await;
    for name in ["default", "other"] {
        world.until_reason(name, "NotAllowed").await;
    }
    assert_eq!(world.simulator.requests("T-1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_rules_that_cannot_be_used_ends_the_start() {
    let mut world = World::new("rules").await;
    let directory = tempfile::tempdir().unwrap();
    let file = write_rules(
        directory.path(),
        "rules:\n- namespaces: [a]\n  cluster: [b]\n",
    );
    world.start_with(&["--credentials", "none", "--access-file", &file], &[]);
    assert_eq!(world.wait(), 2);
    let log = world.log();
    assert!(log.contains("line 3") && log.contains("cluster"), "{log}");
    world.start_with(&["--credentials", "none", "--access-file", "/nowhere"], &[]);
    assert_eq!(world.wait(), 1);
    assert!(world.log().contains("/nowhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_edit_poll_request_or_secret_gets_round_a_rule() {
    let keys = "{credentials: [{accessKeyId: LTAI-own, accessKeySecret: s}]}";
    let mut world = World::with_script("round", keys.parse().unwrap()).await;
    world.add_task("{id: T-own, clusterId: c1}");
    world.add_task("{id: T-theirs, clusterId: c2, instances: [{id: i-secret}]}");
    let directory = tempfile::tempdir().unwrap();
    let rules = "rules: [{namespaces: ['*'], clusterIds: [c1], regions: [cn-hangzhou], credentials: [controller]}]";
    let file = write_rules(directory.path(), rules);
    let key = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI-own"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s"),
    ];
    grant_secrets(&world).await;
    world.start_with(&["--access-file", &file, "--secret-credentials"], &key);
    let spec = |task: &str| json!({ "taskId": task, "clusterId": "c1" });
    world.create("finished", spec("T-own")).await;
    world.until_reason("finished", "TaskSucceeded").await;
    let with_secret = json!({ "taskId": "T-theirs", "clusterId": "c1",
        "credentialsSecretRef": { "name": "keys" } });
    world.create("secret", with_secret).await;
    let elsewhere = json!({ "taskId": "T-theirs", "clusterId": "c1", "region": "cn-beijing" });
    world.create("elsewhere", elsewhere).await;
    for name in ["secret", "elsewhere"] {
        world.until_reason(name, "NotAllowed").await;
    }
    let ask_now = json!({ "metadata": { "annotations": {
        "scaleout.dev/poll-requested-at": "now" } } });
    let calls = world.simulator.total_requests();
    for name in ["secret", "elsewhere"] {
        world.patch(name, ask_now.clone()).await.unwrap();
    }
    // A finished object that is edited to name another cluster loses what it shows, poll request or not.
    let edit = json!({ "metadata": ask_now["metadata"], "spec": { "clusterId": "c2" } });
    world.patch("finished", edit).await.unwrap();
    let finished = world.until_reason("finished", "NotAllowed").await;
    assert_eq!(finished.status.cluster_id, None);
    assert_eq!(finished.status.finished_at, None);
    // Edited back, it is asked about again.
    world
        .patch("finished", json!({ "spec": { "clusterId": "c1" } }))
        .await
        .unwrap();
    world.until_reason("finished", "TaskSucceeded").await;
    assert_eq!(world.simulator.total_requests(), calls + 1);
    assert_eq!(world.simulator.requests("T-theirs"), 0);
    assert!(world.audited_verbs("secrets").is_empty());
}

/// A key that may read more than the namespace may: a Secret changes nothing about the clusters.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_a_key_of_others_shows_no_more_than_the_rule_allows() {
    let keys = "{credentials: [{accessKeyId: LTAI-victim, accessKeySecret: right}]}";
    let mut world = World::with_script("others-key", keys.parse().unwrap()).await;
    world.add_task("{id: T-own, clusterId: c1}");
    world.add_task("{id: T-theirs, clusterId: c2, instances: [{id: i-secret}]}");
    // Whatever its answer is like: it has no state, or is in no form that is known.
    world.add_task("{id: T-odd, body: '{\"cluster_id\": \"c2\", \"task_result\": 7}'}");
    world.add_task("{id: T-own-odd, body: '{\"cluster_id\": \"c1\", \"task_result\": 7}'}");
    let directory = tempfile::tempdir().unwrap();
    let file = write_rules(
        directory.path(),
        "rules: [{namespaces: ['*'], clusterIds: [c1]}]",
    );
    grant_secrets(&world).await;
    put_secret_in(&world, &world.namespace, "keys", "right").await;
    world.start_with(
        &[
            "--credentials",
            "none",
            "--secret-credentials",
            "--access-file",
            &file,
        ],
        &[],
    );
    let spec = |task: &str| json!({ "taskId": task, "clusterId": "c1", "credentialsSecretRef": { "name": "keys" } });
    for (name, task, reason) in [
        ("own", "T-own", "TaskSucceeded"),
        ("theirs", "T-theirs", "TaskNotFound"),
        ("odd", "T-odd", "TaskNotFound"),
        ("none", "T-none", "TaskNotFound"),
        ("own-odd", "T-own-odd", "InvalidResponse"),
    ] {
        world.create(name, spec(task)).await;
        world.until_reason(name, reason).await;
    }
    let none = seen(&world.get("none").await);
    for name in ["theirs", "odd"] {
        assert_eq!(seen(&world.get(name).await), none, "{name}");
    }
    assert!(!world.log().contains("i-secret"));
}

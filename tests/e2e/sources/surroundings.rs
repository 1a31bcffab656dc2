//! What surrounds sources: metrics, permissions, shards.

use std::collections::BTreeSet;

use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use simulator::Fault;
use testbed::{
    render::{granted, render},
    world::{World, eventually},
};

use super::{ARGS, CLUSTER, create, ended, names, objects, running, spec_of, until_names, world};

async fn until_metric(world: &World, line: &str) {
    eventually(line, || async {
        let (_, metrics) = world.admin("/metrics").await;
        metrics.lines().any(|one| one == line)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_sources_their_lists_and_what_they_made() {
    let world = world("metrics").await;
    let up = format!(
        r#"scaleouttask_sources_watch_up{{namespace="{}"}} 1"#,
        world.namespace
    );
    until_metric(&world, &up).await;
    until_metric(&world, "scaleouttask_source_tasks_made_total 0").await;
    world.simulator.set_tasks(["T-1", "T-2"].map(running));
    create(&world).await;
    until_metric(
        &world,
        r#"scaleouttask_sources_by_reason{reason="Listing"} 1"#,
    )
    .await;
    until_metric(&world, "scaleouttask_source_tasks_made_total 2").await;
    let success = r#"scaleouttask_source_listings_total{region="cn-hangzhou",outcome="success"}"#;
    let (_, metrics) = world.admin("/metrics").await;
    assert!(metrics.contains(success), "{metrics}");
    // One of the objects, deleted and not made again, changes nothing.
    super::delete(&world, "t-2").await;
    world
        .simulator
        .set_list_fault(CLUSTER, Fault::error(403, "Forbidden.RAM"));
    let denied =
        r#"scaleouttask_source_listings_total{region="cn-hangzhou",outcome="AccessDenied"} 1"#;
    until_metric(&world, denied).await;
    until_metric(
        &world,
        r#"scaleouttask_sources_by_reason{reason="AccessDenied"} 1"#,
    )
    .await;
    until_metric(
        &world,
        r#"scaleouttask_sources_by_reason{reason="Listing"} 0"#,
    )
    .await;
    until_metric(&world, "scaleouttask_source_tasks_made_total 2").await;
    let calls =
        r#"scaleouttask_task_api_requests_total{region="cn-hangzhou",outcome="AccessDenied"} 1"#;
    until_metric(&world, calls).await;
    let params = DeleteParams::default();
    world.sources().delete("src", &params).await.unwrap();
    until_metric(
        &world,
        r#"scaleouttask_sources_by_reason{reason="AccessDenied"} 0"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_cannot_be_watched_in_one_namespace_of_two_and_the_other_goes_on() {
    let mut world = World::new("half").await;
    crate::mistakes::bind(&world, "half-sources").await;
    let kubeconfig = world.plane.user("half-sources", None).unwrap();
    let args = [&ARGS[..], &["--namespace", "another"]].concat();
    world.simulator.set_task(running("T-1"));
    world.start_with(&args, &[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    create(&world).await;
    world.until_reason("t-1", "TaskRunning").await;
    eventually("it is ready", || async {
        world.admin("/readyz").await.0 == 200
    })
    .await;
    until_metric(
        &world,
        r#"scaleouttask_sources_watch_up{namespace="another"} 0"#,
    )
    .await;
    let log = world.log();
    let hint = "grant list and watch on scaleouttasksources.scaleout.dev";
    assert!(log.contains(hint), "{log}");
}

/// What a set of rules grants: group and resource, verb.
fn grants(values: &Value) -> BTreeSet<(String, String)> {
    let list = |rule: &Value, field: &str| -> Vec<String> {
        serde_json::from_value(rule[field].clone()).unwrap_or_default()
    };
    let mut grants = BTreeSet::new();
    for rule in granted(&render(values).unwrap()) {
        for resource in list(&rule, "resources") {
            for verb in list(&rule, "verbs") {
                grants.insert((resource.clone(), verb));
            }
        }
    }
    grants
}

#[test]
fn sources_need_no_more_permissions_than_to_read_them_to_show_their_status_and_to_create() {
    let off = grants(&json!({}));
    let on = grants(&json!({ "sources": { "enabled": true } }));
    let grant = |resource: &str, verb: &str| (resource.to_owned(), verb.to_owned());
    let added: Vec<_> = on.difference(&off).cloned().collect();
    let expected = [
        grant("scaleouttasks", "create"),
        grant("scaleouttasksources", "list"),
        grant("scaleouttasksources", "watch"),
        grant("scaleouttasksources/status", "patch"),
    ];
    assert_eq!(added, expected);
    assert!(off.is_subset(&on));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shard_makes_has_the_label_by_which_the_shard_finds_it() {
    let mut world = World::new("shard").await;
    world.simulator.set_task(running("T-1"));
    let args = [&ARGS[..], &["--selector", "team=web,stage in (prod, test)"]].concat();
    world.start_with(&args, &[]);
    let labels = json!({ "team": "web", "stage": "prod", "other": "x" });
    for (name, labels) in [("src", labels), ("other", json!({ "team": "data" }))] {
        let mut spec = spec_of(if name == "src" { CLUSTER } else { "c-2" });
        spec["template"] = json!({ "metadata": { "labels": { "team": "own", "color": "red" } } });
        let source = json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTaskSource",
            "metadata": { "name": name, "labels": labels }, "spec": spec,
        });
        world
            .create_any("scaleouttasksources", &source)
            .await
            .unwrap();
    }
    world.until_reason("t-1", "TaskRunning").await;
    until_names(&world, &["t-1"]).await;
    let object = &objects(&world).await[0];
    let label = |key: &str| object.labels().get(key).map(String::as_str);
    let seen = ["team", "stage", "color", "other"].map(label);
    assert_eq!(seen, [Some("web"), Some("prod"), Some("red"), None]);
    let other = world.sources().get("other").await.unwrap().status.unwrap();
    assert_eq!(other.observed_generation, Some(-1));
    assert_eq!(world.simulator.list_calls("c-2"), 0);
    assert_eq!(names(&world).await, ["t-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_only_listed_watched_and_patched() {
    let world = world("verbs").await;
    world.simulator.set_tasks([running("T-1"), ended("T-2")]);
    create(&world).await;
    world
        .until_source("src", |status| status.made == Some(2))
        .await;
    world.until_reason("t-2", "TaskSucceeded").await;
    let verbs = |resource: &str| -> BTreeSet<String> {
        world.audited_verbs(resource).into_iter().collect()
    };
    let of = |verbs: &[&str]| -> BTreeSet<String> {
        verbs.iter().map(|verb| (*verb).to_owned()).collect()
    };
    assert!(verbs("scaleouttasksources").is_subset(&of(&["list", "watch", "patch"])));
    assert!(verbs("scaleouttasks").is_subset(&of(&["list", "watch", "patch", "create"])));
}

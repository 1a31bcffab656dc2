//! Memory under what tenants choose: it stays below the chart's limit.

use std::fmt::{Debug, Write as _};

use controlplane::{ControlPlane, Options};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use scaleouttask_controller::api::{
    ScaleOutTask, ScaleOutTaskSource, ScaleOutTaskSourceSpec, ScaleOutTaskSpec,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use simulator::Task;
use testbed::{
    controller::Controller,
    secrets::grant_secrets,
    world::{GROUP, USER, World, client_of, eventually, install},
};
use tokio::sync::Mutex;

/// MiB that the chart gives a pod. The program that tests run is larger than the one in the image.
const LIMIT: f64 = 128.0;
/// Large answers, all asked for at once.
const ANSWERS: usize = 40;
/// Each of these tests fills memory of its own, the API server's too: one at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// Checks the most memory that the controller had so far.
fn check_peak(world: &World, what: &str) {
    let peak = world.usage().peak;
    println!("{what}: {peak:.1} MiB at most");
    assert!(peak < LIMIT, "{what}: {peak:.1} MiB");
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("o-{number}"))
}

/// Nearly 1.4 MiB of what whoever makes an object may put into its metadata.
fn large_metadata() -> Value {
    let owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "uid": "00000000-0000-0000-0000-000000000000",
        "name": "n".repeat(1180 << 10),
    });
    json!({ "metadata": {
        "annotations": { "note": "a".repeat(240 << 10) }, "ownerReferences": [owner],
    } })
}

async fn until_all(world: &World, count: usize, metric: &str) {
    let line = format!("{metric} {count}\n");
    eventually(&line, || async {
        world.admin("/metrics").await.1.contains(&line)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_metadata_comes_one_object_at_a_time() {
    let _turn = TURN.lock().await;
    let mut world = World::new("metadata").await;
    let (api, params) = (world.api(), PatchParams::default());
    for name in names(40) {
        world.simulator.set_task(Task::in_state(&name, "running"));
        world.create(&name, json!({ "taskId": name })).await;
        api.patch_metadata(&name, &params, &Patch::Merge(&large_metadata()))
            .await
            .unwrap();
    }
    world.start();
    until_all(&world, 40, r#"tasks_by_reason{reason="TaskRunning"}"#).await;
    check_peak(&world, "40 objects of 1.4 MiB");
    world.stop();
    world.start();
    until_all(&world, 40, r#"tasks_by_reason{reason="TaskRunning"}"#).await;
    check_peak(&world, "the same at a restart");
}

/// Where the API server can't stream a list, it comes in pages, each held whole.
#[tokio::test(flavor = "multi_thread")]
async fn large_metadata_comes_in_pages_that_fit() {
    let _turn = TURN.lock().await;
    let options = Options::default().feature_gate("WatchList", false);
    let start = move || ControlPlane::start(&options).unwrap();
    let plane = tokio::task::spawn_blocking(start).await.unwrap();
    let client = client_of(&plane).await;
    install(&client).await;
    for name in names(40) {
        let spec = ScaleOutTaskSpec {
            task_id: name.clone(),
            suspend: Some(true),
            ..ScaleOutTaskSpec::default()
        };
        create_large(&client, ScaleOutTask::new(&name, spec)).await;
        let spec = ScaleOutTaskSourceSpec {
            cluster_id: name.clone(),
            suspend: Some(true),
            ..ScaleOutTaskSourceSpec::default()
        };
        create_large(&client, ScaleOutTaskSource::new(&name, spec)).await;
    }
    let mut command = Controller::command();
    command
        .args(["--credentials", "none", "--region", "cn-hangzhou"])
        .arg("--sources")
        .env("KUBECONFIG", plane.user(USER, Some(GROUP)).unwrap());
    let log = plane.directory().join("pages.log");
    let controller = Controller::spawn(command, &log);
    for metric in ["tasks_by_reason", "sources_by_reason"] {
        let line = format!("{metric}{{reason=\"Suspended\"}} 40\n");
        eventually(&line, || async {
            controller.admin("/metrics").await.1.contains(&line)
        })
        .await;
    }
    assert!(controller.log().contains("the list comes in pages"));
    let peak = controller.usage().peak;
    println!("40 objects and 40 sources of 1.4 MiB, in pages: {peak:.1} MiB at most");
    assert!(peak < LIMIT, "{peak:.1} MiB");
}

/// Creates an object and gives it large metadata.
async fn create_large<K>(client: &Client, object: K)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let api: Api<K> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &object).await.unwrap();
    let patch = Patch::Merge(large_metadata());
    api.patch_metadata(&object.name_any(), &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// A megabyte in a value, which counts no more than 4 KiB, and beside the values that count.
#[tokio::test(flavor = "multi_thread")]
async fn large_secrets_are_read_a_few_at_a_time_and_not_kept() {
    let _turn = TURN.lock().await;
    let mut world = World::new("tokens").await;
    grant_secrets(&world).await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    for (number, name) in names(64).enumerate() {
        world.simulator.set_task(Task::in_state(&name, "running"));
        let large = if number % 2 == 0 {
            "securityToken"
        } else {
            "unused"
        };
        let secret = json!({
            "metadata": { "name": name },
            "stringData": { "accessKeyId": name, "accessKeySecret": "s", large: "t".repeat(1_000_000) },
        });
        let secret: Secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    world.start_with(&["--credentials", "none", "--secret-credentials"], &[]);
    for name in names(64) {
        let spec = json!({ "taskId": name, "credentialsSecretRef": { "name": name } });
        world.create(&name, spec).await;
    }
    until_all(&world, 32, r#"tasks_by_reason{reason="TaskRunning"}"#).await;
    until_all(
        &world,
        32,
        r#"tasks_by_reason{reason="CredentialsInvalid"}"#,
    )
    .await;
    check_peak(&world, "64 Secrets of 1 MB");
}

/// As many entries as fit into the largest body that is read, in both forms.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_cut_before_they_are_kept() {
    let _turn = TURN.lock().await;
    let mut world = World::new("answers").await;
    let mut xml = String::from("<task_id>o-0</task_id><state>running</state>");
    // As many elements as are read.
    for number in 0..13_300 {
        let entry = format!("<data>i-{number:014}</data><status>s</status>");
        write!(xml, "<task_result>{entry}</task_result>").unwrap();
    }
    assert!((900_000..1 << 20).contains(&xml.len()), "{}", xml.len());
    let entries = vec![json!({ "data": "i", "status": "s" }); 40_000];
    let body = json!({ "state": "running", "task_result": entries }).to_string();
    assert!((900_000..1 << 20).contains(&body.len()), "{}", body.len());
    for (number, name) in names(ANSWERS).enumerate() {
        let body = if number % 2 == 0 {
            body.clone()
        } else {
            xml.replace("o-0", &name)
        };
        let task = json!({ "id": name, "body": body }).to_string();
        world.add_task(&task);
    }
    world.start();
    let (api, params) = (world.api(), PostParams::default());
    let create = |name: String| {
        let (api, params) = (api.clone(), params.clone());
        async move {
            let object = json!({
                "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
                "metadata": { "name": name }, "spec": { "taskId": name },
            });
            let object = serde_json::from_value(object).unwrap();
            api.create(&params, &object).await.unwrap();
        }
    };
    stream::iter(names(ANSWERS))
        .for_each_concurrent(ANSWERS, create)
        .await;
    until_all(&world, ANSWERS, r#"tasks_by_reason{reason="TaskRunning"}"#).await;
    eventually("each is asked about three times", || async {
        world.simulator.total_requests() > ANSWERS * 3
    })
    .await;
    check_peak(&world, "40 answers of 1 MiB a second");
}

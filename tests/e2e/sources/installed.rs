//! A cluster in which the second kind isn't installed yet.

use controlplane::{ControlPlane, Options};
use kube::{Api, api::PostParams};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSource, crd, source_crd};
use serde_json::json;
use simulator::Simulator;
use testbed::{
    controller::Controller,
    world::{GROUP, USER, client_of, eventually, install_crd, install_role},
};

use super::{ARGS, CLUSTER, ended, running, spec_of};

/// A control plane of its own, as its second kind comes later.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_second_kind_is_not_installed_it_says_so_is_not_ready_and_tracks_the_first() {
    let start = || ControlPlane::start(&Options::default()).unwrap();
    let plane = tokio::task::spawn_blocking(start).await.unwrap();
    let client = client_of(&plane).await;
    install_crd(&client, &crd()).await;
    install_role(&client).await;
    let simulator = Simulator::start("{}".parse().unwrap()).unwrap();
    simulator.set_tasks([running("T-1"), ended("T-2")]);
    let mut command = Controller::command();
    command
        .args(["--region", "cn-hangzhou", "--poll-interval", "1s"])
        .args(["--namespace", "default", "--endpoint", &simulator.url()])
        .args(ARGS)
        .env("KUBECONFIG", plane.user(USER, Some(GROUP)).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut controller = Controller::spawn(command, &directory.path().join("log"));
    let tasks: Api<ScaleOutTask> = Api::default_namespaced(client.clone());
    let object = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": "own" }, "spec": { "taskId": "T-2" },
    });
    let object = serde_json::from_value(object).unwrap();
    tasks.create(&PostParams::default(), &object).await.unwrap();
    eventually("it tracks tasks", || async {
        let status = tasks.get("own").await.unwrap().status.unwrap_or_default();
        status.finished_at.is_some()
    })
    .await;
    let down = r#"scaleouttask_sources_watch_up{namespace="default"} 0"#;
    eventually("the metric", || async {
        controller.admin("/metrics").await.1.contains(down)
    })
    .await;
    let log = controller.log();
    let hint = "apply crds/scaleouttasksources.yaml, or leave --sources out";
    assert_eq!(log.matches(hint).count(), 1, "{log}");
    assert_eq!(controller.admin("/readyz").await.0, 503);
    assert!(controller.is_running());

    install_crd(&client, &source_crd()).await;
    let sources: Api<ScaleOutTaskSource> = Api::default_namespaced(client.clone());
    let spec = serde_json::from_value(spec_of(CLUSTER)).unwrap();
    let source = ScaleOutTaskSource::new("src", spec);
    sources
        .create(&PostParams::default(), &source)
        .await
        .unwrap();
    eventually("it lists", || async {
        tasks.get_opt("t-1").await.unwrap().is_some()
            && tasks.get_opt("t-2").await.unwrap().is_some()
    })
    .await;
    assert_eq!(controller.admin("/readyz").await.0, 200);
    assert!(
        controller
            .log()
            .contains("watching ScaleOutTaskSources again")
    );
}

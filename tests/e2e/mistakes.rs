//! Mistakes of operators that show themselves: an older CRD, two leaders, a namespace that can't be watched.

use std::{fs, process::Command};

use controlplane::{ControlPlane, Options};
use k8s_openapi::{
    api::rbac::v1::RoleBinding,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use scaleouttask_controller::api::{ScaleOutTask, crd};
use serde_json::json;
use simulator::Simulator;
use testbed::{
    controller::Controller,
    world::{GROUP, USER, World, client_of, eventually, install},
};

/// A control plane of its own, as its CRD is another.
struct OldCluster {
    plane: ControlPlane,
    client: Client,
    directory: tempfile::TempDir,
}

impl OldCluster {
    async fn start() -> Self {
        let start = || ControlPlane::start(&Options::default()).unwrap();
        let plane = tokio::task::spawn_blocking(start).await.unwrap();
        let client = client_of(&plane).await;
        install(&client).await;
        let cluster = Self {
            plane,
            client,
            directory: tempfile::tempdir().unwrap(),
        };
        cluster.apply(&without_current_stage()).await;
        cluster
    }

    async fn apply(&self, crd: &CustomResourceDefinition) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = crd.metadata.name.clone().unwrap();
        let params = PatchParams::apply("tests").force();
        crds.patch(&name, &params, &Patch::Apply(crd))
            .await
            .unwrap();
    }

    fn start_controller(&self, simulator: &Simulator) -> Controller {
        let mut command: Command = Controller::command();
        command
            .args(["--region", "cn-hangzhou", "--poll-interval", "1s"])
            .args(["--namespace", "default", "--credentials", "none"])
            .args(["--endpoint", &simulator.url()])
            .env("KUBECONFIG", self.plane.user(USER, Some(GROUP)).unwrap());
        Controller::spawn(command, &self.directory.path().join("controller.log"))
    }

    fn status_writes(&self) -> usize {
        let log = fs::read_to_string(self.plane.audit_log()).unwrap();
        let is_write = |line: &&str| {
            line.contains("\"ResponseComplete\"")
                && line.contains("\"subresource\":\"status\"")
                && line.contains("\"verb\":\"patch\"")
        };
        log.lines().filter(is_write).count()
    }
}

fn without_current_stage() -> CustomResourceDefinition {
    let mut crd = crd();
    let schema = crd.spec.versions[0].schema.as_mut().unwrap();
    let schema = schema.open_api_v3_schema.as_mut().unwrap();
    let status = schema
        .properties
        .as_mut()
        .unwrap()
        .get_mut("status")
        .unwrap();
    let fields = status.properties.as_mut().unwrap();
    assert!(fields.remove("currentStage").is_some());
    let columns = crd.spec.versions[0].additional_printer_columns.as_mut();
    columns.unwrap().retain(|column| column.name != "Stage");
    crd
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_crd_is_said_and_costs_one_write_a_change() {
    let cluster = OldCluster::start().await;
    let simulator = Simulator::start("{}".parse().unwrap()).unwrap();
    simulator.set_task(
        "{id: T-1, duration: 1h, stages: [{name: create, after: 0s}]}"
            .parse()
            .unwrap(),
    );
    let controller = cluster.start_controller(&simulator);
    let api: Api<ScaleOutTask> = Api::default_namespaced(cluster.client.clone());
    let spec = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": "one" }, "spec": { "taskId": "T-1" },
    });
    let object: ScaleOutTask = serde_json::from_value(spec).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    eventually("twelve calls", || async { simulator.requests("T-1") >= 12 }).await;
    let writes = cluster.status_writes();
    assert!((1..=2).contains(&writes), "{writes} writes in 12 calls");
    let log = controller.log();
    assert_eq!(
        log.matches("the API server dropped a part").count(),
        1,
        "{log}"
    );
    let (_, metrics) = controller.admin("/metrics").await;
    assert!(metrics.contains("scaleouttask_crd_outdated 1"), "{metrics}");
    // The object shows all that its CRD has a field for.
    let status = api.get("one").await.unwrap().status.unwrap();
    assert_eq!(status.state.as_deref(), Some("running"));
    assert_eq!(status.current_stage, None);

    // With the right CRD, the next change is whole.
    cluster.apply(&crd()).await;
    simulator.set_task(
        "{id: T-1, duration: 0s, stages: [{name: create, after: 0s}]}"
            .parse()
            .unwrap(),
    );
    eventually("the end, with its stage", || async {
        let status = api.get("one").await.unwrap().status.unwrap();
        status.finished_at.is_some() && status.current_stage.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_with_different_rules_are_said_with_the_others_name() {
    let mut world = World::new("two").await;
    world.add_task("{id: T-1, duration: 1h}");
    let namespace = world.namespace.clone();
    let lease = |name| {
        let place = ["--lease-namespace", &namespace, "--lease-name", name];
        [&["--credentials", "none", "--leader-elect"], &place[..]].concat()
    };
    world.start_with(&lease("first"), &[]);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskRunning").await;
    // Another one, under another Lease, that allows another region only.
    let args = [&lease("second")[..], &["--allowed-region", "cn-beijing"]].concat();
    let other = world.controller("other", &world.simulator, &args, &[]);
    eventually("the first says so", || async {
        world.log().contains("somebody else changes the status")
    })
    .await;
    let log = world.log();
    let line = log.lines().find(|line| line.contains("somebody else"));
    let line = line.unwrap();
    for (which, name) in [("by", "second"), ("own", "first")] {
        let expected = format!("{which}=scaleouttask-controller:{namespace}/{name}");
        assert!(line.contains(&expected), "{line}");
    }
    assert!(line.contains("name=one"), "{line}");
    let (_, metrics) = world.admin("/metrics").await;
    let counted = "scaleouttask_foreign_status_changes_total 1";
    assert!(metrics.contains(counted), "{metrics}");
    drop(other);
}

/// Lets that user do in the namespace what the controller may do everywhere else.
pub async fn bind(world: &World, user: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.namespace);
    let params = PatchParams::apply("tests");
    bindings
        .patch(user, &params, &Patch::Apply(&binding))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_be_watched_stops_no_other_and_is_named() {
    let mut world = World::new("some").await;
    world.add_task("{id: T-1}");
    bind(&world, "half").await;
    let kubeconfig = world.plane.user("half", None).unwrap();
    let args = ["--credentials", "none", "--namespace", "another"];
    world.start_with(&args, &[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    eventually("it is ready", || async {
        world.admin("/readyz").await.0 == 200
    })
    .await;
    let log = world.log();
    let line = log.lines().find(|line| line.contains("can't watch"));
    assert!(line.unwrap().contains("namespace=\"another\""), "{log}");
    let (_, metrics) = world.admin("/metrics").await;
    assert!(
        metrics.contains(r#"watch_up{namespace="another"} 0"#),
        "{metrics}"
    );
    let own = format!(r#"watch_up{{namespace="{}"}} 1"#, world.namespace);
    assert!(metrics.contains(&own), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_where_nothing_can_be_watched() {
    let mut world = World::new("none").await;
    let kubeconfig = world.plane.user("nobody", None).unwrap();
    world.start_with(
        &["--credentials", "none", "--namespace", "another"],
        &[("KUBECONFIG", kubeconfig.to_str().unwrap())],
    );
    eventually("both fail", || async {
        let (_, metrics) = world.admin("/metrics").await;
        metrics.matches("} 0").count() >= 2 && metrics.matches("watch_up{").count() == 2
    })
    .await;
    assert_eq!(world.admin("/readyz").await.0, 503);
    assert_eq!(world.stop().0, 0);
}

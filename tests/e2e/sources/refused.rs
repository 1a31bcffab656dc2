//! Objects that the API server refuses to create.

use k8s_openapi::api::{
    core::v1::{Namespace, ResourceQuota},
    rbac::v1::{ClusterRole, Role, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use scaleouttask_controller::api::ScaleOutTaskSource;
use serde_json::json;
use testbed::{
    admission::Rule,
    world::{USER, World, eventually},
};

use super::{
    ARGS, assert_not_polled, create, delete, ended, names, running, shown, source_writes,
    until_listed, until_names, world,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_refuses_is_told_in_its_words_and_holds_up_no_other_object() {
    let world = world("refused").await;
    let namespace = &world.namespace;
    let rule = Rule::refuse_tasks(world.plane, &world.client, namespace, "bad-").await;
    let rule = rule.unwrap();
    world
        .simulator
        .set_tasks(["bad-1", "T-2", "bad-3", "T-4"].map(running));
    create(&world).await;
    until_names(&world, &["t-2", "t-4"]).await;
    let status = world.until_source_reason("src", "RequestRejected").await;
    assert_eq!(status.made, Some(2));
    let (ready, beside, message) = shown(&world, "src").await;
    assert_eq!((ready.as_str(), beside.as_str()), ("False", "Stalled"));
    assert!(
        message.contains("not all their ScaleOutTasks can be created"),
        "{message}"
    );
    assert!(message.contains("no tasks here"), "{message}");
    eventually("the Event", || async {
        let event = ("Warning".to_owned(), "RequestRejected".to_owned());
        world.events("src").await.contains(&event)
    })
    .await;
    // It lists on: what is new is made, and objects aren't polled in their turn.
    world.simulator.set_task(running("T-5"));
    until_names(&world, &["t-2", "t-4", "t-5"]).await;
    until_listed(&world).await;
    let writes = source_writes(&world, "src");
    assert_not_polled(&world, ["T-2"]).await;
    assert_eq!(source_writes(&world, "src"), writes, "it said so once");
    let log = world.log();
    assert_eq!(
        log.matches("the API server refuses the object").count(),
        2,
        "once each"
    );
    tokio::task::block_in_place(|| drop(rule));
    until_names(&world, &["bad-1", "bad-3", "t-2", "t-4", "t-5"]).await;
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!(status.made, Some(5));
}

/// Nobody but the quota controller counts what is there, and none runs here.
async fn set_quota(world: &World, most: usize) {
    let api: Api<ResourceQuota> = Api::namespaced(world.client.clone(), &world.namespace);
    let hard = json!({ "count/scaleouttasks.scaleout.dev": most.to_string() });
    let used = json!({ "count/scaleouttasks.scaleout.dev": names(world).await.len().to_string() });
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" },
        "spec": { "hard": hard },
    });
    let params = PatchParams::apply("tests").force();
    api.patch("few", &params, &Patch::Apply(&quota))
        .await
        .unwrap();
    let status = json!({ "status": { "hard": hard, "used": used } });
    let params = PatchParams::default();
    api.patch_status("few", &params, &Patch::Merge(&status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_bounds_what_a_source_makes_until_there_is_room() {
    let mut world = World::new("quota").await;
    world
        .create("own", json!({ "taskId": "T-own", "suspend": true }))
        .await;
    set_quota(&world, 2).await;
    world
        .simulator
        .set_tasks(["T-1", "T-2", "T-3", "T-4"].map(ended));
    world.start_with(&ARGS, &[]);
    create(&world).await;
    // It has room for one.
    let status = world.until_source_reason("src", "RequestRejected").await;
    assert_eq!(status.made, Some(1));
    assert_eq!(names(&world).await.len(), 2);
    let (_, _, message) = shown(&world, "src").await;
    assert!(message.contains("exceeded quota: few"), "{message}");
    delete(&world, "own").await;
    set_quota(&world, 4).await;
    until_names(&world, &["t-1", "t-2", "t-3", "t-4"]).await;
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!(status.made, Some(4));
    let api: Api<ResourceQuota> = Api::namespaced(world.client.clone(), &world.namespace);
    api.delete("few", &DeleteParams::default()).await.unwrap();
}

/// Lets that user do in the namespace what the controller may do, but create objects.
async fn grant_all_but_create(world: &World, user: &str) {
    let usual: Api<ClusterRole> = Api::all(world.client.clone());
    let mut granted = usual.get(USER).await.unwrap().rules.unwrap();
    let tasks = "scaleouttasks".to_owned();
    for rule in &mut granted {
        if rule
            .resources
            .as_ref()
            .is_some_and(|all| all.contains(&tasks))
        {
            rule.verbs.retain(|verb| verb != "create");
        }
    }
    granted.retain(|rule| !rule.verbs.is_empty());
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": user }, "rules": granted,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "all-but-create" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    let params = PostParams::default();
    let roles: Api<Role> = Api::namespaced(world.client.clone(), &world.namespace);
    let role = serde_json::from_value(role).unwrap();
    roles.create(&params, &role).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.namespace);
    let binding = serde_json::from_value(binding).unwrap();
    bindings.create(&params, &binding).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_to_create_the_source_names_it() {
    let mut world = World::new("forbidden").await;
    grant_all_but_create(&world, "reader").await;
    let kubeconfig = world.plane.user("reader", None).unwrap();
    world.simulator.set_tasks(["T-1", "T-2"].map(running));
    world.start_with(&ARGS, &[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    create(&world).await;
    let status = world.until_source_reason("src", "RequestRejected").await;
    assert_eq!(status.made, Some(0));
    let (_, _, message) = shown(&world, "src").await;
    assert!(
        message.contains("cannot create resource \"scaleouttasks\""),
        "{message}"
    );
    // Objects that are there go on.
    world.create("own", json!({ "taskId": "T-1" })).await;
    world.until_reason("own", "TaskRunning").await;
    // Granted, it goes on by itself.
    crate::mistakes::bind(&world, "reader").await;
    until_names(&world, &["own", "t-1", "t-2"]).await;
    world.until_source_reason("src", "Listing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_in_a_namespace_that_is_deleted_makes_nothing_more() {
    let mut world = World::new("ending").await;
    // Without the checks of a test's namespace, which need one more object in it.
    let name = format!("{}-terminating", world.namespace);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let namespace = json!({ "metadata": { "name": name } });
    let namespace = serde_json::from_value(namespace).unwrap();
    let params = PostParams::default();
    namespaces.create(&params, &namespace).await.unwrap();
    let sources: Api<ScaleOutTaskSource> = Api::namespaced(world.client.clone(), &name);
    world.simulator.set_task(running("T-1"));
    world.start_with(&[&ARGS[..], &["--namespace", &name]].concat(), &[]);
    let spec = serde_json::from_value(super::with(json!({}))).unwrap();
    let source = ScaleOutTaskSource::new("src", spec);
    sources.create(&params, &source).await.unwrap();
    let reason = async || {
        let status = sources.get("src").await.unwrap().status.unwrap_or_default();
        let mut conditions = status.conditions.into_iter();
        let ready = conditions.find(|one| one.type_ == "Ready");
        ready
            .map(|ready| (ready.reason, ready.message))
            .unwrap_or_default()
    };
    eventually("it lists", || async { reason().await.0 == "Listing" }).await;
    // Nothing empties it here, so that it stays in this state.
    namespaces
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    world.simulator.set_task(running("T-2"));
    eventually("it says so", || async {
        let (reason, message) = reason().await;
        reason == "RequestRejected" && message.contains("because it is being terminated")
    })
    .await;
    let tries = world.log().matches("T-2").count();
    until_listed(&world).await;
    let more = world.log().matches("T-2").count() - tries;
    assert!(more <= 2, "it is said {more} times more");
}

//! What a person sees when things go wrong around the objects.

use std::{fs, time::Duration};

use controlplane::{ControlPlane, Options};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec};
use testbed::world::{World, client_of, install};

use crate::stage::{Ran, command, end, run, run_as, start};

#[tokio::test(flavor = "multi_thread")]
async fn that_no_controller_looks_is_said_once() {
    let world = World::new("nobody").await;
    let ran = run(&world, &["track", "T-1", "--wait-timeout", "20s"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(
        ran.stderr.matches("no controller seems to run").count(),
        1,
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("Nothing has looked at t-1 for 15 s"),
        "{ran:?}"
    );
    assert!(
        ran.last().starts_with("t-1 -        -     NotLookedAt"),
        "{ran:?}"
    );
}

/// A role of the namespace for one user.
fn allow(world: &World, user: &str, verbs: &str) -> std::path::PathBuf {
    let verbs = format!("--verb={verbs}");
    world.kubectl_text(&[
        "create",
        "role",
        user,
        &verbs,
        "--resource=scaleouttasks.scaleout.dev",
    ]);
    let (role, user_) = (format!("--role={user}"), format!("--user={user}"));
    world.kubectl_text(&["create", "rolebinding", user, &role, &user_]);
    world.plane.user(user, None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_said_by_its_verb() {
    let world = World::new("forbidden").await;
    assert_eq!(run(&world, &["track", "T-1", "--no-wait"]).code, 0);
    let nothing = world.plane.user("nothing", None).unwrap();
    let lister = allow(&world, "lister", "list");
    let maker = allow(&world, "maker", "list,create");
    for (user, args, verb) in [
        (&nothing, &["watch", "--all"] as &[&str], "list"),
        (&nothing, &["track", "T-2"], "list"),
        (&nothing, &["why", "t-1"], "get"),
        (&nothing, &["suspend", "t-1"], "patch"),
        (&lister, &["track", "T-2"], "create"),
        (&lister, &["watch", "t-1"], "watch"),
        (&maker, &["track", "T-2"], "watch"),
        (&maker, &["track", "T-2", "--ttl", "1h"], "patch"),
    ] {
        let ran = run_as(user, &world, args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        let said = format!(
            "You may not {verb} ScaleOutTasks in namespace {}",
            world.namespace
        );
        assert!(ran.stderr.contains(&said), "{args:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_crd_it_says_to_install_it_and_without_an_api_server_that_there_is_none() {
    let plane = tokio::task::spawn_blocking(|| ControlPlane::start(&Options::default()).unwrap());
    let mut plane = plane.await.unwrap();
    let ran = |plane: &ControlPlane, args: &[&str]| -> Ran {
        let mut command = command(plane.kubeconfig(), "default", args);
        tokio::task::block_in_place(|| command.output().unwrap()).into()
    };
    for args in [
        &["track", "T-1"] as &[&str],
        &["watch"],
        &["watch", "a"],
        &["why", "a"],
        &["poll", "a"],
    ] {
        let ran = ran(&plane, args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(
            ran.stderr.contains("install the CRD first"),
            "{args:?}: {ran:?}"
        );
    }
    plane.kill_apiserver().unwrap();
    let ran = ran(&plane, &["watch"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("The API server can't be asked"),
        "{ran:?}"
    );
}

fn object(task: &str) -> ScaleOutTask {
    let spec = ScaleOutTaskSpec {
        task_id: task.to_owned(),
        ..ScaleOutTaskSpec::default()
    };
    ScaleOutTask::new("one", spec)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_gone_for_a_while_is_said_once_and_what_happened_meanwhile_is_seen() {
    let plane = tokio::task::spawn_blocking(|| ControlPlane::start(&Options::default()).unwrap());
    let mut plane = plane.await.unwrap();
    install(&client_of(&plane).await).await;
    let kubectl = |plane: &ControlPlane, args: &[&str]| {
        let output = plane.kubectl().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let manifest = |task: &str| {
        let path = plane.directory().join(format!("{task}.json"));
        fs::write(&path, serde_json::to_vec(&object(task)).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (before, after) = (manifest("T-1"), manifest("T-2"));
    kubectl(&plane, &["create", "-f", &before]);
    let mut watch = command(
        plane.kubeconfig(),
        "default",
        &["watch", "one", "--wait-timeout", "2m"],
    );
    let child = watch.spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;

    plane.stop_apiserver().unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    plane.start_apiserver().unwrap();
    // Deleted and made again, perhaps before it is seen.
    kubectl(&plane, &["delete", "sot/one"]);
    kubectl(&plane, &["create", "-f", &after]);
    kubectl(
        &plane,
        &[
            "patch",
            "sot/one",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True","reason":"TaskSucceeded","message":"Done","lastTransitionTime":"2026-01-15T08:00:01Z"},{"type":"Finished","status":"True","reason":"TaskSucceeded","message":"Done","lastTransitionTime":"2026-01-15T08:00:01Z"}]}}"#,
        ],
    );
    let ran = end(child);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(
        ran.stderr.matches("The API server can't be asked").count(),
        1,
        "{ran:?}"
    );
    assert_eq!(
        ran.stderr.matches("The API server answers again").count(),
        1,
        "{ran:?}"
    );
    assert!(ran.stdout.contains("Deleted"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reading_any_more_ends_it_quietly() {
    let mut world = World::new("unread").await;
    world.add_task("{id: T-1, duration: 3s}");
    world.start();
    let mut child = start(&world, &["track", "T-1"]);
    drop(child.stdout.take());
    let ran = end(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (130, ""), "{ran:?}");
}

//! What a person sees when things go wrong around the objects.

use std::{
    fs,
    io::{BufReader, Read},
    net::TcpListener,
    process::{Child, ChildStderr, ChildStdout, Command},
};

use controlplane::{ControlPlane, Options};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec};
use serde_json::json;
use testbed::world::{World, client_of, install};
use tokio::sync::{Mutex, MutexGuard};

use crate::stage::{Ran, command, end, read_until, run, run_as, start};

#[tokio::test(flavor = "multi_thread")]
async fn that_no_controller_looks_is_said_once() {
    let world = World::new("nobody").await;
    let ran = run(&world, &["track", "T-1", "--wait-timeout", "17s"]);
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
    // What is tracked already isn't said to be untracked.
    let ran = run_as(&maker, &world, &["track", "T-1", "--ttl", "1h"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let said = "t-1 tracks T-1 already, but not with ttlSecondsAfterFinished 3600";
    assert!(
        ran.stderr.contains(said) && !ran.stderr.contains("isn't tracked"),
        "{ran:?}"
    );
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
        ran.stderr.contains("The API server https://127.0.0.1:")
            && ran.stderr.contains(" can't be asked: "),
        "{ran:?}"
    );
}

/// A control plane of its own, with the CRD and one object. There is one at a time: each takes its share of the machine.
struct Alone {
    plane: ControlPlane,
    _one: MutexGuard<'static, ()>,
}

impl Alone {
    async fn start() -> Self {
        static ONE: Mutex<()> = Mutex::const_new(());
        let one = ONE.lock().await;
        let start = || ControlPlane::start(&Options::default()).unwrap();
        let plane = tokio::task::spawn_blocking(start).await.unwrap();
        install(&client_of(&plane).await).await;
        let alone = Self { plane, _one: one };
        alone.create("T-1");
        alone
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let output = self.plane.kubectl().args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {output:?}");
        text
    }

    /// Creates the object.
    fn create(&self, task: &str) {
        let spec = ScaleOutTaskSpec {
            task_id: task.to_owned(),
            ..ScaleOutTaskSpec::default()
        };
        let path = self.plane.directory().join(format!("{task}.json"));
        let object = ScaleOutTask::new("one", spec);
        fs::write(&path, serde_json::to_vec(&object).unwrap()).unwrap();
        self.kubectl(&["create", "-f", path.to_str().unwrap()]);
    }

    /// Has its task have succeeded.
    fn succeed(&self) {
        let condition = |type_: &str| {
            json!({ "type": type_, "status": "True", "reason": "TaskSucceeded", "message": "Done",
                "lastTransitionTime": "2026-01-15T08:00:01Z" })
        };
        let conditions = [condition("Ready"), condition("Finished")];
        let status = json!({ "status": { "observedGeneration": 1, "conditions": conditions } });
        let patch = ["patch", "sot/one", "--subresource=status", "--type=merge"];
        self.kubectl(&[&patch[..], &["-p", &status.to_string()]].concat());
    }

    /// Starts the program to watch the object, and stops the API server once it does. Returns when that was noted.
    fn watch_and_stop(&mut self) -> Stopped {
        let mut child = self
            .command(&["watch", "one", "--wait-timeout", "2m"])
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        read_until(&mut said, "NotLookedAt");
        self.plane.stop_apiserver().unwrap();
        let mut noted = BufReader::new(child.stderr.take().unwrap());
        read_until(&mut noted, " can't be asked: ");
        Stopped { child, said, noted }
    }

    fn command(&self, args: &[&str]) -> Command {
        command(self.plane.kubeconfig(), "default", args)
    }
}

/// A watch whose API server was stopped.
struct Stopped {
    child: Child,
    said: BufReader<ChildStdout>,
    noted: BufReader<ChildStderr>,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_gone_for_a_while_is_said_once_and_what_happened_meanwhile_is_seen() {
    let mut alone = Alone::start().await;
    let Stopped {
        child,
        mut said,
        mut noted,
    } = alone.watch_and_stop();
    alone.plane.start_apiserver().unwrap();
    // Deleted and made again, perhaps before it is seen.
    alone.kubectl(&["delete", "sot/one"]);
    alone.create("T-2");
    alone.succeed();
    let (mut lines, mut rest) = (String::new(), String::new());
    said.read_to_string(&mut lines).unwrap();
    noted.read_to_string(&mut rest).unwrap();
    assert_eq!(end(child).code, 4, "{lines}{rest}");
    assert!(!rest.contains("can't be asked"), "{rest}");
    assert_eq!(
        rest.matches("The API server answers again").count(),
        1,
        "{rest}"
    );
    assert!(lines.contains("Deleted"), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_too_old_begins_anew() {
    let mut alone = Alone::start().await;
    let version = [
        "get",
        "sot/one",
        "-o",
        "jsonpath={.metadata.resourceVersion}",
    ];
    let version = alone.kubectl(&version);
    let mut stopped = alone.watch_and_stop();
    // What starts keeps no changes from before.
    alone.plane.start_apiserver().unwrap();
    let path = "/apis/scaleout.dev/v1alpha1/namespaces/default/scaleouttasks";
    let too_old = alone.kubectl(&[
        "get",
        "--raw",
        &format!("{path}?watch=1&timeoutSeconds=2&resourceVersion={version}"),
    ]);
    assert!(too_old.contains(r#""code":410"#), "{too_old:?}");
    alone.succeed();
    read_until(&mut stopped.said, "TaskSucceeded");
    assert_eq!(end(stopped.child).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn track_makes_its_object_as_soon_as_an_api_server_answers() {
    let mut alone = Alone::start().await;
    alone.plane.kill_apiserver().unwrap();
    let mut child = alone
        .command(&["track", "T-2", "--no-wait"])
        .spawn()
        .unwrap();
    let mut noted = BufReader::new(child.stderr.take().unwrap());
    read_until(&mut noted, "trying again for a while");
    alone.plane.start_apiserver().unwrap();
    let ran = end(child);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout, "scaleouttask.scaleout.dev/t-2\n");
    alone.plane.kill_apiserver().unwrap();
    let args = ["track", "T-3", "--wait-timeout", "1s"];
    let output = tokio::task::block_in_place(|| alone.command(&args).output().unwrap());
    let ran = Ran::from(output);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("T-3 isn't tracked yet"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_takes_connections_and_never_answers_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    let config = json!({
        "current-context": "c", "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "clusters": [{ "name": "c", "cluster": { "server": server } }], "users": [{ "name": "u", "user": {} }],
    });
    fs::write(&path, config.to_string()).unwrap();
    let silent = format!("The API server {server} can't be asked: no answer");
    // However short the time to wait is, there is a look.
    let run = |args: &[&str]| command(&path, "web", args).spawn().unwrap();
    let watch = run(&["watch", "--wait-timeout", "0s"]);
    let track = run(&["track", "T-1", "--wait-timeout", "1s"]);
    for ran in [end(watch), end(track)] {
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(&silent), "{ran:?}");
    }
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_time_to_wait_is_one_look() {
    let mut world = World::new("onelook").await;
    world.add_task("{id: T-1}");
    world.add_task("{id: T-2, duration: 10h}");
    world.start();
    assert_eq!(run(&world, &["track", "T-1"]).code, 0);
    assert_eq!(run(&world, &["track", "T-2", "--no-wait"]).code, 0);
    world.until_reason("t-2", "TaskRunning").await;
    for (name, code) in [("t-1", 0), ("t-2", 3)] {
        let ran = run(&world, &["watch", name, "--wait-timeout", "0s"]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    }
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

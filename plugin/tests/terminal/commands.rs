//! The other commands, and what `track` reads and makes.

use std::{fs, io::BufReader};

use serde_json::json;
use testbed::world::World;

use crate::stage::{end, read_until, run, run_with_input, start};

#[tokio::test(flavor = "multi_thread")]
async fn track_reads_the_id_from_the_answer_that_started_the_task() {
    let mut world = World::new("answers").await;
    world.add_task("{id: T-5faa48fb31b6b8078d000006}");
    world.start();
    for (answer, name) in [
        (
            r#"{"cluster_id":"c1","nodepool_id":"np1","request_id":"R-1","task_id":"T-5faa48fb31b6b8078d000006"}"#,
            "cli",
        ),
        (r#"{"taskId":"T-5faa48fb31b6b8078d000006"}"#, "camel"),
        (
            r#"{"task_id":{"sensitive":false,"type":"string","value":"T-5faa48fb31b6b8078d000006"}}"#,
            "terraform",
        ),
    ] {
        let ran = run_with_input(&world, &["track", "-", "--name", name], answer);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        world.kubectl_text(&["delete", "sot", name]);
    }
    for (input, said) in [
        ("", "nothing on standard input: expected the JSON answer"),
        (
            "ERROR: no such profile",
            "no JSON but \"ERROR: no such profile\": expected the JSON answer",
        ),
        (
            r#"{"code":"Forbidden.RAM","message":"denied"}"#,
            "failed: Forbidden.RAM: denied",
        ),
        (
            r#"{"request_id":"R-1"}"#,
            "no task_id or taskId in it: expected",
        ),
    ] {
        let ran = run_with_input(&world, &["track", "-"], input);
        assert_eq!(ran.code, 64, "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    assert_eq!(world.kubectl_text(&["get", "sot", "-o", "name"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn track_makes_one_object_of_a_task_and_takes_the_one_that_is_there() {
    let world = World::new("taken").await;
    let name = |args: &[&str]| {
        let ran = run(&world, &[&["track"], args, &["--no-wait"]].concat());
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    };
    assert_eq!(name(&["T-Ab1"]), "scaleouttask.scaleout.dev/t-ab1\n");
    let options = [
        "--region",
        "cn-beijing",
        "--cluster-id",
        "c1",
        "--timeout",
        "1h30m",
        "--wait-for-nodes",
        "--ttl",
        "2h",
    ];
    assert_eq!(
        name(&[&["T-2", "--name", "web"], options.as_slice()].concat()),
        "scaleouttask.scaleout.dev/web\n"
    );
    let spec = serde_json::to_value(world.api().get("web").await.unwrap().spec).unwrap();
    assert_eq!(
        spec,
        json!({ "taskId": "T-2", "region": "cn-beijing", "clusterId": "c1", "timeout": "1h30m", "waitForNodes": true,
            "ttlSecondsAfterFinished": 7200 })
    );
    // By its ID, whatever it is called; and as it is asked for.
    assert_eq!(name(&["T-2"]), "scaleouttask.scaleout.dev/web\n");
    assert_eq!(
        name(&["T-2", "--name", "other", "--timeout", "2h"]),
        "scaleouttask.scaleout.dev/web\n"
    );
    assert_eq!(
        world.api().get("web").await.unwrap().spec.timeout.unwrap(),
        "2h"
    );
    // IDs that differ in case alone are two tasks.
    let other = name(&["t-AB1"]);
    assert!(
        other.starts_with("scaleouttask.scaleout.dev/t-ab1-"),
        "{other}"
    );
    assert_eq!(
        world
            .kubectl_text(&["get", "sot", "-o", "name"])
            .lines()
            .count(),
        3
    );
    for (args, said) in [
        (
            &["T-9", "--name", "web"] as &[&str],
            "web is there already, and tracks another task",
        ),
        (&["T-2", "--region", "cn-hangzhou"], "in region cn-beijing"),
        (&["T-9", "--region", "CN"], "region must be"),
        (&["T-9", "--name", "Not_A_Name"], "can't be the name"),
        (&["T 9"], "can't be the ID of a task: expected"),
        (&["T-9", "--timeout", "soon"], "is not a duration"),
        (&["T-9", "--ttl", "1.5s"], "whole seconds"),
    ] {
        let ran = run(&world, &[&["track"], args].concat());
        assert_eq!(ran.code, 64, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ended_before_it_was_to_wait_for_nodes_is_no_success() {
    let mut world = World::new("toosoon").await;
    world.add_task("{id: T-1, instances: [{id: i-1}]}");
    world.start_with(&["--credentials", "none", "--nodes"], &[]);
    assert_eq!(run(&world, &["track", "T-1"]).code, 0);
    let ran = run(&world, &["track", "T-1", "--wait-for-nodes"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("before it was told to wait for nodes"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn poll_waits_until_it_was_looked_and_suspend_and_resume_hold_and_free() {
    let mut world = World::new("polled").await;
    world.add_task("{id: T-1, duration: 10h, instances: [{id: i-1}]}");
    world.start();
    let spec = json!({ "taskId": "T-1", "pollInterval": "1h" });
    world.create("t-1", spec).await;
    world.until_reason("t-1", "TaskRunning").await;
    world.add_task("{id: T-1, instances: [{id: i-1}]}");
    let ran = run(&world, &["poll", "t-1"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.last().starts_with("t-1 success  1/1   TaskSucceeded"),
        "{ran:?}"
    );

    world.add_task("{id: T-2, duration: 10h}");
    assert_eq!(run(&world, &["track", "T-2", "--no-wait"]).code, 0);
    let ran = run(&world, &["suspend", "t-2"]);
    assert_eq!(
        ran.stdout, "scaleouttask.scaleout.dev/t-2 suspended\n",
        "{ran:?}"
    );
    world.until_reason("t-2", "Suspended").await;
    let ran = run(&world, &["poll", "t-2"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("kubectl scaleouttask resume t-2"),
        "{ran:?}"
    );
    let mut watched = start(&world, &["watch", "t-2", "--wait-timeout", "1m"]);
    let mut seen = BufReader::new(watched.stdout.take().unwrap());
    read_until(&mut seen, "Suspended");
    assert_eq!(
        run(&world, &["resume", "t-2"]).stdout,
        "scaleouttask.scaleout.dev/t-2 resumed\n"
    );
    world.until_reason("t-2", "TaskRunning").await;
    world.kubectl_text(&["delete", "sot/t-2"]);
    assert_eq!(end(watched).code, 4);
    // An ended one is suspended in vain; and one that isn't there keeps none of the others.
    let ran = run(&world, &["suspend", "nobody", "sot/t-1"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(ran.stdout, "scaleouttask.scaleout.dev/t-1 suspended\n");
    assert!(ran.stderr.contains("t-1 has ended"), "{ran:?}");
    for command in ["poll", "suspend", "resume", "why"] {
        let ran = run(&world, &[command, "nobody"]);
        assert_eq!(ran.code, 2, "{command}: {ran:?}");
        assert!(ran.stderr.contains("nobody"), "{command}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poll_ends_where_nothing_will_ever_be_asked_and_where_nobody_looks() {
    let mut world = World::new("unasked").await;
    world.add_task("{id: T-1, duration: 10h}");
    let ran = run(&world, &["track", "T-1", "--no-wait"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = run(&world, &["poll", "t-1", "--wait-timeout", "1s"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let said = format!(
        "Nothing has looked at t-1 in time: does a controller run that watches them in namespace {}",
        world.namespace
    );
    assert!(ran.stderr.contains(&said), "{ran:?}");
    world.start();
    let options = ["--name", "waits", "--wait-for-nodes", "--no-wait"];
    assert_eq!(
        run(&world, &[&["track", "T-2"], &options[..]].concat()).code,
        0
    );
    world.until_reason("waits", "NodesNotWatched").await;
    let ran = run(&world, &["poll", "waits", "t-1", "nobody"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    for said in [
        "Nothing asks about waits as long as it is NodesNotWatched",
        "There is no ScaleOutTask nobody",
    ] {
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    assert!(ran.last().starts_with("t-1 running"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn track_says_what_of_its_options_an_object_that_is_there_does_not_take() {
    let world = World::new("untaken").await;
    let track = |args: &[&str]| {
        let ran = run(&world, &[&["track"], args, &["--no-wait"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    };
    track(&["T-1", "--name", "web-pool"]);
    let ran = track(&["T-1", "--name", "other", "--region", "cn-beijing"]);
    assert_eq!(ran.stdout, "scaleouttask.scaleout.dev/web-pool\n");
    for said in [
        "web-pool names no region, so the controller's own counts, not --region cn-beijing",
        "web-pool tracks T-1 already; no object other is made",
    ] {
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    // The name of an object, where a task's ID is wanted.
    let ran = track(&["web-pool"]);
    assert!(ran.stdout.contains("/web-pool-"), "{ran:?}");
    let said = "An object web-pool is there, which tracks T-1; to watch it: kubectl scaleouttask watch web-pool -n ";
    assert!(ran.stderr.contains(said), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_what_went_wrong_and_what_the_runbook_has_about_it() {
    let mut world = World::new("why").await;
    world.add_task(
        "{id: T-1, outcome: fail, instances: [{id: i-1, status: failed}], error: {code: NoStock, message: sold out}, \
         events: [{level: error, reason: NoStock, message: none left}]}",
    );
    world.add_task("{id: T-2, faults: [{status: 403, code: Forbidden.RAM}]}");
    world.start();
    assert_eq!(run(&world, &["track", "T-1"]).code, 1);
    assert_eq!(run(&world, &["track", "T-2"]).code, 2);
    let ran = run(&world, &["why", "t-1"]);
    assert_eq!(ran.code, 0);
    for said in [
        "t-1: TaskFailed, ended ",
        "  - i-1\n",
        "  NoStock: sold out\n",
        "none left",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
    let runbooks = testbed::repository().join("docs/runbooks");
    let stalled = fs::read_to_string(runbooks.join("ScaleOutTaskTrackingStalled.md")).unwrap();
    let row = stalled
        .lines()
        .find(|line| line.starts_with("| `AccessDenied` |"))
        .unwrap();
    let mend = row.rsplit(" | ").next().unwrap().trim_matches([' ', '|']);
    let ran = run(&world, &["why", "t-2"]);
    assert!(ran.stdout.contains(mend), "{mend}: {}", ran.stdout);

    // Once it is mended, tracking it again has it looked at again.
    world.add_task("{id: T-2}");
    let ran = run(&world, &["track", "T-2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("t-2 tracks T-2 already; asking again"),
        "{ran:?}"
    );
}

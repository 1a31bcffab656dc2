//! `track` and `watch` through every ending: exit codes, lines, and screens.

use std::ffi::OsStr;

use kube::api::PostParams;
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use terminal::without_times;
use testbed::world::World;

use crate::stage::{add_node, drawn, end, run, set_node_ready, start, terminal};

/// A task and how it ends: its name, its task, options of `track`, the exit code, and the last line without its name.
const ENDINGS: [(&str, &str, &[&str], i32, &str); 7] = [
    (
        "succeeds",
        "instances: [{id: i-1}, {id: i-2}]",
        &[],
        0,
        "success  2/2   TaskSucceeded   The task succeeded: 2 of 2 instances succeeded",
    ),
    (
        "fails",
        "outcome: fail, instances: [{id: i-1, status: failed}], error: {code: NoStock, message: sold out}",
        &[],
        1,
        "fail     0/1   TaskFailed      The task failed: 0 of 1 instances succeeded, 1 failed. NoStock: sold out",
    ),
    (
        "partly",
        "instances: [{id: i-1}, {id: i-2, status: failed}]",
        &[],
        1,
        "success  1/2   InstancesFailed The task ended, but not for every instance: 1 of 2 instances succeeded, 1 failed",
    ),
    (
        "canceled",
        "outcome: canceled",
        &[],
        1,
        "canceled -     TaskCanceled    ",
    ),
    (
        "late",
        "duration: 10h",
        &["--timeout", "8s"],
        1,
        "running  -     TimedOut        The task didn't end within 8s",
    ),
    (
        "denied",
        "faults: [{status: 403, code: Forbidden.RAM}]",
        &[],
        2,
        "-        -     AccessDenied    ",
    ),
    (
        "goes-on",
        "duration: 10h, instances: [{id: i-1}], stages: [{name: 正在加入节点}]",
        &["--wait-timeout", "8s"],
        3,
        "running  0/1   TaskRunning     The task is running: 0 of 1 instances succeeded",
    ),
];

fn world_of_endings(world: &mut World) {
    for (name, task, ..) in ENDINGS {
        world.add_task(&format!("{{id: T-{name}, {task}}}"));
    }
    world.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn track_tells_each_ending_by_its_exit_code_and_in_each_form() {
    let mut world = World::new("endings").await;
    world_of_endings(&mut world);
    for (name, _, options, code, last) in ENDINGS {
        let id = format!("T-{name}");
        let args = [&["track", &id, "--name", name], options].concat();
        let plain = run(&world, &args);
        assert_eq!(plain.code, code, "{plain:?}");
        assert!(
            plain.last().starts_with(&format!("{name} {last}")),
            "{plain:?}\nwanted: {last}"
        );

        // The object is there already.
        let json = run(&world, &[&args, &["--output", "json"] as &[_]].concat());
        assert_eq!(json.code, code, "{json:?}");
        let line: Value = serde_json::from_str(json.stdout.lines().last().unwrap()).unwrap();
        let reason = last.split_whitespace().nth(2).unwrap();
        assert_eq!(
            (&line["name"], &line["reason"]),
            (&json!(name), &json!(reason)),
            "{line}"
        );
        assert_eq!(line["taskId"], id);
    }
}

/// What `track` leaves on terminals of 80 and 200 columns.
const SCREENS: [(&str, &str, &str); 7] = [
    (
        "succeeds",
        "\
succeeds tracks T-succeeds already
NAME     PROGRESS         STAGE   TIME REASON
succeeds [##########] 2/2 @ TaskSucceeded",
        "\
succeeds tracks T-succeeds already
NAME     PROGRESS         STAGE   TIME REASON          MESSAGE
succeeds [##########] 2/2 @ TaskSucceeded   The task succeeded: 2 of 2 instances succeeded",
    ),
    (
        "fails",
        "\
fails tracks T-fails already
NAME  PROGRESS         STAGE   TIME REASON
fails [..........] 0/1 @ TaskFailed
fails: The task failed: 0 of 1 instances succeeded, 1 failed. NoStock: sold out
fails: failed: i-1
fails: what to do: kubectl scaleouttask why fails -n NAMESPACE",
        "\
fails tracks T-fails already
NAME  PROGRESS         STAGE   TIME REASON          MESSAGE
fails [..........] 0/1 @ TaskFailed      The task failed: 0 of 1 instances succeeded, 1 failed. NoStock: sold out
fails: The task failed: 0 of 1 instances succeeded, 1 failed. NoStock: sold out
fails: failed: i-1
fails: what to do: kubectl scaleouttask why fails -n NAMESPACE",
    ),
    (
        "partly",
        "\
partly tracks T-partly already
NAME   PROGRESS         STAGE   TIME REASON
partly [#####.....] 1/2 @ InstancesFailed
partly: The task ended, but not for every instance: 1 of 2 instances succeeded, 1 failed
partly: failed: i-2
partly: what to do: kubectl scaleouttask why partly -n NAMESPACE",
        "\
partly tracks T-partly already
NAME   PROGRESS         STAGE   TIME REASON          MESSAGE
partly [#####.....] 1/2 @ InstancesFailed The task ended, but not for every instance: 1 of 2 instances succeeded, 1 failed
partly: The task ended, but not for every instance: 1 of 2 instances succeeded, 1 failed
partly: failed: i-2
partly: what to do: kubectl scaleouttask why partly -n NAMESPACE",
    ),
    (
        "canceled",
        "\
canceled tracks T-canceled already
NAME     PROGRESS       STAGE   TIME REASON
canceled [..........] - @ TaskCanceled
canceled: The task was canceled
canceled: what to do: kubectl scaleouttask why canceled -n NAMESPACE",
        "\
canceled tracks T-canceled already
NAME     PROGRESS       STAGE   TIME REASON          MESSAGE
canceled [..........] - @ TaskCanceled    The task was canceled
canceled: The task was canceled
canceled: what to do: kubectl scaleouttask why canceled -n NAMESPACE",
    ),
    (
        "late",
        "\
late tracks T-late already
NAME PROGRESS       STAGE   TIME REASON
late [..........] - @ TimedOut
late: The task didn't end within @ of this object's creation; status.state is its last known state. Raise or remove spec.timeout to go on
late: what to do: kubectl scaleouttask why late -n NAMESPACE",
        "\
late tracks T-late already
NAME PROGRESS       STAGE   TIME REASON          MESSAGE
late [..........] - @ TimedOut        The task didn't end within @ of this object's creation; status.state is its last known state. Raise or remove spec.timeout to go on
late: The task didn't end within @ of this object's creation; status.state is its last known state. Raise or remove spec.timeout to go on
late: what to do: kubectl scaleouttask why late -n NAMESPACE",
    ),
    (
        "denied",
        "\
denied tracks T-denied already; asking again
NAME   PROGRESS       STAGE   TIME REASON
denied [..........] - @ AccessDenied
denied: The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
denied: what to do: kubectl scaleouttask why denied -n NAMESPACE",
        "\
denied tracks T-denied already; asking again
NAME   PROGRESS       STAGE   TIME REASON          MESSAGE
denied [..........] - @ AccessDenied    The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
denied: The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
denied: what to do: kubectl scaleouttask why denied -n NAMESPACE",
    ),
    (
        "goes-on",
        "\
goes-on tracks T-goes-on already
NAME    PROGRESS         STAGE          TIME REASON
goes-on [..........] 0/1 正在加入节点 @ TaskRunning
goes-on: The task is running: 0 of 1 instances succeeded
The time to wait is over; goes-on stays: kubectl scaleouttask watch goes-on -n NAMESPACE shows it again",
        "\
goes-on tracks T-goes-on already
NAME    PROGRESS         STAGE          TIME REASON          MESSAGE
goes-on [..........] 0/1 正在加入节点 @ TaskRunning     The task is running: 0 of 1 instances succeeded
goes-on: The task is running: 0 of 1 instances succeeded
The time to wait is over; goes-on stays: kubectl scaleouttask watch goes-on -n NAMESPACE shows it again",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn track_draws_each_ending_in_narrow_and_wide_terminals() {
    let mut world = World::new("drawn").await;
    world_of_endings(&mut world);
    for (name, _, options, code, _) in ENDINGS {
        let id = format!("T-{name}");
        let args = [&["track", &id, "--name", name], options].concat();
        // Once the object has ended, each terminal shows the same of it; and so does watch, which makes nothing.
        run(&world, &args);
        let waiting = options.first() == Some(&"--wait-timeout");
        let watch = [&["watch", name][..], if waiting { options } else { &[] }].concat();
        let (_, narrow, wide) = SCREENS.iter().find(|(other, ..)| *other == name).unwrap();
        for (columns, wanted) in [(80, narrow), (200, wide)] {
            let tracked = drawn(&world, &mut terminal(&world, &args, columns, &[]));
            assert_eq!(
                tracked,
                (code, (*wanted).to_owned()),
                "at {columns} columns"
            );
            let watched = drawn(&world, &mut terminal(&world, &watch, columns, &[]));
            let (_, wanted) = wanted.split_once('\n').unwrap();
            assert_eq!(watched, (code, wanted.to_owned()), "at {columns} columns");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_form_of_output_it_prints_lines_on_a_terminal_too() {
    let mut world = World::new("formed").await;
    world.add_task("{id: T-1, instances: [{id: i-1}]}");
    world.start();
    assert_eq!(run(&world, &["track", "T-1"]).code, 0);
    for (form, said) in [
        (
            "plain",
            "t-1 success  1/1   TaskSucceeded   The task succeeded",
        ),
        (
            "json",
            r#""reason":"TaskSucceeded","message":"The task succeeded"#,
        ),
    ] {
        let args = ["watch", "t-1", "--output", form];
        let (code, screen) = drawn(&world, &mut terminal(&world, &args, 500, &[]));
        assert_eq!(code, 0, "{screen}");
        assert!(
            screen.contains(said) && !screen.contains("REASON"),
            "{screen}"
        );
        assert_eq!(screen.lines().count(), 1, "{screen}");
    }
}

const NODES_80: &str = "\
NAME     PROGRESS         STAGE       TIME REASON
app-pool [##########] 2/2 nodes 2/2 @ NodesReady";

const NODES_200: &str = "\
NAME     PROGRESS         STAGE       TIME REASON          MESSAGE
app-pool [##########] 2/2 nodes 2/2 @ NodesReady      The task succeeded; all 2 nodes are Ready";

const LATE: &str = "late: The task succeeded, but its nodes weren't seen to be Ready within";

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_waited_for_are_drawn_until_all_are_ready() {
    let mut world = World::new("drawnnodes").await;
    world.add_task("{id: T-1, instances: [{id: i-drawn-1}, {id: i-drawn-2}]}");
    world.add_task("{id: T-2, instances: [{id: i-drawn-1}, {id: i-drawn-3}]}");
    world.start_with(&["--credentials", "none", "--nodes"], &[]);
    add_node(&world, "i-drawn-1", "True").await;
    add_node(&world, "i-drawn-2", "False").await;
    let track = ["track", "T-1", "--name", "app-pool", "--wait-for-nodes"];
    assert_eq!(run(&world, &[&track[..], &["--no-wait"]].concat()).code, 0);
    let watch = ["watch", "app-pool"];
    let mut terminals = [80, 200].map(|columns| terminal(&world, &watch, columns, &[]));
    for terminal in &terminals {
        terminal.until("a node that is waited for", |screen| {
            screen.contains("[#####.....] 2/2 nodes 1/2") && screen.contains("WaitingForNodes")
        });
    }
    set_node_ready(&world, "i-drawn-2");
    for (terminal, wanted) in terminals.iter_mut().zip([NODES_80, NODES_200]) {
        assert_eq!(drawn(&world, terminal), (0, wanted.to_owned()));
    }
    let plain = run(&world, &track);
    assert_eq!(plain.code, 0, "{plain:?}");
    assert!(plain.last().contains("NodesReady"), "{plain:?}");

    let late = [
        "track",
        "T-2",
        "--name",
        "late",
        "--wait-for-nodes",
        "--timeout",
        "3s",
    ];
    let (code, screen) = drawn(&world, &mut terminal(&world, &late, 200, &[]));
    assert_eq!(code, 1, "{screen}");
    for said in [
        LATE,
        "late: no Ready node: i-drawn-3",
        "why late -n NAMESPACE",
    ] {
        assert!(screen.contains(said), "{screen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_is_drawn_so() {
    let mut world = World::new("drawndeleted").await;
    world.add_task("{id: T-1, duration: 10h}");
    world.start();
    for columns in [80, 200] {
        let mut track = terminal(&world, &["track", "T-1"], columns, &[]);
        track.until("a task that runs", |screen| screen.contains("TaskRunning"));
        world.kubectl_text(&["delete", "sot/t-1"]);
        let (code, screen) = drawn(&world, &mut track);
        assert_eq!(code, 4, "{screen}");
        let row = "t-1  [..........] - @ Deleted";
        assert!(screen.contains(row), "{screen}");
        let said = "t-1: It was deleted before its task ended";
        assert!(screen.ends_with(said), "{screen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_all_namespaces_are_told_with_theirs() {
    let mut one = World::new("everywhere").await;
    one.add_task("{id: T-1}");
    one.add_task("{id: T-2, outcome: fail}");
    let other = one.add_namespace("too").await;
    one.start_with(&["--credentials", "none", "--namespace", &other], &[]);
    let object = |task: &str| json!({ "taskId": task });
    one.create("good", object("T-1")).await;
    let bad = ScaleOutTask::new("bad", serde_json::from_value(object("T-2")).unwrap());
    let api = one.api_in(&other);
    api.create(&PostParams::default(), &bad).await.unwrap();
    let label = format!("everywhere={}", one.namespace);
    one.kubectl_text(&["label", "sot/good", &label]);
    one.kubectl_text(&["label", "sot/bad", &label, "-n", &other]);
    let args = ["watch", "-A", "-l", &label];
    let (here, there) = (format!("{}/good", one.namespace), format!("{other}/bad"));
    let plain = run(&one, &args);
    assert_eq!(plain.code, 1, "{plain:?}");
    for name in [&here, &there] {
        assert!(plain.stdout.contains(&format!(" {name} ")), "{plain:?}");
    }
    let why = format!("{there}: what to do: kubectl scaleouttask why bad -n {other}");
    assert!(plain.stderr.contains(&why), "{plain:?}");
    let mut drawn = terminal(&one, &args, 200, &[]);
    let (code, screen) = tokio::task::block_in_place(|| drawn.wait());
    assert_eq!(code, 1, "{screen}");
    for name in [&here, &there] {
        assert!(
            screen.lines().any(|line| line.starts_with(name.as_str())),
            "{screen}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_loses_its_label_counts_no_more() {
    let mut world = World::new("unlabelled").await;
    world.add_task("{id: T-1, duration: 10h}");
    world.add_task("{id: T-2, duration: 10h}");
    world.start();
    for (name, task) in [("one", "T-1"), ("two", "T-2")] {
        world.create(name, json!({ "taskId": task })).await;
        world.kubectl_text(&["label", &format!("sot/{name}"), "team=web"]);
    }
    let watch = ["watch", "-l", "team=web"];
    let mut terminal = terminal(&world, &watch, 80, &[]);
    terminal.until("both", |screen| screen.matches("TaskRunning").count() == 2);
    world.kubectl_text(&["label", "sot/one", "team-"]);
    terminal.until("the other alone", |screen| {
        screen.contains("\ntwo") && !screen.contains("\none")
    });
    world.kubectl_text(&["label", "sot/two", "team-"]);
    let (code, screen) = drawn(&world, &mut terminal);
    assert_eq!(code, 2, "{screen}");
    assert!(screen.contains("choose no ScaleOutTask"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_ends_track_unless_it_had_ended_before() {
    let mut world = World::new("deleted").await;
    world.add_task("{id: T-1, duration: 10h}");
    world.add_task("{id: T-2}");
    world.add_task("{id: T-3, outcome: fail}");
    world.start();
    let tracked = start(&world, &["track", "T-1"]);
    world.kubectl_text(&["wait", "sot/t-1", "--for=create", "--timeout=60s"]);
    world.until_reason("t-1", "TaskRunning").await;
    world.kubectl_text(&["delete", "sot/t-1"]);
    let ran = end(tracked);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.last().contains("Deleted"), "{ran:?}");
    // Deleted by its time to live the moment it ended.
    for (id, code, reason) in [("T-2", 0, "TaskSucceeded"), ("T-3", 1, "TaskFailed")] {
        let ran = run(&world, &["track", id, "--ttl", "0s"]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.last().contains(reason), "{ran:?}");
    }
}

const SCREEN_80: &str = "\
NAME     PROGRESS         STAGE          TIME REASON
canceled [..........]   - @ TaskCanceled
denied   [..........]   - @ AccessDenied
fails    [..........] 0/1 @ TaskFailed
goes-on  [..........] 0/1 正在加入节点 @ TaskRunning
late     [..........]   - @ TimedOut
partly   [#####.....] 1/2 @ InstancesFailed
succeeds [##########] 2/2 @ TaskSucceeded";

const SCREEN_200: &str = "\
NAME     PROGRESS         STAGE          TIME REASON          MESSAGE
canceled [..........]   - @ TaskCanceled    The task was canceled
denied   [..........]   - @ AccessDenied    The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
fails    [..........] 0/1 @ TaskFailed      The task failed: 0 of 1 instances succeeded, 1 failed. NoStock: sold out
goes-on  [..........] 0/1 正在加入节点 @ TaskRunning     The task is running: 0 of 1 instances succeeded
late     [..........]   - @ TimedOut        The task didn't end within @ of this object's creation; status.state is its last known state. Raise or remove spec.timeout to go on
partly   [#####.....] 1/2 @ InstancesFailed The task ended, but not for every instance: 1 of 2 instances succeeded, 1 failed
succeeds [##########] 2/2 @ TaskSucceeded   The task succeeded: 2 of 2 instances succeeded";

fn watch_prints_each_ending_without_a_terminal(world: &World) {
    let args = ["watch", "--all", "--wait-timeout", "0s"];
    let plain = run(world, &args);
    let json = run(world, &[&args, &["--output", "json"] as &[_]].concat());
    // One goes on.
    assert_eq!((plain.code, json.code), (3, 3), "{plain:?}\n{json:?}");
    for (name, .., last) in ENDINGS {
        let wanted = format!(" {name} {last}");
        assert!(
            plain.stdout.contains(&wanted),
            "{plain:?}\nwanted: {wanted}"
        );
        let words: Vec<&str> = last.split_whitespace().collect();
        let wanted = format!(r#""name":"{name}","taskId":"T-{name}""#);
        let mut lines = json.stdout.lines();
        let line = lines.find(|line| line.contains(&wanted)).unwrap();
        assert!(
            line.contains(&format!(r#""reason":"{}""#, words[2])),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_draws_a_line_for_each_object_and_ends_with_the_worst_code() {
    let mut world = World::new("screens").await;
    world_of_endings(&mut world);
    for (name, _, options, ..) in ENDINGS {
        let mut spec = json!({ "taskId": format!("T-{name}") });
        if let ["--timeout", timeout] = options {
            spec["timeout"] = (*timeout).into();
        }
        world.create(name, spec).await;
    }
    let args = ["watch", "--all"];
    let mut narrow = terminal(&world, &args, 80, &[("NO_COLOR", OsStr::new("1"))]);
    let mut wide = terminal(&world, &args, 200, &[]);
    for terminal in [&narrow, &wide] {
        terminal.until("all ends", |screen| {
            ENDINGS.iter().all(|(name, .., last)| {
                let reason = last.split_whitespace().nth(2).unwrap();
                screen
                    .lines()
                    .any(|line| line.starts_with(name) && line.contains(reason))
            })
        });
    }
    assert_eq!(without_times(narrow.text().trim_end()), SCREEN_80);
    assert_eq!(without_times(wide.text().trim_end()), SCREEN_200);
    assert!(!narrow.has_colours());
    assert!(wide.has_colours());
    watch_prints_each_ending_without_a_terminal(&world);

    // It goes on while one goes on; once that one is gone, the worst of all counts.
    world.kubectl_text(&["delete", "sot/goes-on"]);
    for terminal in [&mut narrow, &mut wide] {
        let (code, screen) = tokio::task::block_in_place(|| terminal.wait());
        assert_eq!(code, 4, "{screen}");
        assert!(screen.contains("partly: failed: i-2"), "{screen}");
        assert!(
            screen.contains("kubectl scaleouttask why fails"),
            "{screen}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_resized_is_drawn_anew_and_ctrl_c_leaves_it_clean() {
    let mut world = World::new("resized").await;
    world.add_task(
        "{id: T-1, duration: 10h, instances: [{id: i-1}], stages: [{name: 正在加入节点}]}",
    );
    world.start();
    let mut terminal = terminal(&world, &["track", "T-1", "--name", "web-pool"], 200, &[]);
    terminal.until("the message", |screen| {
        screen.contains("The task is running")
    });
    terminal.resize(80);
    let line = "web-pool [..........] 0/1 正在加入节点 @ TaskRunning";
    terminal.until("80 columns", |screen| {
        let screen = without_times(screen.trim_end());
        screen.lines().count() == 2 && screen.ends_with(line)
    });
    terminal.resize(30);
    terminal.until("30 columns", |screen| {
        let screen = screen.trim_end();
        screen.lines().count() == 2 && screen.lines().all(|line| line.chars().count() <= 30)
    });
    terminal.resize(80);
    terminal.enter("\u{3}");
    let (code, screen) = tokio::task::block_in_place(|| terminal.wait());
    assert_eq!(code, 130, "{screen}");
    assert!(!screen.contains("^C"), "{screen}");
    let said = "Interrupted; web-pool stays: kubectl scaleouttask watch web-pool";
    assert!(screen.contains(said), "{screen}");
    // The object stays.
    assert_eq!(
        world.get("web-pool").await.ready().unwrap().reason,
        "TaskRunning"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_takes_names_labels_or_all_and_says_what_is_not_there() {
    let mut world = World::new("chosen").await;
    world.add_task("{id: T-1}");
    world.add_task("{id: T-2, outcome: fail}");
    world.start();
    world.create("good", json!({ "taskId": "T-1" })).await;
    world.create("bad", json!({ "taskId": "T-2" })).await;
    world.kubectl_text(&["label", "sot/good", "team=web"]);
    world.until_reason("good", "TaskSucceeded").await;
    world.until_reason("bad", "TaskFailed").await;
    for (args, code, said) in [
        (&["watch", "good"] as &[&str], 0, ""),
        (&["watch", "good", "bad"], 1, "kubectl scaleouttask why bad"),
        (&["watch", "-l", "team=web"], 0, ""),
        (&["watch", "--all"], 1, "why bad"),
        (&["watch"], 0, "All have ended"),
        (
            &["watch", "nobody"],
            2,
            "There is no ScaleOutTask nobody in namespace",
        ),
        (
            &["watch", "good", "nobody"],
            2,
            "There is no ScaleOutTask nobody in namespace",
        ),
        (
            &["watch", "-l", "team=none"],
            2,
            "with the labels team=none",
        ),
        (&["watch", "-l", "a b c"], 64, "unable to parse requirement"),
        (&["watch", "good", "--all"], 64, "cannot be used with"),
        (&["watch", "good", "-A"], 64, "cannot be used with"),
        (&["nonsense"], 64, "unrecognized subcommand"),
    ] {
        let ran = run(&world, args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {ran:?}");
    }
}

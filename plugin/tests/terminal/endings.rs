//! `track` and `watch` through every ending: exit codes, lines, and screens.

use std::ffi::OsStr;

use serde_json::{Value, json};
use terminal::without_times;
use testbed::world::World;

use crate::stage::{end, run, start, terminal};

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
        &["--timeout", "3s"],
        1,
        "running  -     TimedOut        The task didn't end within 3s",
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
        &["--wait-timeout", "3s"],
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
NAME     PROGRESS         STAGE   TIME REASON             MESSAGE
succeeds [##########] 2/2 @ TaskSucceeded      The task succeeded: 2 of 2 instances succeeded",
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
NAME  PROGRESS         STAGE   TIME REASON             MESSAGE
fails [..........] 0/1 @ TaskFailed         The task failed: 0 of 1 instances succeeded, 1 failed. NoStock: sold out
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
NAME   PROGRESS         STAGE   TIME REASON             MESSAGE
partly [#####.....] 1/2 @ InstancesFailed    The task ended, but not for every instance: 1 of 2 instances succeeded, 1 failed
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
NAME     PROGRESS       STAGE   TIME REASON             MESSAGE
canceled [..........] - @ TaskCanceled       The task was canceled
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
NAME PROGRESS       STAGE   TIME REASON             MESSAGE
late [..........] - @ TimedOut           The task didn't end within @ of this object's creation; status.state is its last known state. Raise or remove spec.timeout to go on
late: The task didn't end within @ of this object's creation; status.state is its last known state. Raise or remove spec.timeout to go on
late: what to do: kubectl scaleouttask why late -n NAMESPACE",
    ),
    (
        "denied",
        "\
denied tracks T-denied already
NAME   PROGRESS       STAGE   TIME REASON
denied [..........] - @ AccessDenied
denied: The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
denied: what to do: kubectl scaleouttask why denied -n NAMESPACE",
        "\
denied tracks T-denied already
NAME   PROGRESS       STAGE   TIME REASON             MESSAGE
denied [..........] - @ AccessDenied       The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
denied: The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
denied: what to do: kubectl scaleouttask why denied -n NAMESPACE",
    ),
    (
        "goes-on",
        "\
goes-on tracks T-goes-on already
The time to wait is over
NAME    PROGRESS         STAGE          TIME REASON
goes-on [..........] 0/1 正在加入节点 @ TaskRunning",
        "\
goes-on tracks T-goes-on already
The time to wait is over
NAME    PROGRESS         STAGE          TIME REASON             MESSAGE
goes-on [..........] 0/1 正在加入节点 @ TaskRunning        The task is running: 0 of 1 instances succeeded",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn track_draws_each_ending_in_narrow_and_wide_terminals() {
    let mut world = World::new("drawn").await;
    world_of_endings(&mut world);
    for (name, _, options, code, _) in ENDINGS {
        let id = format!("T-{name}");
        let args = [&["track", &id, "--name", name], options].concat();
        // Once the object has ended, each terminal shows the same of it.
        run(&world, &args);
        for columns in [80, 200] {
            let mut terminal = terminal(&world, &args, columns, &[]);
            let (exit, screen) = tokio::task::block_in_place(|| terminal.wait());
            assert_eq!(exit, code, "{screen}");
            let drawn = without_times(screen.trim_end()).replace(&world.namespace, "NAMESPACE");
            let wanted = SCREENS.iter().find(|(other, ..)| *other == name).unwrap();
            let wanted = if columns == 80 { wanted.1 } else { wanted.2 };
            assert_eq!(drawn, wanted, "at {columns} columns");
            assert!(!terminal.is_cursor_hidden());
        }
    }
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
NAME     PROGRESS         STAGE          TIME REASON             MESSAGE
canceled [..........]   - @ TaskCanceled       The task was canceled
denied   [..........]   - @ AccessDenied       The task API denies access (Forbidden.RAM): grant the credentials the RAM action cs:DescribeTaskInfo
fails    [..........] 0/1 @ TaskFailed         The task failed: 0 of 1 instances succeeded, 1 failed. NoStock: sold out
goes-on  [..........] 0/1 正在加入节点 @ TaskRunning        The task is running: 0 of 1 instances succeeded
late     [..........]   - @ TimedOut           The task didn't end within @ of this object's creation; status.state is its last known state. Raise or remove spec.timeout to go on
partly   [#####.....] 1/2 @ InstancesFailed    The task ended, but not for every instance: 1 of 2 instances succeeded, 1 failed
succeeds [##########] 2/2 @ TaskSucceeded      The task succeeded: 2 of 2 instances succeeded";

fn watch_prints_each_ending_without_a_terminal(world: &World) {
    let args = ["watch", "--all", "--wait-timeout", "3s"];
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
    for (terminal, columns) in [(&narrow, 80), (&wide, 200)] {
        terminal.until("all ends", |screen| {
            ENDINGS.iter().all(|(name, .., last)| {
                let reason = last.split_whitespace().nth(2).unwrap();
                screen
                    .lines()
                    .any(|line| line.starts_with(name) && line.contains(reason))
            })
        });
        let screen = terminal.text();
        assert!(
            screen.lines().count() == 8,
            "a line wrapped at {columns}:\n{screen}"
        );
        assert!(terminal.is_cursor_hidden());
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
        assert!(!terminal.is_cursor_hidden());
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
    assert!(!terminal.is_cursor_hidden());
    assert!(!screen.contains("^C"), "{screen}");
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
            "There is no such ScaleOutTask",
        ),
        (&["watch", "-l", "a b c"], 64, "unable to parse requirement"),
        (&["watch", "good", "--all"], 64, "cannot be used with"),
        (&["watch", "good", "-A"], 64, "don't go together"),
        (&["nonsense"], 64, "unrecognized subcommand"),
    ] {
        let ran = run(&world, args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {ran:?}");
    }
}

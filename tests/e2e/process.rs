//! The process: how it starts, its health, metrics and logs, and how it ends.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use controlplane::{Process, free_port};
use serde_json::json;
use simulator::Task;
use testbed::{
    controller::Controller,
    polls::Window,
    world::{GROUP, USER, World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_show_the_objects() {
    let mut world = World::new("admin").await;
    world.add_task("{id: T-1}");
    world.start();
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    assert_eq!(world.admin("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(world.admin("/readyz").await, (200, "ok\n".to_owned()));
    let expected = [
        r#"scaleouttask_task_api_requests_total{region="cn-hangzhou",outcome="success"} 1"#,
        r#"scaleouttask_status_writes_total{outcome="written"} 1"#,
        r#"scaleouttask_tasks_by_reason{reason="TaskSucceeded"} 1"#,
        r#"scaleouttask_tasks_finished_total{reason="TaskSucceeded"} 1"#,
        r#"scaleouttask_tasks{state="success"} 1"#,
        r#"scaleouttask_reconciliations_total{outcome="written"} 1"#,
        "scaleouttask_reconcile_duration_seconds_count 1",
        r#"scaleouttask_leader{lease=""} 1"#,
        "scaleouttask_poll_lag_seconds_count 1",
        "scaleouttask_build_info{version=",
    ];
    eventually("all metrics", || async {
        let metrics = world.admin("/metrics").await.1;
        expected.iter().all(|line| metrics.contains(line))
    })
    .await;
    let kinds = world.events("one").await;
    eventually("the Event", || async {
        !world.events("one").await.is_empty()
    })
    .await;
    assert!(kinds.len() <= 1, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_exits_with_0_in_time_although_a_call_hangs() {
    let mut world = World::new("sigterm").await;
    world.add_task("{id: T-1, faults: [{kind: hang}]}");
    world.start();
    world.create("one", json!({ "taskId": "T-1" })).await;
    eventually("a hanging call", || async {
        world.simulator.in_flight() == 1
    })
    .await;
    let (code, took) = world.stop();
    assert_eq!(code, 0, "{}", world.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_works_while_a_program_for_credentials_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let started = directory.path().join("started");
    let hanging = "apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users:
- name: u
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'touch STARTED; sleep 15'], interactiveMode: Never}
";
    let hanging = hanging.replace("STARTED", started.to_str().unwrap());
    std::fs::write(&kubeconfig, hanging).unwrap();
    let mut command = Controller::command();
    command.env("KUBECONFIG", &kubeconfig);
    let controller = Controller::spawn(command, &directory.path().join("log"));
    eventually("the program runs", || async { started.exists() }).await;
    let log = controller.log();
    let (code, took) = tokio::task::block_in_place(|| controller.stop());
    assert_eq!(code, 0, "{log}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_invalid_answers_stops_no_other() {
    let mut world = World::new("poison").await;
    world.add_task("{id: T-good}");
    world.add_task("{id: T-bad, body: '{\"state\": 5}'}");
    world.start();
    world.create("bad", json!({ "taskId": "T-bad" })).await;
    world.until_reason("bad", "InvalidResponse").await;
    world.create("good", json!({ "taskId": "T-good" })).await;
    world.until_reason("good", "TaskSucceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_logs_are_json_with_one_line_for_each_change() {
    let mut world = World::new("json").await;
    world.add_task("{id: T-1}");
    let args = [
        "--credentials",
        "none",
        "--log-format",
        "json",
        "--log-filter",
        "info",
    ];
    world.start_with(&args, &[]);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    eventually("the log line", || async {
        world.log().contains("TaskSucceeded")
    })
    .await;
    let lines: Vec<serde_json::Value> = world
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let matching = lines
        .iter()
        .filter(|line| line["reason"] == "TaskSucceeded")
        .collect::<Vec<_>>();
    assert_eq!(matching.len(), 1);
    assert_eq!(matching[0]["task_id"], "T-1");
    assert_eq!(matching[0]["name"], "one");
    assert_eq!(matching[0]["namespace"], world.namespace.as_str());
}

/// Runs the program until it exits. Returns its exit code and standard error.
fn run_to_end(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scaleouttask-controller"))
        .args(args)
        .env_remove("KUBECONFIG")
        .env("HOME", "/nonexistent")
        .envs(env.iter().copied())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn exit_codes_of_wrong_usage_and_a_failed_start_differ() {
    let (code, error) = run_to_end(&["run", "--endpoint", "ftp://x"], &[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("--endpoint"), "{error}");

    let (code, error) = run_to_end(&["run"], &[("KUBECONFIG", "/nonexistent/kubeconfig")]);
    assert_eq!(code, Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("KUBECONFIG"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let flags = [
        "REGION",
        "ENDPOINT",
        "ENDPOINT_FOR",
        "ALLOW_INSECURE_ENDPOINT",
        "CREDENTIALS",
        "NAMESPACE",
        "SELECTOR",
        "POLL_INTERVAL",
        "REQUESTS_PER_SECOND",
        "CONCURRENCY",
        "REQUEST_TIMEOUT",
        "ALLOWED_CLUSTER_ID",
        "SECRET_CREDENTIALS",
        "LEADER_ELECT",
        "LEASE_NAME",
        "LEASE_NAMESPACE",
        "ADMIN_ADDRESS",
        "LOG_FORMAT",
        "LOG_FILTER",
    ];
    let names = flags.map(|flag| format!("SCALEOUTTASK_{flag}"));
    let mut env: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    env.push(("KUBECONFIG", "/nonexistent/kubeconfig"));
    let (code, error) = run_to_end(&["run"], &env);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("KUBECONFIG"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_exits_with_1_and_is_reported() {
    let world = World::new("inuse").await;
    let port = free_port().unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let kubeconfig = world.plane.kubeconfig().to_str().unwrap().to_owned();
    let address = format!("127.0.0.1:{port}");
    let args = ["run", "--credentials", "none", "--admin-address", &address];
    let (code, error) = run_to_end(&args, &[("KUBECONFIG", &kubeconfig)]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&address), "{error}");
}

/// A pipe that is broken is no reason to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let world = World::new("unread").await;
    world.add_task("{id: T-1}");
    let port = free_port().unwrap().to_string();
    let mut command = Controller::command();
    let mut controller = command
        .args(["--credentials", "none", "--region", "cn-hangzhou"])
        .args(["--endpoint", &world.simulator.url()])
        .args(["--namespace", &world.namespace])
        .args(["--admin-address", &format!("127.0.0.1:{port}")])
        .env("KUBECONFIG", world.plane.user(USER, Some(GROUP)).unwrap())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(controller.stderr.take());
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    assert!(controller.try_wait().unwrap().is_none());
    controller.kill().unwrap();
    controller.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_address_serves_ipv4_and_ipv6() {
    let world = World::new("families").await;
    for all in ["0.0.0.0", "[::]"] {
        let port = free_port().unwrap();
        let address = format!("{all}:{port}");
        let mut command = Controller::command();
        command
            .args(["--credentials", "none", "--admin-address", &address])
            .env("KUBECONFIG", world.plane.user(USER, Some(GROUP)).unwrap());
        let log = world.plane.directory().join(format!("families-{port}.log"));
        let _controller = Process::spawn("controller", &command, &log).unwrap();
        for host in ["127.0.0.1", "[::1]"] {
            let url = format!("http://{host}:{port}/livez");
            eventually(&url, || async {
                reqwest::get(&url)
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
            })
            .await;
        }
    }
}

/// Whether the server has closed it. Blocks for a moment.
fn is_closed(mut stream: &std::net::TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let read = std::io::Read::read(&mut stream, &mut [0; 64]);
    match read.map_err(|error| error.kind()) {
        Ok(read) => read == 0,
        Err(error) => !matches!(
            error,
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_at_the_admin_port_are_bounded_and_health_is_answered() {
    let mut world = World::new("slow-heads").await;
    world.simulator.set_task(Task::in_state("T-1", "running"));
    world.start();
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskRunning").await;
    eventually("ready", || async { world.admin("/readyz").await.0 == 200 }).await;
    let connect = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", world.admin_port())).unwrap();
        let _ =
            std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-A: ");
        stream
    };
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.extend((0..40).map(|_| connect()));
        let began = Instant::now();
        assert_eq!(world.admin("/livez").await.0, 200);
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }
    let open = || streams.iter().filter(|stream| !is_closed(stream)).count();
    eventually("64 at most", || async { open() <= 64 }).await;
    // It is asked about each second all the while.
    let polled = Window::pass(Duration::from_secs(4)).await;
    let rate = polled.rate(&world.simulator.request_log(), "T-1");
    assert!(rate >= 0.7, "{rate} calls a second");
    eventually("none", || async { open() == 0 }).await;
    assert_eq!(world.admin("/readyz").await.0, 200);
}

#[test]
fn the_committed_crd_is_the_one_the_program_prints() {
    let printed = |names: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_scaleouttask-controller"));
        let output = program.arg("crd").args(names).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let each = ["scaleouttasks", "scaleouttasksources"].map(|name| {
        let path = format!("{}/crds/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let committed = std::fs::read_to_string(path).unwrap();
        let printed = printed(&[name]);
        assert!(
            printed == committed,
            "crds/{name}.yaml is stale: cargo run --bin scaleouttask-controller -- crd {name} > crds/{name}.yaml"
        );
        assert!(!printed.contains("format: uint"));
        assert!(!printed.contains("nullable"));
        printed
    });
    assert_eq!(printed(&[]), each.join("---\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_ready_controllers_unready_ones_and_missing_ones() {
    let mut world = World::new("check").await;
    world.start();
    eventually("the controller is ready", || async {
        world.admin("/readyz").await.0 == 200
    })
    .await;
    let check = |port: u16| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scaleouttask-controller"));
        command.args(["check", "--wait", "1s", "--port", &port.to_string()]);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let ready = tokio::task::block_in_place(|| check(world.admin_port()));
    assert_eq!(ready, (Some(0), "ok\n".to_owned(), String::new()));

    let unused = tokio::task::block_in_place(|| check(free_port().unwrap()));
    assert_eq!(unused.0, Some(1));
    assert!(
        unused
            .2
            .starts_with("error: no controller answers at 127.0.0.1:")
            && unused.2.contains("check --host and --port"),
        "{}",
        unused.2
    );

    // A user that may not list the objects: the controller is never ready.
    let stranger = world.plane.user("stranger", None).unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Controller::command();
    command
        .args(["--credentials", "none"])
        .env("KUBECONFIG", stranger);
    let waiting = Controller::spawn(command, log.path());
    eventually("the controller answers", || async {
        waiting.admin("/readyz").await.0 == 503
    })
    .await;
    let waiting = tokio::task::block_in_place(|| check(waiting.admin_port()));
    assert_eq!(waiting.0, Some(1));
    assert!(waiting.2.contains(" says: not ready: "), "{}", waiting.2);
}

//! No child outlives the process that started it, however that one ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use controlplane::{ControlPlane, Error, Options, Process, Signal};

/// What [`in_a_separate_process`] does.
const ROLE: &str = "CONTROLPLANE_TEST_ROLE";
const MARK: &str = "directory: ";

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 5 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs this test binary again, as a parent that starts a control plane and then ends as its role says.
/// Returns the process and the control plane's directory.
fn parent(role: &str) -> (Child, PathBuf) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_separate_process", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = output.lines().map_while(Result::ok);
    let directory = lines.find_map(|line| Some(PathBuf::from(line.split_once(MARK)?.1)));
    // Its further output must be read, or it would block.
    thread::spawn(move || lines.for_each(drop));
    (child, directory.expect("the parent started a plane"))
}

/// Does nothing unless it is started by [`parent`].
#[test]
fn in_a_separate_process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    if role == "static" {
        println!("{MARK}{}", controlplane::shared().directory().display());
        return;
    }
    let plane = ControlPlane::start(&Options::default()).unwrap();
    println!("{MARK}{}", plane.directory().display());
    match role.as_str() {
        "panic" => panic!("as a failing test does"),
        "wait" => loop {
            thread::park();
        },
        other => panic!("unknown role {other}"),
    }
}

/// The command lines with the directory: of the programs and their supervisors.
fn processes(directory: &Path) -> Vec<String> {
    let command_line = |process: fs::DirEntry| {
        let arguments = fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&arguments).replace('\0', " "))
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter_map(command_line)
        .filter(|command_line| command_line.contains(directory.to_str().unwrap()))
        .collect()
}

fn assert_nothing_left(directory: &Path) {
    eventually("every process is gone", || processes(directory).is_empty());
    eventually("the directory is gone", || !directory.exists());
}

#[test]
fn killed_parent_leaves_no_process_and_no_file() {
    let (mut child, directory) = parent("wait");
    for program in ["/etcd ", "/kube-apiserver "] {
        assert!(
            processes(&directory)
                .iter()
                .any(|line| line.contains(program)),
            "{program}"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_nothing_left(&directory);
}

#[test]
fn panicking_test_leaves_no_process_and_no_file() {
    let (mut child, directory) = parent("panic");
    assert!(!child.wait().unwrap().success());
    assert_nothing_left(&directory);
}

#[test]
fn shared_plane_which_is_never_dropped_leaves_no_process_and_no_file() {
    let (mut child, directory) = parent("static");
    assert!(child.wait().unwrap().success());
    assert_nothing_left(&directory);
}

/// A shell script as a supervised process, and its log.
fn script(script: &str) -> (Process, tempfile::NamedTempFile) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    (Process::spawn("script", &command, log.path()).unwrap(), log)
}

#[test]
fn terminated_process_can_exit_in_an_orderly_way() {
    let (mut process, _log) =
        script("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done");
    eventually("the trap is set", || process.log_tail() == "up");
    let status = process.stop(Duration::from_mins(1)).unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(process.log_tail(), "up\nbye");
}

#[test]
fn process_that_ignores_sigterm_is_killed_after_its_grace_period() {
    let (mut process, _log) = script("trap '' TERM; echo up; while :; do sleep 0.01; done");
    eventually("the trap is set", || process.log_tail() == "up");
    let status = process.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(status.code(), Some(128 + 9), "{:?}", status.signal());
}

#[test]
fn process_that_exits_is_reported_with_the_end_of_its_log() {
    let (mut process, _log) = script("seq 100; exit 7");
    eventually("it ended", || {
        fs::read_to_string(process.log())
            .unwrap()
            .ends_with("100\n")
    });
    while process.exit_status().unwrap().is_none() {
        thread::yield_now();
    }
    process.signal(Signal::Kill);
    let error = process.check_running().unwrap_err();
    assert!(
        matches!(&error, Error::Exited { log, .. } if log.starts_with("81\n") && log.ends_with("\n100"))
    );
    assert!(
        error
            .to_string()
            .starts_with("script ended by itself (exit status: 7)"),
        "{error}"
    );
}

#[test]
fn interrupt_of_the_foreground_group_does_not_reach_a_process() {
    let (process, _log) = script("echo $$; exec sleep 60");
    eventually("it runs", || !process.log_tail().is_empty());
    assert_ne!(process_group(&process.log_tail()), process_group("self"));
}

/// The fifth word of `/proc/PID/stat`. The name before it has no blanks here.
fn process_group(pid: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.split(' ').nth(4).unwrap().to_owned()
}

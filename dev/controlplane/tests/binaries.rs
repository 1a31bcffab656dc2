//! Where the programs come from, and the errors if they are missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use controlplane::{Binaries, StderrProgress};

/// Makes [`in_a_separate_process`] locate the programs.
const ROLE: &str = "CONTROLPLANE_TEST_ROLE";
const MARK: &str = "located: ";

/// Locates the programs in a process with this environment. Returns the directory or the error, and
/// the progress on standard error.
fn locate(environment: &[(&str, &Path)]) -> (String, String) {
    let answer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_separate_process", "--nocapture"])
        .env_remove("KUBEBUILDER_ASSETS")
        .env(ROLE, "locate")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let output = String::from_utf8(answer.stdout).unwrap();
    let (_, located) = output.split_once(MARK).expect("an answer");
    let (located, _) = located.split_once("\n.\n").expect("the answer's end");
    (
        located.to_owned(),
        String::from_utf8(answer.stderr).unwrap(),
    )
}

/// Does nothing unless it is started by [`locate`].
#[test]
fn in_a_separate_process() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    match Binaries::locate_or_build(&mut StderrProgress::default()) {
        Ok(binaries) => println!("{MARK}{}\n.", binaries.directory().display()),
        Err(error) => println!("{MARK}{error}\n."),
    }
}

/// A directory with the built programs, or with all but one.
fn assets(without: Option<&str>) -> tempfile::TempDir {
    let built = Binaries::locate_or_build(&mut StderrProgress::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for program in [built.etcd(), built.kube_apiserver(), built.kubectl()] {
        let name = program.file_name().unwrap();
        if without.is_none_or(|without| name != without) {
            symlink(&program, directory.path().join(name)).unwrap();
        }
    }
    directory
}

#[test]
fn kubebuilder_assets_are_used_unchanged() {
    let assets = assets(None);
    let (located, progress) = locate(&[("KUBEBUILDER_ASSETS", assets.path())]);
    assert_eq!(Path::new(&located), assets.path());
    assert_eq!(progress, "");
}

#[test]
fn incomplete_kubebuilder_assets_are_an_error_with_the_missing_file() {
    let assets = assets(Some("kube-apiserver"));
    let (error, _) = locate(&[("KUBEBUILDER_ASSETS", assets.path())]);
    let path = assets.path().display();
    assert!(
        error.starts_with(&format!(
            "KUBEBUILDER_ASSETS is {path}, which holds no kube-apiserver:"
        )),
        "{error}"
    );
}

#[test]
fn missing_go_is_one_line() {
    let empty = tempfile::tempdir().unwrap();
    let (error, progress) = locate(&[
        ("SCALEOUTTASK_CACHE_DIR", empty.path()),
        ("PATH", empty.path()),
    ]);
    assert!(
        error.starts_with("Go 1.26 or newer is needed to build the test control plane: "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(progress, "");
}

/// A directory with a `go` that runs this shell script.
fn fake_go(script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    fs::write(&go, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn old_go_is_one_line_with_its_version() {
    // Like Go since 1.21 if GOTOOLCHAIN forbids another version: it works only outside the module.
    let go = fake_go("[ -f go.mod ] && exit 1; echo go1.24.9");
    let (error, progress) = locate(&[("SCALEOUTTASK_CACHE_DIR", go.path()), ("PATH", go.path())]);
    assert!(
        error.starts_with(
            "Go 1.26 or newer is needed to build the test control plane, and this is go1.24.9: "
        ),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(progress, "");
}

#[test]
fn failed_build_shows_the_output_of_go_and_leaves_no_program() {
    let go = fake_go("[ \"$1\" = env ] && echo go1.26.3 && exit; echo no space left >&2; exit 1");
    let (error, _) = locate(&[("SCALEOUTTASK_CACHE_DIR", go.path()), ("PATH", go.path())]);
    assert!(
        error.starts_with("go could not build etcd; the end of its output:\nno space left\n"),
        "{error}"
    );
}

#[test]
fn programs_are_built_once_and_renamed_when_complete() {
    // This fake Go writes the package name into the program, whose path follows `-o`.
    let go = fake_go(
        "[ \"$1\" = env ] && echo go1.26.3 && exit
while [ \"$1\" != -o ]; do shift; done
case \"$2\" in */bin/*) exit 1;; esac
echo \"$3\" > \"$2\"",
    );
    let environment = [("SCALEOUTTASK_CACHE_DIR", go.path()), ("PATH", go.path())];
    let (located, progress) = locate(&environment);
    let directory = Path::new(&located);
    assert!(
        directory.starts_with(go.path().join("control-plane")),
        "{located}"
    );
    assert_eq!(
        fs::read_to_string(directory.join("kubectl")).unwrap(),
        "k8s.io/kubernetes/cmd/kubectl\n"
    );
    assert!(
        progress.contains("once") && progress.contains(&located),
        "{progress}"
    );

    let (again, progress) = locate(&environment);
    assert_eq!(again, located);
    assert_eq!(progress, "", "nothing is built the second time");
}

#[test]
fn processes_that_start_together_build_once() {
    let go = fake_go(
        "[ \"$1\" = env ] && echo go1.26.3 && exit
while [ \"$1\" != -o ]; do shift; done
echo built >> \"$0.log\"
/bin/sleep 0.2
echo > \"$2\"",
    );
    let environment = [("SCALEOUTTASK_CACHE_DIR", go.path()), ("PATH", go.path())];
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| locate(&environment));
        }
    });
    let builds = fs::read_to_string(go.path().join("go.log")).unwrap();
    assert_eq!(
        builds.lines().count(),
        3,
        "etcd, kube-apiserver and kubectl, each once"
    );
}

//! A control plane has a real API server that answers, refuses, restarts and writes an audit log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Command;

use controlplane::{ControlPlane, Options, shared};

/// The standard output of a command that must succeed.
fn output(command: &mut Command) -> String {
    let answer = command.output().unwrap();
    let errors = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "{command:?}: {errors}");
    String::from_utf8(answer.stdout).unwrap()
}

fn create_config_map(plane: &ControlPlane, name: &str) {
    output(
        plane
            .kubectl()
            .args(["create", "configmap", name, "--from-literal=key=value"]),
    );
}

fn read_config_map(plane: &ControlPlane, name: &str) -> String {
    output(
        plane
            .kubectl()
            .args(["get", "configmap", name, "--output=jsonpath={.data.key}"]),
    )
}

#[test]
fn api_server_reports_kubernetes_1_37() {
    let version = output(shared().kubectl().args(["version", "--output=json"]));
    assert_eq!(
        version.matches("\"gitVersion\": \"v1.37.").count(),
        2,
        "{version}"
    );
}

#[test]
fn rbac_refuses_a_user_without_permissions_and_admits_one_with() {
    let plane = shared();
    let list = |name, group| {
        let mut kubectl = plane.kubectl();
        kubectl.env("KUBECONFIG", plane.user(name, group).unwrap());
        kubectl.args(["get", "configmaps"]).output().unwrap()
    };
    let refused = list("somebody", None);
    assert!(!refused.status.success());
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(
        reason.contains("User \"somebody\" cannot list resource \"configmaps\""),
        "{reason}"
    );

    let role = [
        "create",
        "clusterrole",
        "reader",
        "--verb=list",
        "--resource=configmaps",
    ];
    output(plane.kubectl().args(role));
    let binding = [
        "create",
        "clusterrolebinding",
        "readers",
        "--clusterrole=reader",
        "--group=readers",
    ];
    output(plane.kubectl().args(binding));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    // The authorizer learns of the new binding from a watch.
    while !list("somebody", Some("readers")).status.success() {
        assert!(
            std::time::Instant::now() < deadline,
            "the binding has no effect"
        );
    }
}

#[test]
fn unauthenticated_requests_are_refused() {
    let plane = shared();
    let answer = plane
        .kubectl()
        .env("KUBECONFIG", "/dev/null")
        .args([
            "--server",
            &plane.server(),
            "--insecure-skip-tls-verify",
            "--token=wrong",
            "get",
            "configmaps",
        ])
        .output()
        .unwrap();
    assert!(!answer.status.success());
    assert!(
        String::from_utf8_lossy(&answer.stderr).contains("logged in"),
        "{answer:?}"
    );
}

#[test]
fn audit_log_has_a_request_once_it_is_answered() {
    let plane = shared();
    create_config_map(plane, "audited");
    let log = std::fs::read_to_string(plane.audit_log()).unwrap();
    let created =
        |line: &&str| line.contains("\"verb\":\"create\"") && line.contains("\"name\":\"audited\"");
    assert_eq!(log.lines().filter(created).count(), 1);
}

#[test]
fn restarted_api_server_keeps_its_address_and_data() {
    let mut plane = ControlPlane::start(&Options::default()).unwrap();
    create_config_map(&plane, "kept");

    plane.stop_apiserver().unwrap();
    let refused = plane
        .kubectl()
        .args(["get", "configmap", "kept"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    plane.start_apiserver().unwrap();
    assert_eq!(read_config_map(&plane, "kept"), "value");

    plane.kill_apiserver().unwrap();
    plane.start_apiserver().unwrap();
    assert_eq!(read_config_map(&plane, "kept"), "value");
}

#[test]
fn wrong_argument_is_an_error_with_the_log() {
    let options = Options::default().apiserver_arg("--no-such-flag");
    let error = ControlPlane::start(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("kube-apiserver ended by itself"),
        "{error}"
    );
    assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
}

#[test]
fn directory_is_removed_with_the_plane() {
    let plane = ControlPlane::start(&Options::default()).unwrap();
    let directory = plane.directory().to_owned();
    assert!(directory.is_dir());
    drop(plane);
    assert!(!directory.exists());
}

//! The kubeconfig: which files count, and credentials that come from a program (exec plugin).

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};
use testbed::world::{GROUP, USER, World, eventually};

/// What the program prints: a certificate and its key.
fn write_credential(directory: &Path, certificate: &str, key: &str) {
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": { "clientCertificateData": certificate, "clientKeyData": key },
    });
    fs::write(directory.join("credential.json"), credential.to_string()).unwrap();
}

fn decoded(value: &Value) -> String {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}

fn runs(directory: &Path) -> usize {
    let runs = fs::read_to_string(directory.join("runs")).unwrap_or_default();
    runs.lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_for_credentials_runs_again_where_the_api_server_refuses_what_it_gave() {
    let mut world = World::new("program").await;
    world.add_task("{id: T-1}");
    let path = world.plane.user(USER, Some(GROUP)).unwrap();
    let mut kubeconfig: Value =
        serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let user = &mut kubeconfig["users"][0]["user"];
    let good = ["client-certificate-data", "client-key-data"].map(|key| decoded(&user[key]));
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    let script = "#!/bin/sh\necho run >> \"$(dirname \"$0\")/runs\"\ncat \"$(dirname \"$0\")/credential.json\"\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    *user = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": program,
        "interactiveMode": "Never",
    } });
    let path = directory.path().join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    // Of an authority that the API server doesn't know: it refuses it as one that has expired.
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    write_credential(
        directory.path(),
        &other.cert.pem(),
        &other.signing_key.serialize_pem(),
    );

    world.start_with(
        &["--credentials", "none"],
        &[("KUBECONFIG", path.to_str().unwrap())],
    );
    eventually("it is refused", || async {
        world.log().contains("can't watch")
    })
    .await;
    let before = runs(directory.path());
    write_credential(directory.path(), &good[0], &good[1]);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    assert!(runs(directory.path()) > before);
    assert_eq!(world.admin("/readyz").await.0, 200);
    // Not at each request that was refused.
    assert!(
        runs(directory.path()) <= before + 8,
        "{}",
        runs(directory.path())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_may_be_in_several_files_of_which_some_are_missing() {
    let mut world = World::new("several").await;
    world.add_task("{id: T-1}");
    let path = world.plane.user(USER, Some(GROUP)).unwrap();
    let whole: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let part = |name: &str, keys: &[&str]| {
        let mut part = json!({ "apiVersion": "v1", "kind": "Config" });
        for key in keys {
            part[key] = whole[key].clone();
        }
        let path = directory.path().join(name);
        fs::write(&path, part.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let clusters = part("clusters", &["clusters", "contexts", "current-context"]);
    let users = part("users", &["users"]);
    let list = format!("{clusters}:/nowhere/kubeconfig::{users}");
    world.start_with(&["--credentials", "none"], &[("KUBECONFIG", &list)]);
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
}

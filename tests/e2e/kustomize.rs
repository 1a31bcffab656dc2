//! The example for kustomize: a task finds the Secret that a generator named.

use std::{fs, path::Path};

use testbed::{
    repository,
    secrets::grant_secrets,
    world::{World, eventually},
};

/// Copies the example into a directory, with each of these texts replaced.
fn example(to: &Path, changes: &[(&str, &str)]) {
    for entry in fs::read_dir(repository().join("docs/gitops/kustomize")).unwrap() {
        let entry = entry.unwrap();
        let mut text = fs::read_to_string(entry.path()).unwrap();
        for (from, into) in changes {
            text = text.replace(from, into);
        }
        fs::write(to.join(entry.file_name()), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_uses_the_secret_that_kustomize_named_and_the_next_one() {
    let keys = "{credentials: [
        {accessKeyId: KEY_ID, accessKeySecret: KEY_SECRET},
        {accessKeyId: NEXT_ID, accessKeySecret: KEY_SECRET}]}";
    let mut world = World::with_script("kustomize", keys.parse().unwrap()).await;
    world.add_task("{id: T-5faa48fb31b6b8078d000001, duration: 10h}");
    grant_secrets(&world).await;
    world.start_with(&["--credentials", "none", "--secret-credentials"], &[]);
    let namespace = format!("namespace: {}", world.namespace);
    let mut names = Vec::new();
    for key in ["KEY_ID", "NEXT_ID"] {
        let directory = tempfile::tempdir().unwrap();
        let changes = [("namespace: default", namespace.as_str()), ("KEY_ID", key)];
        example(directory.path(), &changes);
        world.kubectl_text(&["apply", "-k", directory.path().to_str().unwrap()]);
        let uses = || {
            world
                .simulator
                .request_log()
                .iter()
                .any(|request| request.access_key_id.as_deref() == Some(key))
        };
        eventually("the task is asked about with the key", || async { uses() }).await;
        world.until_reason("web-pool", "TaskRunning").await;
        let spec = world.get("web-pool").await.spec;
        names.push(spec.credentials_secret_ref.unwrap().name);
    }
    assert!(
        names.iter().all(|name| name.starts_with("task-api-")),
        "{names:?}"
    );
    assert_ne!(names[0], names[1]);
}

//! A release for each tenant, with an account of its own.

use serde_json::json;

use super::{
    stage::{SECOND, Stage, TEAMS},
    user::User,
};
use crate::cluster::{Error, NAME, SYSTEM};

const APIS: [&str; 2] = ["scaleout-test-api", "scaleout-test-api-b"];

pub fn run(stage: &Stage) -> Result<(), Error> {
    let [alice, bob] = stage.users()?;
    let first = stage.account(APIS[0], "account-a.yaml")?;
    let second = stage.account(APIS[1], "account-b.yaml")?;
    stage.install(SYSTEM, "release-team-a.yaml", &first, "team-a")?;
    stage.install(SECOND, "release-team-b.yaml", &second, "team-b")?;
    alice.make("good", &json!({ "taskId": "T-a-good" }))?;
    bob.make("good", &json!({ "taskId": "T-b-good" }))?;

    let theirs = json!({ "taskId": "T-b-long" });
    alice.told(
        "another's task by its ID",
        "theirs",
        &theirs,
        "TaskNotFound",
    )?;
    alice.chooses_no_host()?;
    stage.key(TEAMS[0], "own", "team-b")?;
    alice.brings_no_credentials("own")?;
    alice.stays_in_own_namespace(TEAMS[1])?;
    for system in [SYSTEM, SECOND] {
        alice.sees_nothing_of(system)?;
    }
    alice.hoards_no_metadata()?;
    bob.hoards_no_metadata()?;
    for (system, own, other) in [(SYSTEM, TEAMS[0], TEAMS[1]), (SECOND, TEAMS[1], TEAMS[0])] {
        stays_apart(stage, system, own, other)?;
    }
    alice.sees_own_task_end()?;
    alice.storms()?;
    bob.sees_own_task_end()
}

/// What the controller of one tenant may do, it may not do to the other.
fn stays_apart(stage: &Stage, system: &str, own: &str, other: &str) -> Result<(), Error> {
    let account = format!("system:serviceaccount:{system}:{NAME}");
    let controller = User {
        cluster: stage.cluster,
        name: &account,
        namespace: other,
    };
    for (verb, what, has) in [
        ("list", "scaleouttasks.scaleout.dev", true),
        ("patch", "scaleouttasks.scaleout.dev/status", true),
        ("delete", "scaleouttasks.scaleout.dev", true),
        ("create", "events.events.k8s.io", true),
        ("get", "secrets", false),
        ("get", "leases.coordination.k8s.io", false),
    ] {
        let (kind, part) = what.split_once('/').unwrap_or((what, ""));
        let part = format!("--subresource={part}");
        let can = ["auth", "can-i", verb, kind, &part];
        if has {
            controller.kubectl_in(own, &can)?;
        }
        let tried = controller.kubectl_in(other, &can);
        controller.refused(&format!("{verb} {what} in {other}"), tried, "no\n")?;
    }
    Ok(())
}

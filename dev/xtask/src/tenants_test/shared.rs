//! A shared controller: tenants don't trust each other.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use super::{
    stage::{Stage, TEAMS},
    user::User,
};
use crate::cluster::{Error, SYSTEM};

const API: &str = "scaleout-test-api";
/// The clusters of the documented rules.
const CLUSTERS: [&str; 2] = [
    "c78592bfe92244365b3c3ad47f1de0000",
    "c3c5df1a2b8f64c0e8a1b9d4f6e7a1111",
];
/// How long calls are counted: an interval of the rule is over twice at most, the user's own six times.
const COUNTED: Duration = Duration::from_secs(30);

fn of_cluster(task: &str, cluster: &str, more: &Value) -> Value {
    let mut spec = json!({ "taskId": task, "clusterId": cluster });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

pub fn run(stage: &Stage) -> Result<(), Error> {
    let [alice, bob] = stage.users()?;
    let endpoint = stage.account(API, "one-account.yaml")?;
    stage.install(SYSTEM, "shared.yaml", &endpoint, "operator")?;
    stage.key(TEAMS[0], "own", "operator")?;
    stage.key(TEAMS[1], "own", "team-b")?;
    let own = json!({ "credentialsSecretRef": { "name": "own" } });
    alice.make("good", &of_cluster("T-a-good", CLUSTERS[0], &json!({})))?;
    bob.make("good", &of_cluster("T-b-good", CLUSTERS[1], &own))?;

    tasks(&alice)?;
    regions(&alice)?;
    credentials(&alice, &bob)?;
    alice.stays_in_own_namespace(TEAMS[1])?;
    alice.sees_nothing_of(SYSTEM)?;
    alice.hoards_no_metadata()?;
    intervals(stage, &bob)?;
    alice.sees_own_task_end()?;
    alice.storms()?;
    bob.sees_own_task_end()
}

fn tasks(alice: &User) -> Result<(), Error> {
    let none = json!({});
    let theirs = of_cluster("T-b-long", CLUSTERS[0], &none);
    alice.told(
        "another's task by its ID",
        "theirs",
        &theirs,
        "TaskNotFound",
    )?;
    let nobodys = of_cluster("T-none", CLUSTERS[0], &none);
    alice.told(
        "a task that isn't there",
        "nobodys",
        &nobodys,
        "TaskNotFound",
    )?;
    if alice.status("theirs")? != alice.status("nobodys")? {
        return Err(alice.not_kept("telling the two apart", "their statuses differ"));
    }
    alice.say("telling the two apart", "the statuses are the same");
    let by_cluster = of_cluster("T-b-long", CLUSTERS[1], &none);
    alice.told("another's cluster", "cluster", &by_cluster, "NotAllowed")?;
    let unnamed = json!({ "taskId": "T-b-long" });
    alice.told("no cluster", "unnamed", &unnamed, "NotAllowed")
}

fn regions(alice: &User) -> Result<(), Error> {
    alice.chooses_no_host()?;
    for (what, name, region) in [
        ("a region of another's rule", "region", "cn-beijing"),
        ("a region of nobody's", "nowhere", "cn-shanghai"),
    ] {
        let spec = of_cluster("T-a-good", CLUSTERS[0], &json!({ "region": region }));
        alice.told(what, name, &spec, "NotAllowed")?;
    }
    Ok(())
}

fn credentials(alice: &User, bob: &User) -> Result<(), Error> {
    let secret = |name: &str| json!({ "credentialsSecretRef": { "name": name } });
    let spec = of_cluster("T-a-good", CLUSTERS[0], &secret("own"));
    alice.told("a Secret against the rule", "secret", &spec, "NotAllowed")?;
    let path = of_cluster("T-a-good", CLUSTERS[0], &secret("../team-b/own"));
    let made = alice.make("path", &path);
    alice.refused(
        "another namespace's Secret",
        made,
        "must be the name of a Secret",
    )?;
    let spec = of_cluster("T-b-good", CLUSTERS[1], &json!({}));
    bob.told(
        "the controller's credentials",
        "operator",
        &spec,
        "NotAllowed",
    )?;
    // It is there, in the controller's namespace.
    let spec = of_cluster("T-b-good", CLUSTERS[1], &secret("task-api"));
    bob.told(
        "the controller's Secret",
        "system",
        &spec,
        "CredentialsInvalid",
    )
}

/// The rule's interval counts where a user's own is shorter.
fn intervals(stage: &Stage, bob: &User) -> Result<(), Error> {
    // Nobody else asks in this region.
    let region = "cn-beijing";
    let more = json!({
        "region": region, "pollInterval": "5s", "credentialsSecretRef": { "name": "own" },
    });
    bob.make("often", &of_cluster("T-b-long", CLUSTERS[1], &more))?;
    bob.until("often", "TaskRunning")?;
    let before = stage.calls(region)?;
    thread::sleep(COUNTED);
    let calls = stage.calls(region)? - before;
    let what = format!("a poll interval of 5 s, for {} s", COUNTED.as_secs());
    if !(1.0..=3.0).contains(&calls) {
        return Err(bob.not_kept(&what, &format!("{calls} calls")));
    }
    bob.say(&what, &format!("{calls} calls, one in 15 s"));
    Ok(())
}

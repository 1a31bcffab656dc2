//! One team's cluster: users trust each other.

use serde_json::json;

use super::stage::{Stage, TEAMS};
use crate::cluster::{Error, SYSTEM};

const API: &str = "scaleout-test-api";

pub fn run(stage: &Stage) -> Result<(), Error> {
    let [alice, bob] = stage.users()?;
    let endpoint = stage.account(API, "one-account.yaml")?;
    stage.install(SYSTEM, "one-team.yaml", &endpoint, "operator")?;
    alice.make("good", &json!({ "taskId": "T-a-good" }))?;
    bob.make("good", &json!({ "taskId": "T-b-good" }))?;

    let carol = stage.viewer(TEAMS[0])?;
    let made = carol.make("viewers", &json!({ "taskId": "T-a-good" }));
    carol.refused("an object, as a viewer", made, "forbidden")?;
    carol.until("good", "TaskSucceeded")?;
    alice.stays_in_own_namespace(TEAMS[1])?;
    alice.sees_nothing_of(SYSTEM)?;
    alice.chooses_no_host()?;
    stage.key(TEAMS[0], "own", "operator")?;
    alice.brings_no_credentials("own")?;
    // What this set-up doesn't refuse: it says so.
    alice.make("theirs", &json!({ "taskId": "T-b-long" }))?;
    alice.until("theirs", "TaskRunning")?;
    alice.say("another's task by its ID", "is shown, as documented");
    alice.sees_own_task_end()?;
    alice.storms()?;
    bob.sees_own_task_end()
}

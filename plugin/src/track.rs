//! `track`: makes the object of a task, or takes the one that is there.

use std::io::{self, IsTerminal, Read};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use scaleouttask_controller::api::{
    POLL_REQUESTED_AT, ScaleOutTask, ScaleOutTaskSpec, name_with_hash, object_name,
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    answer,
    cli::TrackArgs,
    cluster::Cluster,
    exit::Exit,
    failure::{Failure, Verb},
    output::note,
    row::{Outcome, Row},
};

/// So often an object is made that is there, and isn't a moment later.
const TRIES: usize = 3;

/// Who writes, in the API server's records.
const FIELD_MANAGER: &str = "kubectl-scaleouttask";

/// The task's ID that the arguments name, or that is on standard input.
pub fn task_id(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        answer::check(argument).map_err(Failure::usage)?;
        return Ok(argument.to_owned());
    }
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        note("Waiting for the answer of the call that started the task, then Ctrl-D");
    }
    let mut input = Vec::new();
    let read = stdin.by_ref().take(answer::MAX + 1).read_to_end(&mut input);
    read.map_err(|error| Failure::usage(format!("Standard input can't be read: {error}")))?;
    answer::task_id(&input).map_err(Failure::usage)
}

/// What the arguments ask for.
pub fn spec(task_id: &str, args: &TrackArgs) -> ScaleOutTaskSpec {
    ScaleOutTaskSpec {
        task_id: task_id.to_owned(),
        region: args.region.clone(),
        cluster_id: args.cluster_id.clone(),
        timeout: args.timeout.clone(),
        wait_for_nodes: args.wait_for_nodes.then_some(true),
        ttl_seconds_after_finished: args.ttl,
        ..ScaleOutTaskSpec::default()
    }
}

/// The object of that spec: the one that is there, else a new one. While nobody answers it is tried again until that
/// moment: the caller may know the task's ID from nowhere else.
pub async fn object(
    cluster: &Cluster,
    name: Option<&str>,
    spec: &ScaleOutTaskSpec,
    until: Instant,
) -> Result<ScaleOutTask, Failure> {
    let track = Track {
        cluster,
        api: cluster.objects(),
        name,
        spec,
        until,
    };
    let untracked = |failure: Failure| match failure.exit {
        Exit::Stuck => failure.and(&untracked(&spec.task_id)),
        _ => failure,
    };
    let made = match track.find().await.map_err(untracked)? {
        Some(found) => Made::There(Box::new(found)),
        None => track.make().await.map_err(untracked)?,
    };
    match made {
        Made::New(object) => Ok(*object),
        Made::There(object) => track.take(*object).await,
    }
}

/// What follows where no object was made: the caller may know the ID from nowhere else.
pub fn untracked(task_id: &str) -> String {
    format!("{task_id} isn't tracked yet")
}

/// The object of a task.
enum Made {
    New(Box<ScaleOutTask>),
    /// It was there: a source, or another of us, was faster.
    There(Box<ScaleOutTask>),
}

struct Track<'a> {
    cluster: &'a Cluster,
    api: Api<ScaleOutTask>,
    name: Option<&'a str>,
    spec: &'a ScaleOutTaskSpec,
    until: Instant,
}

impl Track<'_> {
    /// The object that tracks the task: the one of the name that is asked for, else the oldest.
    async fn find(&self) -> Result<Option<ScaleOutTask>, Failure> {
        let fields = format!("spec.taskId={}", self.spec.task_id);
        let found = self.list(&fields).await?;
        let order = |object: &ScaleOutTask| {
            let is_other = self.name.is_some_and(|name| object.name_any() != name);
            (is_other, object.creation_timestamp().map(|time| time.0))
        };
        Ok(found.into_iter().min_by_key(order))
    }

    async fn list(&self, fields: &str) -> Result<Vec<ScaleOutTask>, Failure> {
        let params = ListParams::default().fields(fields);
        let list = || self.api.list(&params);
        let found = self.cluster.insisted(Verb::List, self.until, list).await?;
        Ok(found.items)
    }

    /// Has an object that is there be as it is asked for.
    async fn take(&self, found: ScaleOutTask) -> Result<ScaleOutTask, Failure> {
        let name = found.name_any();
        self.check_region(&name, &found)?;
        let changes = changes(&found.spec, self.spec);
        let row = Row::of(&found);
        if row.finished.is_some() && changes.contains_key("waitForNodes") {
            return Err(ended_too_soon(&name));
        }
        let (object, done) = if !changes.is_empty() {
            let told = told(&found.spec, &changes);
            let change = json!({ "spec": changes });
            let patch = || patch(&self.api, &name, &change);
            let patched = self.cluster.insisted(Verb::Patch, self.until, patch).await;
            let unset = |failure: Failure| {
                let task_id = &self.spec.task_id;
                failure.and(&format!(
                    "{name} tracks {task_id} already, but not with {told}"
                ))
            };
            (patched.map_err(unset)?, format!("; set there: {told}"))
        } else if row.outcome == Outcome::Stuck && !row.is_never_asked_about() {
            // Somebody may have mended it. Who may not ask sees what it was at the last look.
            let asked = self.have_looked(&name).await;
            (asked.unwrap_or(found), "; asking again".to_owned())
        } else {
            (found, String::new())
        };
        let unused = self.name.filter(|asked| **asked != *name);
        let unused = unused.map(|other| format!("; no object {other} is made"));
        let unused = unused.unwrap_or_default();
        note(&format!(
            "{name} tracks {} already{done}{unused}",
            self.spec.task_id
        ));
        Ok(object)
    }

    async fn have_looked(&self, name: &str) -> Result<ScaleOutTask, Failure> {
        let change = look_request();
        let patch = patch(&self.api, name, &change);
        self.cluster.asked(Verb::Patch, patch).await
    }

    /// A region can't be changed.
    fn check_region(&self, name: &str, found: &ScaleOutTask) -> Result<(), Failure> {
        let Some(asked) = &self.spec.region else {
            return Ok(());
        };
        match &found.spec.region {
            Some(has) if has != asked => Err(Failure::usage(format!(
                "{name} tracks {} already, in region {has}: leave --region out, or delete {name}",
                self.spec.task_id
            ))),
            Some(_) => Ok(()),
            None => {
                note(&format!(
                    "{name} names no region, so the controller's own counts, not --region {asked}: to have it asked \
                     there, delete {name} and run this again"
                ));
                Ok(())
            }
        }
    }

    async fn make(&self) -> Result<Made, Failure> {
        let task_id = &self.spec.task_id;
        let names = match self.name {
            Some(name) => vec![name.to_owned()],
            None => vec![object_name(task_id), name_with_hash(task_id)],
        };
        for name in &names {
            if let Some(made) = self.make_named(name).await? {
                return Ok(made);
            }
        }
        let what = match names.as_slice() {
            [name] => format!("{name} is there already, and tracks another task"),
            names => format!(
                "{} are there already, and track other tasks",
                names.join(" and ")
            ),
        };
        Err(Failure::usage(format!("{what}: choose another --name")))
    }

    /// None where another task's object has that name.
    async fn make_named(&self, name: &str) -> Result<Option<Made>, Failure> {
        let object = ScaleOutTask::new(name, self.spec.clone());
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let create = || async {
            match self.api.create(&params, &object).await {
                Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(None),
                made => made.map(Some),
            }
        };
        let mut there = None;
        for _ in 0..TRIES {
            let made = self.cluster.insisted(Verb::Create, self.until, create);
            if let Some(made) = made.await? {
                return Ok(Some(Made::New(Box::new(made))));
            }
            let found = self.list(&format!("metadata.name={name}")).await?;
            there = found.into_iter().next();
            if there.is_some() {
                break;
            }
        }
        let there = there.ok_or_else(|| {
            Failure::stuck(format!(
                "{name} is deleted whenever it is made: run this again"
            ))
        })?;
        if there.spec.task_id == self.spec.task_id {
            return Ok(Some(Made::There(Box::new(there))));
        }
        if name == self.spec.task_id {
            note(&format!(
                "An object {name} is there, which tracks {}; to watch it: {}",
                there.spec.task_id,
                self.cluster.typed("watch", name)
            ));
        }
        Ok(None)
    }
}

/// A succeeded task isn't gone back to for its nodes.
pub fn ended_too_soon(name: &str) -> Failure {
    Failure::stuck(format!(
        "{name} ended before it was told to wait for nodes: delete it, and run this again"
    ))
}

/// What becomes of the fields that change.
fn told(has: &ScaleOutTaskSpec, changes: &Map<String, Value>) -> String {
    let has = fields(has);
    let told = changes.iter().map(|(name, value)| match has.get(name) {
        Some(before) => format!("{name} {value} in place of {before}"),
        None => format!("{name} {value}"),
    });
    told.collect::<Vec<_>>().join(", ").replace('"', "")
}

/// The fields of `wanted` that `has` doesn't have so, as they are on the wire.
fn changes(has: &ScaleOutTaskSpec, wanted: &ScaleOutTaskSpec) -> Map<String, Value> {
    let has = fields(has);
    let mut wanted = fields(wanted);
    // An object that names no region has the controller's, and it can't be changed.
    wanted.remove("region");
    wanted.retain(|name, value| has.get(name) != Some(value));
    wanted
}

/// As they are on the wire.
fn fields(spec: &ScaleOutTaskSpec) -> Map<String, Value> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// A patch that asks for a look now.
pub fn look_request() -> Value {
    let request = Timestamp::now().to_string();
    json!({ "metadata": { "annotations": { POLL_REQUESTED_AT: request } } })
}

/// Merges a patch into an object.
pub async fn patch(
    api: &Api<ScaleOutTask>,
    name: &str,
    patch: &Value,
) -> kube::Result<ScaleOutTask> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch(name, &params, &Patch::Merge(patch)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_object_that_is_there_only_what_differs_is_changed() {
        let spec = |timeout: Option<&str>, wait_for_nodes: Option<bool>| ScaleOutTaskSpec {
            task_id: "T-1".to_owned(),
            timeout: timeout.map(str::to_owned),
            wait_for_nodes,
            ..ScaleOutTaskSpec::default()
        };
        let names = |has, wanted| changes(&has, &wanted).keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(spec(Some("1h"), Some(true)), spec(None, None)),
            [""; 0]
        );
        assert_eq!(
            names(spec(Some("1h"), None), spec(Some("1h"), Some(true))),
            ["waitForNodes"]
        );
        let (has, wanted) = (spec(Some("1h"), None), spec(Some("2h"), Some(true)));
        assert_eq!(
            told(&has, &changes(&has, &wanted)),
            "timeout 2h in place of 1h, waitForNodes true"
        );
    }
}

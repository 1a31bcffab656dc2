//! `track`: makes the object of a task, or takes the one that is there.

use std::io::{self, IsTerminal, Read};

use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec, name_with_hash, object_name};
use serde_json::{Map, Value};

use crate::{
    answer,
    cli::TrackArgs,
    cluster::{Cluster, asked},
    failure::{Failure, Verb},
};

/// Who writes, in the API server's records.
pub const FIELD_MANAGER: &str = "kubectl-scaleouttask";

/// The task's ID that the arguments name, or that is on standard input.
pub fn task_id(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        answer::check(argument).map_err(Failure::usage)?;
        return Ok(argument.to_owned());
    }
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        eprintln!("Waiting for the answer of the call that started the task, then Ctrl-D");
    }
    let mut input = Vec::new();
    let read = stdin.by_ref().take(answer::MAX).read_to_end(&mut input);
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

/// The object of that spec: the one that is there, else a new one.
pub async fn object(
    cluster: &Cluster,
    name: Option<&str>,
    spec: &ScaleOutTaskSpec,
) -> Result<ScaleOutTask, Failure> {
    let track = Track {
        api: cluster.objects(),
        place: cluster.place(),
        spec,
    };
    match track.find(name).await? {
        Some(found) => track.take(found).await,
        None => track.make(name).await,
    }
}

struct Track<'a> {
    api: Api<ScaleOutTask>,
    place: String,
    spec: &'a ScaleOutTaskSpec,
}

impl Track<'_> {
    /// The object that tracks the task: the one of that name, else the oldest.
    async fn find(&self, name: Option<&str>) -> Result<Option<ScaleOutTask>, Failure> {
        let fields = format!("spec.taskId={}", self.spec.task_id);
        let params = ListParams::default().fields(&fields);
        let found = asked(self.api.list(&params), Verb::List, &self.place).await?;
        let order = |object: &ScaleOutTask| {
            let is_other = name.is_some_and(|name| object.name_any() != name);
            (is_other, object.creation_timestamp().map(|time| time.0))
        };
        Ok(found.items.into_iter().min_by_key(order))
    }

    /// Has an object that is there be as it is asked for.
    async fn take(&self, found: ScaleOutTask) -> Result<ScaleOutTask, Failure> {
        let name = found.name_any();
        if let (Some(asked), Some(has)) = (&self.spec.region, &found.spec.region)
            && asked != has
        {
            return Err(Failure::usage(format!(
                "{name} tracks {} already, in region {has}: leave --region out, or delete {name}",
                self.spec.task_id
            )));
        }
        let changes = changes(&found.spec, self.spec);
        if changes.is_empty() {
            eprintln!("{name} tracks {} already", self.spec.task_id);
            return Ok(found);
        }
        let fields: Vec<&str> = changes.keys().map(String::as_str).collect();
        eprintln!(
            "{name} tracks {} already; set there: {}",
            self.spec.task_id,
            fields.join(", ")
        );
        patch(
            &self.api,
            &name,
            &serde_json::json!({ "spec": changes }),
            &self.place,
        )
        .await
    }

    async fn make(&self, name: Option<&str>) -> Result<ScaleOutTask, Failure> {
        let task_id = &self.spec.task_id;
        let names = match name {
            Some(name) => vec![name.to_owned()],
            None => vec![object_name(task_id), name_with_hash(task_id)],
        };
        for name in &names {
            if let Some(made) = self.make_named(name).await? {
                return Ok(made);
            }
        }
        Err(Failure::usage(format!(
            "{} is there already, and tracks another task: choose another --name",
            names.join(" and ")
        )))
    }

    /// None where another task's object has that name.
    async fn make_named(&self, name: &str) -> Result<Option<ScaleOutTask>, Failure> {
        let object = ScaleOutTask::new(name, self.spec.clone());
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.api.create(&params, &object).await {
            Ok(made) => Ok(Some(made)),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                let there = asked(self.api.get_opt(name), Verb::Get, &self.place).await?;
                match there.filter(|there| there.spec.task_id == self.spec.task_id) {
                    // A source, or another of us, was faster.
                    Some(there) => self.take(there).await.map(Some),
                    None => Ok(None),
                }
            }
            Err(error) => Err(Failure::of(&error, Verb::Create, &self.place)),
        }
    }
}

/// The fields of `wanted` that `has` doesn't have so, as they are on the wire.
fn changes(has: &ScaleOutTaskSpec, wanted: &ScaleOutTaskSpec) -> Map<String, Value> {
    let fields = |spec: &ScaleOutTaskSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let has = fields(has);
    let mut wanted = fields(wanted);
    // An object that names no region has the controller's, and it can't be changed.
    wanted.remove("region");
    wanted.retain(|name, value| has.get(name) != Some(value));
    wanted
}

/// Merges a patch into an object.
pub async fn patch(
    api: &Api<ScaleOutTask>,
    name: &str,
    patch: &Value,
    place: &str,
) -> Result<ScaleOutTask, Failure> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    asked(
        api.patch(name, &params, &Patch::Merge(patch)),
        Verb::Patch,
        place,
    )
    .await
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
        assert_eq!(
            names(spec(Some("1h"), Some(true)), spec(Some("2h"), Some(true))),
            ["timeout"]
        );
    }
}

//! What is shown of one object.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use scaleouttask_controller::{
    api::{
        InstanceCounts, POLL_REQUEST_CHARS, POLL_REQUESTED_AT, ScaleOutTask, ScaleOutTaskStatus,
    },
    rules::first_chars,
};

use crate::{exit::Exit, target::Target, text::clean};

/// So many instances are named at most.
pub const NAMED_MAX: usize = 5;

/// What stands for the reason where no controller has looked.
pub const NOT_LOOKED_AT: &str = "NotLookedAt";

/// How far an object is, as far as waiting for it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Ongoing,
    Succeeded,
    /// It ended badly.
    Failed,
    /// It can't be tracked until somebody mends something.
    Stuck,
    /// It was deleted before it ended.
    Deleted,
}

impl Outcome {
    pub const fn exit(self) -> Exit {
        match self {
            Self::Ongoing | Self::Succeeded => Exit::Succeeded,
            Self::Failed => Exit::Failed,
            Self::Stuck => Exit::Stuck,
            Self::Deleted => Exit::Deleted,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ongoing => "ongoing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
            Self::Deleted => "deleted",
        }
    }
}

/// Some instances, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub count: usize,
    pub first: Vec<String>,
}

impl Named {
    fn of<'a>(instances: impl Iterator<Item = &'a str>) -> Self {
        let mut named = Self::default();
        for instance in instances {
            if named.count < NAMED_MAX {
                named.first.push(clean(instance));
            }
            named.count += 1;
        }
        named
    }

    /// Their names, and how many others there are; none if there are none.
    pub fn list(&self) -> Option<String> {
        let others = self.count - self.first.len();
        let names = self.first.join(", ");
        match (self.count, others) {
            (0, _) => None,
            (_, 0) => Some(names),
            (_, others) => Some(format!("{names} and {others} more")),
        }
    }
}

/// What is shown of one object. Kept in place of the object, whose lists may be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub task_id: String,
    pub outcome: Outcome,
    /// Whether a controller has looked at the object as it is now.
    pub is_looked_at: bool,
    pub is_suspended: bool,
    pub state: Option<String>,
    pub progress: Option<String>,
    pub instances: Option<InstanceCounts>,
    pub nodes: Option<String>,
    pub stage: Option<String>,
    pub ready: String,
    pub reason: String,
    pub message: String,
    pub began: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub failed_instances: Named,
    pub missing_nodes: Named,
    /// Whether a look was asked for that hasn't been had yet.
    pub awaits_look: bool,
}

impl Row {
    pub fn of(object: &ScaleOutTask) -> Self {
        let unseen = ScaleOutTaskStatus::default();
        let status = object.status.as_ref().unwrap_or(&unseen);
        let ready = status.conditions.iter().find(|one| one.type_ == "Ready");
        let observed = status.observed_generation.unwrap_or(-1);
        let generation = object.metadata.generation.unwrap_or_default();
        let is_looked_at = ready.is_some() && observed >= generation;
        let text = |text: &Option<String>| text.as_deref().map(clean);
        let created = object
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0);
        let task_created = status.created.as_ref().map(|time| time.0);
        let results = status.task_result.as_deref().unwrap_or_default();
        let failed = results.iter().filter(|one| one.status == "failed");
        let missing = results.iter().filter(|one| one.node_ready == Some(false));
        let mut row = Self {
            namespace: clean(&object.namespace().unwrap_or_default()),
            name: clean(&object.name_any()),
            uid: object.uid().unwrap_or_default(),
            task_id: clean(&object.spec.task_id),
            outcome: Outcome::Ongoing,
            is_looked_at,
            is_suspended: object.spec.suspend.unwrap_or_default(),
            state: text(&status.state),
            progress: text(&status.progress),
            instances: status.instances,
            nodes: text(&status.nodes),
            stage: text(&status.current_stage),
            ready: ready.map(|one| clean(&one.status)).unwrap_or_default(),
            reason: ready.map(|one| clean(&one.reason)).unwrap_or_default(),
            message: ready.map(|one| clean(&one.message)).unwrap_or_default(),
            // A source may have made the object of a task that was long under way.
            began: [created, task_created].into_iter().flatten().min(),
            finished: status.finished_at.as_ref().map(|time| time.0),
            failed_instances: Named::of(failed.map(|one| one.data.as_str())),
            missing_nodes: Named::of(missing.map(|one| one.data.as_str())),
            awaits_look: awaits_look(object, status),
        };
        row.outcome = row.outcome(status);
        row
    }

    /// What the status says of the spec as it is now.
    fn outcome(&self, status: &ScaleOutTaskStatus) -> Outcome {
        let is_true = |type_: &str| {
            let mut conditions = status.conditions.iter();
            conditions.any(|one| one.type_ == type_ && one.status == "True")
        };
        if !self.is_looked_at {
            Outcome::Ongoing
        } else if is_true("Finished") || self.finished.is_some() {
            if is_true("Ready") {
                Outcome::Succeeded
            } else {
                Outcome::Failed
            }
        // Where somebody asked for a look, the trouble may be mended.
        } else if is_true("Stalled") && (!self.awaits_look || self.is_never_asked_about()) {
            Outcome::Stuck
        } else {
            Outcome::Ongoing
        }
    }

    /// Whether a controller that runs would have looked at it soon.
    pub fn is_unseen(&self) -> bool {
        let awaits_look = self.awaits_look && !self.is_suspended;
        self.outcome == Outcome::Ongoing && (!self.is_looked_at || awaits_look)
    }

    /// The name, with its namespace where there are several.
    pub fn name(&self, with_namespace: bool) -> String {
        if with_namespace {
            format!("{}/{}", self.namespace, self.name)
        } else {
            self.name.clone()
        }
    }

    /// Whether the controller makes no call for it, also if a look is asked for, until somebody mends something.
    pub fn is_never_asked_about(&self) -> bool {
        let never = match self.reason.as_str() {
            "RegionMissing" | "NodesNotWatched" | "NotAllowed" => true,
            // Of Secrets the operator allows none.
            "CredentialsInvalid" => self.message.contains("--secret-credentials"),
            _ => false,
        };
        never && self.is_looked_at && self.finished.is_none()
    }

    /// What stands for the reason: also that nobody has looked at it as it is now, or that the object is gone.
    pub fn reason(&self) -> &str {
        match self.outcome {
            Outcome::Deleted => "Deleted",
            _ if !self.is_looked_at => NOT_LOOKED_AT,
            _ => &self.reason,
        }
    }

    /// The reason in words.
    pub fn message(&self) -> &str {
        match self.outcome {
            Outcome::Deleted => "It was deleted before its task ended",
            _ if self.is_looked_at => &self.message,
            _ if self.reason.is_empty() => "No controller has looked at it yet",
            _ => "No controller has looked at it since it was changed",
        }
    }

    /// What is said of it once all have ended: the instances that went wrong and, where a table has no room for it, why.
    pub fn epilogue(&self, with_message: bool, target: &Target) -> Vec<String> {
        let name = self.name(target.all_namespaces);
        let mut said = Vec::new();
        if with_message && self.outcome != Outcome::Succeeded {
            said.push(format!("{name}: {}", self.message()));
        }
        if self.outcome == Outcome::Failed {
            let failed = self.failed_instances.list();
            let missing = self.missing_nodes.list();
            said.extend(failed.map(|names| format!("{name}: failed: {names}")));
            said.extend(missing.map(|names| format!("{name}: no Ready node: {names}")));
        }
        if matches!(self.outcome, Outcome::Failed | Outcome::Stuck) {
            let typed = target.typed("why", &[&self.name], &self.namespace);
            said.push(format!("{name}: what to do: {typed}"));
        }
        said
    }

    /// How long it has gone on, or took. Clocks may differ.
    pub fn elapsed(&self, now: Timestamp) -> Option<SignedDuration> {
        let end = self.finished.unwrap_or(now);
        let elapsed = end.duration_since(self.began?);
        Some(elapsed.max(SignedDuration::ZERO))
    }
}

fn awaits_look(object: &ScaleOutTask, status: &ScaleOutTaskStatus) -> bool {
    let request = object.annotations().get(POLL_REQUESTED_AT);
    let request = request.map(|request| first_chars(request, POLL_REQUEST_CHARS));
    request.is_some() && request != status.last_handled_poll_request.as_deref()
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An object with that status, whose spec is of generation 2.
    pub fn object(name: &str, status: &Value) -> ScaleOutTask {
        serde_json::from_value(json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
            "metadata": {
                "name": name, "namespace": "web", "uid": format!("uid-{name}"), "generation": 2,
                "creationTimestamp": "2026-01-15T08:00:00Z",
            },
            "spec": { "taskId": "T-1" },
            "status": status,
        }))
        .unwrap()
    }

    /// Conditions as the controller writes them.
    pub fn conditions(ready: &str, reason: &str, others: &[&str]) -> Value {
        let one = |type_: &str, status: &str| {
            json!({ "type": type_, "status": status, "reason": reason, "message": format!("It is {reason}"),
                "lastTransitionTime": "2026-01-15T08:00:01Z" })
        };
        let others = others.iter().map(|other| one(other, "True"));
        [one("Ready", ready)].into_iter().chain(others).collect()
    }

    /// A row with that reason and state.
    pub fn row(name: &str, ready: &str, reason: &str, others: &[&str], fields: &Value) -> Row {
        let mut status = fields.clone();
        status["observedGeneration"] = 2.into();
        status["conditions"] = conditions(ready, reason, others);
        Row::of(&object(name, &status))
    }

    #[test]
    fn each_status_has_its_outcome() {
        let none = json!({});
        for (ready, reason, others, outcome) in [
            (
                "Unknown",
                "Pending",
                &["Reconciling"] as &[&str],
                Outcome::Ongoing,
            ),
            ("False", "TaskRunning", &["Reconciling"], Outcome::Ongoing),
            ("False", "Suspended", &[], Outcome::Ongoing),
            (
                "False",
                "WaitingForNodes",
                &["Reconciling"],
                Outcome::Ongoing,
            ),
            (
                "Unknown",
                "TaskNotFound",
                &["Reconciling"],
                Outcome::Ongoing,
            ),
            ("False", "TaskNotFound", &["Stalled"], Outcome::Stuck),
            ("False", "AccessDenied", &["Stalled"], Outcome::Stuck),
            ("True", "TaskSucceeded", &["Finished"], Outcome::Succeeded),
            ("True", "NodesReady", &["Finished"], Outcome::Succeeded),
            (
                "False",
                "TaskFailed",
                &["Stalled", "Finished"],
                Outcome::Failed,
            ),
            (
                "False",
                "TimedOut",
                &["Stalled", "Finished"],
                Outcome::Failed,
            ),
        ] {
            assert_eq!(
                row("a", ready, reason, others, &none).outcome,
                outcome,
                "{reason}"
            );
        }
    }

    #[test]
    fn a_trouble_counts_once_nobody_has_asked_for_another_look() {
        let asked = |reason: &str, request: &str| {
            let status = json!({ "observedGeneration": 2, "lastHandledPollRequest": "one",
                "conditions": conditions("False", reason, &["Stalled"]) });
            let mut object = object("a", &status);
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert(POLL_REQUESTED_AT.to_owned(), request.to_owned());
            Row::of(&object).outcome
        };
        assert_eq!(asked("AccessDenied", "one"), Outcome::Stuck);
        assert_eq!(asked("AccessDenied", "two"), Outcome::Ongoing);
        assert_eq!(asked("NotAllowed", "two"), Outcome::Stuck);
        let long = format!("{}x", "o".repeat(64));
        assert_eq!(asked("AccessDenied", &long), Outcome::Ongoing);
    }

    #[test]
    fn what_is_said_of_an_earlier_spec_counts_for_nothing() {
        let status = json!({ "observedGeneration": 1, "conditions": conditions("True", "TaskSucceeded", &["Finished"]) });
        let row = Row::of(&object("a", &status));
        assert_eq!((row.outcome, row.is_looked_at), (Outcome::Ongoing, false));
        assert_eq!(row.reason(), NOT_LOOKED_AT);
        assert!(row.message().ends_with("since it was changed"));
        let row = Row::of(&object("a", &json!({ "observedGeneration": -1 })));
        assert_eq!((row.reason(), row.is_looked_at), ("NotLookedAt", false));
    }

    #[test]
    fn time_runs_from_the_tasks_beginning_to_its_end_and_never_backwards() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = time("2026-01-15T08:05:00Z");
        let seconds = |fields: Value| {
            let row = row("a", "False", "TaskRunning", &[], &fields);
            row.elapsed(now).unwrap().as_secs()
        };
        assert_eq!(seconds(json!({})), 300);
        assert_eq!(seconds(json!({ "created": "2026-01-15T07:59:00Z" })), 360);
        assert_eq!(seconds(json!({ "finishedAt": "2026-01-15T08:01:00Z" })), 60);
        assert_eq!(seconds(json!({ "finishedAt": "2026-01-15T07:01:00Z" })), 0);
    }

    #[test]
    fn up_to_five_instances_are_named() {
        let results: Vec<Value> = (1..=7)
            .map(|n| json!({ "data": format!("i-{n}"), "status": "failed" }))
            .collect();
        let row = row(
            "a",
            "False",
            "InstancesFailed",
            &[],
            &json!({ "taskResult": results }),
        );
        assert_eq!(
            row.failed_instances.list().unwrap(),
            "i-1, i-2, i-3, i-4, i-5 and 2 more"
        );
        assert_eq!(row.missing_nodes.list(), None);
    }
}

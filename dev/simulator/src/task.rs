//! Tasks and how they change.

use std::{collections::BTreeMap, iter, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    fault::Fault,
    list::Listed,
    script::{self, ScriptError},
    values,
};

/// A task. It changes either along a timeline (`duration`, `instances`, `stages`, `events`,
/// `outcome`, `error`), or by explicit `steps`.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    default,
    remote = "Self"
)]
pub struct Task {
    /// The task's ID.
    pub id: String,
    /// Its region, with `regionInPath`. By default it is in all regions.
    pub region: Option<String>,
    /// The cluster it belongs to.
    pub cluster_id: String,
    /// Its type, by default `cluster_scaleout`.
    pub task_type: String,
    /// When its clock starts.
    pub start: Start,
    /// How far its clock is then: so much older is the task.
    #[serde(deserialize_with = "values::duration")]
    pub age: Duration,
    /// How long it runs. By default until its last instance has finished.
    #[serde(deserialize_with = "values::optional_duration")]
    pub duration: Option<Duration>,
    /// Its state after that: `success` by default, `fail`, `failed`, `canceled`, or any other.
    pub outcome: String,
    /// The task's own error, shown once it has finished.
    pub error: Option<TaskError>,
    /// The instances it adds.
    pub instances: Vec<Instance>,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Its events.
    pub events: Vec<Event>,
    /// What it works on, such as `{type: nodepool, id: np1}`.
    pub target: Option<Target>,
    /// Explicit steps instead of a timeline. Each changes what the ones before it have set.
    pub steps: Vec<Step>,
    /// `created`, instead of the time when its clock started.
    pub created: Option<String>,
    /// `updated`, instead of the time of its last change.
    pub updated: Option<String>,
    /// Names of fields to leave out of the body: `[task_result, updated]`.
    pub omit: Vec<String>,
    /// Fields to add to the body: `{target: {id: np-1, type: nodepool}}`.
    pub extra: BTreeMap<String, serde_json::Value>,
    /// The format of the body.
    pub format: Format,
    /// The shape of `task_result`.
    pub task_result_as: ResultShape,
    /// The whole body, byte for byte, instead of all that.
    pub body: Option<String>,
    /// A file to read `body` from, relative to the script.
    pub body_file: Option<PathBuf>,
    /// The `Content-Type`, instead of that of the format.
    pub content_type: Option<String>,
    /// Faults of this task, counted over its requests. The first that applies is used.
    pub faults: Vec<Fault>,
    /// How lists show it.
    pub listed: Listed,
}

/// When the clock of a task starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the task's first request, or when a list first shows it.
    #[default]
    FirstRequest,
    /// When the simulator starts or the task is set.
    StartUp,
}

/// The format of a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `application/json`.
    #[default]
    Json,
    /// `application/xml`, without a root element.
    Xml,
}

/// The shape of `task_result`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultShape {
    /// An array of entries.
    #[default]
    Array,
    /// The first entry as an object, as in an early SDK.
    Object,
    /// An object whose `task` is the array.
    Task,
}

/// An instance on a timeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Instance {
    /// Its ID.
    pub id: String,
    /// When it finishes. By default with the task.
    #[serde(default, deserialize_with = "values::optional_duration")]
    pub after: Option<Duration>,
    /// Its status after that. By default `success`.
    pub status: Option<String>,
    /// Its status before that. By default `initail` (the API's spelling).
    pub pending: Option<String>,
}

/// A stage on a timeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stage {
    /// Its name, which `current_stage` shows.
    pub name: String,
    /// When it begins. It ends with the next stage or with the task.
    #[serde(default, deserialize_with = "values::duration")]
    pub after: Duration,
    /// Its message, if any.
    pub message: Option<String>,
}

/// An event on a timeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Event {
    /// When it happens.
    #[serde(deserialize_with = "values::duration")]
    pub after: Duration,
    /// Its level, such as `info` or `error`.
    pub level: String,
    /// What was done.
    pub action: String,
    /// Why it happened.
    pub reason: String,
    /// What it says.
    pub message: String,
    /// Who says it.
    pub source: String,
}

/// What a task works on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Target {
    /// Its kind: `cluster` or `nodepool`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its ID.
    pub id: String,
}

/// A task's own error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TaskError {
    /// Its code.
    pub code: String,
    /// Its message.
    pub message: String,
}

/// An entry of `task_result`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The instance's ID.
    pub data: String,
    /// Its status.
    pub status: String,
}

/// A step changes fields of the task from then on. It is reached once all its conditions are met and
/// all steps before it are reached. Without conditions, it is reached at once.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Step {
    /// This long after the task's clock started.
    #[serde(deserialize_with = "values::optional_duration")]
    pub after: Option<Duration>,
    /// After this many requests for the task, including those with faults. The next request sees it.
    pub after_requests: Option<u64>,
    /// `state`. At first `running`.
    pub state: Option<String>,
    /// `task_result`.
    pub task_result: Option<Vec<Entry>>,
    /// `current_stage`.
    pub current_stage: Option<String>,
    /// `error`.
    pub error: Option<TaskError>,
    /// `task_id`, for a wrong one.
    pub task_id: Option<String>,
    /// `cluster_id`.
    pub cluster_id: Option<String>,
    /// `task_type`.
    pub task_type: Option<String>,
    /// `created`.
    pub created: Option<String>,
    /// `updated`.
    pub updated: Option<String>,
    /// Names of fields to leave out of the body. Replaces the earlier ones.
    pub omit: Option<Vec<String>>,
    /// Fields to add to the body.
    pub extra: BTreeMap<String, serde_json::Value>,
    /// The whole body, byte for byte, until the next step.
    pub body: Option<String>,
    /// A file to read `body` from, relative to the script.
    pub body_file: Option<PathBuf>,
    /// The `Content-Type`, instead of that of the format.
    pub content_type: Option<String>,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            id: String::new(),
            region: None,
            cluster_id: "c00000000000000000000000000000001".to_owned(),
            task_type: "cluster_scaleout".to_owned(),
            start: Start::default(),
            age: Duration::ZERO,
            duration: None,
            outcome: "success".to_owned(),
            error: None,
            instances: Vec::new(),
            stages: Vec::new(),
            events: Vec::new(),
            target: None,
            steps: Vec::new(),
            created: None,
            updated: None,
            omit: Vec::new(),
            extra: BTreeMap::new(),
            format: Format::default(),
            task_result_as: ResultShape::default(),
            body: None,
            body_file: None,
            content_type: None,
            faults: Vec::new(),
            listed: Listed::default(),
        }
    }
}

impl Task {
    /// A task that has succeeded, without instances.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// A task that is always in this state.
    #[must_use]
    pub fn in_state(id: &str, state: &str) -> Self {
        Self {
            outcome: state.to_owned(),
            ..Self::new(id)
        }
    }

    /// Belongs to this cluster.
    #[must_use]
    pub fn in_cluster(self, cluster_id: &str) -> Self {
        Self {
            cluster_id: cluster_id.to_owned(),
            ..self
        }
    }

    /// Is so much older: its clock starts there.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        Self { age, ..self }
    }

    /// Is shown like this by lists.
    #[must_use]
    pub fn listed(self, listed: Listed) -> Self {
        Self { listed, ..self }
    }

    /// Runs this long before its outcome.
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Self {
        Self {
            duration: Some(duration),
            ..self
        }
    }

    /// Ends in this state.
    #[must_use]
    pub fn ending(self, outcome: &str) -> Self {
        Self {
            outcome: outcome.to_owned(),
            ..self
        }
    }

    /// Adds an instance that has this status once `after` has passed.
    #[must_use]
    pub fn instance(mut self, id: &str, after: Duration, status: &str) -> Self {
        self.instances.push(Instance {
            id: id.to_owned(),
            after: Some(after),
            status: Some(status.to_owned()),
            pending: None,
        });
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// The clusters in whose list it is at some time.
    pub(crate) fn listed_in(&self) -> impl Iterator<Item = &str> {
        let other = self.listed.cluster_id.as_deref();
        let by_steps = self
            .steps
            .iter()
            .filter_map(|step| step.cluster_id.as_deref());
        let own = iter::once(self.cluster_id.as_str()).chain(by_steps);
        other
            .into_iter()
            .chain(own.filter(move |_| other.is_none()))
    }

    fn check(&self) -> Result<(), &'static str> {
        let timeline = self.duration.is_some()
            || !self.instances.is_empty()
            || !self.stages.is_empty()
            || !self.events.is_empty();
        if self.id.is_empty() {
            Err("id: a task needs one")
        } else if timeline && !self.steps.is_empty() {
            Err(
                "steps: a task changes by steps or along a timeline (duration, instances, stages, events)",
            )
        } else {
            Ok(())
        }
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let task = Self::deserialize(deserializer)?;
        task.check().map_err(D::Error::custom)?;
        Ok(task)
    }
}

impl FromStr for Task {
    type Err = ScriptError;

    /// Parses a task as in a script, such as `{id: T-1, duration: 2s, outcome: fail}`.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        script::parse(text)
    }
}

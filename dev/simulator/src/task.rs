//! Tasks: what each is, and how it moves.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    fault::Fault,
    script::{self, ScriptError},
    values,
};

/// A task. It moves either along a timeline (`duration`, `instances`, `stages`, `outcome`,
/// `error`), or by explicit `steps`.
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
    /// The region it is found in, with `regionInPath`; by default in every region.
    pub region: Option<String>,
    /// The cluster it belongs to.
    pub cluster_id: String,
    /// Its type, by default `cluster_scaleout`.
    pub task_type: String,
    /// When its clock starts.
    pub start: Start,
    /// How long it runs; by default until its last instance has finished.
    #[serde(deserialize_with = "values::optional_duration")]
    pub duration: Option<Duration>,
    /// Its state after that: `success` by default, `fail`, `failed`, `canceled`, or any other.
    pub outcome: String,
    /// The task's own error, told once it has finished.
    pub error: Option<TaskError>,
    /// The instances it adds.
    pub instances: Vec<Instance>,
    /// The stages it goes through.
    pub stages: Vec<Stage>,
    /// Explicit steps in place of a timeline, each on top of those before it.
    pub steps: Vec<Step>,
    /// `created` in place of the time its clock started.
    pub created: Option<String>,
    /// `updated` in place of the time of its last change.
    pub updated: Option<String>,
    /// Fields left out of the body, by their names there: `[task_result, updated]`.
    pub omit: Vec<String>,
    /// Fields added to the body: `{target: {id: np-1, type: nodepool}}`.
    pub extra: BTreeMap<String, serde_json::Value>,
    /// The form of the body.
    pub format: Format,
    /// The shape of `task_result` in JSON.
    pub task_result_as: ResultShape,
    /// The body in place of all that, byte for byte.
    pub body: Option<String>,
    /// A file to read `body` from, relative to the script.
    pub body_file: Option<PathBuf>,
    /// The `Content-Type` in place of the format's own.
    pub content_type: Option<String>,
    /// Faults of this task, counted over its requests; the first that hits is taken.
    pub faults: Vec<Fault>,
}

/// When the clock of a task starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the task's first request.
    #[default]
    FirstRequest,
    /// When the simulator starts, or the task is set.
    StartUp,
}

/// The form of a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `application/json`.
    #[default]
    Json,
    /// `application/xml`, without a root element.
    Xml,
}

/// The shape of `task_result` in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultShape {
    /// An array of entries.
    #[default]
    Array,
    /// The first entry as one object, as an early SDK had it.
    Object,
}

/// An instance on a timeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Instance {
    /// Its ID.
    pub id: String,
    /// When it finishes; by default with the task.
    #[serde(default, deserialize_with = "values::optional_duration")]
    pub after: Option<Duration>,
    /// Its status then, by default `success`.
    pub status: Option<String>,
    /// Its status before, by default `initail` (the API's spelling).
    pub pending: Option<String>,
}

/// A stage on a timeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stage {
    /// Its name, which `current_stage` tells.
    pub name: String,
    /// When it begins; it ends with the next, or with the task.
    #[serde(default, deserialize_with = "values::duration")]
    pub after: Duration,
    /// Its message, if any.
    pub message: Option<String>,
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

/// An entry of `task_result`, as it is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The instance's ID.
    pub data: String,
    /// Its status.
    pub status: String,
}

/// A step: what the task tells from then on, on top of what it told before. It is reached once
/// every condition it names is met (none: at once), and every step before it was reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Step {
    /// This long after the task's clock started.
    #[serde(deserialize_with = "values::optional_duration")]
    pub after: Option<Duration>,
    /// After this many requests for the task (so that the next one sees it), faulty ones included.
    pub after_requests: Option<u64>,
    /// `state`; before the first, `running`.
    pub state: Option<String>,
    /// `task_result`.
    pub task_result: Option<Vec<Entry>>,
    /// `current_stage`.
    pub current_stage: Option<String>,
    /// `error`.
    pub error: Option<TaskError>,
    /// `task_id`, to tell a wrong one.
    pub task_id: Option<String>,
    /// `cluster_id`.
    pub cluster_id: Option<String>,
    /// `task_type`.
    pub task_type: Option<String>,
    /// `created`.
    pub created: Option<String>,
    /// `updated`.
    pub updated: Option<String>,
    /// Fields left out of the body, in place of those left out before.
    pub omit: Option<Vec<String>>,
    /// Fields added to the body.
    pub extra: BTreeMap<String, serde_json::Value>,
    /// The body in place of all that, byte for byte; from this step to the next.
    pub body: Option<String>,
    /// A file to read `body` from, relative to the script.
    pub body_file: Option<PathBuf>,
    /// The `Content-Type` in place of the format's own.
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
            duration: None,
            outcome: "success".to_owned(),
            error: None,
            instances: Vec::new(),
            stages: Vec::new(),
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

    /// A task that tells this state and never moves.
    #[must_use]
    pub fn in_state(id: &str, state: &str) -> Self {
        Self {
            outcome: state.to_owned(),
            ..Self::new(id)
        }
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

    fn check(&self) -> Result<(), &'static str> {
        let timeline =
            self.duration.is_some() || !self.instances.is_empty() || !self.stages.is_empty();
        if self.id.is_empty() {
            Err("id: a task needs one")
        } else if timeline && !self.steps.is_empty() {
            Err("steps: a task moves by steps or along a timeline (duration, instances, stages)")
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

    /// Reads a task as a script writes it, such as `{id: T-1, duration: 2s, outcome: fail}`.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        script::parse(text)
    }
}

//! Scripts in YAML: the tasks and the faults of the simulated API.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};

use crate::{fault::Fault, limit::RateLimit, list::List, metadata::Metadata, sts::Sts, task::Task};

/// The default script of the program.
pub const DEMONSTRATION: &str = include_str!("../example.yaml");

/// A script: the tasks, keys, limits and faults of the simulated API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// The tasks.
    #[serde(deserialize_with = "tasks")]
    pub tasks: Vec<Task>,
    /// The lists of clusters' tasks that aren't as usual, or that are empty.
    #[serde(deserialize_with = "lists")]
    pub lists: Vec<List>,
    /// Whether the first segment of the path is the region: `/cn-beijing/tasks/T-1`.
    pub region_in_path: bool,
    /// The access keys for signatures. Without any and without `sts`, requests needn't be signed.
    pub credentials: Vec<Credentials>,
    /// The simulated STS. If it is set, requests must be signed.
    pub sts: Option<Sts>,
    /// The simulated metadata service and credentials URI. If it is set, requests must be signed.
    pub metadata: Option<Metadata>,
    /// The rate limit of the API.
    pub rate_limit: Option<RateLimit>,
    /// The answer for tasks that don't exist. By default 404 `ErrorTaskNotFound`.
    pub unknown: Option<Fault>,
    /// Faults of all tasks, counted over all requests. Those of a single task have priority.
    pub faults: Vec<Fault>,
}

/// An access key.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// The access key ID.
    pub access_key_id: String,
    /// The access key secret.
    pub access_key_secret: String,
    /// The security token that must be sent with it, for temporary keys.
    pub security_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Why a script can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The YAML or a field is wrong. The message has the line and the field.
    #[error("the script is wrong: {}", one_line(.0))]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// The script or a file in it can't be read.
    #[error("can't read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

/// The line, field and reason of the error, without an excerpt of the script.
fn one_line(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

impl Script {
    /// Reads a script from a file. Each `bodyFile` is relative to it.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = read(path)?;
        parse_in(&text, path.parent().unwrap_or(Path::new("")))
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    /// Parses a script. Each `bodyFile` is relative to the current directory.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        parse(text)
    }
}

/// Types with `bodyFile` fields.
pub(crate) trait BodyFiles {
    /// All pairs of a file name and the body to read from it.
    fn bodies(&mut self) -> Vec<(&Option<PathBuf>, &mut Option<String>)>;
}

impl BodyFiles for Script {
    fn bodies(&mut self) -> Vec<(&Option<PathBuf>, &mut Option<String>)> {
        let faults = self.faults.iter_mut().chain(&mut self.unknown);
        let limit = self.rate_limit.iter_mut().map(|limit| &mut limit.answer);
        let sts = self.sts.iter_mut().flat_map(|sts| &mut sts.faults);
        let tasks = self.tasks.iter_mut().flat_map(BodyFiles::bodies);
        let lists = self.lists.iter_mut().flat_map(|list| &mut list.faults);
        faults
            .chain(limit)
            .chain(sts)
            .chain(lists)
            .flat_map(BodyFiles::bodies)
            .chain(tasks)
            .collect()
    }
}

impl BodyFiles for Fault {
    fn bodies(&mut self) -> Vec<(&Option<PathBuf>, &mut Option<String>)> {
        vec![(&self.body_file, &mut self.body)]
    }
}

impl BodyFiles for List {
    fn bodies(&mut self) -> Vec<(&Option<PathBuf>, &mut Option<String>)> {
        self.faults.iter_mut().flat_map(BodyFiles::bodies).collect()
    }
}

impl BodyFiles for Task {
    fn bodies(&mut self) -> Vec<(&Option<PathBuf>, &mut Option<String>)> {
        let steps = self
            .steps
            .iter_mut()
            .map(|step| (&step.body_file, &mut step.body));
        let faults = self.faults.iter_mut().flat_map(BodyFiles::bodies);
        std::iter::once((&self.body_file, &mut self.body))
            .chain(steps)
            .chain(faults)
            .collect()
    }
}

pub(crate) fn parse<T: DeserializeOwned + BodyFiles>(text: &str) -> Result<T, ScriptError> {
    parse_in(text, Path::new(""))
}

fn parse_in<T: DeserializeOwned + BodyFiles>(text: &str, dir: &Path) -> Result<T, ScriptError> {
    let mut script: T = serde_saphyr::from_str(text).map_err(Box::new)?;
    for (file, body) in script.bodies() {
        if let Some(file) = file {
            *body = Some(read(&dir.join(file))?);
        }
    }
    Ok(script)
}

fn read(path: &Path) -> Result<String, ScriptError> {
    fs::read_to_string(path).map_err(|source| ScriptError::File {
        path: path.to_owned(),
        source,
    })
}

fn tasks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Task>, D::Error> {
    let tasks = Vec::<Task>::deserialize(deserializer)?;
    let mut seen = HashSet::new();
    for task in &tasks {
        if !seen.insert((&task.region, &task.id)) {
            let twice = format!("tasks: the id {} is there twice (in one region)", task.id);
            return Err(D::Error::custom(twice));
        }
    }
    Ok(tasks)
}

fn lists<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<List>, D::Error> {
    let lists = Vec::<List>::deserialize(deserializer)?;
    let mut seen = HashSet::new();
    for list in &lists {
        if !seen.insert(&list.cluster_id) {
            let cluster_id = list.cluster_id.as_deref().unwrap_or("of all");
            let twice = format!("lists: the cluster {cluster_id} is there twice");
            return Err(D::Error::custom(twice));
        }
    }
    Ok(lists)
}

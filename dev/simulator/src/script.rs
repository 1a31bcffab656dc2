//! Scripts: what the simulated API knows, read from YAML.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};

use crate::{fault::Fault, limit::RateLimit, sts::Sts, task::Task};

/// The script that the binary plays when it is given none.
pub const DEMONSTRATION: &str = include_str!("../example.yaml");

/// What the simulated API knows, and how it misbehaves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// The tasks.
    #[serde(deserialize_with = "tasks")]
    pub tasks: Vec<Task>,
    /// Takes the first segment of the path as the region: `/cn-beijing/tasks/T-1`.
    pub region_in_path: bool,
    /// The access keys that signatures are checked against. Where there are none, and no `sts`,
    /// no signature is asked for.
    pub credentials: Vec<Credentials>,
    /// The simulated STS; naming it turns the check of signatures on.
    pub sts: Option<Sts>,
    /// The rate limit of the API.
    pub rate_limit: Option<RateLimit>,
    /// The answer for tasks that don't exist; by default 404 `ErrorTaskNotFound`.
    pub unknown: Option<Fault>,
    /// Faults of all tasks, counted over all requests. A task's own go first.
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
    /// The security token that must come with it, for temporary keys.
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

/// Why a script can't be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The YAML, or what it says, is wrong; the text names the line and the field.
    #[error("the script is wrong: {}", one_line(.0))]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// The script, or a file it names, can't be read.
    #[error("can't read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The error's line, field and reason, without its picture of the script.
fn one_line(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

impl Script {
    /// Reads a script from a file; `bodyFile`s are relative to it.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = read(path)?;
        parse_in(&text, path.parent().unwrap_or(Path::new("")))
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    /// Reads a script; `bodyFile`s are relative to the current directory.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        parse(text)
    }
}

/// What may name files to read bodies from.
pub(crate) trait BodyFiles {
    /// Every pair of a file's name and the body it is to fill.
    fn bodies(&mut self) -> Vec<(&Option<PathBuf>, &mut Option<String>)>;
}

impl BodyFiles for Script {
    fn bodies(&mut self) -> Vec<(&Option<PathBuf>, &mut Option<String>)> {
        let faults = self.faults.iter_mut().chain(&mut self.unknown);
        let limit = self.rate_limit.iter_mut().map(|limit| &mut limit.answer);
        let sts = self.sts.iter_mut().flat_map(|sts| &mut sts.faults);
        let tasks = self.tasks.iter_mut().flat_map(BodyFiles::bodies);
        faults
            .chain(limit)
            .chain(sts)
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

//! One `ScaleOutTaskSource` as it is kept, and the patch of its status.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    api::{
        LastMade, ScaleOutTaskSourceSpec, ScaleOutTaskSourceStatus, TaskTemplate, parse_duration,
    },
    rules::{Conditions, Mark, ObjectKey, Policy, Reason, ResourceVersion, Shown, Uid},
};

const INTERVAL: Duration = Duration::from_secs(30);
const LOOKBACK: Duration = Duration::from_hours(1);
/// How many IDs a status remembers.
const RECENT_MAX: usize = 1000;

/// One `ScaleOutTaskSource`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Unique over time; another source of the same name has another.
    pub uid: Uid,
    /// The version of the source that this is.
    pub resource_version: ResourceVersion,
    /// Counts the changes of the spec.
    pub generation: i64,
    /// When the source was created.
    pub created_at: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The user's side.
    pub spec: SourceSpec,
    /// The controller's side.
    pub status: SourceStatus,
}

/// What a source asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// The cluster whose tasks are found.
    pub cluster_id: Box<str>,
    /// Its region; by default the controller's.
    pub region: Option<Box<str>>,
    /// The name of the Secret with the source's own credentials.
    pub secret_name: Option<Box<str>>,
    /// Whether not to list.
    pub suspend: bool,
    /// Of which tasks objects are made.
    pub task_types: TaskTypes,
    /// How often to list.
    pub interval: Duration,
    /// How much older than the source a task may be.
    pub lookback: Duration,
    /// What objects have beside what comes from the source.
    pub template: Arc<TaskTemplate>,
}

/// Types of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskTypes {
    /// All of them.
    All,
    /// Only these.
    These(BTreeSet<Box<str>>),
}

impl TaskTypes {
    /// Whether a task of that type is one of them.
    #[must_use]
    pub fn contain(&self, task_type: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::These(types) => task_type.is_some_and(|one| types.contains(one)),
        }
    }
}

impl Default for SourceSpec {
    fn default() -> Self {
        ScaleOutTaskSourceSpec::default().into()
    }
}

impl From<ScaleOutTaskSourceSpec> for SourceSpec {
    fn from(spec: ScaleOutTaskSourceSpec) -> Self {
        // What the API server would refuse counts as not there.
        let duration = |text: Option<String>, least: Duration, most: Duration| {
            let duration = text.and_then(|text| parse_duration(&text).ok());
            duration.filter(|duration| (least..=most).contains(duration))
        };
        let types = spec.task_types.filter(|types| !types.is_empty());
        let types = types.unwrap_or_else(|| {
            ["cluster_scaleout", "nodepool_scaleout"]
                .map(str::to_owned)
                .into()
        });
        Self {
            cluster_id: spec.cluster_id.into(),
            region: spec.region.map(Into::into),
            secret_name: spec.credentials_secret_ref.map(|secret| secret.name.into()),
            suspend: spec.suspend.unwrap_or(false),
            task_types: if types == ["*"] {
                TaskTypes::All
            } else {
                TaskTypes::These(types.into_iter().map(Into::into).collect())
            },
            interval: duration(
                spec.interval,
                Duration::from_secs(5),
                Duration::from_hours(1),
            )
            .unwrap_or(INTERVAL),
            lookback: duration(spec.lookback, Duration::ZERO, Duration::from_hours(24))
                .unwrap_or(LOOKBACK),
            template: Arc::new(spec.template.unwrap_or_default()),
        }
    }
}

impl Source {
    /// What it says of itself; none before its first status.
    #[must_use]
    pub fn shown(&self) -> Option<&Shown> {
        self.status.conditions.shown()
    }

    /// The reason of `Ready`.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.status.conditions.reason()
    }

    /// Where to ask; none where nothing says.
    #[must_use]
    pub fn region<'a>(&'a self, policy: &'a Policy) -> Option<&'a str> {
        let own = self.spec.region.as_deref();
        own.or(policy.default_region.as_deref())
    }

    /// The Secret with the source's own credentials.
    #[must_use]
    pub fn secret(&self) -> Option<ObjectKey> {
        Some(ObjectKey {
            namespace: self.key.namespace.clone(),
            name: self.spec.secret_name.as_deref()?.into(),
        })
    }

    /// How often to list.
    #[must_use]
    pub fn interval(&self, policy: &Policy) -> Duration {
        let least = policy.min_poll_interval(&self.key.namespace);
        self.spec.interval.max(least)
    }
}

/// What is kept of a source's status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceStatus {
    /// The generation of the spec that the status speaks of.
    pub observed_generation: Option<i64>,
    /// The conditions.
    pub conditions: Conditions,
    /// How many objects were made; none before the first list that ended well.
    pub made: Option<i64>,
    /// What was made last.
    pub last_made: Option<LastTask>,
    /// How many tasks can't be made.
    pub unmakeable: i64,
    /// Tasks of which no second object is made.
    pub recent: Recent,
}

/// The object that was made last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTask {
    /// Its task.
    pub task_id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// When it was made, in whole seconds.
    pub at: Timestamp,
}

/// IDs of tasks, in the order in which their objects were made. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    ids: Arc<Vec<Box<str>>>,
    marks: Arc<BTreeSet<Mark>>,
}

impl PartialEq for Recent {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ids, &other.ids) || self.ids == other.ids
    }
}

impl Recent {
    /// Those of these IDs that fit: the last.
    pub fn new(ids: impl IntoIterator<Item = Box<str>>) -> Self {
        let mut ids: Vec<Box<str>> = ids.into_iter().collect();
        ids.drain(..ids.len().saturating_sub(RECENT_MAX));
        Self {
            marks: Arc::new(ids.iter().map(|id| Mark::of(id)).collect()),
            ids: Arc::new(ids),
        }
    }

    /// Whether the task of that ID is one of them.
    #[must_use]
    pub fn contains(&self, task: Mark) -> bool {
        self.marks.contains(&task)
    }

    /// Whether so many more fit.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.ids.len() + more <= RECENT_MAX
    }

    /// What stands for each.
    pub fn marks(&self) -> impl Iterator<Item = Mark> {
        self.marks.iter().copied()
    }

    /// Whether others may have been forgotten for lack of room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ids.len() >= RECENT_MAX
    }

    /// The IDs.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(|id| &**id)
    }
}

impl From<ScaleOutTaskSourceStatus> for SourceStatus {
    fn from(status: ScaleOutTaskSourceStatus) -> Self {
        let last_made = status.last_made.and_then(|last| {
            Some(LastTask {
                task_id: last.task_id.into(),
                name: last.name.into(),
                at: last.time?.0,
            })
        });
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions.into(),
            made: status.made,
            last_made,
            unmakeable: status.unmakeable.unwrap_or_default(),
            recent: Recent::new(status.recent.into_iter().map(Into::into)),
        }
    }
}

/// The JSON merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)) from one status to another: the parts
/// that differ, each whole.
#[derive(Clone, Copy, Debug)]
pub struct SourcePatch<'a> {
    /// The status as it is.
    pub from: &'a SourceStatus,
    /// The status as it should be.
    pub to: &'a SourceStatus,
}

impl SourcePatch<'_> {
    fn fields(&self) -> serde_json::Result<Map<String, Value>> {
        let Self { from, to } = self;
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        if from.observed_generation != to.observed_generation {
            set("observedGeneration", to.observed_generation.into());
        }
        if from.conditions != to.conditions {
            set("conditions", serde_json::to_value(to.conditions.to_list())?);
        }
        if from.made != to.made {
            set("made", to.made.into());
        }
        if from.last_made != to.last_made {
            let last = to.last_made.as_ref().map(|last| LastMade {
                task_id: last.task_id.to_string(),
                name: last.name.to_string(),
                time: Some(Time(last.at)),
            });
            set("lastMade", serde_json::to_value(last)?);
        }
        if from.unmakeable != to.unmakeable {
            let count = Some(to.unmakeable).filter(|count| *count > 0);
            set("unmakeable", count.into());
        }
        if from.recent != to.recent {
            set("recent", to.recent.ids().collect());
        }
        Ok(fields)
    }
}

impl Serialize for SourcePatch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields().map_err(serde::ser::Error::custom)?;
        fields.serialize(serializer)
    }
}

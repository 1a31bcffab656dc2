//! A source at the API server, the list of its cluster's tasks, and which objects were made of these.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use scaleouttask_controller::{
    api::{ScaleOutTaskSourceSpec, ScaleOutTaskSourceStatus},
    rules::{ListedTask, Mark, Object, ObjectKey, Source, SourceStatus},
    scheduler::{SourceWrite, WriteResult},
};

use crate::{cluster::Landed, promise::Promise, request::Knows, setting::Truth};

pub type Specify = fn(&mut ScaleOutTaskSourceSpec);

/// The source, if there is one or was.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// None once it is gone.
    pub source: Option<Source>,
    /// What becomes of its objects.
    pub collector: Collector,
    /// Of each task.
    pub records: Vec<Record>,
    /// Whether there are several replicas.
    pub elects: bool,
    spec: ScaleOutTaskSourceSpec,
}

/// The garbage collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collector {
    #[default]
    Rests,
    /// It deletes the objects of a source that is gone.
    Deletes,
    /// It takes from a source that is being deleted its objects, and then deletes it.
    Orphans,
}

/// What happened to the objects of a task.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// How many were made.
    pub creations: usize,
    /// Whether a person deleted the last.
    pub is_deleted: bool,
    /// Whether that was before the source's status remembered it.
    pub is_lost: bool,
    /// Whether either ever happened, so that one may not be counted.
    pub was_lost: bool,
}

pub fn source_key() -> ObjectKey {
    ObjectKey {
        namespace: "left".into(),
        name: "src".into(),
    }
}

pub fn task_id(index: usize) -> String {
    format!("T-{index}")
}

impl Origin {
    pub fn new(specify: Specify, tasks: usize, version: String, now: Timestamp) -> Self {
        let mut spec = ScaleOutTaskSourceSpec {
            cluster_id: "c".to_owned(),
            task_types: Some(vec!["*".to_owned()]),
            interval: Some("10s".to_owned()),
            ..ScaleOutTaskSourceSpec::default()
        };
        specify(&mut spec);
        let status = ScaleOutTaskSourceStatus {
            observed_generation: Some(-1),
            ..ScaleOutTaskSourceStatus::default()
        };
        Self {
            source: Some(Source {
                key: source_key(),
                uid: "src-uid".into(),
                resource_version: version.into(),
                generation: 1,
                created_at: now,
                spec: spec.clone().into(),
                status: status.into(),
                ..Source::default()
            }),
            collector: Collector::Rests,
            records: vec![Record::default(); tasks],
            elects: false,
            spec,
        }
    }

    /// The source, if objects are to be made.
    pub fn standing(&self) -> Option<&Source> {
        self.source.as_ref().filter(|source| !source.deleting)
    }

    /// The same, if it isn't suspended.
    pub fn listing(&self) -> Option<&Source> {
        self.standing().filter(|source| !source.spec.suspend)
    }

    pub fn remembers(&self, index: usize) -> bool {
        let recent = self.source.as_ref().map(|source| &source.status.recent);
        recent.is_some_and(|recent| recent.contains(Mark::of(&task_id(index))))
    }

    pub fn toggle_suspend(&mut self, version: String) {
        if let Some(source) = &mut self.source {
            self.spec.suspend = Some(!source.spec.suspend);
            source.spec = self.spec.clone().into();
            source.generation += 1;
            source.resource_version = version.into();
        }
    }

    /// Somebody deletes the source.
    pub fn delete(&mut self, collector: Collector, version: String) {
        self.collector = collector;
        match collector {
            Collector::Orphans => {
                if let Some(source) = &mut self.source {
                    source.deleting = true;
                    source.generation += 1;
                    source.resource_version = version.into();
                }
            }
            _ => self.source = None,
        }
    }

    /// A person deletes the object of that task.
    pub fn lose(&mut self, index: usize) {
        let is_lost = !self.remembers(index);
        if let Some(record) = self.records.get_mut(index) {
            record.is_deleted = true;
            record.is_lost = is_lost;
            record.was_lost = true;
        }
    }

    /// An object is made of that task.
    pub fn make(&mut self, index: usize, knows: Knows) -> Option<Promise> {
        let stands = self.standing().is_some();
        let record = &mut self.records[index];
        // Who may only create can't ask what was there before, and nothing holds an object that a person deletes. So
        // one that never heard of it can't know if the source doesn't tell; nor can a creation be called back.
        let is_excused = match knows {
            // A process alone doesn't look first whether a write of the one before arrived since it listed.
            Knows::Nothing => record.is_lost || record.is_deleted && !self.elects,
            Knows::TooLate => record.is_deleted,
            Knows::OfOne => false,
        };
        let is_second = record.creations > 0 && stands && !is_excused;
        record.creations += 1;
        record.is_lost = false;
        record.is_deleted = false;
        is_second.then_some(Promise::MadeOnce)
    }

    /// What an object's deletion for its age breaks.
    pub fn broken_by_deletion(&self, object: &Object, index: usize) -> Option<Promise> {
        let is_own = object.source.is_some() && self.standing().is_some();
        (is_own && !self.remembers(index)).then_some(Promise::RememberedFirst)
    }

    /// A write of the source's status.
    pub fn write(
        &mut self,
        write: &SourceWrite,
        version: String,
        blindly: bool,
    ) -> Landed<WriteResult<Source>> {
        let stored = self.source.clone();
        let Some(stored) = stored.filter(|stored| stored.uid == write.source.uid) else {
            return Landed::without_effect(WriteResult::Gone);
        };
        if stored.resource_version != write.source.resource_version && !blindly {
            // The shell leaves it to the watch to tell what it is now.
            return Landed::without_effect(WriteResult::Failed);
        }
        if stored.status == write.status {
            return Landed::without_effect(WriteResult::Written(Box::new(stored)));
        }
        let broken =
            goes_back(&stored.status, &write.status).then_some(Promise::NothingIsForgotten);
        let written = Source {
            status: write.status.clone(),
            resource_version: version.into(),
            ..stored
        };
        self.source = Some(written.clone());
        Landed {
            end: WriteResult::Written(Box::new(written)),
            changed: Some(0),
            broken,
        }
    }

    /// How many objects the source says it made, where that is wrong.
    pub fn miscounts(&self) -> bool {
        let Some(source) = self.listing() else {
            return false;
        };
        let all: usize = self.records.iter().map(|record| record.creations).sum();
        // Nobody may have heard of those that are lost.
        let lost = self.records.iter().filter(|record| record.was_lost).count();
        let made = usize::try_from(source.status.made.unwrap_or_default()).unwrap();
        !(all - lost.min(all)..=all).contains(&made)
    }
}

fn goes_back(before: &SourceStatus, after: &SourceStatus) -> bool {
    let is_kept = |id| after.recent.contains(Mark::of(id));
    after.made < before.made || !before.recent.ids().all(is_kept)
}

/// A page of the list of tasks, the newest first, one on each page.
pub fn page(truths: &[Truth], number: u32, start: Timestamp) -> Vec<ListedTask> {
    let tasks = (0_i64..).zip(truths).collect::<Vec<_>>().into_iter().rev();
    let listed = tasks.filter_map(|(index, truth)| match truth {
        Truth::Missing => None,
        Truth::State(state) => Some(ListedTask {
            task_id: format!("T-{index}").into(),
            task_type: Some("cluster_scaleout".into()),
            state: (*state).into(),
            created: Some(start + SignedDuration::from_secs(index)),
            updated: Some(start),
        }),
    });
    listed.skip(number as usize - 1).take(1).collect()
}

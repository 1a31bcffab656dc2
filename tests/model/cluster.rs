//! The API server: objects, the Lease, and what lands on them.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::{
    api::{ScaleOutTaskSpec, ScaleOutTaskStatus},
    rules::{Object, ObjectKey, Uid},
    scheduler::{Creation, CreationResult, Deletion, LeaseRecord, Write, WriteResult},
};

use crate::{
    promise::{Promise, broken_by_deletion, broken_by_write},
    request::{Knows, Request, What},
    setting::{Edit, Plan, Setting},
    source::{Collector, Origin, task_id},
};

#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub objects: Vec<Option<Object>>,
    pub origin: Origin,
    specs: Vec<ScaleOutTaskSpec>,
    /// The poll requests of each object that calls were made for.
    pub polled: Vec<Vec<Box<str>>>,
    pub lease: Option<LeaseRecord>,
    /// Whether somebody deleted the Lease: who never saw it can't know of its holder.
    pub was_unleased: bool,
    /// Requests under way that their senders have given up.
    pub orphans: Vec<Request>,
    version: u64,
    last_uid: u64,
}

/// What a request did: its end, the object that it changed, and the promise that it broke.
pub struct Landed<T> {
    pub end: T,
    pub changed: Option<usize>,
    pub broken: Option<Promise>,
}

impl<T> Landed<T> {
    pub fn without_effect(end: T) -> Self {
        Self {
            end,
            changed: None,
            broken: None,
        }
    }
}

/// The name of an object of the setting.
pub fn key_of(index: usize) -> ObjectKey {
    ObjectKey {
        namespace: ["left", "left", "left", "right"][index].into(),
        name: format!("t-{index}").into(),
    }
}

/// What a source makes of a task may have a name with a hash.
pub fn index_of(key: &ObjectKey) -> usize {
    key.name.split('-').nth(1).unwrap().parse().unwrap()
}

impl Cluster {
    pub fn new(setting: &Setting, now: Timestamp) -> Self {
        let plans = &setting.objects;
        let mut cluster = Self {
            objects: vec![None; plans.len()],
            specs: vec![ScaleOutTaskSpec::default(); plans.len()],
            polled: vec![Vec::new(); plans.len()],
            ..Self::default()
        };
        if let Some(specify) = setting.source {
            let version = cluster.next_version();
            cluster.origin = Origin::new(specify, plans.len(), version, now);
            cluster.origin.elects = setting.elects;
            return cluster;
        }
        for (index, plan) in plans.iter().enumerate() {
            cluster.create(index, plan, now);
        }
        cluster
    }

    pub fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn create(&mut self, index: usize, plan: &Plan, now: Timestamp) {
        let mut spec = ScaleOutTaskSpec {
            task_id: task_id(index),
            ..ScaleOutTaskSpec::default()
        };
        (plan.specify)(&mut spec);
        self.put(key_of(index), spec, None, now);
    }

    fn put(
        &mut self,
        key: ObjectKey,
        spec: ScaleOutTaskSpec,
        source: Option<Box<Uid>>,
        now: Timestamp,
    ) {
        let index = index_of(&key);
        self.specs[index] = spec.clone();
        self.last_uid += 1;
        self.polled[index].clear();
        self.objects[index] = Some(Object {
            key,
            source,
            uid: self.last_uid.to_string().into(),
            resource_version: self.next_version().into(),
            generation: 1,
            created_at: now,
            spec: spec.into(),
            status: ScaleOutTaskStatus {
                observed_generation: Some(-1),
                ..ScaleOutTaskStatus::default()
            }
            .into(),
            ..Object::default()
        });
    }

    /// A user does something. `request` names a new poll request.
    pub fn edit(&mut self, index: usize, edit: Edit, plan: &Plan, request: String, now: Timestamp) {
        let version = self.next_version();
        let Some(object) = &mut self.objects[index] else {
            return self.create(index, plan, now);
        };
        let spec = &mut self.specs[index];
        let before = spec.clone();
        match edit {
            Edit::ToggleSuspend => spec.suspend = Some(!object.is_suspended()),
            Edit::AskForPoll => object.poll_request = Some(request.into()),
            Edit::LiftTimeout => spec.timeout = None,
            Edit::SetTtl => spec.ttl_seconds_after_finished = Some(0),
            Edit::Touch | Edit::SuspendSource | Edit::DeleteSource | Edit::OrphanSource => {}
            Edit::Delete | Edit::DeleteOrCreate => {
                self.origin.lose(index);
                self.objects[index] = None;
                return;
            }
        }
        object.generation += i64::from(*spec != before);
        object.spec = spec.clone().into();
        object.resource_version = version.into();
    }

    /// A write of status; blindly where its resource version counts for nothing.
    pub fn write(&mut self, write: &Write, blindly: bool) -> Landed<WriteResult> {
        let index = index_of(&write.object.key);
        let stored = self.objects[index].clone();
        let Some(stored) = stored.filter(|stored| stored.uid == write.object.uid) else {
            return Landed::without_effect(WriteResult::Gone);
        };
        if stored.resource_version != write.object.resource_version && !blindly {
            return Landed::without_effect(WriteResult::Conflict(Box::new(stored)));
        }
        let written = Object {
            status: write.status.clone(),
            resource_version: self.next_version().into(),
            ..stored.clone()
        };
        self.objects[index] = Some(written.clone());
        Landed {
            end: WriteResult::Written(Box::new(written)),
            changed: Some(index),
            broken: broken_by_write(&stored, write, &self.polled[index]),
        }
    }

    /// Whether the object is gone now.
    pub fn delete(&mut self, deletion: &Deletion, now: Timestamp, blindly: bool) -> Landed<bool> {
        let index = index_of(&deletion.key);
        let stored = self.objects[index].clone();
        let Some(stored) = stored.filter(|stored| stored.uid == deletion.uid) else {
            return Landed::without_effect(true);
        };
        if stored.resource_version != deletion.resource_version && !blindly {
            return Landed::without_effect(false);
        }
        self.objects[index] = None;
        Landed {
            end: true,
            changed: Some(index),
            broken: broken_by_deletion(&stored, deletion, now)
                .or_else(|| self.origin.broken_by_deletion(&stored, index)),
        }
    }

    /// The object of a found task, made by one who knows so much.
    pub fn make(
        &mut self,
        creation: &Creation,
        knows: Knows,
        now: Timestamp,
    ) -> Landed<CreationResult> {
        let index = index_of(&creation.key);
        if let Some(stored) = &self.objects[index]
            && stored.key == creation.key
        {
            let there = Box::new(stored.clone());
            return Landed::without_effect(CreationResult::Exists(there));
        }
        let owners = creation.object.metadata.owner_references.iter().flatten();
        let mut source = owners.map(|owner| Box::new(Uid::from(&*owner.uid)));
        let (spec, source) = (creation.object.spec.clone(), source.next());
        self.put(creation.key.clone(), spec, source, now);
        Landed {
            end: CreationResult::Created,
            changed: Some(index),
            broken: self.origin.make(index, knows),
        }
    }

    /// The next object that the garbage collector has to look after.
    pub fn garbage(&self) -> Option<usize> {
        let rests = self.origin.collector == Collector::Rests;
        let mut objects = self.objects.iter().filter(|_| !rests);
        objects.position(|object| object.as_ref().is_some_and(|one| one.source.is_some()))
    }

    /// Whether it has anything to do.
    pub fn is_collecting(&self) -> bool {
        let deletes = self.origin.source.as_ref().is_some_and(|one| one.deleting);
        deletes || self.garbage().is_some()
    }

    /// It does that. Returns the object that changed; none where that was the source.
    pub fn collect(&mut self) -> Option<usize> {
        let Some(index) = self.garbage() else {
            self.origin.source = None;
            return None;
        };
        let version = self.next_version();
        match &mut self.objects[index] {
            Some(object) if self.origin.source.is_some() => {
                object.source = None;
                object.resource_version = version.into();
            }
            gone => *gone = None,
        }
        Some(index)
    }

    /// So much time has passed. What nobody waits for may arrive whenever it likes, for it names the version that it
    /// was decided on. A creation can't, but the API server gives it up in time.
    pub fn rebase(&mut self, by: Duration) {
        let creates = |request: &Request| matches!(request.what, What::Create(..));
        for request in self.orphans.iter_mut().filter(|one| creates(one)) {
            request.sent_at = request.sent_at.saturating_sub(by);
        }
        self.orphans
            .retain(|request| !creates(request) || request.sent_at > Duration::ZERO);
    }

    /// The Lease as it is after a claim; none where it isn't what the claim was made on.
    pub fn claim(
        &mut self,
        claim: &LeaseRecord,
        version: String,
        blindly: bool,
    ) -> Option<LeaseRecord> {
        let current = self.lease.as_ref().map_or("", |lease| &lease.version);
        if current != claim.version && !blindly {
            return None;
        }
        self.set_lease(claim.clone(), version);
        self.lease.clone()
    }

    /// Every write is another sign of life.
    pub fn set_lease(&mut self, record: LeaseRecord, version: String) {
        self.lease = Some(LeaseRecord {
            renewed: Timestamp::from_second(version.parse().unwrap()).ok(),
            version,
            ..record
        });
    }
}

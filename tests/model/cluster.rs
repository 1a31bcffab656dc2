//! The API server: objects, the Lease, and what lands on them.

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::{
    api::{ScaleOutTaskSpec, ScaleOutTaskStatus},
    rules::{Object, ObjectKey},
    scheduler::{Deletion, LeaseRecord, Write, WriteResult},
};

use crate::{
    promise::{Promise, broken_by_deletion, broken_by_write},
    request::Request,
    setting::{Edit, Plan},
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub objects: Vec<Option<Object>>,
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
    fn without_effect(end: T) -> Self {
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
        name: NAMES[index].into(),
    }
}

pub fn index_of(key: &ObjectKey) -> usize {
    let mut names = NAMES.iter();
    names.position(|name| *name == &*key.name).unwrap()
}

impl Cluster {
    pub fn new(plans: &[Plan], now: Timestamp) -> Self {
        let mut cluster = Self {
            objects: vec![None; plans.len()],
            specs: vec![ScaleOutTaskSpec::default(); plans.len()],
            polled: vec![Vec::new(); plans.len()],
            ..Self::default()
        };
        for (index, plan) in plans.iter().enumerate() {
            cluster.create(index, plan, now);
        }
        cluster
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn create(&mut self, index: usize, plan: &Plan, now: Timestamp) {
        let mut spec = ScaleOutTaskSpec {
            task_id: format!("T-{index}"),
            ..ScaleOutTaskSpec::default()
        };
        (plan.specify)(&mut spec);
        self.specs[index] = spec.clone();
        self.last_uid += 1;
        self.polled[index].clear();
        self.objects[index] = Some(Object {
            key: key_of(index),
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
            Edit::Touch => {}
            Edit::DeleteOrCreate => {
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
            broken: broken_by_deletion(&stored, deletion, now),
        }
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

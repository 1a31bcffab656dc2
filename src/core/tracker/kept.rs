//! An object as the tracker keeps it. Clusters have tens of thousands: what a turn needs stands by
//! itself, the rest is packed and unpacked where there is something to decide, and strings that
//! many objects have in common are shared.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::Pools;
use crate::{
    api::{InstanceCounts, ScaleOutTaskSpec, ScaleOutTaskStatus, TaskError, TaskResult},
    core::{Object, ObjectKey, Policy, Reason, census::Kind},
};

#[derive(Clone, Debug)]
pub struct Kept {
    pub key: Arc<ObjectKey>,
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    pub generation: i64,
    pub deleting: bool,
    pub task_id: Box<str>,
    /// The spec's own.
    pub region: Option<Arc<str>>,
    pub poll_interval: Duration,
    pub reason: Option<Reason>,
    pub finished: bool,
    pub kind: Kind,
    created_at: Timestamp,
    poll_request: Option<Box<str>>,
    /// What few objects have: without task and region.
    settings: Option<Box<ScaleOutTaskSpec>>,
    status: Status,
}

impl Kept {
    pub fn of(object: Object, policy: &Policy, pools: &mut Pools) -> Self {
        let (reason, finished, kind) = (object.reason(), object.is_finished(), Kind::of(&object));
        let poll_interval = object.poll_interval(policy);
        let mut spec = object.spec;
        let task_id = std::mem::take(&mut spec.task_id).into();
        let region = spec.region.take();
        let region = region.map(|region| pools.texts.share(region.as_str()));
        Self {
            key: Arc::new(object.key),
            uid: object.uid.into(),
            resource_version: object.resource_version.into(),
            generation: object.generation,
            deleting: object.deleting,
            task_id,
            region,
            poll_interval,
            reason,
            finished,
            kind,
            created_at: object.created_at,
            poll_request: object.poll_request.map(Into::into),
            settings: (spec != ScaleOutTaskSpec::default()).then(|| Box::new(spec)),
            status: Status::of(object.status, pools),
        }
    }

    /// The object as it was given.
    pub fn object(&self) -> Object {
        let settings = self.settings.as_deref().cloned().unwrap_or_default();
        Object {
            key: (*self.key).clone(),
            uid: self.uid.to_string(),
            resource_version: self.resource_version.to_string(),
            generation: self.generation,
            created_at: self.created_at,
            deleting: self.deleting,
            poll_request: text(self.poll_request.as_deref()),
            spec: ScaleOutTaskSpec {
                task_id: self.task_id.to_string(),
                region: text(self.region.as_deref()),
                ..settings
            },
            status: self.status.unpacked(),
        }
    }

    /// See [`Object::pending_poll_request`].
    pub fn pending_poll_request(&self) -> Option<&str> {
        let handled = self.status.last_handled_poll_request.as_deref();
        let request = self.poll_request.as_deref();
        request.filter(|request| handled != Some(*request))
    }

    /// See [`Object::secret`].
    pub fn secret(&self) -> Option<ObjectKey> {
        let settings = self.settings.as_ref()?;
        let name = &settings.credentials_secret_ref.as_ref()?.name;
        Some(ObjectKey {
            namespace: self.key.namespace.clone(),
            name: name.clone(),
        })
    }

    /// Whether time alone ends it.
    pub fn has_timeout(&self) -> bool {
        let settings = self.settings.as_ref();
        settings.is_some_and(|settings| settings.timeout.is_some())
    }

    /// Whether it shows anything yet.
    pub fn has_ready(&self) -> bool {
        let mut conditions = self.status.common.conditions.iter();
        conditions.any(|condition| condition.type_ == "Ready")
    }
}

/// What it shows of itself, beside what it has in common with others.
#[derive(Clone, Debug)]
struct Status {
    common: Arc<Common>,
    created: Option<Timestamp>,
    updated: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    last_handled_poll_request: Option<Box<str>>,
    /// None where the status has no list.
    instances: Option<Box<[Instance]>>,
    /// When each condition last changed.
    transitions: Box<[Timestamp]>,
}

/// What objects show alike whose tasks are as far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Common {
    observed_generation: Option<i64>,
    cluster_id: Option<String>,
    task_type: Option<String>,
    current_stage: Option<String>,
    state: Option<String>,
    instances: Option<InstanceCounts>,
    progress: Option<String>,
    error: Option<TaskError>,
    conditions: Vec<Words>,
}

#[derive(Clone, Debug)]
struct Instance {
    data: Box<str>,
    status: Arc<str>,
}

/// A condition without its time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Words {
    type_: String,
    status: String,
    reason: String,
    message: String,
    observed_generation: Option<i64>,
}

impl Status {
    fn of(status: ScaleOutTaskStatus, pools: &mut Pools) -> Self {
        let conditions = &status.conditions;
        let transitions = conditions.iter().map(|one| one.last_transition_time.0);
        let transitions = transitions.collect();
        let instances = status.task_result.map(|results| {
            let each = results.into_iter();
            let each = each.map(|result| Instance {
                data: result.data.into(),
                status: pools.texts.share(result.status.as_str()),
            });
            each.collect()
        });
        let common = Common {
            observed_generation: status.observed_generation,
            cluster_id: status.cluster_id,
            task_type: status.task_type,
            current_stage: status.current_stage,
            state: status.state,
            instances: status.instances,
            progress: status.progress,
            error: status.error,
            conditions: status.conditions.into_iter().map(Words::of).collect(),
        };
        Self {
            common: pools.statuses.share(common),
            created: status.created.map(|time| time.0),
            updated: status.updated.map(|time| time.0),
            finished_at: status.finished_at.map(|time| time.0),
            last_handled_poll_request: status.last_handled_poll_request.map(Into::into),
            instances,
            transitions,
        }
    }

    fn unpacked(&self) -> ScaleOutTaskStatus {
        let common = (*self.common).clone();
        let instances = self.instances.as_ref();
        let conditions = common.conditions.into_iter().zip(&self.transitions);
        ScaleOutTaskStatus {
            observed_generation: common.observed_generation,
            cluster_id: common.cluster_id,
            task_type: common.task_type,
            current_stage: common.current_stage,
            state: common.state,
            created: self.created.map(Time),
            updated: self.updated.map(Time),
            task_result: instances.map(|each| each.iter().map(Instance::unpacked).collect()),
            instances: common.instances,
            progress: common.progress,
            error: common.error,
            finished_at: self.finished_at.map(Time),
            last_handled_poll_request: text(self.last_handled_poll_request.as_deref()),
            conditions: conditions.map(|(words, at)| words.at(*at)).collect(),
        }
    }
}

impl Instance {
    fn unpacked(&self) -> TaskResult {
        TaskResult {
            data: self.data.to_string(),
            status: self.status.to_string(),
        }
    }
}

impl Words {
    fn of(condition: Condition) -> Self {
        Self {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            observed_generation: condition.observed_generation,
        }
    }

    fn at(self, last_transition: Timestamp) -> Condition {
        Condition {
            type_: self.type_,
            status: self.status,
            reason: self.reason,
            message: self.message,
            observed_generation: self.observed_generation,
            last_transition_time: Time(last_transition),
        }
    }
}

fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: Value, status: Value) -> Object {
        Object {
            key: ObjectKey {
                namespace: "ns".to_owned(),
                name: "one".to_owned(),
            },
            uid: "u".to_owned(),
            resource_version: "7".to_owned(),
            generation: 3,
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            deleting: true,
            poll_request: Some("now".to_owned()),
            spec: serde_json::from_value(spec).unwrap(),
            status: serde_json::from_value(status).unwrap(),
        }
    }

    fn spec() -> Value {
        json!({
            "taskId": "T-1", "region": "cn-hangzhou", "clusterId": "c", "pollInterval": "20s",
            "timeout": "1h", "suspend": true, "ttlSecondsAfterFinished": 5,
            "credentialsSecretRef": { "name": "secret" },
        })
    }

    fn status() -> Value {
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "False", "reason": "TaskFailed", "message": "why",
                "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:01Z",
            })
        };
        json!({
            "observedGeneration": 3, "clusterId": "c", "taskType": "t", "currentStage": "s",
            "state": "fail", "created": "2026-01-01T00:00:02Z", "updated": "2026-01-01T00:00:03Z",
            "taskResult": [{ "data": "i-1", "status": "success" }, { "data": "", "status": "" }],
            "instances": { "total": 2, "succeeded": 1, "failed": 0, "pending": 1 },
            "progress": "1/2", "error": { "code": "c", "message": "m" },
            "finishedAt": "2026-01-01T00:00:04Z", "lastHandledPollRequest": "now",
            "conditions": [condition("Ready"), condition("Somebody'sOwn")],
        })
    }

    fn without(value: &Value, field: &str) -> Value {
        let mut value = value.clone();
        value.as_object_mut().unwrap().remove(field);
        value
    }

    fn comes_back(object: &Object) {
        let policy = Policy {
            has_default_region: true,
            poll_interval: Duration::from_secs(15),
            allowed_cluster_ids: Vec::new(),
            secret_credentials: true,
        };
        let kept = Kept::of(object.clone(), &policy, &mut Pools::default());
        assert_eq!(kept.object(), *object);
        assert_eq!(kept.secret(), object.secret());
        assert_eq!(kept.pending_poll_request(), object.pending_poll_request());
        assert_eq!(kept.has_ready(), object.ready().is_some());
        assert_eq!(kept.has_timeout(), object.spec.timeout.is_some());
    }

    #[test]
    fn an_object_comes_back_as_it_was_given() {
        let (spec, status) = (spec(), status());
        comes_back(&object(spec.clone(), status.clone()));
        comes_back(&Object::default());
        for field in spec.as_object().unwrap().keys() {
            if field != "taskId" {
                comes_back(&object(without(&spec, field), status.clone()));
            }
            comes_back(&object(
                json!({ "taskId": "T", field: spec[field] }),
                json!({}),
            ));
        }
        for field in status.as_object().unwrap().keys() {
            comes_back(&object(spec.clone(), without(&status, field)));
            comes_back(&object(spec.clone(), json!({ field: status[field] })));
        }
    }

    #[test]
    fn the_example_has_every_field() {
        let full = object(spec(), status());
        assert_eq!(serde_json::to_value(&full.spec).unwrap(), spec());
        let fields =
            serde_json::to_value(<crate::api::ScaleOutTask as kube::CustomResourceExt>::crd())
                .unwrap();
        let of = |part: &str| {
            let schema = "/spec/versions/0/schema/openAPIV3Schema/properties";
            let fields = fields.pointer(&format!("{schema}/{part}/properties"));
            let fields = fields.unwrap().as_object().unwrap();
            fields.keys().cloned().collect::<Vec<_>>()
        };
        let keys = |value: Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(spec()), of("spec"));
        assert_eq!(keys(status()), of("status"));
    }
}

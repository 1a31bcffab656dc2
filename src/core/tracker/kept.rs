//! An object as the tracker keeps it. Clusters have tens of thousands: what a turn needs stands by
//! itself, the rest is packed and unpacked where there is something to decide, and strings that
//! many objects have in common are shared.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::Pool;
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
    pub fn of(object: Object, policy: &Policy, pool: &mut Pool) -> Self {
        let (reason, finished, kind) = (object.reason(), object.is_finished(), Kind::of(&object));
        let poll_interval = object.poll_interval(policy);
        let mut spec = object.spec;
        let task_id = std::mem::take(&mut spec.task_id).into();
        let region = shared(spec.region.take(), pool);
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
            status: Status::of(object.status, pool),
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
        let mut conditions = self.status.conditions.iter();
        conditions.any(|condition| &*condition.type_ == "Ready")
    }
}

#[derive(Clone, Debug)]
struct Status {
    observed_generation: Option<i64>,
    cluster_id: Option<Arc<str>>,
    task_type: Option<Arc<str>>,
    current_stage: Option<Arc<str>>,
    state: Option<Arc<str>>,
    created: Option<Timestamp>,
    updated: Option<Timestamp>,
    task_result: Option<Box<[Instance]>>,
    instances: Option<InstanceCounts>,
    progress: Option<Arc<str>>,
    error: Option<Box<TaskError>>,
    finished_at: Option<Timestamp>,
    last_handled_poll_request: Option<Box<str>>,
    conditions: Box<[Shown]>,
}

#[derive(Clone, Debug)]
struct Instance {
    data: Box<str>,
    status: Arc<str>,
}

/// A condition.
#[derive(Clone, Debug)]
struct Shown {
    type_: Arc<str>,
    status: Arc<str>,
    reason: Arc<str>,
    message: Arc<str>,
    observed_generation: Option<i64>,
    last_transition_time: Timestamp,
}

impl Status {
    fn of(status: ScaleOutTaskStatus, pool: &mut Pool) -> Self {
        let results = status.task_result.map(|results| {
            let each = results.into_iter();
            each.map(|result| Instance::of(result, pool)).collect()
        });
        let conditions = status.conditions.into_iter();
        Self {
            observed_generation: status.observed_generation,
            cluster_id: shared(status.cluster_id, pool),
            task_type: shared(status.task_type, pool),
            current_stage: shared(status.current_stage, pool),
            state: shared(status.state, pool),
            created: status.created.map(|time| time.0),
            updated: status.updated.map(|time| time.0),
            task_result: results,
            instances: status.instances,
            progress: shared(status.progress, pool),
            error: status.error.map(Box::new),
            finished_at: status.finished_at.map(|time| time.0),
            last_handled_poll_request: status.last_handled_poll_request.map(Into::into),
            conditions: conditions.map(|one| Shown::of(&one, pool)).collect(),
        }
    }

    fn unpacked(&self) -> ScaleOutTaskStatus {
        let results = self.task_result.as_ref();
        ScaleOutTaskStatus {
            observed_generation: self.observed_generation,
            cluster_id: text(self.cluster_id.as_deref()),
            task_type: text(self.task_type.as_deref()),
            current_stage: text(self.current_stage.as_deref()),
            state: text(self.state.as_deref()),
            created: self.created.map(Time),
            updated: self.updated.map(Time),
            task_result: results.map(|each| each.iter().map(Instance::unpacked).collect()),
            instances: self.instances,
            progress: text(self.progress.as_deref()),
            error: self.error.as_deref().cloned(),
            finished_at: self.finished_at.map(Time),
            last_handled_poll_request: text(self.last_handled_poll_request.as_deref()),
            conditions: self.conditions.iter().map(Shown::unpacked).collect(),
        }
    }
}

impl Instance {
    fn of(result: TaskResult, pool: &mut Pool) -> Self {
        Self {
            data: result.data.into(),
            status: pool.share(&result.status),
        }
    }

    fn unpacked(&self) -> TaskResult {
        TaskResult {
            data: self.data.to_string(),
            status: self.status.to_string(),
        }
    }
}

impl Shown {
    fn of(condition: &Condition, pool: &mut Pool) -> Self {
        Self {
            type_: pool.share(&condition.type_),
            status: pool.share(&condition.status),
            reason: pool.share(&condition.reason),
            message: pool.share(&condition.message),
            observed_generation: condition.observed_generation,
            last_transition_time: condition.last_transition_time.0,
        }
    }

    fn unpacked(&self) -> Condition {
        Condition {
            type_: self.type_.to_string(),
            status: self.status.to_string(),
            reason: self.reason.to_string(),
            message: self.message.to_string(),
            observed_generation: self.observed_generation,
            last_transition_time: Time(self.last_transition_time),
        }
    }
}

fn shared(text: Option<String>, pool: &mut Pool) -> Option<Arc<str>> {
    text.map(|text| pool.share(&text))
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
        let kept = Kept::of(object.clone(), &policy, &mut Pool::default());
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

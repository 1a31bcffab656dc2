//! The object as the API server sends it, read for what is kept of it and no more: lists and watches
//! bring tens of thousands, and half of each says who wrote which field.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;

use crate::{
    api::{
        ScaleOutTask, ScaleOutTaskSource, ScaleOutTaskSourceSpec, ScaleOutTaskSourceStatus,
        ScaleOutTaskSpec, ScaleOutTaskStatus,
    },
    rules::{Object, ObjectKey, Source, Uid},
};

/// A `ScaleOutTask`. One that can't be read is one too: it must not stop the watch of all others.
#[derive(Clone, Debug, Resource)]
#[resource(inherit = ScaleOutTask)]
pub struct PartialTask {
    /// Name, namespace and resource version.
    metadata: ObjectMeta,
    /// Else why it can't be read.
    pub object: Result<Box<Object>, String>,
}

impl PartialTask {
    /// Its namespace and name.
    pub fn key(&self) -> ObjectKey {
        key_of(&self.metadata)
    }
}

impl<'de> Deserialize<'de> for PartialTask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut wire = Wire::deserialize(deserializer)?;
        let metadata = wire.metadata.of_watch();
        let object = wire.object(key_of(&metadata)).map(Box::new);
        Ok(Self { metadata, object })
    }
}

/// A `ScaleOutTaskSource`, likewise.
#[derive(Clone, Debug, Resource)]
#[resource(inherit = ScaleOutTaskSource)]
pub struct PartialSource {
    /// Name, namespace and resource version.
    metadata: ObjectMeta,
    /// Else why it can't be read.
    pub source: Result<Box<Source>, String>,
}

impl PartialSource {
    /// Its namespace and name.
    pub fn key(&self) -> ObjectKey {
        key_of(&self.metadata)
    }
}

impl<'de> Deserialize<'de> for PartialSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut wire = Wire::deserialize(deserializer)?;
        let metadata = wire.metadata.of_watch();
        let source = wire.source(key_of(&metadata)).map(Box::new);
        Ok(Self { metadata, source })
    }
}

/// Spec and status are read by themselves, so that trouble with them is that of one object.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<IgnoredAny>,
    annotations: Option<Annotations>,
    owner_references: Option<Vec<Owner>>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    api_version: String,
    kind: String,
    uid: String,
    controller: Option<bool>,
}

impl Metadata<'_> {
    /// What the watch asks for.
    fn of_watch(&mut self) -> ObjectMeta {
        ObjectMeta {
            name: self.name.take(),
            namespace: self.namespace.take(),
            resource_version: self.resource_version.clone(),
            ..ObjectMeta::default()
        }
    }

    /// The source that made the object.
    fn source(&mut self) -> Option<Box<Uid>> {
        let mut owners = self.owner_references.take()?.into_iter();
        let owner = owners.find(|owner| {
            owner.controller == Some(true)
                && owner.kind == ScaleOutTaskSource::kind(&())
                && owner.api_version == ScaleOutTaskSource::api_version(&())
        });
        owner.map(|owner| Box::new(owner.uid.into()))
    }
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "scaleout.dev/poll-requested-at")]
    poll_requested_at: Option<String>,
}

impl Wire<'_> {
    fn object(self, key: ObjectKey) -> Result<Object, String> {
        let mut meta = self.metadata;
        let source = meta.source();
        let annotations = meta.annotations;
        let poll_request = annotations.and_then(|annotations| annotations.poll_requested_at);
        let created_at = meta.creation_timestamp.map(|time| time.0);
        Ok(Object {
            key,
            uid: meta.uid.unwrap_or_default().into(),
            resource_version: meta.resource_version.unwrap_or_default().into(),
            generation: meta.generation.unwrap_or_default(),
            created_at: created_at.unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            poll_request: poll_request.as_deref().map(Object::bounded_poll_request),
            source,
            spec: part::<ScaleOutTaskSpec>("spec", self.spec)?
                .ok_or("it has no spec")?
                .into(),
            status: part::<ScaleOutTaskStatus>("status", self.status)?
                .unwrap_or_default()
                .into(),
        })
    }

    fn source(self, key: ObjectKey) -> Result<Source, String> {
        let meta = self.metadata;
        let created_at = meta.creation_timestamp.map(|time| time.0);
        Ok(Source {
            key,
            uid: meta.uid.unwrap_or_default().into(),
            resource_version: meta.resource_version.unwrap_or_default().into(),
            generation: meta.generation.unwrap_or_default(),
            created_at: created_at.unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            labels: Arc::new(part("labels", meta.labels)?.unwrap_or_default()),
            spec: part::<ScaleOutTaskSourceSpec>("spec", self.spec)?
                .ok_or("it has no spec")?
                .into(),
            status: part::<ScaleOutTaskSourceStatus>("status", self.status)?
                .unwrap_or_default()
                .into(),
        })
    }
}

fn part<T: DeserializeOwned>(name: &str, text: Option<&RawValue>) -> Result<Option<T>, String> {
    let read = text.map(|text| serde_json::from_str(text.get()));
    read.transpose().map_err(|error| format!("{name}: {error}"))
}

fn key_of(meta: &ObjectMeta) -> ObjectKey {
    ObjectKey {
        namespace: meta.namespace.as_deref().unwrap_or_default().into(),
        name: meta.name.as_deref().unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::POLL_REQUESTED_AT;

    fn text(spec: &Value, status: &Value) -> String {
        json!({
            "apiVersion": "scaleout.dev/v1alpha1",
            "kind": "ScaleOutTask",
            "metadata": {
                "namespace": "ns", "name": "one", "uid": "u", "resourceVersion": "7",
                "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": { "other": "x", POLL_REQUESTED_AT: "now".repeat(100) },
                "labels": { "a": "b" },
                "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }],
            },
            "spec": spec,
            "status": status,
        })
        .to_string()
    }

    /// However little is read of it, it is the same object.
    #[test]
    fn what_is_read_is_what_the_whole_object_says() {
        let status = json!({
            "observedGeneration": 3, "state": "running", "created": "2026-01-01T00:00:00Z",
            "taskResult": [{ "data": "i-1", "status": "success" }],
        });
        for status in [status, json!({}), Value::Null] {
            let text = text(&json!({ "taskId": "T-1", "pollInterval": "15s" }), &status);
            let watched: PartialTask = serde_json::from_str(&text).unwrap();
            let whole: ScaleOutTask = serde_json::from_str(&text).unwrap();
            let object = watched.object.unwrap();
            assert_eq!(object.spec, whole.spec.into());
            assert_eq!(object.status, whole.status.unwrap_or_default().into());
            assert_eq!(object.key.to_string(), "ns/one");
            assert_eq!(
                (object.uid, object.resource_version),
                ("u".into(), "7".into())
            );
            assert_eq!(object.generation, 3);
            let request = "now".repeat(100)[..64].to_owned();
            assert_eq!(object.poll_request.as_deref(), Some(&*request));
        }
    }

    #[test]
    fn an_object_that_cannot_be_read_says_where() {
        let rows = [
            (json!({ "taskId": 5 }), json!({}), "spec: "),
            (Value::Null, json!({}), "no spec"),
            (
                json!({ "taskId": "T-1" }),
                json!({ "state": [] }),
                "status: ",
            ),
        ];
        for (spec, status, expected) in rows {
            let watched: PartialTask = serde_json::from_str(&text(&spec, &status)).unwrap();
            assert_eq!(watched.key().to_string(), "ns/one");
            let error = watched.object.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

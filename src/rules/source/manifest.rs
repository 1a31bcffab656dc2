//! The object that is made of a task.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::{Candidate, Source};
use crate::{
    api::{
        SOURCE_LABEL, ScaleOutTask, ScaleOutTaskSource, ScaleOutTaskSpec, SecretReference,
        TASK_TYPE_LABEL, label_value,
    },
    rules::Policy,
};

/// The object of that name.
#[must_use]
pub fn manifest(source: &Source, policy: &Policy, name: &str, task: &Candidate) -> ScaleOutTask {
    let spec = &source.spec;
    let own = spec.template.spec.clone().unwrap_or_default();
    ScaleOutTask {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(source.key.namespace.to_string()),
            labels: Some(labels(source, policy, task)),
            annotations: annotations(source),
            owner_references: Some(vec![owner(source)]),
            ..ObjectMeta::default()
        },
        spec: ScaleOutTaskSpec {
            task_id: task.task_id.to_string(),
            region: spec.region.as_deref().map(Into::into),
            cluster_id: Some(spec.cluster_id.to_string()),
            credentials_secret_ref: spec.secret_name.as_deref().map(|name| SecretReference {
                name: name.to_owned(),
            }),
            poll_interval: own.poll_interval,
            timeout: own.timeout,
            wait_for_nodes: own.wait_for_nodes,
            ttl_seconds_after_finished: own.ttl_seconds_after_finished,
            suspend: None,
        },
        status: None,
    }
}

fn labels(source: &Source, policy: &Policy, task: &Candidate) -> BTreeMap<String, String> {
    let metadata = source.spec.template.metadata.as_ref();
    let of_template = metadata.map(|metadata| &metadata.labels);
    let of_template = of_template
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.0.clone()));
    let mut labels: BTreeMap<_, _> = of_template.collect();
    // The controller that finds a task tracks it.
    for key in &policy.selected_by {
        match source.labels.get(key) {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
    labels.insert(SOURCE_LABEL.to_owned(), label_value(&source.key.name));
    if let Some(task_type) = &task.task_type {
        labels.insert(TASK_TYPE_LABEL.to_owned(), label_value(task_type));
    }
    labels
}

fn annotations(source: &Source) -> Option<BTreeMap<String, String>> {
    let annotations = &source.spec.template.metadata.as_ref()?.annotations;
    let annotations = annotations
        .iter()
        .map(|(key, value)| (key.clone(), value.0.clone()));
    Some(annotations.collect())
}

/// The object goes with its source, and holds up no deletion.
fn owner(source: &Source) -> OwnerReference {
    OwnerReference {
        api_version: ScaleOutTaskSource::api_version(&()).into_owned(),
        kind: ScaleOutTaskSource::kind(&()).into_owned(),
        name: source.key.name.to_string(),
        uid: source.uid.to_string(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

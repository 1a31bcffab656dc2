//! Publishing Events.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Client, Resource, api::PostParams, core::Request};
use serde::de::IgnoredAny;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{NAME, fence::Fence, host_name};
use crate::{
    api::{ScaleOutTask, ScaleOutTaskSource},
    metrics::Metrics,
    rules::{ObjectKey, Severity, first_chars},
    scheduler::{EventResult, Input, Kind, Publication},
};

const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// This many characters of an object's name go into its Events' names.
const NAME_MAX: usize = 230;
/// No API server takes a longer name of who reports.
const INSTANCE_MAX: usize = 128;

/// What Events are published with. Clones share it.
#[derive(Clone)]
pub struct Publisher {
    /// The API server.
    pub client: Client,
    /// Closed where this replica may not write.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Why an Event isn't there.
enum PublishError {
    /// The API server refuses it, as it will again.
    Refused(String),
    Other(String),
}

impl Publisher {
    /// Creates the Event, in one attempt.
    pub async fn publish(self, publication: Publication) -> Input {
        let (id, is_last) = (publication.id, publication.is_last_attempt);
        let ObjectKey { namespace, name } = publication.key.clone();
        let reason = publication.reason().as_str();
        let request = create(&self.client, event_of(publication));
        let result = match self.fence.guard(request).await {
            Some(Ok(())) => EventResult::Created,
            Some(Err(PublishError::Refused(error))) => {
                warn!(
                    %namespace,
                    %name,
                    reason,
                    error,
                    "the API server refuses the Event, which is dropped"
                );
                EventResult::Refused
            }
            Some(Err(PublishError::Other(error))) if is_last => {
                warn!(
                    %namespace,
                    %name,
                    reason,
                    error,
                    "the API server doesn't take the Event, which is dropped"
                );
                EventResult::Failed
            }
            Some(Err(PublishError::Other(error))) => {
                debug!(error, "can't publish the Event; retrying");
                EventResult::Failed
            }
            None => EventResult::Failed,
        };
        self.metrics.published(result);
        Input::EventEnded(id, result)
    }
}

async fn create(client: &Client, event: Event) -> Result<(), PublishError> {
    let url = Event::url_path(&(), event.metadata.namespace.as_deref());
    let other = |error: &dyn std::error::Error| PublishError::Other(error.to_string());
    let body = serde_json::to_vec(&event).map_err(|error| other(&error))?;
    let request = Request::new(url).create(&PostParams::default(), body);
    let request = request.map_err(|error| other(&error))?;
    // The answer is the Event again, which isn't needed.
    match timeout(PUBLISH_TIMEOUT, client.request::<IgnoredAny>(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) => match status.code {
            // An earlier attempt succeeded, and its answer was lost.
            409 if status.reason == "AlreadyExists" => Ok(()),
            // As where a quota changed meanwhile: that is no refusal.
            409 | 429 => Err(PublishError::Other(status.message)),
            403 if status.message.contains("being terminated") => {
                Err(PublishError::Refused(status.message))
            }
            403 => Err(PublishError::Refused(format!(
                "{}: if it isn't a policy that refuses it, grant create on events.events.k8s.io",
                status.message
            ))),
            400..=499 => Err(PublishError::Refused(status.message)),
            _ => Err(PublishError::Other(status.message)),
        },
        Ok(Err(error)) => Err(other(&error)),
        Err(_) => Err(PublishError::Other("no answer in time".to_owned())),
    }
}

/// The Event about a change of an object. It is the same whenever it is published again.
fn event_of(publication: Publication) -> Event {
    let name = event_name(&publication);
    let Publication {
        kind,
        key,
        uid,
        note,
        at,
        ..
    } = publication;
    let (api_version, kind, action) = match kind {
        Kind::Task => (
            ScaleOutTask::api_version(&()),
            ScaleOutTask::kind(&()),
            "Poll",
        ),
        Kind::Source => (
            ScaleOutTaskSource::api_version(&()),
            ScaleOutTaskSource::kind(&()),
            "List",
        ),
    };
    let type_ = match note.severity {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    };
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(key.namespace.to_string()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(at)),
        reporting_controller: Some(NAME.to_owned()),
        reporting_instance: Some(first_chars(&host_name(), INSTANCE_MAX).to_owned()),
        action: Some(action.to_owned()),
        reason: Some(note.reason.as_str().to_owned()),
        note: Some(note.text()),
        type_: Some(type_.to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(api_version.into_owned()),
            kind: Some(kind.into_owned()),
            name: Some(key.name.to_string()),
            namespace: Some(key.namespace.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

/// A valid name whatever the object's is: at most 253 characters, and each part between dots ends
/// with a letter or digit.
fn event_name(publication: &Publication) -> String {
    let mut hasher = DefaultHasher::new();
    let Publication {
        uid,
        resource_version,
        ..
    } = publication;
    (uid, resource_version, publication.reason().as_str()).hash(&mut hasher);
    let name = first_chars(&publication.key.name, NAME_MAX).trim_end_matches(['-', '.']);
    format!("{name}.{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::rules::{EventNote, Reason};

    fn publication(name: &str) -> Publication {
        Publication {
            id: 1,
            kind: Kind::Task,
            key: ObjectKey {
                namespace: "ns".into(),
                name: name.into(),
            },
            uid: "2f1c".into(),
            resource_version: "7".into(),
            note: EventNote {
                severity: Severity::Normal,
                reason: Reason::TaskRunning,
                message: "The task is running".into(),
                request_id: None,
                cause: None,
            },
            at: Timestamp::UNIX_EPOCH,
            is_last_attempt: false,
        }
    }

    fn is_valid(name: &str) -> bool {
        let is_label = |label: &str| {
            let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let ends = [label.bytes().next(), label.bytes().last()];
            ends.iter().all(|end| end.is_some_and(alphanumeric))
                && label.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
        };
        name.len() <= 253 && name.split('.').all(is_label)
    }

    #[test]
    fn the_name_of_an_event_is_valid_whatever_the_objects_name_is() {
        let long = "a".repeat(229);
        let names = [
            "a".to_owned(),
            format!("{long}-bbbbb"),
            format!("{long}.bbbbb"),
            format!("{}-.bbbbb", &long[1..]),
            "a-b.c-d".to_owned(),
            "a".repeat(253),
        ];
        for name in names {
            let event = event_name(&publication(&name));
            assert!(is_valid(&event), "{event}");
        }
    }

    #[test]
    fn an_event_that_is_published_again_is_the_same() {
        assert_eq!(event_of(publication("a")), event_of(publication("a")));
        let other = Publication {
            resource_version: "8".into(),
            ..publication("a")
        };
        assert_ne!(event_name(&publication("a")), event_name(&other));
    }
}

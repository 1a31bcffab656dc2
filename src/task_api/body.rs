//! Parses response bodies: JSON, or XML without a root element.
//!
//! The fields that decisions depend on (state, IDs, instances) must have the right type. Any other
//! field may be missing or of any type. Unknown fields are ignored.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use thiserror::Error;

use crate::rules::{Instance, Task};

/// Why a body with status 200 doesn't describe the task.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// Neither JSON nor XML of the expected shape.
    #[error("the body is not a task")]
    Malformed,
    /// No `state`, or an empty one.
    #[error("the body has no state")]
    NoState,
    /// Its `task_id` is not the one that was asked for.
    #[error("the body describes another task")]
    OtherTask,
}

/// Parses the body of a response with status 200 to a call about `task_id`.
pub fn parse_task(body: &[u8], task_id: &str) -> Result<Task, BodyError> {
    let task = match Form::of(body).ok_or(BodyError::Malformed)? {
        Form::Json(text) => serde_json::from_str::<JsonTask>(text).map(Task::from).ok(),
        Form::Xml(text) => from_rootless_xml::<XmlTask>(text).map(Task::from),
    };
    let task = task.ok_or(BodyError::Malformed)?;
    if task.state.is_empty() {
        return Err(BodyError::NoState);
    }
    if task.task_id.as_deref().is_some_and(|id| id != task_id) {
        return Err(BodyError::OtherTask);
    }
    Ok(task)
}

/// Finds the error code in a body, in any of the places where the API puts it.
pub(super) fn parse_error_code(body: &[u8]) -> Option<String> {
    match Form::of(body)? {
        Form::Json(text) => serde_json::from_str::<JsonError>(text).ok()?.code.0,
        Form::Xml(text) => {
            let error = from_rootless_xml::<XmlError>(text)?;
            text_of(error.code.or(error.error.and_then(|error| error.code)))
        }
    }
}

/// JSON or XML, recognised by the first character: content types are unreliable.
enum Form<'a> {
    Json(&'a str),
    Xml(&'a str),
}

impl<'a> Form<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.starts_with('{') {
            return Some(Self::Json(text));
        }
        if !text.starts_with('<') {
            return None;
        }
        let declaration = text
            .strip_prefix("<?xml")
            .and_then(|rest| rest.split_once("?>"));
        Some(Self::Xml(declaration.map_or(text, |(_, rest)| rest)))
    }
}

/// quick-xml needs a root element, so the body is wrapped in one.
fn from_rootless_xml<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    quick_xml::de::from_str(&format!("<body>{text}</body>")).ok()
}

#[derive(Deserialize)]
struct JsonTask {
    #[serde(default)]
    task_id: Option<String>,
    #[serde(default)]
    cluster_id: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    task_result: OneOrMany,
    #[serde(default)]
    task_type: AnyText,
    #[serde(default)]
    current_stage: AnyText,
    #[serde(default)]
    created: AnyText,
    #[serde(default)]
    updated: AnyText,
    #[serde(default)]
    error: AnyError,
}

#[derive(Deserialize)]
struct XmlTask {
    task_id: Option<String>,
    cluster_id: Option<String>,
    state: Option<String>,
    #[serde(default)]
    task_result: Vec<WireInstance>,
    task_type: Option<String>,
    current_stage: Option<String>,
    created: Option<String>,
    updated: Option<String>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireInstance {
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

#[derive(Default, Deserialize)]
struct WireError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct JsonError {
    #[serde(default, alias = "Code")]
    code: AnyText,
}

#[derive(Deserialize)]
struct XmlError {
    #[serde(alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Error")]
    error: Option<XmlInnerError>,
}

#[derive(Deserialize)]
struct XmlInnerError {
    #[serde(alias = "Code")]
    code: Option<String>,
}

impl From<JsonTask> for Task {
    fn from(wire: JsonTask) -> Self {
        Self::from(XmlTask {
            task_id: wire.task_id,
            cluster_id: wire.cluster_id,
            state: wire.state,
            task_result: wire.task_result.0,
            task_type: wire.task_type.0,
            current_stage: wire.current_stage.0,
            created: wire.created.0,
            updated: wire.updated.0,
            error: wire.error.0,
        })
    }
}

impl From<XmlTask> for Task {
    fn from(wire: XmlTask) -> Self {
        let error = wire
            .error
            .map(|error| (text_of(error.code), text_of(error.message)));
        Self {
            task_id: text_of(wire.task_id),
            cluster_id: text_of(wire.cluster_id),
            task_type: text_of(wire.task_type),
            current_stage: text_of(wire.current_stage),
            state: text_of(wire.state).unwrap_or_default(),
            created: time_of(wire.created.as_deref()),
            updated: time_of(wire.updated.as_deref()),
            results: wire
                .task_result
                .into_iter()
                .filter(WireInstance::has_content)
                .map(Instance::from)
                .collect(),
            error: error.filter(|error| error != &(None, None)),
        }
    }
}

impl WireInstance {
    /// Whether the entry has any content. `<task_result/>` is how XML writes an empty array.
    fn has_content(&self) -> bool {
        self.data.is_some() || self.status.is_some()
    }
}

impl From<WireInstance> for Instance {
    fn from(wire: WireInstance) -> Self {
        Self {
            id: text_of(wire.data).unwrap_or_default(),
            status: text_of(wire.status).unwrap_or_default(),
        }
    }
}

/// Trims the text. A blank one counts as missing.
fn text_of(text: Option<String>) -> Option<String> {
    let text = text?;
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return Some(text).filter(|text| !text.is_empty());
    }
    Some(trimmed.to_owned()).filter(|text| !text.is_empty())
}

/// Parses a time with an offset from UTC. Without an offset it could mean any moment, and a time
/// before the year 1 can't be written as RFC 3339: both count as missing.
fn time_of(text: Option<&str>) -> Option<Timestamp> {
    const YEAR_1: i64 = -62_135_596_800;
    let time: Timestamp = text?.trim().parse().ok()?;
    (time.as_second() >= YEAR_1).then_some(time)
}

/// A string, or `None` where the API sends another type.
#[derive(Default)]
struct AnyText(Option<String>);

impl<'de> Deserialize<'de> for AnyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Tolerant)
            .map(|value| match value {
                Tolerated::Text(text) => Self(Some(text)),
                _ => Self(None),
            })
    }
}

/// The task's error, or `None` where the API sends another type.
#[derive(Default)]
struct AnyError(Option<WireError>);

impl<'de> Deserialize<'de> for AnyError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Tolerant)
            .map(|value| match value {
                Tolerated::Error(error) => Self(Some(error)),
                _ => Self(None),
            })
    }
}

enum Tolerated {
    Text(String),
    Error(WireError),
    Other,
}

/// Accepts a value of any type and keeps its strings.
struct Tolerant;

impl<'de> Visitor<'de> for Tolerant {
    type Value = Tolerated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Tolerated, E> {
        Ok(Tolerated::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tolerated, E> {
        Ok(Tolerated::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tolerated, E> {
        Ok(Tolerated::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tolerated, E> {
        Ok(Tolerated::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tolerated, E> {
        Ok(Tolerated::Other)
    }

    fn visit_unit<E>(self) -> Result<Tolerated, E> {
        Ok(Tolerated::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tolerated, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Tolerated::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tolerated, A::Error> {
        let mut error = WireError::default();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<AnyText>()?.0;
            match key.as_str() {
                "code" => error.code = value,
                "message" => error.message = value,
                _ => {}
            }
        }
        Ok(Tolerated::Error(error))
    }
}

/// An array of instances, null, or a single instance as an early version of the API sends it.
#[derive(Default)]
struct OneOrMany(Vec<WireInstance>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Instances).map(Self)
    }
}

struct Instances;

impl<'de> Visitor<'de> for Instances {
    type Value = Vec<WireInstance>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of instances")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut instances = Vec::new();
        while let Some(Entry(instance)) = seq.next_element()? {
            // Drop empty entries at once: a body full of them would take much memory.
            instances.extend(instance.filter(WireInstance::has_content));
        }
        Ok(instances)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Entry::from_map(map).map(|entry| entry.0.into_iter().collect())
    }
}

/// An object or null. A struct derived with serde would also accept an array of its fields.
struct Entry(Option<WireInstance>);

impl Entry {
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        WireInstance::deserialize(MapAccessDeserializer::new(map)).map(|entry| Self(Some(entry)))
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOrNull;

        impl<'de> Visitor<'de> for ObjectOrNull {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an instance")
            }

            fn visit_unit<E>(self) -> Result<Entry, E> {
                Ok(Entry(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                Entry::from_map(map)
            }
        }

        deserializer.deserialize_any(ObjectOrNull)
    }
}

//! Parses the body of a page of tasks, in all forms that the API might send.
//!
//! `tasks` is an array, one task, or an object with `task` in it, which is one of these two: the forms that
//! instances have had. What fits none is an error: of a task that is overlooked no object would be made. But a
//! task's own fields may be missing or of any type.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    body::{BodyError, read, text_of, time_of},
    lenient::AnyText,
};
use crate::{
    api::TASK_ID_MAX,
    rules::{ListedTask, WORD_CHARS, shorten},
};

/// How many tasks of a page are kept. It is asked to have [`TASKS_PER_PAGE`](crate::rules::TASKS_PER_PAGE).
const TASKS_MAX: usize = 1000;

/// Parses the body of a response with status 200 to a call for a page of a cluster's tasks.
pub fn parse_page(body: &[u8]) -> Result<Vec<ListedTask>, BodyError> {
    let page: WirePage = read(body).ok_or(BodyError::Malformed)?;
    let may_be_empty = page.is_page() && !page.is_error();
    match page.tasks.0 {
        Found::Tasks(tasks) => Ok(tasks),
        Found::Nothing if may_be_empty => Ok(Vec::new()),
        Found::Nothing => Err(BodyError::NoTasks),
        Found::Unknown => Err(BodyError::Malformed),
    }
}

#[derive(Deserialize)]
struct WirePage {
    #[serde(default)]
    tasks: Tasks<false, false>,
    #[serde(default)]
    page_info: AnyText,
    #[serde(default)]
    code: AnyText,
    #[serde(default)]
    error: AnyText,
}

impl WirePage {
    /// Whether it is a page of a list even where it has no tasks.
    fn is_page(&self) -> bool {
        matches!(self.page_info, AnyText::Object(_))
    }

    /// Whether it is an error where it has no tasks.
    fn is_error(&self) -> bool {
        matches!(self.error, AnyText::Object(_)) || matches!(self.code, AnyText::Text(_))
    }
}

/// What `tasks` holds, or a part of it. Whether that is in an object's `task` already, or in an array: there is no
/// second one.
#[derive(Default)]
struct Tasks<const IN_TASK: bool, const IN_ARRAY: bool>(Found);

#[derive(Default)]
enum Found {
    /// Null, or an empty object.
    #[default]
    Nothing,
    /// The first [`TASKS_MAX`], in the API's order.
    Tasks(Vec<ListedTask>),
    /// None of the forms.
    Unknown,
}

impl<'de, const IN_TASK: bool, const IN_ARRAY: bool> Deserialize<'de> for Tasks<IN_TASK, IN_ARRAY> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = TasksVisitor::<IN_TASK, IN_ARRAY>;
        deserializer.deserialize_any(visitor).map(Self)
    }
}

struct TasksVisitor<const IN_TASK: bool, const IN_ARRAY: bool>;

impl<'de, const IN_TASK: bool, const IN_ARRAY: bool> Visitor<'de>
    for TasksVisitor<IN_TASK, IN_ARRAY>
{
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tasks")
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found, A::Error> {
        read_object::<IN_TASK, A>(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        let (mut all, mut has_unknown) = (Vec::new(), IN_ARRAY);
        while let Some(Tasks::<IN_TASK, true>(found)) = seq.next_element()? {
            match found {
                Found::Tasks(tasks) => {
                    let room = TASKS_MAX - all.len();
                    all.extend(tasks.into_iter().take(room));
                }
                Found::Nothing => {}
                Found::Unknown => has_unknown = true,
            }
        }
        Ok(if has_unknown {
            Found::Unknown
        } else {
            Found::Tasks(all)
        })
    }

    fn visit_str<E>(self, _: &str) -> Result<Found, E> {
        Ok(Found::Unknown)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Unknown)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Unknown)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Unknown)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Unknown)
    }
}

/// The fields of a task that count. Each is `None` where the task doesn't have it.
#[derive(Default)]
struct WireTask {
    task_id: Option<AnyText>,
    task_type: Option<AnyText>,
    state: Option<AnyText>,
    created: Option<AnyText>,
    updated: Option<AnyText>,
}

/// One task, those in `task`, or nothing where the object is empty.
fn read_object<'de, const IN_TASK: bool, A: MapAccess<'de>>(mut map: A) -> Result<Found, A::Error> {
    let (mut own, mut task) = (WireTask::default(), None);
    let (mut has_own, mut has_others) = (false, false);
    while let Some(key) = map.next_key::<String>()? {
        if let Some(field) = own.field(&key) {
            has_own = true;
            if field.replace(map.next_value()?).is_some() {
                // Two of them could be of two tasks.
                return Err(A::Error::custom("a field is there twice"));
            }
        } else if key == "task" && !IN_TASK {
            task = Some(map.next_value::<Tasks<true, false>>()?.0);
        } else {
            map.next_value::<IgnoredAny>()?;
            has_others = true;
        }
    }
    Ok(match task {
        Some(Found::Tasks(tasks)) if has_own && !tasks.is_empty() => Found::Unknown,
        _ if has_own => Found::Tasks(vec![own.into()]),
        Some(Found::Nothing) => Found::Tasks(Vec::new()),
        Some(found) => found,
        None if has_others => Found::Unknown,
        None => Found::Nothing,
    })
}

impl WireTask {
    fn field(&mut self, name: &str) -> Option<&mut Option<AnyText>> {
        match name {
            "task_id" => Some(&mut self.task_id),
            "task_type" => Some(&mut self.task_type),
            "state" => Some(&mut self.state),
            "created" => Some(&mut self.created),
            "updated" => Some(&mut self.updated),
            _ => None,
        }
    }
}

impl From<WireTask> for ListedTask {
    fn from(wire: WireTask) -> Self {
        let text = |field: Option<AnyText>| text_of(field?.text());
        let short = |field, max| {
            let mut text = text(field)?;
            shorten(&mut text, max);
            Some(text.into_boxed_str())
        };
        Self {
            task_id: short(wire.task_id, TASK_ID_MAX).unwrap_or_default(),
            task_type: short(wire.task_type, WORD_CHARS),
            state: short(wire.state, WORD_CHARS).unwrap_or_default(),
            created: time_of(text(wire.created).as_deref()),
            updated: time_of(text(wire.updated).as_deref()),
        }
    }
}

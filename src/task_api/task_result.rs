//! The instances of a task, in all forms that the API has sent.
//!
//! An array, one object, or an object with `task` in it, which is one of these two. What fits none
//! is an error: an instance that is overlooked might be one that failed.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};

use crate::rules::{Instance, Instances};

/// What `task_result` holds.
pub type Results = Entries<false, false>;

/// The instances of an array of entries, of one entry, or of null. Whether these are in an entry's
/// `task` already, or in an array: there is no second one.
#[derive(Default)]
pub struct Entries<const IN_TASK: bool, const IN_ARRAY: bool>(pub Instances);

impl<'de, const IN_TASK: bool, const IN_ARRAY: bool> Deserialize<'de>
    for Entries<IN_TASK, IN_ARRAY>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(EntriesVisitor::<IN_TASK, IN_ARRAY>)
            .map(Self)
    }
}

struct EntriesVisitor<const IN_TASK: bool, const IN_ARRAY: bool>;

impl<'de, const IN_TASK: bool, const IN_ARRAY: bool> Visitor<'de>
    for EntriesVisitor<IN_TASK, IN_ARRAY>
{
    type Value = Instances;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("instances")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Instances::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        read_entry::<IN_TASK, A>(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if IN_ARRAY {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let mut all = Instances::default();
        while let Some(Entries::<IN_TASK, true>(instances)) = seq.next_element()? {
            all.append(instances);
        }
        Ok(all)
    }
}

/// One instance, those in `task`, or none where the object is empty.
fn read_entry<'de, const IN_TASK: bool, A: MapAccess<'de>>(
    mut map: A,
) -> Result<Instances, A::Error> {
    let (mut data, mut status, mut task) = (None, None, None);
    let mut has_others = false;
    while let Some(key) = map.next_key::<String>()? {
        match key.as_str() {
            "data" => set(&mut data, "data", map.next_value()?)?,
            "status" => set(&mut status, "status", map.next_value()?)?,
            "task" if !IN_TASK => {
                set(&mut task, "task", map.next_value::<Entries<true, false>>()?)?;
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
                has_others = true;
            }
        }
    }
    let data: Option<String> = data.flatten();
    let status: Option<String> = status.flatten();
    match (task, data, status) {
        (Some(task), None, None) => Ok(task.0),
        (Some(_), ..) => Err(A::Error::custom("an instance beside others")),
        // One of the others may say what became of it.
        (None, _, None) if has_others => Err(A::Error::custom("an instance without status")),
        (None, None, None) => Ok(Instances::default()),
        (None, data, status) => Ok(Instances::from(Instance {
            id: trimmed(data),
            status: trimmed(status),
        })),
    }
}

/// Two of them could be of two instances.
fn set<T, E: Error>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

fn trimmed(text: Option<String>) -> String {
    text.unwrap_or_default().trim().to_owned()
}

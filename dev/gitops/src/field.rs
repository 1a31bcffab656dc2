//! Reads fields of an object like apimachinery's `unstructured`.

use serde_json::Value;

use crate::Error;

/// The value at the path, or `None` if it or a parent is missing.
fn nested<'a>(object: &'a Value, path: &[&str]) -> Result<Option<&'a Value>, Error> {
    let mut value = object;
    for name in path {
        value = match value {
            Value::Null => return Ok(None),
            Value::Object(fields) => match fields.get(*name) {
                Some(field) => field,
                None => return Ok(None),
            },
            _ => return Err(wrong(path, "below an object")),
        };
    }
    Ok(Some(value))
}

/// Like `NestedInt64`.
pub fn integer(object: &Value, path: &[&str]) -> Result<Option<i64>, Error> {
    let as_integer = |value: &Value| value.as_i64().ok_or_else(|| wrong(path, "an integer"));
    nested(object, path)?.map(as_integer).transpose()
}

/// Like `NestedString`.
pub fn string<'a>(object: &'a Value, path: &[&str]) -> Result<Option<&'a str>, Error> {
    let as_string = |value: &'a Value| value.as_str().ok_or_else(|| wrong(path, "a string"));
    nested(object, path)?.map(as_string).transpose()
}

/// What kind of object it is.
pub fn kind(object: &Value) -> Result<&str, Error> {
    Ok(string(object, &["kind"])?.unwrap_or_default())
}

/// The generation of the spec.
pub fn generation(object: &Value) -> Result<Option<i64>, Error> {
    integer(object, &["metadata", "generation"])
}

/// The generation that the status is about.
pub fn observed_generation(object: &Value) -> Result<Option<i64>, Error> {
    integer(object, &["status", "observedGeneration"])
}

/// Whether the object is being deleted.
pub fn is_terminating(object: &Value) -> Result<bool, Error> {
    let deleted_at = string(object, &["metadata", "deletionTimestamp"])?;
    Ok(deleted_at.is_some_and(|at| !at.is_empty()))
}

/// The fields of a condition that matter here.
#[derive(Debug)]
pub struct Condition<'a> {
    pub type_: &'a str,
    pub status: &'a str,
    pub reason: &'a str,
}

/// All conditions in their order. Empty without a status.
pub fn conditions(object: &Value) -> Result<Vec<Condition<'_>>, Error> {
    let path = ["status", "conditions"];
    let conditions = match nested(object, &path)? {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().ok_or_else(|| wrong(&path, "a list"))?,
    };
    let condition = |condition| {
        let text = |name| Ok::<_, Error>(string(condition, &[name])?.unwrap_or_default());
        Ok(Condition {
            type_: text("type")?,
            status: text("status")?,
            reason: text("reason")?,
        })
    };
    conditions.iter().map(condition).collect()
}

fn wrong(path: &[&str], expected: &'static str) -> Error {
    Error::Field {
        field: path.join("."),
        expected,
    }
}

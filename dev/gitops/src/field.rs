//! Fields of an object, looked up as apimachinery's `unstructured` does.

use serde_json::Value;

use crate::Error;

/// The value at the path; None where it, or something above it, is missing.
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

/// `NestedInt64`.
pub fn integer(object: &Value, path: &[&str]) -> Result<Option<i64>, Error> {
    let as_integer = |value: &Value| value.as_i64().ok_or_else(|| wrong(path, "an integer"));
    nested(object, path)?.map(as_integer).transpose()
}

/// `NestedString`.
pub fn string<'a>(object: &'a Value, path: &[&str]) -> Result<Option<&'a str>, Error> {
    let as_string = |value: &'a Value| value.as_str().ok_or_else(|| wrong(path, "a string"));
    nested(object, path)?.map(as_string).transpose()
}

/// The generation that the spec has.
pub fn generation(object: &Value) -> Result<Option<i64>, Error> {
    integer(object, &["metadata", "generation"])
}

/// The generation that the status speaks of.
pub fn observed_generation(object: &Value) -> Result<Option<i64>, Error> {
    integer(object, &["status", "observedGeneration"])
}

/// Whether somebody has asked for its deletion.
pub fn is_terminating(object: &Value) -> Result<bool, Error> {
    let deleted_at = string(object, &["metadata", "deletionTimestamp"])?;
    Ok(deleted_at.is_some_and(|at| !at.is_empty()))
}

/// A condition, as far as it is judged by.
#[derive(Debug)]
pub struct Condition<'a> {
    pub type_: &'a str,
    pub status: &'a str,
    pub reason: &'a str,
}

/// All conditions, in their order; none where there is no status.
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

//! From one status to another in as few words as possible.

use serde_json::{Map, Value};

/// The JSON merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)) that makes `from` into
/// `to`; none if they are equal.
///
/// Lists are replaced whole, as the RFC has it.
pub fn merge_patch(from: Value, to: Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (mut from, to) = match (from, to) {
        (Value::Object(from), Value::Object(to)) => (from, to),
        (_, to) => return Some(to),
    };
    let mut patch = Map::new();
    for (name, value) in to {
        let change = match from.remove(&name) {
            Some(before) => merge_patch(before, value),
            None => Some(value),
        };
        if let Some(change) = change {
            patch.insert(name, change);
        }
    }
    patch.extend(from.into_iter().map(|(name, _)| (name, Value::Null)));
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_says_only_what_differs() {
        let rows = [
            (json!({}), json!({}), None),
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
            (json!({"a": 1}), json!({}), Some(json!({"a": null}))),
            (
                json!({}),
                json!({"a": {"b": 1}}),
                Some(json!({"a": {"b": 1}})),
            ),
            (
                json!({"a": {"b": 1, "c": 2}, "d": 3}),
                json!({"a": {"b": 1, "c": 4}, "d": 3}),
                Some(json!({"a": {"c": 4}})),
            ),
            (
                json!({"a": [1, 2]}),
                json!({"a": [1]}),
                Some(json!({"a": [1]})),
            ),
        ];
        for (from, to, patch) in rows {
            let told = format!("{from} -> {to}");
            assert_eq!(merge_patch(from, to), patch, "{told}");
        }
    }
}

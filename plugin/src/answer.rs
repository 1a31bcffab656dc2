//! The task's ID in the answer of the call that started the task, as it comes on standard input.

use scaleouttask_controller::{api::is_task_id, rules::shorten};
use serde_json::{Map, Value};

/// No answer is longer.
pub const MAX: u64 = 1024 * 1024;

/// So many characters of what isn't understood are shown.
const SHOWN_MAX: usize = 300;

const EXPECTED: &str = "expected the JSON answer of the call that started the task, such as \
                        {\"task_id\": \"T-5faa48fb31b6b8078d000006\"}";

/// The ID of the task. Where there is none, what was expected instead.
pub fn task_id(input: &[u8]) -> Result<String, String> {
    if input.len() as u64 > MAX {
        return Err(format!("This is longer than 1 MiB: {EXPECTED}"));
    }
    let text = str::from_utf8(input).map_err(|_| format!("This is no text: {EXPECTED}"))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(format!("There is nothing on standard input: {EXPECTED}"));
    }
    let Ok(answer) = serde_json::from_str::<Value>(text) else {
        // As `terraform output -raw` and `jq -r` write it.
        return if is_task_id(text) {
            Ok(text.to_owned())
        } else {
            // Perhaps it says why the call failed.
            Err(format!("This is no JSON but {:?}: {EXPECTED}", short(text)))
        };
    };
    let id = match &answer {
        Value::String(id) => Some(id.as_str()),
        Value::Object(fields) => in_fields(fields)?,
        _ => None,
    };
    let Some(id) = id else {
        return Err(without_id(&answer));
    };
    check(id)?;
    Ok(id.to_owned())
}

/// Whether it can be the ID of a task, or why not.
pub fn check(id: &str) -> Result<(), String> {
    if is_task_id(id) {
        return Ok(());
    }
    Err(format!(
        "{id:?} can't be the ID of a task: expected letters, digits, '.', '_' and '-', a letter or digit first, at most 128, \
         such as T-5faa48fb31b6b8078d000006"
    ))
}

/// `task_id` or `taskId`, or both if they agree; as SDKs wrap it, in `body`; as Terraform wraps outputs, in `value`.
fn in_fields(fields: &Map<String, Value>) -> Result<Option<&str>, String> {
    let [one, other] = ["task_id", "taskId"].map(|name| named(fields, name));
    match [one?, other?] {
        [Some(one), Some(other)] if one != other => Err(format!(
            "There are two IDs, task_id {one:?} and taskId {other:?}: {EXPECTED}"
        )),
        [Some(id), _] | [None, Some(id)] => Ok(Some(id)),
        [None, None] => match fields.get("body") {
            Some(Value::Object(body)) => in_fields(body),
            _ => Ok(None),
        },
    }
}

/// The text of that field, where it has one.
fn named<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    let is_given = |value: &&Value| !value.is_null() && value.as_str() != Some("");
    let value = fields.get(name).filter(is_given);
    let Some(value) = value else {
        return Ok(None);
    };
    let text = value.as_str().or_else(|| value.get("value")?.as_str());
    match text {
        Some(text) => Ok(Some(text)),
        None => Err(format!(
            "{name} is {}, no text: {EXPECTED}",
            short(&value.to_string())
        )),
    }
}

fn short(text: &str) -> String {
    let mut shown = text.to_owned();
    shorten(&mut shown, SHOWN_MAX);
    shown
}

/// An answer of another kind: perhaps the call failed.
fn without_id(answer: &Value) -> String {
    let field = |name: &str| answer.get(name).and_then(Value::as_str);
    let code = field("code").or_else(|| field("Code"));
    let message = field("message").or_else(|| field("Message"));
    match (code, message) {
        (Some(code), Some(message)) => {
            format!("The call that was to start a task failed: {code}: {message}")
        }
        _ => format!("There is no task_id or taskId in it: {EXPECTED}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_id_is_found_in_each_form_of_answer() {
        for input in [
            r#"{"task_id":"T-1"}"#,
            r#"{"taskId":"T-1"}"#,
            r#"{"task_id":"T-1","taskId":"T-1"}"#,
            r#"{"cluster_id":"c1","nodepool_id":"np1","request_id":"R","task_id":"T-1"}"#,
            r#"{"body":{"task_id":"T-1"},"headers":{},"statusCode":200}"#,
            r#"{"task_id":{"sensitive":false,"type":"string","value":"T-1"}}"#,
            "\u{feff}{\"task_id\":\"T-1\"}\r\n",
            "\"T-1\"\n",
            "T-1\n",
        ] {
            assert_eq!(task_id(input.as_bytes()), Ok("T-1".to_owned()), "{input}");
        }
    }

    #[test]
    fn bad_input_says_what_was_expected() {
        for (input, said) in [
            ("", "nothing on standard input: expected the JSON answer"),
            (
                "not json",
                "no JSON but \"not json\": expected the JSON answer",
            ),
            (
                "{\"task_id\":",
                "no JSON but \"{\\\"task_id\\\":\": expected",
            ),
            ("{}", "no task_id or taskId in it: expected"),
            ("[]", "no task_id or taskId in it: expected"),
            ("17", "no task_id or taskId in it: expected"),
            (r#"{"task_id":17}"#, "task_id is 17, no text: expected"),
            (
                r#"{"task_id":null}"#,
                "no task_id or taskId in it: expected",
            ),
            (
                r#"{"task_id":"a b"}"#,
                "can't be the ID of a task: expected letters",
            ),
            (r#"{"task_id":"T-1","taskId":"T-2"}"#, "two IDs"),
            (
                r#"{"code":"Forbidden.RAM","message":"no","requestId":"R"}"#,
                "failed: Forbidden.RAM: no",
            ),
        ] {
            let error = task_id(input.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{input}: {error}");
        }
        let long = vec![b' '; 1024 * 1024 + 1];
        assert!(task_id(&long).unwrap_err().contains("longer than 1 MiB"));
        assert!(task_id(&[0xff]).unwrap_err().contains("no text: expected"));
    }

    proptest! {
        #[test]
        fn whatever_comes_only_an_id_comes_out(input in any::<Vec<u8>>()) {
            if let Ok(id) = task_id(&input) {
                prop_assert!(is_task_id(&id));
            }
        }
    }
}

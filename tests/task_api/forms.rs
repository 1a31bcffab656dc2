//! Each form in which the API has sent the instances, in JSON and in XML, and what fits none.

use proptest::prelude::*;
use scaleouttask_controller::task_api::BodyError;

use crate::{instances, parse};

/// What becomes of the instances: those, in order, or none of the forms.
type Expected<'a> = Result<&'a [(&'a str, &'a str)], BodyError>;

fn check(rows: &[(&str, Expected)]) {
    for (body, expected) in rows {
        let read = parse(body).map(|task| task.results);
        assert_eq!(read, expected.map(instances), "{body}");
    }
}

const ONE: &[(&str, &str)] = &[("i-1", "failed")];
const TWO: &[(&str, &str)] = &[("i-1", "success"), ("i-2", "failed")];

#[test]
fn instances_in_json_are_read_in_each_form() {
    let success =
        |task_result: &str| format!(r#"{{"state":"success","task_result":{task_result}}}"#);
    let rows: [(&str, Expected); 39] = [
        // Nothing.
        ("null", Ok(&[])),
        ("[]", Ok(&[])),
        ("{}", Ok(&[])),
        ("[null, {}, null]", Ok(&[])),
        (r#"{"task":null}"#, Ok(&[])),
        (r#"{"task":[]}"#, Ok(&[])),
        (r#"{"task":{}}"#, Ok(&[])),
        (r#"{"data":null,"status":null}"#, Ok(&[])),
        // One.
        (r#"[{"data":"i-1","status":"failed"}]"#, Ok(ONE)),
        (r#"{"data":"i-1","status":"failed"}"#, Ok(ONE)),
        (r#"{"task":[{"data":"i-1","status":"failed"}]}"#, Ok(ONE)),
        (r#"{"task":{"data":"i-1","status":"failed"}}"#, Ok(ONE)),
        (r#"[{"task":{"data":"i-1","status":"failed"}}]"#, Ok(ONE)),
        (r#"{"data":" i-1 ","status":" failed "}"#, Ok(ONE)),
        (
            r#"{"status":"failed","more":{"a":[1]},"data":"i-1"}"#,
            Ok(ONE),
        ),
        (
            r#"{"task":[{"data":"i-1","status":"failed"}],"total":1}"#,
            Ok(ONE),
        ),
        (r#"{"data":"i-1"}"#, Ok(&[("i-1", "")])),
        (r#"{"data":"i-1","status":null}"#, Ok(&[("i-1", "")])),
        (r#"{"status":"failed"}"#, Ok(&[("", "failed")])),
        (r#"{"data":null,"status":"failed"}"#, Ok(&[("", "failed")])),
        // More.
        (
            r#"[{"data":"i-1","status":"success"},{"data":"i-2","status":"failed"}]"#,
            Ok(TWO),
        ),
        (
            r#"{"task":[{"data":"i-1","status":"success"},null,{"data":"i-2","status":"failed"}]}"#,
            Ok(TWO),
        ),
        (
            r#"[{"task":[{"data":"i-1","status":"success"}]},{"data":"i-2","status":"failed"}]"#,
            Ok(TWO),
        ),
        // None of the forms: what is overlooked might have failed.
        ("\"failed\"", Err(BodyError::Malformed)),
        ("\"\"", Err(BodyError::Malformed)),
        ("5", Err(BodyError::Malformed)),
        ("true", Err(BodyError::Malformed)),
        (r#"["failed"]"#, Err(BodyError::Malformed)),
        (r#"[["i-1","failed"]]"#, Err(BodyError::Malformed)),
        (
            r#"[[{"data":"i-1","status":"failed"}]]"#,
            Err(BodyError::Malformed),
        ),
        (
            r#"{"instances":[{"data":"i-1","status":"failed"}]}"#,
            Err(BodyError::Malformed),
        ),
        (r#"{"i-1":"failed"}"#, Err(BodyError::Malformed)),
        (
            r#"{"data":"i-1","state":"failed"}"#,
            Err(BodyError::Malformed),
        ),
        (
            r#"{"data":"i-1","status":{"value":"failed"}}"#,
            Err(BodyError::Malformed),
        ),
        (
            r#"{"data":["i-1"],"status":"failed"}"#,
            Err(BodyError::Malformed),
        ),
        (r#"{"task":"i-1 failed"}"#, Err(BodyError::Malformed)),
        (
            r#"{"task":{"task":[{"data":"i-1","status":"failed"}]}}"#,
            Err(BodyError::Malformed),
        ),
        (
            r#"{"data":"i-1","status":"success","task":[{"data":"i-2","status":"failed"}]}"#,
            Err(BodyError::Malformed),
        ),
        (
            r#"{"data":"i-1","status":"failed","data":"i-2","status":"success"}"#,
            Err(BodyError::Malformed),
        ),
    ];
    let bodies = rows.map(|(form, expected)| (success(form), expected));
    let rows: Vec<_> = bodies
        .iter()
        .map(|(body, expected)| (&**body, *expected))
        .collect();
    check(&rows);
}

#[test]
fn instances_in_xml_are_read_in_each_form() {
    let one = "<data>i-1</data><status>failed</status>";
    let two = "<data>i-2</data><status>success</status>";
    let rows: [(String, Expected); 24] = [
        (String::new(), Ok(&[])),
        ("<task_result/>".to_owned(), Ok(&[])),
        ("<task_result></task_result>".to_owned(), Ok(&[])),
        ("<task_result> \n </task_result>".to_owned(), Ok(&[])),
        ("<task_result/><task_result/>".to_owned(), Ok(&[])),
        ("<task_result><task/></task_result>".to_owned(), Ok(&[])),
        (
            "<task_result><data/><status/></task_result>".to_owned(),
            Ok(&[]),
        ),
        (format!("<task_result>{one}</task_result>"), Ok(ONE)),
        (
            format!("<task_result type=\"a\">{one}</task_result>"),
            Ok(ONE),
        ),
        (
            format!("<task_result><task>{one}</task></task_result>"),
            Ok(ONE),
        ),
        (
            format!("<task_result><task>{one}</task><task/></task_result>"),
            Ok(ONE),
        ),
        (
            "<task_result><data>i-1</data></task_result>".to_owned(),
            Ok(&[("i-1", "")]),
        ),
        (
            "<task_result><data>i-1</data><status>&#102;ailed</status></task_result>".to_owned(),
            Ok(ONE),
        ),
        (
            format!("<task_result>{one}</task_result><x/><task_result>{two}</task_result>"),
            Ok(&[("i-1", "failed"), ("i-2", "success")]),
        ),
        (
            format!("<task_result><task>{one}</task><task>{two}</task></task_result>"),
            Ok(&[("i-1", "failed"), ("i-2", "success")]),
        ),
        (
            format!(
                "<task_result><task>{one}</task></task_result><task_result>{two}</task_result>"
            ),
            Ok(&[("i-1", "failed"), ("i-2", "success")]),
        ),
        (
            "<task_result>i-1 failed</task_result>".to_owned(),
            Err(BodyError::Malformed),
        ),
        (
            "<task_result><data>i-1</data>failed</task_result>".to_owned(),
            Err(BodyError::Malformed),
        ),
        (
            format!("<task_result><item>{one}</item></task_result>"),
            Err(BodyError::Malformed),
        ),
        (
            format!("<task_result><task><task>{one}</task></task></task_result>"),
            Err(BodyError::Malformed),
        ),
        (
            format!("<task_result>{one}{two}</task_result>"),
            Err(BodyError::Malformed),
        ),
        (
            format!("<task_result>{one}<task>{two}</task></task_result>"),
            Err(BodyError::Malformed),
        ),
        (
            "<task_result><data>i-1</data><status><value>failed</value></status></task_result>"
                .to_owned(),
            Err(BodyError::Malformed),
        ),
        (
            "<task_result><task>i-1</task></task_result>".to_owned(),
            Err(BodyError::Malformed),
        ),
    ];
    let bodies = rows.map(|(form, expected)| (format!("<state>success</state>{form}"), expected));
    let rows: Vec<_> = bodies
        .iter()
        .map(|(body, expected)| (&**body, *expected))
        .collect();
    check(&rows);
}

/// A way to write instances.
#[derive(Clone, Copy, Debug)]
enum Way {
    JsonArray,
    JsonTask,
    JsonTasks,
    Xml,
    XmlTask,
}

fn write(way: Way, pairs: &[(String, String)]) -> String {
    let json = || -> Vec<_> {
        let entry =
            |(id, status): &(String, String)| serde_json::json!({ "data": id, "status": status });
        pairs.iter().map(entry).collect()
    };
    let xml = |head: &str, tail: &str| -> String {
        let entry = |(id, status): &(String, String)| {
            format!("{head}<data>{id}</data><status>{status}</status>{tail}")
        };
        pairs.iter().map(entry).collect()
    };
    let in_json = |task_result: serde_json::Value| {
        serde_json::json!({ "state": "success", "task_result": task_result }).to_string()
    };
    match way {
        Way::JsonArray => in_json(json().into()),
        Way::JsonTask => in_json(serde_json::json!({ "task": json() })),
        Way::JsonTasks => {
            let each = json()
                .into_iter()
                .map(|one| serde_json::json!({ "task": one }));
            in_json(each.collect())
        }
        Way::Xml => "<state>success</state>".to_owned() + &xml("<task_result>", "</task_result>"),
        Way::XmlTask => format!(
            "<state>success</state><task_result>{}</task_result>",
            xml("<task>", "</task>")
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_form_loses_an_instance_or_what_became_of_it(
        way in prop::sample::select(vec![
            Way::JsonArray, Way::JsonTask, Way::JsonTasks, Way::Xml, Way::XmlTask,
        ]),
        pairs in prop::collection::vec(("[a-z0-9-]{1,10}", "success|failed|fail|FAILED|initail|odd"), 0..8),
    ) {
        let task = parse(&write(way, &pairs)).unwrap();
        let read: Vec<_> = task.results.listed().iter().map(|one| (one.id.clone(), one.status.clone())).collect();
        prop_assert_eq!(read, pairs);
    }

    /// Names and shapes that nobody has seen: an instance that failed is found, or nothing is.
    #[test]
    fn a_failed_instance_is_found_or_the_body_is_refused(
        outer in "task|tasks|data|status|item|result",
        inner in "task|data|status|state|item",
        depth in 0_usize..4,
        in_array in any::<bool>(),
    ) {
        let mut form = serde_json::json!({ "data": "i-1", inner.as_str(): "failed" });
        for _ in 0..depth {
            form = serde_json::json!({ outer.as_str(): form });
        }
        if in_array {
            form = serde_json::json!([form]);
        }
        let body = serde_json::json!({ "state": "success", "task_result": form });
        if let Ok(task) = parse(&body.to_string()) {
            let failed = task.results.listed().iter().any(|one| one.status == "failed" || one.id == "failed");
            prop_assert!(failed, "{body}: {:?}", task.results);
        }
    }
}

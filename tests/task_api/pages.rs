//! What becomes of a page of tasks, in each form, in JSON and in XML, and what fits none.

use proptest::prelude::*;
use scaleouttask_controller::{
    rules::ListedTask,
    task_api::{BodyError, parse_page},
};

use crate::{almost_a_body, mutated, repeat, time};

/// A list as the API sends it.
pub const PAGE: &str = include_str!("../fixtures/tasks.json");

/// What becomes of a page: tasks with these IDs and states, in order, or an error.
type Expected<'a> = Result<&'a [(&'a str, &'a str)], BodyError>;

const ONE: &[(&str, &str)] = &[("T-1", "running")];
const TWO: &[(&str, &str)] = &[("T-1", "running"), ("T-2", "fail")];

fn parse(body: &str) -> Result<Vec<ListedTask>, BodyError> {
    parse_page(body.as_bytes())
}

fn check(body: &str, expected: Expected) {
    let pair = |task: ListedTask| (task.task_id.into_string(), task.state.into_string());
    let read = parse(body).map(|tasks| tasks.into_iter().map(pair).collect::<Vec<_>>());
    let owned = |(id, state): &(&str, &str)| ((*id).to_owned(), (*state).to_owned());
    let expected = expected.map(|tasks| tasks.iter().map(owned).collect());
    assert_eq!(read, expected, "{body}");
}

#[test]
fn a_page_is_read_as_the_api_sends_it() {
    let task = |id: &str, task_type: &str, state: &str, created, updated| ListedTask {
        task_id: id.into(),
        task_type: Some(task_type.into()),
        state: state.into(),
        created: Some(time(created)),
        updated: Some(time(updated)),
    };
    let expected = [
        task(
            "T-6764d027be846d01310006b1",
            "nodepool_scaleout",
            "running",
            "2024-12-20T02:01:11Z",
            "2024-12-20T02:03:45.482Z",
        ),
        task(
            "T-5faa48fb31b6b8078d000006",
            "cluster_scaleout",
            "success",
            "2020-11-10T08:02:04Z",
            "2020-11-10T08:03:06Z",
        ),
        task(
            "install-addons-c3xxxxxx",
            "cluster_addon_install",
            "fail",
            "2022-08-03T02:11:33Z",
            "2022-08-03T02:12:03.482Z",
        ),
    ];
    assert_eq!(parse(PAGE).unwrap(), expected);
}

#[test]
fn tasks_in_json_are_read_in_each_form() {
    let malformed = Err(BodyError::Malformed);
    let rows: [(&str, Expected); 32] = [
        // None.
        ("[]", Ok(&[])),
        ("[null, {}, null]", Ok(&[])),
        (r#"{"task":null}"#, Ok(&[])),
        (r#"{"task":[]}"#, Ok(&[])),
        (r#"{"task":{}}"#, Ok(&[])),
        // One.
        (r#"[{"task_id":"T-1","state":"running"}]"#, Ok(ONE)),
        (r#"{"task_id":"T-1","state":"running"}"#, Ok(ONE)),
        (r#"{"task":[{"task_id":"T-1","state":"running"}]}"#, Ok(ONE)),
        (r#"{"task":{"task_id":"T-1","state":"running"}}"#, Ok(ONE)),
        (r#"[{"task":{"task_id":"T-1","state":"running"}}]"#, Ok(ONE)),
        (r#"{"task_id":" T-1\n","state":" running "}"#, Ok(ONE)),
        (
            r#"[null,{"more":[{"task_id":"T-9"}],"state":"running","task_id":"T-1","task":"x"}]"#,
            Ok(ONE),
        ),
        (
            r#"{"task":[{"task_id":"T-1","state":"running"}],"total":1}"#,
            Ok(ONE),
        ),
        // More.
        (
            r#"[{"task_id":"T-1","state":"running"},null,{"task_id":"T-2","state":"fail"}]"#,
            Ok(TWO),
        ),
        (
            r#"{"task":[{"task_id":"T-1","state":"running"},{"task_id":"T-2","state":"fail"}]}"#,
            Ok(TWO),
        ),
        (
            r#"[{"task":[{"task_id":"T-1","state":"running"}]},{"task_id":"T-2","state":"fail"}]"#,
            Ok(TWO),
        ),
        // Without a field, or with one of another type.
        (r#"[{"task_id":"T-1"}]"#, Ok(&[("T-1", "")])),
        (r#"[{"state":"running"}]"#, Ok(&[("", "running")])),
        (r#"[{"task_type":"x"}]"#, Ok(&[("", "")])),
        (r#"[{"task_id":null}]"#, Ok(&[("", "")])),
        (
            r#"[{"task_id":5,"state":"running"},{"task_id":"T-2","state":["fail"]}]"#,
            Ok(&[("", "running"), ("T-2", "")]),
        ),
        // None of the forms: what is overlooked might be a task.
        (r#""T-1""#, malformed),
        ("5", malformed),
        ("true", malformed),
        (r#"["T-1"]"#, malformed),
        (r#"[[{"task_id":"T-1","state":"running"}]]"#, malformed),
        (r#"{"list":[{"task_id":"T-1"}]}"#, malformed),
        (r#"[{"item":{"task_id":"T-1"}}]"#, malformed),
        (r#"{"task":"T-1"}"#, malformed),
        (r#"{"task":{"task":[{"task_id":"T-1"}]}}"#, malformed),
        (
            r#"[{"task_id":"T-1","task":[{"task_id":"T-2"}]}]"#,
            malformed,
        ),
        (r#"[{"task_id":"T-1","task_id":"T-2"}]"#, malformed),
    ];
    for (tasks, expected) in rows {
        check(&format!(r#"{{"tasks":{tasks}}}"#), expected);
        check(
            &format!(r#"{{"page_info":{{"total_count":7}},"tasks":{tasks},"requestId":"R"}}"#),
            expected,
        );
    }
}

#[test]
fn tasks_in_xml_are_read_in_each_form() {
    let one = "<task_id>T-1</task_id><state>running</state>";
    let two = "<task_id>T-2</task_id><state>fail</state>";
    let rows: [(String, Expected); 13] = [
        (format!("<tasks>{one}</tasks>"), Ok(ONE)),
        (format!("<tasks a='b'>\n {one}\n</tasks>"), Ok(ONE)),
        (format!("<tasks><task>{one}</task></tasks>"), Ok(ONE)),
        (format!("<tasks>{one}</tasks><tasks/>"), Ok(ONE)),
        (
            format!("<tasks>{one}</tasks><page_info/><tasks>{two}</tasks>"),
            Ok(TWO),
        ),
        (
            format!("<tasks><task>{one}</task><task>{two}</task></tasks>"),
            Ok(TWO),
        ),
        (
            format!("<tasks><task>{one}</task></tasks><tasks>{two}</tasks>"),
            Ok(TWO),
        ),
        ("<tasks><task/></tasks>".to_owned(), Ok(&[])),
        ("<tasks><state/></tasks>".to_owned(), Ok(&[("", "")])),
        // Which state belongs to which?
        (format!("<tasks>{one}{two}</tasks>"), Ok(&[("", "")])),
        ("<tasks>T-1</tasks>".to_owned(), Err(BodyError::Malformed)),
        (
            format!("<tasks><item>{one}</item></tasks>"),
            Err(BodyError::Malformed),
        ),
        (
            "<tasks><task>T-1</task></tasks>".to_owned(),
            Err(BodyError::Malformed),
        ),
    ];
    for (body, expected) in rows {
        check(&body, expected);
        let declared = format!("\u{feff}<?xml version=\"1.0\"?>\n<requestId>R</requestId>{body}");
        check(&declared, expected);
    }
}

#[test]
fn a_body_without_tasks_is_an_empty_page_only_where_it_tells_of_pages() {
    let empty: Expected = Ok(&[]);
    let none: Expected = Err(BodyError::NoTasks);
    let malformed: Expected = Err(BodyError::Malformed);
    let rows = [
        (r#"{"page_info":{"total_count":0}}"#, empty),
        (r#"{"page_info":{},"tasks":null,"requestId":"R"}"#, empty),
        (r#"{"page_info":{},"tasks":{}}"#, empty),
        ("<page_info><page_number>1</page_number></page_info>", empty),
        (
            "<page_info><page_number>1</page_number></page_info><tasks/>",
            empty,
        ),
        ("{}", none),
        (r#"{"tasks":null}"#, none),
        (r#"{"tasks":{}}"#, none),
        (r#"{"tasks":null,"page_info":null}"#, none),
        (r#"{"page_info":5}"#, none),
        ("<tasks/>", none),
        ("<tasks/><page_info/>", none),
        ("<html><body>Bad gateway</body></html>", none),
        // Errors.
        (r#"{"code":"Odd","message":"m","requestId":"R"}"#, none),
        (r#"{"code":"Odd","page_info":{}}"#, none),
        (r#"{"error":{"message":"m"},"page_info":{}}"#, none),
        (r#"{"code":"Odd","tasks":[]}"#, empty),
        // A task is no list of them.
        (r#"{"task_id":"T-1","state":"running"}"#, none),
        ("", malformed),
        ("null", malformed),
        ("[]", malformed),
        (r#"[{"task_id":"T-1"}]"#, malformed),
        (r#"{"tasks":["#, malformed),
        ("<tasks><task_id>T-1", malformed),
    ];
    for (body, expected) in rows {
        check(body, expected);
    }
    let not_text = b"{\"tasks\":[{\"task_id\":\"\xff\"}]}";
    assert_eq!(parse_page(not_text), Err(BodyError::Malformed));
}

#[test]
fn a_tasks_fields_may_have_any_type() {
    for odd in ["5", "true", "[1]", r#"{"a":1}"#, "1.5", "null", r#"" ""#] {
        for field in ["task_type", "created", "updated", "error", "target", "odd"] {
            let body = format!(r#"{{"tasks":[{{"task_id":"T-1","{field}":{odd}}}]}}"#);
            let expected = ListedTask {
                task_id: "T-1".into(),
                ..ListedTask::default()
            };
            assert_eq!(parse(&body), Ok(vec![expected]), "{body}");
        }
    }
}

#[test]
fn a_time_without_a_zone_counts_as_missing() {
    let body =
        r#"{"tasks":[{"created":"2022-12-15 23:00:00","updated":"2022-12-15T23:00:00+08:00"}]}"#;
    let task = parse(body).unwrap().remove(0);
    assert_eq!(task.created, None);
    assert_eq!(task.updated, Some(time("2022-12-15T15:00:00Z")));
}

#[test]
fn long_texts_stay_too_long_and_equal_nothing_that_is_short() {
    let blanks = " ".repeat(2000);
    let one = |field: &str, text: &str| {
        let body = format!(r#"{{"tasks":[{{"{field}":"{text}"}}]}}"#);
        parse(&body).unwrap().remove(0)
    };
    for (length, kept) in [(1, 1), (128, 128), (129, 129), (2000, 129)] {
        let id = one("task_id", &"ü".repeat(length)).task_id;
        assert_eq!(id.chars().count(), kept, "{length}");
    }
    for (length, kept) in [(1, 1), (64, 64), (65, 65), (2000, 65)] {
        let text = "ü".repeat(length);
        let state = one("state", &text).state;
        assert_eq!(state.chars().count(), kept, "{length}");
        assert_eq!(one("task_type", &text).task_type, Some(state));
    }
    let id = one("task_id", &format!("T-1{blanks}x")).task_id;
    assert_ne!(id.trim(), "T-1");
    let state = one("state", &format!("success{blanks}x")).state;
    assert_ne!(state.trim(), "success");
}

#[test]
fn at_most_a_thousand_tasks_of_a_page_are_kept() {
    let numbered = |n| format!(r#"{{"task_id":"T-{n}"}}"#);
    let all: Vec<_> = (0..1500).map(numbered).collect();
    let (head, tail) = all.split_at(700);
    let array = format!(r#"{{"tasks":[{}]}}"#, all.join(","));
    let parts = format!(
        r#"{{"tasks":[{{"task":[{}]}},{{"task":[{}]}}]}}"#,
        head.join(","),
        tail.join(",")
    );
    for body in [array, parts] {
        let page = parse(&body).unwrap();
        assert_eq!(page.len(), 1000);
        for (n, task) in page.iter().enumerate() {
            assert_eq!(*task.task_id, *format!("T-{n}"));
        }
    }
}

/// Pages of 1 MiB that need as much memory as possible.
pub fn greedy_bodies() -> Vec<String> {
    let (id, state) = ("\u{10348}".repeat(128), "\u{10348}".repeat(64));
    let long = format!(r#"{{"task_id":"{id}","state":"{state}"}},"#);
    vec![
        repeat(r#"{"tasks":"#, "[", ""),
        repeat(r#"{"tasks":"#, r#"{"task":"#, ""),
        repeat(r#"{"tasks":["#, "{},", "1]}"),
        repeat(r#"{"tasks":["#, "[],", "1]}"),
        repeat(r#"{"tasks":["#, r#"{"state":1},"#, "{}]}"),
        repeat(r#"{"tasks":["#, r#"{"task":[]},"#, "{}]}"),
        repeat(r#"{"tasks":["#, r#"{"state":[{},{}]},"#, "{}]}"),
        repeat(r#"{"tasks":["#, &long, "{}]}"),
        repeat(r#"{"tasks":[{"state":""#, "\\u0000", r#""}]}"#),
        repeat(r#"{"tasks":[{"x":""#, "x", r#""}]}"#),
        repeat(r#"{"page_info":["#, "{},", "1]}"),
        repeat("<state>s</state>", "<tasks/><a/>", ""),
        repeat("", "<tasks><state>s</state></tasks>", ""),
        repeat("<tasks>", "<task><state>s</state></task>", "</tasks>"),
    ]
}

/// A way to write tasks.
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
        let entry = |(id, state): &(String, String)| serde_json::json!({ "task_id": id, "error": { "code": "x" }, "state": state });
        pairs.iter().map(entry).collect()
    };
    let xml = |head: &str, tail: &str| -> String {
        let entry = |(id, state): &(String, String)| {
            format!("{head}<task_id>{id}</task_id><state>{state}</state>{tail}")
        };
        pairs.iter().map(entry).collect()
    };
    let in_json = |tasks: serde_json::Value| {
        serde_json::json!({ "page_info": { "total_count": 0 }, "tasks": tasks }).to_string()
    };
    let head = "<page_info><total_count>0</total_count></page_info>";
    match way {
        Way::JsonArray => in_json(json().into()),
        Way::JsonTask => in_json(serde_json::json!({ "task": json() })),
        Way::JsonTasks => {
            let each = json().into_iter();
            in_json(each.map(|one| serde_json::json!({ "task": one })).collect())
        }
        Way::Xml => head.to_owned() + &xml("<tasks>", "</tasks>"),
        Way::XmlTask => format!("{head}<tasks>{}</tasks>", xml("<task>", "</task>")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_form_loses_a_task_or_changes_the_order(
        way in prop::sample::select(vec![
            Way::JsonArray, Way::JsonTask, Way::JsonTasks, Way::Xml, Way::XmlTask,
        ]),
        pairs in prop::collection::vec(("[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "[a-z]{1,10}"), 0..8),
    ) {
        let page = parse(&write(way, &pairs)).unwrap();
        let read: Vec<_> = page.into_iter().map(|task| (task.task_id.into_string(), task.state.into_string())).collect();
        prop_assert_eq!(read, pairs);
    }

    /// Names and shapes that nobody has seen: something stands in a task's place, or the body is refused.
    #[test]
    fn no_shape_hides_a_task(
        names in prop::collection::vec("task|tasks|list|item|state|data", 0..4),
        in_arrays in prop::collection::vec(any::<bool>(), 4),
    ) {
        let mut form = serde_json::json!({ "task_id": "T-1" });
        for (name, in_array) in names.iter().zip(&in_arrays) {
            form = if *in_array { serde_json::json!([form]) } else { form };
            form = serde_json::json!({ name.as_str(): form });
        }
        let body = serde_json::json!({ "page_info": {}, "tasks": form }).to_string();
        if let Ok(page) = parse(&body) {
            prop_assert_eq!(page.len(), 1, "{}", body);
        }
    }

    #[test]
    fn no_body_makes_the_parser_of_pages_panic(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            mutated(&[PAGE]),
            almost_a_body(),
        ]
    ) {
        for task in parse_page(&body).unwrap_or_default() {
            prop_assert!(task.task_id.chars().count() <= 129 && task.state.chars().count() <= 65);
        }
    }
}

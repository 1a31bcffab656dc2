//! Which bodies of the task API are parsed, and how, and which are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod forms;
mod pages;

use k8s_openapi::jiff::Timestamp;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use scaleouttask_controller::{
    rules::{Instance, Instances, MAX_OTHERS, Task, first_chars},
    task_api::{BodyError, parse_page, parse_task},
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const ID: &str = "T-5faa48fb31b6b8078d000006";
const JSON: &str = include_str!("../fixtures/running.json");
const XML: &str = include_str!("../fixtures/running.xml");
/// The client reads at most this much.
const BODY_MAX: usize = 1024 * 1024;

fn parse(body: &str) -> Result<Task, BodyError> {
    parse_task(body.as_bytes(), ID)
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn instances(pairs: &[(&str, &str)]) -> Instances {
    pairs
        .iter()
        .map(|(id, status)| Instance {
            id: (*id).to_owned(),
            status: (*status).to_owned(),
        })
        .collect()
}

#[test]
fn both_sample_bodies_describe_the_same_task() {
    let task = parse(JSON).unwrap();
    assert_eq!(task, parse(XML).unwrap());
    let expected = Task {
        task_id: Some(ID.to_owned()),
        cluster_id: Some("c78592bfe92244365b3c3ad47f1de****".to_owned()),
        task_type: Some("cluster_scaleout".to_owned()),
        state: "running".to_owned(),
        created: Some(time("2020-11-10T16:02:04+08:00")),
        updated: Some(time("2020-11-10T16:03:06+08:00")),
        results: instances(&[("i-xxx", "success")]),
        ..Task::default()
    };
    assert_eq!(task, expected);
}

#[test]
fn a_body_with_unknown_and_unusual_fields_is_parsed() {
    let task = parse(
        r#"{
            "task_id": null, "cluster_id": "c1", "state": "paused", "unknown": [1, {"a": []}],
            "task_result": [{"data": "i-1", "status": "initail", "extra": 1}, null, {}, {"data": "i-2"}],
            "created": "2022-12-15T23:00:00.123456789+08:00", "updated": "2022-12-15 23:00:00",
            "current_stage": "join", "error": {"code": "Quota", "message": "none left", "more": {}},
            "stages": [{"state": "x", "start_time": "2022-12-15 23:00:00", "outputs": {}}],
            "events": [{"timestamp": "1671116400000"}], "parameters": {"password": "secret"},
            "target": {"id": "np", "type": "nodepool"}, "outputs": {}
        }"#,
    )
    .unwrap();
    assert_eq!(task.state, "paused");
    assert_eq!(task.results, instances(&[("i-1", "initail"), ("i-2", "")]));
    assert_eq!(task.created, Some(time("2022-12-15T15:00:00.123456789Z")));
    assert_eq!(
        task.updated, None,
        "a time without a zone counts as missing"
    );
    assert_eq!(task.current_stage.as_deref(), Some("join"));
    assert_eq!(
        task.error,
        Some((Some("Quota".to_owned()), Some("none left".to_owned())))
    );
    let target = task.target.unwrap();
    assert_eq!(
        (target.type_.as_deref(), target.id.as_deref()),
        (Some("nodepool"), Some("np"))
    );
    let stages: Vec<_> = task
        .stages
        .into_iter()
        .map(|one| (one.state, one.start_time))
        .collect();
    assert_eq!(
        stages,
        [(Some("x".to_owned()), Some("2022-12-15 23:00:00".to_owned()))]
    );
    let times: Vec<_> = task.events.into_iter().map(|event| event.time).collect();
    assert_eq!(times, [Some(time("2022-12-15T15:00:00Z"))]);
}

#[test]
fn target_stages_and_events_are_read_alike_in_json_and_xml() {
    let json = parse(
        r#"{"state":"fail","target":{"type":"nodepool","id":"np1"},
            "stages":[{"state":"success","start_time":"2022-12-15 23:00:00"},{"state":"fail","message":"no stock"}],
            "events":[{"level":"error","reason":"Stock","message":"none left","source":"ess","timestamp":"1671116400000"}]}"#,
    );
    let xml = parse(
        "<state>fail</state><target><type>nodepool</type><id>np1</id></target>\
         <stages><state>success</state><start_time>2022-12-15 23:00:00</start_time></stages>\
         <stages><state>fail</state><message>no stock</message></stages>\
         <events><level>error</level><reason>Stock</reason><message>none left</message>\
         <source>ess</source><timestamp>1671116400000</timestamp></events>",
    );
    assert_eq!(json, xml);
    let task = json.unwrap();
    assert_eq!((task.stages.len(), task.events.len()), (2, 1));
}

#[test]
fn the_time_of_an_event_is_a_number_of_milliseconds_or_its_text() {
    let rows = [
        ("1671116400000", Some("2022-12-15T15:00:00Z")),
        ("\"1671116400000\"", Some("2022-12-15T15:00:00Z")),
        ("\" 1671116400000 \"", Some("2022-12-15T15:00:00Z")),
        ("\"2022-12-15T15:00:00Z\"", None),
        ("-1", None),
        ("99999999999999999999", None),
        ("9999999999999999", None),
        ("1.5", None),
        ("null", None),
    ];
    for (text, expected) in rows {
        let body = format!(r#"{{"state":"s","events":[{{"timestamp":{text}}}]}}"#);
        assert_eq!(
            parse(&body).unwrap().events[0].time,
            expected.map(time),
            "{text}"
        );
    }
}

#[test]
fn a_time_that_the_api_server_would_refuse_counts_as_missing() {
    let rows = [
        ("0001-01-01T00:00:00Z", true),
        ("0001-01-01T00:00:00+00:01", false),
        ("0000-01-01T00:00:00Z", false),
        ("-000001-01-01T00:00:00Z", false),
        ("soon", false),
        ("", false),
    ];
    for (text, read) in rows {
        let task = parse(&format!(r#"{{"state":"running","created":"{text}"}}"#)).unwrap();
        assert_eq!(task.created.is_some(), read, "{text}");
    }
}

#[test]
fn a_field_without_effect_on_decisions_may_have_any_type() {
    for odd in ["5", "true", "[1]", "{\"a\":1}", "1.5", "null", "\"\""] {
        for field in [
            "created",
            "updated",
            "current_stage",
            "task_type",
            "error",
            "stages",
            "events",
            "target",
        ] {
            let body = format!("{{\"state\":\"running\",\"{field}\":{odd}}}");
            assert_eq!(parse(&body).unwrap().state, "running", "{body}");
        }
    }
}

#[test]
fn unusable_bodies_are_refused() {
    let rows = [
        ("", BodyError::Malformed),
        ("null", BodyError::Malformed),
        ("[]", BodyError::Malformed),
        ("{", BodyError::Malformed),
        ("<html><body>Bad gateway</body></html>", BodyError::NoState),
        ("<state>running", BodyError::Malformed),
        (r#"{"state":5}"#, BodyError::Malformed),
        (
            r#"{"state":"running","cluster_id":5}"#,
            BodyError::Malformed,
        ),
        (r#"["id","c","running"]"#, BodyError::Malformed),
        ("{}", BodyError::NoState),
        (r#"{"state":null}"#, BodyError::NoState),
        (r#"{"state":""}"#, BodyError::NoState),
        (r#"{"state":" "}"#, BodyError::NoState),
        ("<state></state>", BodyError::NoState),
        (
            r#"{"state":"running","task_id":"T-other"}"#,
            BodyError::OtherTask,
        ),
        (
            "<task_id>T-other</task_id><state>running</state>",
            BodyError::OtherTask,
        ),
    ];
    for (body, error) in rows {
        assert_eq!(parse(body), Err(error), "{body}");
    }
    assert_eq!(
        parse_task(b"{\"state\":\"\xff\"}", ID),
        Err(BodyError::Malformed)
    );
}

#[test]
fn a_declaration_or_a_byte_order_mark_is_ignored() {
    let declared = format!("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{XML}");
    assert_eq!(parse(&declared), parse(XML));
    assert_eq!(parse(&format!("\u{feff} \n{JSON}")), parse(JSON));
}

/// A body of 1 MiB.
fn repeat(head: &str, part: &str, tail: &str) -> String {
    let times = (BODY_MAX - head.len() - tail.len()) / part.len();
    format!("{head}{}{tail}", part.repeat(times))
}

/// Bodies of 1 MiB that need as much memory as possible.
fn greedy_bodies() -> Vec<String> {
    vec![
        "[".repeat(BODY_MAX),
        repeat(r#"{"error":"#, "[", ""),
        repeat(r#"{"error":"#, r#"{"a":"#, ""),
        repeat(r#"{"state":"s","task_result":["#, "{},", "{}]}"),
        repeat(r#"{"state":"s","task_result":["#, r#"{"data":""},"#, "{}]}"),
        repeat(
            r#"{"state":"s","task_result":["#,
            r#"{"data":"i","status":"x"},"#,
            "{}]}",
        ),
        repeat(r#"{"state":"s","stages":["#, "1,", "1]}"),
        repeat(r#"{"state":"s","stages":["#, r#"{"state":"x"},"#, "1]}"),
        repeat(r#"{"state":"s","events":["#, "{},", "1]}"),
        repeat(
            r#"{"state":"s","events":["#,
            r#"{"level":"error","reason":"x"},"#,
            "1]}",
        ),
        repeat("<state>s</state>", "<events><level>e</level></events>", ""),
        repeat("<state>s</state>", "<stages/><a/>", ""),
        repeat(r#"{"state":""#, "\\u0000", r#""}"#),
        repeat("", "<task_result/>", "<state>s</state>"),
        repeat(
            "",
            "<task_result><data>i</data></task_result>",
            "<state>s</state>",
        ),
        repeat("", "<a>", ""),
        repeat("<state>s</state>", "<stages/><task_result/>", ""),
        repeat("<state>", "&amp;", "</state>"),
        repeat(r#"{"state":"s","error":{"message":""#, "x", r#""}}"#),
        repeat(r#"{"state":"s","task_result":{"data":""#, "x", r#""}}"#),
    ]
}

/// What parsing returns, and checks how much memory it took meanwhile.
fn parse_in_bounds<T>(body: &str, parse: impl Fn(&str) -> T) -> T {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let parsed = parse(body);
    let peak = ALLOCATOR.peak_usage() - before;
    // Measured: at most 13 times the body.
    assert!(peak < 16 * BODY_MAX, "{peak} bytes for {}…", start(body));
    parsed
}

/// One test, as others that take as much memory would disturb it.
#[test]
fn parsing_takes_memory_in_proportion_to_the_body() {
    for body in greedy_bodies() {
        // It may wait to be written: a status has no more of it.
        let Ok(mut task) = parse_in_bounds(&body, parse) else {
            continue;
        };
        assert!(task.results.others().len() <= MAX_OTHERS);
        task.results = task.results.listed().iter().cloned().collect();
        let kept = format!("{task:?}").len();
        assert!(
            kept < 64 * 1024,
            "{kept} bytes are kept of {}…",
            start(&body)
        );
    }
    for body in pages::greedy_bodies() {
        let Ok(page) = parse_in_bounds(&body, |body| parse_page(body.as_bytes())) else {
            continue;
        };
        assert!(page.len() <= 1000);
        let kept = format!("{page:?}").len();
        assert!(
            kept < BODY_MAX,
            "{kept} bytes are kept of {}…",
            start(&body)
        );
    }
}

fn start(body: &str) -> &str {
    first_chars(body, 40)
}

#[test]
fn what_is_shortened_equals_nothing_that_is_short() {
    let blanks = " ".repeat(2000);
    let task = parse(&format!(
        r#"{{"state":"success{blanks}x","cluster_id":"{}",
            "task_result":[{{"data":"i-1","status":"success{blanks}x"}}],
            "error":{{"code":"{blanks}x","message":"{blanks}x"}},
            "stages":[{{"state":"fail{blanks}x","message":"{blanks}x"}}],
            "events":[{{"level":"error{blanks}x","message":"{blanks}x"}}]}}"#,
        "c".repeat(2000),
    ))
    .unwrap();
    let kept = serde_json::to_string(&format!("{task:?}")).unwrap();
    assert!(kept.len() < 4000, "{kept}");
    assert_ne!(task.state.trim(), "success");
    assert_ne!(task.cluster_id, Some("c".repeat(64)));
    assert_eq!(task.results.counts().pending, 1);
    assert_ne!(task.results.listed()[0].status.trim(), "success");
    assert_ne!(task.stages[0].state.as_deref().map(str::trim), Some("fail"));
    let level = task.events[0].level.as_deref().map(str::trim);
    assert_ne!(level, Some("error"));
}

/// A sample body with random changes.
fn mutated(samples: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let sample = prop::sample::select(samples);
    let edit = (
        any::<prop::sample::Index>(),
        0_usize..40,
        prop::collection::vec(any::<u8>(), 0..6),
    );
    (sample, prop::collection::vec(edit, 1..6)).prop_map(|(sample, edits)| {
        let mut body = sample.as_bytes().to_vec();
        for (at, length, insert) in edits {
            let start = at.index(body.len() + 1);
            let end = (start + length).min(body.len());
            body.splice(start..end, insert);
        }
        body
    })
}

/// Texts of random parts of both formats.
fn almost_a_body() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"state\"",
        "\"running\"",
        "\"task_result\"",
        "\"data\"",
        "null",
        "1e999",
        "-",
        "\\u",
        "\\ud800",
        "<",
        ">",
        "/",
        "<state>",
        "</state>",
        "<task_result>",
        "</task_result>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]>",
        "&b;",
        "&#x110000;",
        "<?xml",
        "?>",
        "</body>",
        "<body>",
        "xsi:nil=\"true\"",
        " ",
        "\0",
        "é",
    ]);
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_body_makes_the_parser_panic(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            mutated(&[JSON, XML]),
            almost_a_body(),
        ]
    ) {
        if let Ok(task) = parse_task(&body, ID) {
            prop_assert!(!task.state.trim().is_empty());
            prop_assert!(task.task_id.is_none_or(|id| id == ID));
        }
    }

    #[test]
    fn json_and_xml_of_the_same_task_are_parsed_alike(
        state in "[a-z]{1,10}", cluster in "[a-z0-9]{0,10}",
        pairs in prop::collection::vec(("[a-z0-9-]{1,10}", "[a-z]{1,8}"), 0..5),
    ) {
        let entries: Vec<_> = pairs.iter()
            .map(|(id, status)| serde_json::json!({ "data": id, "status": status }))
            .collect();
        let json = serde_json::json!({ "state": state, "cluster_id": cluster, "task_result": entries });
        let entries: String = pairs
            .iter()
            .map(|(id, status)| {
                ["<task_result><data>", id, "</data><status>", status, "</status></task_result>"].concat()
            })
            .collect();
        let xml = format!("<state>{state}</state><cluster_id>{cluster}</cluster_id>{entries}");
        prop_assert_eq!(parse(&json.to_string()).unwrap(), parse(&xml).unwrap());
    }
}

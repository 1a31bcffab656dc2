//! Lists of a cluster's tasks: their pages, what they show of each task, and how they mislead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{Answer, get, list, send_request, start, task, until};
use serde_json::{Value, json};
use simulator::{Fault, List, Listed, Order, Script, Simulator, Step, Task};

/// The IDs on a page.
fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let tasks = body["tasks"].as_array().unwrap().iter();
    tasks
        .map(|task| task["task_id"].as_str().unwrap().to_owned())
        .collect()
}

/// A task of cluster c.
fn of_c(id: &str) -> Task {
    Task::new(id).in_cluster("c")
}

/// A simulator with so many tasks of cluster c, T-1 the oldest.
fn with_tasks(count: usize) -> Simulator {
    let simulator = start("{}");
    simulator.set_tasks((1..=count).map(|number| of_c(&format!("T-{number}"))));
    simulator
}

/// The only task in the list of cluster c.
fn only(simulator: &Simulator) -> Value {
    let body = list(simulator, "c", "").json();
    assert_eq!(body["page_info"]["total_count"], 1);
    body["tasks"][0].clone()
}

#[test]
fn a_list_has_the_fields_of_the_api() {
    let simulator = start(
        "tasks:
          - {id: T-1, clusterId: c, outcome: fail, created: a, updated: b,
             error: {code: BadRequest, message: m}, instances: [{id: i-1}], stages: [{name: s}]}
          - {id: T-2, clusterId: c, taskType: nodepool_scaleout, outcome: running,
             created: '2024-12-20T10:01:11+08:00', updated: '2024-12-20T10:03:45.482+08:00'}",
    );
    let answer = list(&simulator, "c", "");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "page_info": {"page_number": 1, "page_size": 10, "total_count": 2},
        "tasks": [
            {"task_id": "T-1", "task_type": "cluster_scaleout", "state": "fail", "created": "a",
             "updated": "b", "error": {"code": "BadRequest", "message": "m"}},
            {"task_id": "T-2", "task_type": "nodepool_scaleout", "state": "running",
             "created": "2024-12-20T10:01:11+08:00", "updated": "2024-12-20T10:03:45.482+08:00"},
        ],
        "requestId": answer.header("x-acs-request-id").unwrap(),
    });
    assert_eq!(answer.json(), expected);
}

#[test]
fn list_and_task_agree_at_each_moment() {
    let simulator = start(
        "tasks:
          - {id: T-line, clusterId: c, duration: 2500ms, outcome: fail, error: {code: e, message: m},
             stages: [{name: a}, {name: b, after: 1500ms}]}
          - id: T-steps
            clusterId: c
            steps: [{state: paused, after: 1100ms}, {state: success, afterRequests: 5}]",
    );
    let listed = |id: &str| {
        let body = list(&simulator, "c", "").json();
        let mut tasks = body["tasks"].as_array().unwrap().clone();
        tasks.retain(|task| task["task_id"] == id);
        tasks.remove(0)
    };
    for (id, end) in [("T-steps", "success"), ("T-line", "fail")] {
        let mut seen = Vec::new();
        until("it has ended", || {
            let (entry, whole) = (listed(id), task(&simulator, id).json());
            // It may have changed in between.
            let again = listed(id);
            let agrees = |entry: &Value| {
                let mut fields = entry.as_object().unwrap().iter();
                fields.all(|(name, value)| whole[name] == *value)
            };
            assert!(agrees(&entry) || agrees(&again), "{entry}\n{whole}");
            assert!(entry.get("task_result").is_none());
            seen.extend([&entry, &again].map(|one| one["updated"].clone()));
            again["state"] == end
        });
        seen.dedup();
        assert!(seen.len() > 1, "{seen:?}");
    }
}

#[test]
fn updated_moves_with_each_stage_and_with_the_state() {
    let simulator = start(
        "tasks: [{id: T-1, clusterId: c, duration: 2200ms,
                  stages: [{name: a}, {name: b, after: 1100ms}]}]",
    );
    let mut seen = Vec::new();
    until("it has ended", || {
        let entry = only(&simulator);
        assert!(entry["updated"].as_str() >= entry["created"].as_str());
        seen.push(entry["updated"].clone());
        entry["state"] == "success"
    });
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn a_list_starts_the_clocks_of_its_tasks_and_counts_as_no_request_for_them() {
    let simulator = start(
        "tasks: [{id: T-1, clusterId: c, duration: 1ms},
                 {id: T-2, clusterId: c, steps: [{afterRequests: 1, state: success}]}]",
    );
    list(&simulator, "c", "page_size=1");
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(task(&simulator, "T-1").state(), "success");
    assert_eq!(task(&simulator, "T-2").state(), "running");
    assert_eq!(
        list(&simulator, "c", "").json()["tasks"][0]["state"],
        "success"
    );
}

#[test]
fn pages_have_the_size_that_is_asked_for_and_ten_by_default() {
    let simulator = with_tasks(25);
    let page = |query: &str| {
        let answer = list(&simulator, "c", query);
        (ids(&answer).len(), answer.json()["page_info"].clone())
    };
    let info = |number: u64, size: u64| json!({"page_number": number, "page_size": size, "total_count": 25});
    assert_eq!(page(""), (10, info(1, 10)));
    assert_eq!(page("page_number=3"), (5, info(3, 10)));
    assert_eq!(page("page_size=20&page_number=2"), (5, info(2, 20)));
    assert_eq!(page("page_size=100"), (25, info(1, 100)));
    assert_eq!(page("page_number=4"), (0, info(4, 10)));
    let last = u64::MAX;
    assert_eq!(
        page(&format!("page_number={last}&page_size={last}")),
        (0, info(last, last))
    );
}

#[test]
fn pages_are_cut_to_the_largest_that_the_script_allows() {
    let simulator = with_tasks(60);
    simulator.set_list("{maxPageSize: 50}".parse().unwrap());
    let answer = list(&simulator, "c", "page_size=100&page_number=2");
    assert_eq!(ids(&answer).len(), 10);
    assert_eq!(answer.json()["page_info"]["page_size"], 50);
}

#[test]
fn page_numbers_that_are_none_are_refused() {
    let simulator = with_tasks(1);
    for query in [
        "page_number=0",
        "page_size=0",
        "page_number=a",
        "page_size=",
    ] {
        let answer = list(&simulator, "c", query);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("InvalidParameter")),
            "{query}"
        );
    }
    assert_eq!(list(&simulator, "c", "next_token=a").status, 200);
}

#[test]
fn lists_are_newest_first_oldest_first_or_in_a_fixed_order() {
    let simulator = with_tasks(30);
    let hour = Duration::from_hours(1);
    simulator.set_task(of_c("T-old").aged(hour));
    let mut older = of_c("T-older");
    older.created = Some("2020-11-10T16:02:04+08:00".to_owned());
    simulator.set_task(older);
    let all = || ids(&list(&simulator, "c", "page_size=100"));
    let oldest_first: Vec<_> = ["T-older".to_owned(), "T-old".to_owned()]
        .into_iter()
        .chain((1..=30).map(|number| format!("T-{number}")))
        .collect();
    let newest_first: Vec<_> = oldest_first.iter().rev().cloned().collect();
    assert_eq!(all(), newest_first);
    simulator.set_list("{order: oldest-first}".parse().unwrap());
    assert_eq!(all(), oldest_first);
    simulator.set_list("{clusterId: c, order: none}".parse().unwrap());
    let fixed = all();
    assert!(fixed != newest_first && fixed != oldest_first);
    assert_eq!(all(), fixed);
    let mut sorted = (fixed, newest_first);
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
}

#[test]
fn a_task_with_an_age_was_created_that_long_ago() {
    let simulator = start("tasks: [{id: T-1, clusterId: c, age: 3h, duration: 1h}]");
    let entry = only(&simulator);
    let time = |name: &str| -> jiff::Timestamp { entry[name].as_str().unwrap().parse().unwrap() };
    assert_eq!(entry["state"], "success");
    let age = jiff::Timestamp::now().duration_since(time("created"));
    assert!((10_800..10_860).contains(&age.as_secs()), "{age}");
    assert_eq!(
        time("updated").duration_since(time("created")).as_secs(),
        3600
    );
}

#[test]
fn total_count_can_be_wrong_or_missing() {
    let simulator = with_tasks(3);
    simulator.set_list("{totalCount: 1}".parse().unwrap());
    let answer = list(&simulator, "c", "");
    assert_eq!(answer.json()["page_info"]["total_count"], 1);
    assert_eq!(ids(&answer).len(), 3);
    simulator.set_list("{omit: [total_count]}".parse().unwrap());
    assert_eq!(
        list(&simulator, "c", "").json()["page_info"],
        json!({"page_number": 1, "page_size": 10})
    );
    simulator.set_list("{omit: [page_info, requestId]}".parse().unwrap());
    let body = list(&simulator, "c", "").json();
    assert_eq!(body.as_object().unwrap().len(), 1);
}

#[test]
fn tasks_come_and_go_at_their_times() {
    let simulator = start(
        "tasks: [{id: T-comes, clusterId: c, listed: {after: 150ms}},
                 {id: T-goes, clusterId: c, listed: {until: 150ms}},
                 {id: T-hidden, clusterId: c, listed: {until: 0s}}]",
    );
    let started = Instant::now();
    let first = ids(&list(&simulator, "c", ""));
    assert!(started.elapsed() > Duration::from_millis(150) || first == ["T-goes"]);
    until("one has come and one gone", || {
        ids(&list(&simulator, "c", "")) == ["T-comes"]
    });
    let total = &list(&simulator, "c", "").json()["page_info"]["total_count"];
    assert_eq!(total, 1);
    for id in ["T-goes", "T-hidden"] {
        assert_eq!(task(&simulator, id).status, 200);
    }
}

#[test]
fn tasks_come_and_go_between_two_pages() {
    let simulator = with_tasks(4);
    let page = |number: u64| {
        ids(&list(
            &simulator,
            "c",
            &format!("page_size=2&page_number={number}"),
        ))
    };
    simulator.set_task(of_c("T-new").listed(Listed {
        after_pages: Some(1),
        ..Listed::default()
    }));
    // A page that isn't sent doesn't count.
    simulator.set_list_fault("c", Fault::status(500).on(1..=1));
    assert_eq!(list(&simulator, "c", "").status, 500);
    // The new one pushes T-3 to the second page.
    assert_eq!(page(1), ["T-4", "T-3"]);
    assert_eq!(page(2), ["T-3", "T-2"]);
    assert_eq!(page(1), ["T-new", "T-4"]);

    simulator.set_task(of_c("T-new").listed(Listed {
        until_pages: Some(1),
        ..Listed::default()
    }));
    // That it is gone moves T-3 to the first page, unseen.
    assert_eq!(page(1), ["T-new", "T-4"]);
    assert_eq!(page(2), ["T-2", "T-1"]);
}

#[test]
fn a_task_can_be_repeated_on_other_pages() {
    let simulator = with_tasks(5);
    let repeated = "{id: T-0, clusterId: c, age: 1h, listed: {repeatOn: '1,3-'}}";
    simulator.set_task(repeated.parse().unwrap());
    let page = |number: u64| {
        ids(&list(
            &simulator,
            "c",
            &format!("page_size=2&page_number={number}"),
        ))
    };
    assert_eq!(page(1), ["T-5", "T-4", "T-0"]);
    assert_eq!(page(2), ["T-3", "T-2"]);
    assert_eq!(page(3), ["T-1", "T-0"]);
    assert_eq!(page(4), ["T-0"]);
}

#[test]
fn a_list_can_ignore_the_page_number() {
    let simulator = with_tasks(3);
    simulator.set_list(List {
        ignore_page_number: true,
        ..List::of("c")
    });
    let answer = list(&simulator, "c", "page_number=7&page_size=2");
    assert_eq!(ids(&answer), ["T-3", "T-2"]);
    assert_eq!(answer.json()["page_info"]["page_number"], 1);
}

#[test]
fn what_a_list_says_of_a_task_can_be_wrong() {
    let simulator = start(
        "tasks:
          - id: T-1
            clusterId: c
            listed: {created: yesterday, updated: '2020-11-10T16:02:04+08:00', extra: {state: paused, x: 1},
                     omit: [task_type]}",
    );
    let entry = json!({
        "task_id": "T-1", "state": "paused", "x": 1, "created": "yesterday",
        "updated": "2020-11-10T16:02:04+08:00",
    });
    assert_eq!(only(&simulator), entry);
    let whole = task(&simulator, "T-1").json();
    assert_eq!(
        (&whole["state"], &whole["task_type"]),
        (&json!("success"), &json!("cluster_scaleout"))
    );
    assert_ne!(whole["updated"], entry["updated"]);
    let missing = "{id: T-1, clusterId: c, listed: {omit: [created, updated]}}";
    simulator.set_task(missing.parse().unwrap());
    let entry = only(&simulator);
    assert!(entry.get("created").is_none() && entry.get("updated").is_none());
}

#[test]
fn a_task_is_listed_by_the_cluster_that_its_body_names_now() {
    let simulator = start("{}");
    let mut moving = of_c("T-1");
    moving.steps = vec![
        Step::default(),
        Step {
            after_requests: Some(1),
            cluster_id: Some("d".to_owned()),
            ..Step::default()
        },
    ];
    simulator.set_task(moving);
    let listed = |cluster: &str| ids(&list(&simulator, cluster, ""));
    assert_eq!((listed("c").len(), listed("d").len()), (1, 0));
    assert_eq!(task(&simulator, "T-1").json()["cluster_id"], "c");
    assert_eq!((listed("c").len(), listed("d").len()), (0, 1));
    assert_eq!(task(&simulator, "T-1").json()["cluster_id"], "d");

    simulator.set_task(
        "{id: T-1, clusterId: c, listed: {clusterId: d}}"
            .parse()
            .unwrap(),
    );
    assert_eq!(listed("d"), ["T-1"]);
    assert_eq!(list(&simulator, "c", "").status, 404);
    assert_eq!(task(&simulator, "T-1").json()["cluster_id"], "c");
}

#[test]
fn an_unknown_cluster_is_not_found_unless_its_list_is_set() {
    let simulator = start("{tasks: [{id: T-1, clusterId: c}], lists: [{clusterId: empty}]}");
    let missing = list(&simulator, "d", "");
    assert_eq!(
        (missing.status, &missing.json()["code"]),
        (404, &json!("ErrorClusterNotFound"))
    );
    for _ in 0..2 {
        let empty = list(&simulator, "empty", "").json();
        assert_eq!(empty["tasks"], json!([]));
        assert_eq!(empty["page_info"]["total_count"], 0);
        simulator.set_list(List::of("empty"));
    }
    simulator.remove_task("T-1");
    assert_eq!(list(&simulator, "c", "").status, 404);
}

#[test]
fn a_change_moves_updated_and_the_clock_goes_on() {
    let simulator = start("{}");
    simulator.set_task(
        Task::in_state("T-1", "running")
            .in_cluster("c")
            .aged(Duration::from_mins(1)),
    );
    let before = only(&simulator);
    assert!(simulator.change_task("T-1", |task| task.listed.extra.clear()));
    assert_eq!(only(&simulator), before);
    assert!(simulator.change_task("T-1", |task| task.outcome = "success".to_owned()));
    let after = only(&simulator);
    assert_eq!(
        (&after["state"], &after["created"]),
        (&json!("success"), &before["created"])
    );
    assert!(after["updated"].as_str() > before["updated"].as_str());
    assert_eq!(task(&simulator, "T-1").json()["updated"], after["updated"]);

    assert!(simulator.change_task("T-1", |task| task.cluster_id = "d".to_owned()));
    assert_eq!(list(&simulator, "c", "").status, 404);
    assert_eq!(ids(&list(&simulator, "d", "")), ["T-1"]);
    assert!(!simulator.change_task("T-2", |_| ()));
}

#[test]
fn the_faults_of_a_list_are_those_of_tasks() {
    let simulator = start(
        "{tasks: [{id: T-1, clusterId: c}, {id: T-2, clusterId: d}],
          lists: [{clusterId: c, faults: [{requests: '2', status: 500, code: Busy, retryAfter: 7},
                                          {requests: '3', truncate: 10}]}]}",
    );
    let answers: Vec<_> = (0..4).map(|_| list(&simulator, "c", "")).collect();
    let statuses: Vec<_> = answers.iter().map(|one| (one.status, one.whole)).collect();
    assert_eq!(
        statuses,
        [(200, true), (500, true), (200, false), (200, true)]
    );
    assert_eq!(answers[1].json()["code"], "Busy");
    assert_eq!(answers[1].header("retry-after"), Some("7"));
    assert_eq!(
        answers[1].json()["requestId"],
        answers[1].header("x-acs-request-id").unwrap()
    );

    let status = |cluster: &str| list(&simulator, cluster, "").status;
    simulator.set_list_fault_for_all(Fault::error(400, "Throttling.User"));
    simulator.set_list_fault("c", Fault::status(503));
    assert_eq!((status("c"), status("d")), (503, 400));
    assert_eq!(task(&simulator, "T-1").status, 200);
    simulator.set_list(List::default());
    assert_eq!((status("c"), status("d")), (503, 200));
    simulator.clear_faults();
    simulator.set_fault_for_all(Fault::status(503));
    assert_eq!((status("c"), task(&simulator, "T-1").status), (200, 503));
}

#[test]
fn a_fault_can_be_of_some_pages_or_of_a_time() {
    let simulator = with_tasks(30);
    let status = |number: u64| list(&simulator, "c", &format!("page_number={number}")).status;
    let twice = Fault::status(500).on_pages(2..=3).on(1..=2);
    simulator.set_list_fault("c", twice);
    let statuses = [1, 2, 1, 3, 2].map(status);
    assert_eq!(statuses, [200, 500, 200, 500, 200]);
    simulator.set_list_fault("c", "{until: 100ms, status: 500}".parse().unwrap());
    let started = Instant::now();
    let first = status(1);
    assert!(started.elapsed() > Duration::from_millis(100) || first == 500);
    until("the fault is over", || status(1) == 200);
    simulator.set_list_fault("c", Fault::delay(Duration::from_millis(150)));
    let started = Instant::now();
    assert_eq!(status(1), 200);
    assert!(started.elapsed() >= Duration::from_millis(150));
    // It is none of a single task, which has no pages.
    simulator.set_fault("T-1", Fault::status(500).on_pages(1..=9));
    assert_eq!(task(&simulator, "T-1").status, 200);
}

#[test]
fn tasks_and_lists_share_the_rate_limit() {
    let simulator = start("{rateLimit: 2/h, tasks: [{id: T-1, clusterId: c}]}");
    assert_eq!(task(&simulator, "T-1").status, 200);
    assert_eq!(list(&simulator, "c", "").status, 200);
    let throttled = list(&simulator, "c", "");
    assert_eq!(
        (throttled.status, &throttled.json()["code"]),
        (429, &json!("Throttling"))
    );
    assert_eq!(task(&simulator, "T-1").status, 429);
}

#[test]
fn calls_of_lists_are_recorded_apart_from_those_of_tasks() {
    let simulator = with_tasks(3);
    simulator.set_list_fault("c", Fault::status(503).on(2..=2));
    task(&simulator, "T-1");
    list(&simulator, "c", "page_number=1&page_size=2");
    list(&simulator, "c", "page_number=2&page_size=2");
    list(&simulator, "c", "");
    list(&simulator, "d", "page_number=x");
    assert_eq!(
        (simulator.total_requests(), simulator.request_log().len()),
        (1, 1)
    );
    assert_eq!((simulator.requests("T-1"), simulator.requests("c")), (1, 0));
    assert_eq!(
        (simulator.list_calls("c"), simulator.list_calls("T-1")),
        (3, 0)
    );
    assert_eq!(simulator.total_list_calls(), 4);
    let log: Vec<_> = simulator
        .list_log()
        .into_iter()
        .map(|call| {
            assert_eq!(
                (call.region.as_str(), call.authorization),
                ("localhost", false)
            );
            let page = (call.page_number, call.page_size);
            (call.cluster_id, page, call.answered, call.tasks)
        })
        .collect();
    let expected = [
        ("c", (Some(1), Some(2)), Some(200), Some(2)),
        ("c", (Some(2), Some(2)), Some(503), None),
        ("c", (None, None), Some(200), Some(3)),
        ("d", (None, None), Some(400), None),
    ];
    assert_eq!(
        log,
        expected.map(|(id, page, status, tasks)| (id.to_owned(), page, status, tasks))
    );
}

#[test]
fn calls_of_lists_are_in_flight_like_others() {
    let simulator = with_tasks(1);
    simulator.set_list_fault("c", Fault::hang());
    let stream = send_request(&simulator, "GET", "/clusters/c/tasks", &[], "");
    until("it is in flight", || simulator.in_flight() == 1);
    drop(stream);
    until("it has ended", || simulator.in_flight() == 0);
    assert_eq!(simulator.list_log()[0].answered, None);
}

#[test]
fn a_region_lists_its_own_tasks_and_those_of_all_regions() {
    let simulator = start(
        "{regionInPath: true, tasks: [
            {id: T-1, clusterId: c, region: a, outcome: running}, {id: T-1, clusterId: c},
            {id: T-2, clusterId: c}, {id: T-3, clusterId: d, region: a}]}",
    );
    let page = |path: &str| get(&simulator, path);
    let in_a = page("/a/clusters/c/tasks");
    assert_eq!(ids(&in_a), ["T-2", "T-1"]);
    assert_eq!(in_a.json()["tasks"][1]["state"], "running");
    let in_b = page("/b/any/prefix/clusters/c/tasks");
    assert_eq!(in_b.json()["tasks"][1]["state"], "success");
    assert_eq!(page("/a/clusters/d/tasks").status, 200);
    assert_eq!(page("/b/clusters/d/tasks").status, 404);
    assert_eq!(simulator.list_log()[1].region, "b");
}

#[test]
fn other_paths_and_methods_are_no_lists() {
    let simulator = with_tasks(1);
    for path in [
        "/clusters//tasks",
        "/clusters/c/x/tasks",
        "/clusters/c",
        "/c/tasks",
    ] {
        assert_eq!(
            get(&simulator, path).json()["code"],
            "InvalidAction.NotFound"
        );
    }
    let stream = send_request(&simulator, "POST", "/clusters/c/tasks", &[], "");
    assert_eq!(common::answer(stream).unwrap().status, 405);
    assert_eq!(simulator.total_list_calls(), 1);
}

#[test]
fn a_page_of_two_thousand_tasks_is_cheap() {
    let simulator = with_tasks(2000);
    simulator.set_tasks((0..2000).map(|number| Task::new(&format!("T-other-{number}"))));
    for order in [Order::NewestFirst, Order::OldestFirst, Order::None] {
        simulator.set_list(List {
            order,
            ..List::default()
        });
        let took = (1..=20).map(|page| {
            let started = Instant::now();
            let query = format!("page_size=100&page_number={page}");
            assert_eq!(ids(&list(&simulator, "c", &query)).len(), 100);
            started.elapsed()
        });
        // The least, since other tests run at the same time.
        let least = took.min().unwrap();
        assert!(least < Duration::from_millis(10), "{order:?}: {least:?}");
    }
}

#[test]
fn wrong_lists_are_refused_with_field_and_line() {
    let wrong = [
        ("lists:\n  - order: newest", "line 2", "newest"),
        (
            "lists:\n  - clusterId: c\n    pageSize: 5",
            "line 3",
            "pageSize",
        ),
        (
            "lists: [{clusterId: c}, {clusterId: c}]",
            "line",
            "the cluster c is there twice",
        ),
        (
            "lists: [{}, {}]",
            "line",
            "the cluster of all is there twice",
        ),
        (
            "tasks:\n  - id: a\n    listed: {repeatOn: 0-3}",
            "line 3",
            "names no requests",
        ),
    ];
    for (script, line, field) in wrong {
        let error = script.parse::<Script>().unwrap_err().to_string();
        assert!(
            error.contains(line) && error.contains(field),
            "{script}:\n{error}"
        );
    }
}

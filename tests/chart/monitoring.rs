//! Alerts and dashboard: promtool checks the rules, and the queries run on the metrics of a real
//! controller.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use controlplane::{StderrProgress, tools};
use kube::api::PostParams;
use scaleouttask_controller::{
    api::{ScaleOutTaskSource, ScaleOutTaskSourceSpec},
    rules::{Reason, Severity},
};
use serde_json::{Value, json};
use testbed::{
    render::{read, text},
    world::{World, eventually},
};

const ALERTS: &str = "charts/scaleouttask-controller/files/alerts.yaml";
const DASHBOARD: &str = "charts/scaleouttask-controller/files/dashboard.json";
const TESTS: &str = "tests/chart/alerts.yaml";

fn promtool() -> Command {
    static PROMTOOL: OnceLock<std::path::PathBuf> = OnceLock::new();
    let promtool =
        PROMTOOL.get_or_init(|| tools::promtool(&mut StderrProgress::default()).unwrap());
    let mut command = Command::new(promtool);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

fn names() -> BTreeSet<String> {
    let name = |alert: &Value| alert["alert"].as_str().unwrap().to_owned();
    alerts().iter().map(name).collect()
}

#[test]
fn each_alert_fires_and_clears() {
    let output = promtool().args(["test", "rules", TESTS]).output().unwrap();
    let output_text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{output_text}");
    assert!(output_text.contains("SUCCESS"), "{output_text}");

    // The tests must cover every alert, firing and cleared.
    let tests: Value = serde_saphyr::from_str(&read(TESTS)).unwrap();
    let (mut fire, mut clear) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().unwrap() {
        for check in test["alert_rule_test"].as_array().into_iter().flatten() {
            let name = check["alertname"].as_str().unwrap().to_owned();
            let is_firing = check["exp_alerts"]
                .as_array()
                .is_some_and(|alerts| !alerts.is_empty());
            if is_firing {
                fire.insert(name);
            } else if fire.contains(&name) {
                clear.insert(name);
            }
        }
    }
    assert_eq!(fire, names());
    assert_eq!(clear, names());
}

/// One that were forgotten there would make the share of those in trouble smaller for ever.
#[test]
fn whoever_is_not_tracked_is_left_out_of_every_share() {
    let ended = Reason::ALL.into_iter().filter(|reason| reason.is_final());
    // Who waits for nodes isn't asked about.
    let untracked: BTreeSet<&str> = ended
        .chain([
            Reason::NotAllowed,
            Reason::Suspended,
            Reason::WaitingForNodes,
        ])
        .map(Reason::as_str)
        .collect();
    let good: BTreeSet<&str> = Reason::ALL
        .into_iter()
        .filter(|reason| reason.is_final() && reason.severity() == Some(Severity::Normal))
        .map(Reason::as_str)
        .collect();
    let rules = read(ALERTS);
    let lists: Vec<BTreeSet<&str>> = rules
        .split(r#"reason!~""#)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().split('|').collect())
        .collect();
    // Sources have no end.
    let idle = BTreeSet::from(["NotAllowed", "Suspended"]);
    let listing: BTreeSet<&str> = idle
        .union(&["Listing", "Pending"].into())
        .copied()
        .collect();
    // The first alert is about bad ends.
    let tracked = vec![untracked; 2];
    let expected = [
        vec![good; 3],
        tracked[..1].to_vec(),
        vec![listing, idle],
        tracked,
    ];
    assert_eq!(lists, expected.concat());
}

/// Expressions to copy are tested as the alerts are.
#[test]
fn each_expression_of_the_runbooks_is_in_the_tests() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let tests: Value = serde_saphyr::from_str(&read(TESTS)).unwrap();
    let tested: BTreeSet<String> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["promql_expr_test"].as_array().into_iter().flatten())
        .map(|check| words(check["expr"].as_str().unwrap()))
        .collect();
    let mut copied = 0;
    for name in names() {
        let page = read(&format!("docs/runbooks/{name}.md"));
        for rest in page.split("```promql\n").skip(1) {
            let expression = words(rest.split("```").next().unwrap());
            assert!(tested.contains(&expression), "{name}: {expression}");
            copied += 1;
        }
    }
    assert!(copied > 0);
}

#[test]
fn promtool_finds_no_problem_with_the_rules() {
    let output = promtool()
        .args(["check", "rules", "--lint=all", "--lint-fatal", ALERTS])
        .output()
        .unwrap();
    let output_text = text(&output).unwrap();
    assert!(
        output_text.contains(&format!("SUCCESS: {} rules found", names().len())),
        "{output_text}"
    );
}

#[test]
fn each_alert_has_a_runbook_that_says_what_to_do() {
    let mut pages = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let page = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert!(
            page.ends_with(&format!("docs/runbooks/{name}.md")),
            "{page}"
        );
        let page = read(&format!("docs/runbooks/{name}.md"));
        for part in [
            &format!("# {name}"),
            "**Meaning.**",
            "**Impact.**",
            "**Look at**",
            "**Mend",
        ] {
            assert!(page.contains(part), "{name}: {part}");
        }
        assert!(
            read("docs/runbooks/README.md").contains(&format!("({name}.md)")),
            "{name}"
        );
        pages.insert(format!("{name}.md"));
    }
    pages.insert("README.md".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let there = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.collect::<BTreeSet<_>>(), pages);
}

/// The titles and queries of all panels of the dashboard.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut queries = Vec::new();
    let mut open = vec![&dashboard];
    while let Some(part) = open.pop() {
        open.extend(part["panels"].as_array().into_iter().flatten());
        for target in part["targets"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            queries.push((text(&part["title"]), text(&target["expr"])));
        }
    }
    queries
}

/// Every series of the controller, with its value at each scrape.
type Series = BTreeMap<String, Vec<Option<String>>>;

fn add(series: &mut Series, scrapes: usize, metrics: &str) {
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        // An exemplar may follow the value.
        let line = line.split(" # ").next().unwrap();
        let (name, value) = line.rsplit_once(' ').unwrap();
        let values = series.entry(name.to_owned()).or_default();
        values.resize(scrapes, None);
        values.push(Some(value.to_owned()));
    }
}

/// The labels that a scrape adds. Where the metric has one of them, that is renamed.
fn scraped(name: &str) -> String {
    let target = r#"namespace="scaleout-system",job="scaleout-system/tracker",pod="tracker-1""#;
    match name.split_once('{') {
        Some((name, labels)) => {
            let labels = labels.replace("namespace=", "exported_namespace=");
            format!("{name}{{{target},{labels}")
        }
        None => format!("{name}{{{target}}}"),
    }
}

/// Runs a controller with every kind of task, and scrapes it each second.
async fn observed() -> Series {
    let mut world = World::new("metrics").await;
    world.add_task("{id: T-1, duration: 4s, instances: [{id: i-1}, {id: i-2}]}");
    world.add_task("{id: T-2, duration: 4s, outcome: fail}");
    world.add_task("{id: T-3, duration: 10h}");
    world.add_task("{id: T-4, duration: 10h, faults: [{status: 403, code: Forbidden.RAM}]}");
    world.start_with(&["--credentials", "none", "--nodes", "--sources"], &[]);
    let source = ScaleOutTaskSource::new(
        "mine",
        ScaleOutTaskSourceSpec {
            cluster_id: "c-1".to_owned(),
            ..ScaleOutTaskSourceSpec::default()
        },
    );
    let sources = kube::Api::namespaced(world.client.clone(), &world.namespace);
    sources
        .create(&PostParams::default(), &source)
        .await
        .unwrap();
    let (mut series, mut scrapes) = (Series::new(), 0);
    for name in ["T-1", "T-2", "T-3", "T-4"] {
        world
            .create(&name.to_lowercase(), json!({ "taskId": name }))
            .await;
    }
    eventually("the controller answers", || async {
        world.admin("/metrics").await.0 == 200
    })
    .await;
    while scrapes < 12 {
        let (code, metrics) = world.admin("/metrics").await;
        assert_eq!(code, 200);
        add(&mut series, scrapes, &metrics);
        scrapes += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    eventually("the tasks have ended", || async {
        let metrics = world.admin("/metrics").await.1;
        ["TaskSucceeded", "TaskFailed"].iter().all(|reason| {
            metrics.contains(&format!(
                "scaleouttask_tasks_finished_total{{reason=\"{reason}\"}} 1"
            ))
        })
    })
    .await;
    for values in series.values_mut() {
        values.resize(scrapes, None);
    }
    series
}

#[tokio::test(flavor = "multi_thread")]
async fn each_query_of_the_dashboard_returns_data_from_a_running_controller() {
    let series = observed().await;
    let scrapes = series.values().next().unwrap().len();
    let input: Vec<Value> = series
        .iter()
        .map(|(name, values)| {
            let values: Vec<&str> = values
                .iter()
                .map(|value| value.as_deref().unwrap_or("_"))
                .collect();
            json!({ "series": scraped(name), "values": values.join(" ") })
        })
        .collect();
    let queries = queries();
    assert!(queries.len() > 15, "{queries:?}");
    let expectation = |(title, query): &(String, String)| {
        let query = query
            .replace("$job", ".*")
            .replace("$__rate_interval", "1m");
        assert!(!query.contains('$'), "{title}: {query}");
        json!({
            // Without data, or with NaN only, the count is empty.
            "expr": format!("count(({query}) >= 0) > bool 0"),
            "eval_time": format!("{}s", 15 * (scrapes - 1)),
            "exp_samples": [{ "labels": "{}", "value": 1 }],
        })
    };
    let tests = json!({
        "evaluation_interval": "15s",
        "tests": [{
            "interval": "15s",
            "input_series": input,
            "promql_expr_test": queries.iter().map(expectation).collect::<Vec<_>>(),
        }],
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dashboard.yaml");
    std::fs::write(&path, tests.to_string()).unwrap();
    let output = promtool()
        .args(["test", "rules"])
        .arg(&path)
        .output()
        .unwrap();
    let output_text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{output_text}");
    println!(
        "{} queries return data, of {} series",
        queries.len(),
        series.len()
    );
}

/// The reference has all metrics, as a test of `tests/documents` shows. A controller doesn't: it shows some, such
/// as those of its credentials, only once they are needed.
#[test]
fn alerts_and_dashboard_use_only_existing_metrics() {
    let reference = read("docs/reference.md");
    let known: BTreeSet<&str> = reference
        .split("\n| `")
        .filter_map(|row| row.split('`').next())
        .collect();
    let mut mentioned = BTreeSet::new();
    for file in [ALERTS, DASHBOARD] {
        let text = read(file);
        for (at, _) in text.match_indices("scaleouttask_") {
            let end = text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            mentioned.insert(text[at..][..end.unwrap()].to_owned());
        }
    }
    assert!(mentioned.len() > 8, "{mentioned:?}");
    for name in &mentioned {
        let metric = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(known.contains(metric), "{name} isn't in the reference");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_in_the_metrics_of_a_running_controller() {
    let mut world = World::new("lint").await;
    world.add_task("{id: T-1}");
    world.start();
    world.create("one", json!({ "taskId": "T-1" })).await;
    world.until_reason("one", "TaskSucceeded").await;
    let (_, metrics) = world.admin("/metrics").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metrics");
    std::fs::write(&file, &metrics).unwrap();
    let output = promtool()
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && found.is_empty(),
        "{found}\n{metrics}"
    );
    assert!(
        metrics.contains("# TYPE scaleouttask_build_info gauge"),
        "{metrics}"
    );
}

//! The second kind, as users write and see it: what the API server refuses, stores and shows.

use std::process::Command;

use scaleouttask_controller::api::ScaleOutTaskSource;
use serde_json::{Value, json};
use testbed::world::World;

/// Creates a source, which the API server may refuse. Without the typed API, which can't send bad specs.
async fn try_create(world: &World, name: &str, spec: &Value) -> kube::Result<Value> {
    let body = json!({
        "apiVersion": "scaleout.dev/v1alpha1",
        "kind": "ScaleOutTaskSource",
        "metadata": { "name": name },
        "spec": spec,
    });
    let request = http::Request::post(path(world, ""))
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    world.client.request(request).await
}

async fn patch(world: &World, name: &str, part: &str, patch: &Value) -> kube::Result<Value> {
    let request = http::Request::patch(path(world, &format!("/{name}{part}")))
        .header("content-type", "application/merge-patch+json")
        .body(patch.to_string().into_bytes())
        .unwrap();
    world.client.request(request).await
}

fn path(world: &World, rest: &str) -> String {
    let namespace = &world.namespace;
    format!("/apis/scaleout.dev/v1alpha1/namespaces/{namespace}/scaleouttasksources{rest}")
}

/// Fails unless the API server refused that with a message that names the field and says this.
fn assert_refused(what: &Value, answer: kube::Result<Value>, field: &str, hint: &str) {
    let Err(kube::Error::Api(status)) = answer else {
        panic!("{what} was accepted: {answer:?}");
    };
    let message = &status.message;
    assert!(message.contains(&format!("{field}:")), "{what}: {message}");
    assert!(message.contains(hint), "{what}: {message}");
}

fn with(field: &str, value: &Value) -> Value {
    let mut spec = json!({ "clusterId": "c-1" });
    spec[field] = value.clone();
    spec
}

/// A source whose template has that in its metadata or spec.
fn template(part: &str, field: &str, value: &Value) -> Value {
    with("template", &json!({ part: { field: value } }))
}

/// Values of one field, which are refused because of `hint`.
type Refused = (&'static str, &'static str, Vec<Value>);

fn refused_values() -> Vec<Refused> {
    let types = |count: usize| Value::from(vec!["a"; count]);
    vec![
        (
            "clusterId",
            "must start with a letter or digit and hold only",
            vec![
                json!(""),
                json!("-c"),
                json!("c_1"),
                json!("c/1"),
                json!("c\n"),
            ],
        ),
        ("clusterId", "64", vec![json!("c".repeat(65))]),
        ("clusterId", "Required", vec![Value::Null]),
        (
            "region",
            "lower-case letters, digits and inner dashes",
            vec![
                json!(""),
                json!("CN-a"),
                json!("cn.a"),
                json!("cn-"),
                json!("evil.example/"),
            ],
        ),
        ("credentialsSecretRef.name", "Required", vec![json!({})]),
        (
            "credentialsSecretRef.name",
            "name of a Secret",
            vec![json!({ "name": "" }), json!({ "name": "a/b" })],
        ),
        ("suspend", "boolean", vec![json!("yes")]),
        (
            "taskTypes",
            "must stand alone",
            vec![
                json!(["*", "cluster_scaleout"]),
                json!(["a", "*"]),
                json!(["*", "*"]),
            ],
        ),
        ("taskTypes", "at least 1", vec![json!([])]),
        ("taskTypes", "at most 16", vec![types(17)]),
        ("taskTypes[0]", "at least 1", vec![json!([""])]),
        ("taskTypes[0]", "64", vec![json!(["a".repeat(65)])]),
        (
            "interval",
            "from 5s to 1h",
            ["4s", "61m", "4999ms", "", "30", "often", "-30s", "1d"]
                .map(Value::from)
                .into(),
        ),
        ("interval", "string", vec![json!(30)]),
        (
            "lookback",
            "from 0s to 24h",
            ["-1s", "25h", "24h1s", "", "1", "1d"]
                .map(Value::from)
                .into(),
        ),
    ]
}

/// The same for the template.
fn refused_in_templates() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let many = |count: usize| -> Value { (0..count).map(|n| (format!("k{n}"), "v")).collect() };
    let label = |key: &str, value: &str| ("metadata", "labels", json!({ key: value }));
    let rows = [
        ("a key must be a name of at most 63", label("", "v")),
        ("a key must be a name of at most 63", label("-a", "v")),
        ("a key must be a name of at most 63", label("a b", "v")),
        (
            "a key must be a name of at most 63",
            label("Example.com/a", "v"),
        ),
        ("a key must be a name of at most 63", label("a/b/c", "v")),
        (
            "a key must be a name of at most 63",
            label(&format!("{}/b", "a".repeat(254)), "v"),
        ),
        (
            "a key must be a name of at most 63",
            label(&"a".repeat(64), "v"),
        ),
        ("a label's value must be at most 63", label("a", "-")),
        ("a label's value must be at most 63", label("a", "b c")),
        ("63", label("a", &"v".repeat(64))),
        (
            "the controller sets scaleout.dev/source",
            label("scaleout.dev/source", "v"),
        ),
        (
            "the controller sets scaleout.dev/source",
            label("scaleout.dev/task-type", "v"),
        ),
        ("at most 32", ("metadata", "labels", many(33))),
        (
            "a key must be a name of at most 63",
            ("metadata", "annotations", json!({ "a b": "v" })),
        ),
        (
            "a key must be a name of at most 63",
            ("metadata", "annotations", json!({ "": "v" })),
        ),
        (
            "4096",
            ("metadata", "annotations", json!({ "a": "v".repeat(4097) })),
        ),
        ("at most 32", ("metadata", "annotations", many(33))),
        ("from 1s to 1h", ("spec", "pollInterval", json!("999ms"))),
        ("from 1s to 1h", ("spec", "pollInterval", json!("1h1s"))),
        ("at least 1s", ("spec", "timeout", json!("0s"))),
        ("at least 1s", ("spec", "timeout", json!("soon"))),
        (
            "greater than or equal to 0",
            ("spec", "ttlSecondsAfterFinished", json!(-1)),
        ),
        (
            "2147483647",
            ("spec", "ttlSecondsAfterFinished", json!(2_147_483_648_i64)),
        ),
        ("boolean", ("spec", "waitForNodes", json!("yes"))),
    ];
    rows.into_iter()
        .map(|(hint, (part, field, value))| (hint, part, field, value))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_sources_are_refused_with_a_message_that_names_the_field() {
    let world = World::new("badsources").await;
    assert_refused(
        &json!({}),
        try_create(&world, "bad", &json!({})).await,
        "spec.clusterId",
        "Required",
    );
    for (field, hint, values) in refused_values() {
        let name = field.split(['.', '[']).next().unwrap();
        for value in values {
            let spec = with(name, &value);
            let answer = try_create(&world, "bad", &spec).await;
            assert_refused(&spec, answer, &format!("spec.{field}"), hint);
        }
    }
    for (hint, part, field, value) in refused_in_templates() {
        let spec = template(part, field, &value);
        let answer = try_create(&world, "bad", &spec).await;
        let Err(kube::Error::Api(status)) = &answer else {
            panic!("{spec} was accepted: {answer:?}");
        };
        // A map's value is named by its key.
        let field = format!("spec.template.{part}.{field}");
        assert!(
            status.message.contains(&field),
            "{spec}: {}",
            status.message
        );
        assert!(status.message.contains(hint), "{spec}: {}", status.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_sources_are_stored_without_their_nulls() {
    let world = World::new("goodsources").await;
    let longest = format!("{}/{}", "a".repeat(253), "b".repeat(63));
    let full = json!({
        "clusterId": "c82e6987e2961451182edacd74faf", "region": "cn-hangzhou",
        "credentialsSecretRef": { "name": "keys" }, "suspend": true, "taskTypes": ["a", "b"],
        "interval": "1h", "lookback": "24h",
        "template": {
            "metadata": {
                "labels": { "team": "web", "example.com/a.b_c-d": "", "x": "V_1.2-z", &longest: "v" },
                "annotations": { "example.com/note": "any text, ä too" },
            },
            "spec": { "pollInterval": "1s", "timeout": "1h30m", "ttlSecondsAfterFinished": 0, "waitForNodes": true },
        },
    });
    let nulls = json!({
        "clusterId": "c", "region": null, "credentialsSecretRef": null, "suspend": null, "taskTypes": null,
        "interval": null, "lookback": null,
        "template": {
            "metadata": { "labels": { "team": "web", "gone": null }, "annotations": null },
            "spec": { "pollInterval": null, "timeout": null, "ttlSecondsAfterFinished": null, "waitForNodes": null },
        },
    });
    let without = json!({
        "clusterId": "c", "template": { "metadata": { "labels": { "team": "web" } }, "spec": {} },
    });
    let all_types =
        json!({ "clusterId": "C-1", "taskTypes": ["*"], "interval": "5s", "lookback": "0s" });
    let least = json!({ "clusterId": "c".repeat(64) });
    let rows = [
        (&full, &full),
        (&nulls, &without),
        (&all_types, &all_types),
        (&least, &least),
    ];
    for (number, (given, kept)) in rows.into_iter().enumerate() {
        let created = try_create(&world, &format!("good-{number}"), given)
            .await
            .unwrap();
        assert_eq!(created["spec"], *kept);
        assert_eq!(created["status"], json!({ "observedGeneration": -1 }));
        let read: ScaleOutTaskSource = serde_json::from_value(created.clone()).unwrap();
        assert_eq!(
            serde_json::to_value(&read.spec).unwrap(),
            *kept,
            "what the program reads"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_and_region_of_a_source_cannot_be_changed() {
    let world = World::new("sourcesstay").await;
    let with = json!({ "clusterId": "c-1", "region": "cn-hangzhou" });
    try_create(&world, "with", &with).await.unwrap();
    try_create(&world, "without", &json!({ "clusterId": "c-1" }))
        .await
        .unwrap();
    let rows = [
        (
            "with",
            json!({ "clusterId": "c-2" }),
            "spec.clusterId",
            "clusterId is immutable",
        ),
        (
            "with",
            json!({ "region": "cn-beijing" }),
            "spec.region",
            "region is immutable",
        ),
        (
            "with",
            json!({ "region": null }),
            "spec.region",
            "region is immutable",
        ),
        (
            "without",
            json!({ "region": "cn-hangzhou" }),
            "spec.region",
            "region is immutable",
        ),
    ];
    for (name, spec, field, hint) in rows {
        let answer = patch(&world, name, "", &json!({ "spec": spec })).await;
        assert_refused(&spec, answer, field, hint);
    }
    let rest = json!({ "spec": { "interval": "1m", "suspend": true, "taskTypes": ["*"] } });
    patch(&world, "with", "", &rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_sources_by_their_short_name_and_category() {
    let world = World::new("sourcecolumns").await;
    let spec = json!({ "clusterId": "c-1", "region": "cn-hangzhou" });
    try_create(&world, "mine", &spec).await.unwrap();
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Listing", "message": "It lists",
        "lastTransitionTime": "2026-01-15T08:00:00Z",
    });
    let last = json!({ "taskId": "T-7", "name": "t-7", "time": "2026-01-15T08:00:00Z" });
    let status = json!({ "status": {
        "observedGeneration": 1, "made": 7, "lastMade": last, "unmakeable": 1, "recent": ["T-7"],
        "conditions": [condition],
    } });
    let written = patch(&world, "mine", "/status", &status).await.unwrap();
    assert_eq!(written["status"], status["status"], "all of it is stored");

    let cells = |table: &str| -> Vec<Vec<String>> {
        let lines = table.lines();
        // Titles and messages may hold single blanks.
        let cells = lines.map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
        });
        cells
            .map(|cells| cells.map(str::to_owned).collect())
            .collect()
    };
    let rows = cells(&world.kubectl_text(&["get", "sots"]));
    assert_eq!(
        rows[0],
        ["NAME", "CLUSTER", "MADE", "READY", "REASON", "AGE"]
    );
    assert_eq!(rows[1][..5], ["mine", "c-1", "7", "True", "Listing"]);
    let rows = cells(&world.kubectl_text(&["get", "scaleouttasksource", "--output=wide"]));
    assert_eq!(rows[0][5..], ["AGE", "REGION", "LAST TASK", "MESSAGE"]);
    assert_eq!(rows[1][6..], ["cn-hangzhou", "T-7", "It lists"]);
    let found = world.kubectl_text(&["get", "scaleout", "--output=name"]);
    assert_eq!(found.trim(), "scaleouttasksource.scaleout.dev/mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_what_the_program_prints() {
    let world = World::new("applied").await;
    let script = format!(
        "{} crd | \"$@\" apply --server-side --force-conflicts --dry-run=server --filename -",
        env!("CARGO_BIN_EXE_scaleouttask-controller")
    );
    let kubectl = world.plane.kubectl();
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", &script, "sh"])
        .arg(kubectl.get_program());
    shell.args(kubectl.get_args());
    let variables = kubectl.get_envs();
    shell.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let names = said.lines().map(|line| line.split(' ').next().unwrap());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["scaleouttasks", "scaleouttasksources"].map(|name| format!(
            "customresourcedefinition.apiextensions.k8s.io/{name}.scaleout.dev"
        )),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

//! Each status on the page, against the rules that hold for every status.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSource, ScaleOutTaskStatus};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Reason, Severity,
    document::{REFERENCE, Row, code, read, table, yaml_blocks},
};

/// A status on the page, and where it is.
struct Example {
    place: String,
    yaml: Value,
    status: ScaleOutTaskStatus,
}

fn examples() -> Vec<Example> {
    let blocks = yaml_blocks(&read(REFERENCE));
    let examples: Vec<Example> = blocks
        .into_iter()
        .filter(|(_, text)| text.starts_with("status:\n"))
        .map(|(line, text)| {
            let place = format!("{REFERENCE}, line {line}");
            let yaml: Value =
                serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{place}: {error}"));
            let yaml = yaml["status"].clone();
            let status = serde_json::from_value(yaml.clone())
                .unwrap_or_else(|error| panic!("{place}: no status: {error}"));
            Example {
                place,
                yaml,
                status,
            }
        })
        .collect();
    assert!(examples.len() > 10, "{}", examples.len());
    examples
}

impl Example {
    fn condition(&self, type_: &str) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|condition| condition.type_ == type_)
    }

    /// `Ready`, and the condition beside it; none before the controller's first look.
    fn shown(&self) -> Option<(&Condition, Option<&Condition>)> {
        let ready = self.condition("Ready")?;
        let beside = self.condition("Reconciling").or(self.condition("Stalled"));
        Some((ready, beside))
    }
}

/// Each field of the examples is one of the CRD's, and written as the controller writes it.
#[test]
fn each_status_on_the_page_is_read_and_written_back_the_same() {
    for example in examples() {
        let again = serde_json::to_value(&example.status).unwrap();
        assert_eq!(
            again, example.yaml,
            "{}: left what is read, right what is on the page",
            example.place
        );
    }
}

/// An object as it is written once it was read.
fn again<T: DeserializeOwned + Serialize>(yaml: &Value) -> Value {
    let object: T = serde_json::from_value(yaml.clone()).unwrap();
    serde_json::to_value(&object).unwrap()
}

#[test]
fn each_object_on_the_page_is_read_and_written_back_the_same() {
    let blocks = yaml_blocks(&read(REFERENCE));
    let mut objects = 0;
    for (line, text) in blocks {
        if text.starts_with("apiVersion:") {
            objects += 1;
            let yaml: Value = serde_saphyr::from_str(&text).unwrap();
            let again = match yaml["kind"].as_str() {
                Some("ScaleOutTaskSource") => again::<ScaleOutTaskSource>(&yaml),
                _ => again::<ScaleOutTask>(&yaml),
            };
            assert_eq!(again, yaml, "{REFERENCE}, line {line}");
        } else {
            assert!(
                text.starts_with("status:\n"),
                "{REFERENCE}, line {line}: neither an object nor a status; no test reads it"
            );
        }
    }
    assert!(objects > 0);
}

/// Unknown fields would be dropped silently.
#[test]
fn each_object_of_the_gitops_examples_has_fields_of_the_crd_only() {
    for path in ["waves/node-pools", "kustomize"] {
        let path = format!("docs/gitops/{path}/web-pool.yaml");
        let yaml: Value = serde_saphyr::from_str(&read(&path)).unwrap();
        let object: ScaleOutTask = serde_json::from_value(yaml.clone()).unwrap();
        assert_eq!(serde_json::to_value(&object).unwrap(), yaml, "{path}");
    }
}

#[test]
fn the_conditions_of_each_status_on_the_page_agree() {
    for example in examples() {
        let place = &example.place;
        let generation = example.status.observed_generation;
        let Some((ready, beside)) = example.shown() else {
            assert_eq!(example.yaml, json!({ "observedGeneration": -1 }), "{place}");
            continue;
        };
        let finished = example.condition("Finished");
        let others = [beside, finished].into_iter().flatten();
        assert_eq!(
            example.status.conditions.len(),
            1 + others.clone().count(),
            "{place}: conditions"
        );
        assert_eq!(ready.observed_generation, generation, "{place}");
        assert_eq!(
            finished.map(|condition| condition.last_transition_time.clone()),
            example.status.finished_at.clone(),
            "{place}: Finished is there since the end"
        );
        for beside in others {
            let of = |condition: &Condition| {
                (
                    condition.reason.clone(),
                    condition.message.clone(),
                    condition.observed_generation,
                )
            };
            assert_eq!(
                of(beside),
                of(ready),
                "{place}: {} is another",
                beside.type_
            );
            assert_eq!(beside.status, "True", "{place}: {}", beside.type_);
        }
    }
}

/// What follows from a reason, whatever it is.
#[test]
fn the_conditions_of_each_status_on_the_page_fit_its_reason() {
    for example in examples() {
        let place = &example.place;
        let Some((ready, beside)) = example.shown() else {
            continue;
        };
        let reason = Reason::parse(&ready.reason)
            .unwrap_or_else(|| panic!("{place}: no reason of the code: {}", ready.reason));
        let beside = beside.map(|condition| condition.type_.as_str());
        let is_true = ready.status == "True";

        assert_eq!(
            example.status.finished_at.is_some(),
            reason.is_final(),
            "{place}: finishedAt stands for a final reason"
        );
        if is_true {
            assert!(reason.is_final(), "{place}: True before the end");
            assert_eq!(beside, None, "{place}");
        } else if reason.is_final() {
            assert_eq!(beside, Some("Stalled"), "{place}: a bad end");
            assert_eq!(ready.status, "False", "{place}");
        }
        if reason.is_trouble() {
            assert!(beside.is_some(), "{place}: trouble goes on or stalls");
        }
        if beside == Some("Stalled") {
            assert_eq!(ready.status, "False", "{place}");
            assert_eq!(reason.severity(), Some(Severity::Warning), "{place}");
        }
    }
}

#[test]
fn the_counts_of_each_status_on_the_page_add_up() {
    for Example { place, status, .. } in examples() {
        if let Some(counts) = status.instances {
            let sum = counts.succeeded + counts.failed + counts.pending;
            assert_eq!(sum, counts.total, "{place}");
            let progress = format!("{}/{}", counts.succeeded, counts.total);
            assert_eq!(status.progress.as_deref(), Some(&*progress), "{place}");
        }
        if let Some(results) = status.task_result {
            let of = |status: &str| results.iter().filter(|one| one.status == status).count();
            let counts = status.instances.expect("counts beside the list");
            let listed = [results.len(), of("success"), of("failed")];
            let counted = [counts.total, counts.succeeded, counts.failed];
            let counted = counted.map(|count| usize::try_from(count).unwrap());
            assert_eq!(listed, counted, "{place}");
        }
    }
}

/// Argo CD, Flux and kstatus make of it what `docs/gitops/README.md` says.
#[test]
fn every_tool_reads_each_status_on_the_page_right() {
    for example in examples() {
        let generation = example.status.observed_generation.unwrap_or_default();
        let object = json!({
            "apiVersion": "scaleout.dev/v1alpha1",
            "kind": "ScaleOutTask",
            "metadata": {
                "name": "web-pool", "namespace": "default", "generation": generation.max(1),
            },
            "spec": { "taskId": "T-1" },
            "status": example.yaml,
        });
        gitops::check(&object).unwrap_or_else(|breach| panic!("{}: {breach}", example.place));
    }
}

/// What the table of reasons says of `Ready` and the condition beside it.
fn allowed(row: &Row) -> (BTreeSet<String>, BTreeSet<String>) {
    let words =
        |cell: &str| -> BTreeSet<String> { code(cell).into_iter().map(str::to_owned).collect() };
    let mut ready = words(&row["Ready"]);
    if row["Ready"].contains("as it was") {
        ready.extend(["Unknown", "False"].map(str::to_owned));
    }
    let mut beside = words(&row["beside it"]);
    if row["beside it"] == "nothing" {
        beside.insert(String::new());
    }
    (ready, beside)
}

#[test]
fn the_table_of_reasons_and_the_statuses_on_the_page_agree() {
    let rows = table("reasons");
    let mut seen = BTreeSet::new();
    for example in examples() {
        let Some((ready, beside)) = example.shown() else {
            continue;
        };
        let name = &ready.reason;
        let row = rows.iter().find(|row| code(&row["reason"]) == [name]);
        let row = row.unwrap_or_else(|| panic!("{}: {name} isn't in the table", example.place));
        let (readies, besides) = allowed(row);
        assert!(
            readies.contains(&ready.status),
            "{}: Ready is {}, and in the table {readies:?}",
            example.place,
            ready.status
        );
        let beside = beside.map_or("", |condition| condition.type_.as_str());
        assert!(
            besides.contains(beside),
            "{}: beside Ready is {beside:?}, and in the table {besides:?}",
            example.place
        );
        seen.insert((name.clone(), beside.to_owned()));
    }
    for row in &rows {
        let name = code(&row["reason"])[0].to_owned();
        for beside in allowed(row).1 {
            assert!(
                seen.contains(&(name.clone(), beside.clone())),
                "{REFERENCE}: show a status with the reason {name} and {beside:?} beside Ready"
            );
        }
    }
}

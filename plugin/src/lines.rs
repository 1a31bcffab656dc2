//! A line a change, for pipelines: plain or JSON.

use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::api::InstanceCounts;
use serde::Serialize;

use crate::row::Row;

/// The form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Time, name, state, progress, reason and message.
    Plain,
    /// One object a line.
    Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: String,
    namespace: &'a str,
    name: &'a str,
    task_id: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<InstanceCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    ready: &'a str,
    reason: &'a str,
    message: &'a str,
}

/// The time, to the second.
pub fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The line of an object that changed.
pub fn line(row: &Row, format: Format, with_namespace: bool, now: Timestamp) -> String {
    match format {
        Format::Plain => {
            let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            format!(
                "{} {} {:<8} {:<5} {:<15} {}",
                time(now),
                row.name(with_namespace),
                cell(&row.state),
                cell(&row.progress),
                row.reason(),
                row.message(),
            )
        }
        Format::Json => json(row, now),
    }
}

fn json(row: &Row, now: Timestamp) -> String {
    let line = Line {
        time: time(now),
        namespace: &row.namespace,
        name: &row.name,
        task_id: &row.task_id,
        outcome: row.outcome.as_str(),
        state: row.state.as_deref(),
        progress: row.progress.as_deref(),
        instances: row.instances,
        nodes: row.nodes.as_deref(),
        stage: row.stage.as_deref(),
        ready: if row.ready.is_empty() || !row.is_looked_at {
            "Unknown"
        } else {
            &row.ready
        },
        reason: row.reason(),
        message: row.message(),
    };
    // Texts and numbers are always JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::row::tests::row;

    fn now() -> Timestamp {
        "2026-01-15T08:05:00.123Z".parse().unwrap()
    }

    #[test]
    fn a_plain_line_has_time_name_state_progress_reason_and_message() {
        let fields = json!({ "state": "running", "progress": "1/2" });
        let running = row(
            "web-pool",
            "False",
            "TaskRunning",
            &["Reconciling"],
            &fields,
        );
        assert_eq!(
            line(&running, Format::Plain, false, now()),
            "2026-01-15T08:05:00Z web-pool running  1/2   TaskRunning     It is TaskRunning"
        );
        let pending = row("web-pool", "Unknown", "Pending", &[], &json!({}));
        assert_eq!(
            line(&pending, Format::Plain, true, now()),
            "2026-01-15T08:05:00Z web/web-pool -        -     Pending         It is Pending"
        );
    }

    #[test]
    fn a_line_of_json_is_one_object_without_what_is_not_known() {
        let fields = json!({ "state": "running", "instances": { "total": 2, "succeeded": 1, "failed": 0, "pending": 1 } });
        let running = row(
            "web-pool",
            "False",
            "TaskRunning",
            &["Reconciling"],
            &fields,
        );
        let text = line(&running, Format::Json, false, now());
        assert!(!text.contains('\n'));
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            line,
            json!({
                "time": "2026-01-15T08:05:00Z", "namespace": "web", "name": "web-pool", "taskId": "T-1",
                "outcome": "ongoing", "state": "running",
                "instances": { "total": 2, "succeeded": 1, "failed": 0, "pending": 1 },
                "ready": "False", "reason": "TaskRunning", "message": "It is TaskRunning",
            })
        );
    }
}

//! The answer of `why`: what is wrong with an object, since when, what the cloud said, and what to do about it.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskStatus, TaskResult};

use crate::{
    advice::{Advice, Known, advice, not_looked_at},
    lines::time,
    row::{NOT_LOOKED_AT, Outcome, Row},
    table::duration,
    target::Target,
    text::{clean, width},
};

/// So many instances are listed at most.
const LISTED_MAX: usize = 20;

/// The whole answer, line by line, at most so many columns wide where words allow.
pub fn explain(
    object: &ScaleOutTask,
    now: Timestamp,
    columns: usize,
    target: &Target,
) -> Vec<String> {
    let row = Row::of(object);
    let unseen = ScaleOutTaskStatus::default();
    let status = object.status.as_ref().unwrap_or(&unseen);
    let advice = if row.is_looked_at {
        let known = Known {
            misses_nodes: row.missing_nodes.count > 0,
            has_secret: object.spec.credentials_secret_ref.is_some(),
            has_error: status.error.is_some(),
        };
        advice(&row.reason, known)
    } else {
        not_looked_at()
    };
    let advice = advice.unwrap_or_default();
    let mut answer = Answer {
        lines: Vec::new(),
        columns,
    };
    answer.line(&headline(&row, status, now));
    let meaning = sentence(&advice.meaning);
    let message = if row.is_looked_at { row.message() } else { "" };
    // The usual message begins with it.
    if !message.starts_with(meaning.trim_end_matches('.')) {
        answer.paragraph("", &meaning);
    }
    answer.paragraph("", message);
    answer.task(object, status);
    answer.instances(status);
    answer.own_words(status);
    answer.advice(&advice);
    answer.next(&row, target);
    answer.lines
}

/// Name and reason, and since when: from its end on, else since it is in trouble or under way, else since Ready changed.
fn headline(row: &Row, status: &ScaleOutTaskStatus, now: Timestamp) -> String {
    let ago = |then: Timestamp| duration(now.duration_since(then).max(SignedDuration::ZERO));
    if !row.is_looked_at {
        let made = row
            .began
            .map(|at| format!(", made {} ago ({})", ago(at), time(at)));
        return format!("{}: {NOT_LOOKED_AT}{}", row.name, made.unwrap_or_default());
    }
    let since = match row.finished {
        // Nothing tells since when.
        None if row.reason == "Suspended" => String::new(),
        None => under_way(status).map_or_else(String::new, |(what, since)| {
            format!(", {what} for {} (since {})", ago(since), time(since))
        }),
        Some(end) => format!(", ended {} ago ({})", ago(end), time(end)),
    };
    format!("{}: {}{since}", row.name, row.reason())
}

/// The condition that says how it is, and since when it says so.
fn under_way(status: &ScaleOutTaskStatus) -> Option<(String, Timestamp)> {
    let find = |type_: &str| status.conditions.iter().find(|one| one.type_ == type_);
    let mut beside = ["Stalled", "Reconciling"].into_iter().filter_map(find);
    if let Some(beside) = beside.find(|one| one.status == "True") {
        return Some((beside.type_.clone(), beside.last_transition_time.0));
    }
    let ready = find("Ready")?;
    let what = format!("Ready {}", ready.status);
    Some((clean(&what), ready.last_transition_time.0))
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.map_or_else(String::new, |first| format!("{first}{}.", letters.as_str()))
}

struct Answer {
    lines: Vec<String>,
    columns: usize,
}

impl Answer {
    fn line(&mut self, text: &str) {
        self.lines.push(clean(text));
    }

    fn title(&mut self, text: &str) {
        self.lines.push(String::new());
        self.lines.push(text.to_owned());
    }

    /// Words, broken at the terminal's width and indented; `mark` stands before the first line.
    fn paragraph(&mut self, mark: &str, text: &str) {
        let mut line = format!("  {mark}");
        let indent = " ".repeat(width(&line));
        let mut is_empty = true;
        for word in clean(text).split_whitespace() {
            if !is_empty && width(&line) + 1 + width(word) > self.columns {
                self.lines
                    .push(std::mem::replace(&mut line, indent.clone()));
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line += word;
            is_empty = false;
        }
        if !is_empty {
            self.lines.push(line);
        }
    }

    /// Which task it is.
    fn task(&mut self, object: &ScaleOutTask, status: &ScaleOutTaskStatus) {
        self.title("Task");
        let mut about = vec![object.spec.task_id.clone()];
        about.extend(status.task_type.clone());
        if let Some(target) = &status.target {
            let words = [&target.type_, &target.id].into_iter().flatten().cloned();
            about.push(words.collect::<Vec<_>>().join(" "));
        }
        about.extend(status.cluster_id.as_ref().map(|id| format!("cluster {id}")));
        about.extend(status.state.as_ref().map(|state| format!("state {state}")));
        about.extend(
            status
                .current_stage
                .as_ref()
                .map(|stage| format!("stage {stage}")),
        );
        about.extend(
            status
                .progress
                .as_ref()
                .map(|progress| format!("{progress} instances succeeded")),
        );
        about.extend(
            status
                .nodes
                .as_ref()
                .map(|nodes| format!("{nodes} nodes Ready")),
        );
        self.paragraph("", &about.join(", "));
    }

    /// The instances that failed, and those without a Ready node.
    fn instances(&mut self, status: &ScaleOutTaskStatus) {
        let results = status.task_result.as_deref().unwrap_or_default();
        let failed: Vec<&TaskResult> = results
            .iter()
            .filter(|one| one.status == "failed")
            .collect();
        self.list("Failed instances", &failed);
        let missing = results.iter().filter(|one| one.node_ready == Some(false));
        self.list(
            "Instances without a Ready node",
            &missing.collect::<Vec<_>>(),
        );
    }

    fn list(&mut self, title: &str, instances: &[&TaskResult]) {
        if instances.is_empty() {
            return;
        }
        self.title(title);
        for one in instances.iter().take(LISTED_MAX) {
            let node = one
                .node
                .as_ref()
                .map(|node| format!(" (node {node} isn't Ready)"));
            self.paragraph("- ", &format!("{}{}", one.data, node.unwrap_or_default()));
        }
        if instances.len() > LISTED_MAX {
            self.paragraph("- ", &format!("and {} more", instances.len() - LISTED_MAX));
        }
    }

    /// What is known of these, on a line of a list.
    fn item(&mut self, words: &[&Option<String>]) {
        let known = words.iter().copied().flatten();
        let known: Vec<&str> = known.map(String::as_str).collect();
        self.paragraph("- ", &known.join("  "));
    }

    /// What the task said: its error, stages and events.
    fn own_words(&mut self, status: &ScaleOutTaskStatus) {
        if let Some(error) = &status.error {
            self.title("Error");
            let words = [&error.code, &error.message].into_iter().flatten().cloned();
            self.paragraph("", &words.collect::<Vec<_>>().join(": "));
        }
        if let Some(stages) = &status.stages {
            self.title("Stages (times as the task API writes them)");
            for stage in stages {
                let words = [&stage.state, &stage.start_time, &stage.message];
                self.item(&words);
            }
        }
        if let Some(events) = &status.events {
            self.title("Events of the task");
            for event in events {
                let at = event.time.as_ref().map(|at| time(at.0));
                let words = [&at, &event.level, &event.reason, &event.message];
                self.item(&words);
            }
        }
    }

    fn advice(&mut self, advice: &Advice) {
        if !advice.controller.is_empty() {
            self.title("The controller");
            self.paragraph("", &advice.controller);
        }
        if !advice.person.is_empty() {
            self.title("You can");
            for text in &advice.person {
                self.paragraph("- ", text);
            }
        }
    }

    /// The command that fits what it is.
    fn next(&mut self, row: &Row, target: &Target) {
        let command = match row.outcome {
            _ if row.is_suspended && row.finished.is_none() => "resume",
            Outcome::Stuck if !row.is_never_asked_about() => "poll",
            Outcome::Ongoing => "watch",
            _ => return,
        };
        self.title("Next");
        let typed = target.typed(command, &[&row.name], &row.namespace);
        self.lines.push(format!("  {typed}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::row::tests::{conditions, object};

    fn now() -> Timestamp {
        "2026-01-15T08:05:01Z".parse().unwrap()
    }

    #[test]
    fn a_failure_says_what_since_when_which_instances_and_what_to_do() {
        let status = json!({
            "observedGeneration": 2, "conditions": conditions("False", "InstancesFailed", &["Stalled", "Finished"]),
            "state": "success", "progress": "1/2", "finishedAt": "2026-01-15T08:04:00Z", "taskType": "nodepool_scaleout",
            "target": { "type": "nodepool", "id": "np1" }, "clusterId": "c1",
            "taskResult": [{ "data": "i-1", "status": "success" }, { "data": "i-2", "status": "failed" }],
            "error": { "code": "QuotaExceeded", "message": "no more\u{1b}[2J" },
            "stages": [{ "state": "fail", "startTime": "2026-01-15 16:00:00", "message": "no stock" }],
            "events": [{ "time": "2026-01-15T08:03:00Z", "level": "error", "reason": "NoStock", "message": "none left" }],
        });
        let lines = explain(&object("gpu-pool", &status), now(), 80, &Target::default());
        assert_eq!(
            lines[..20],
            [
                "gpu-pool: InstancesFailed, ended 1m01s ago (2026-01-15T08:04:00Z)",
                "  The task ended, but instances failed.",
                "  It is InstancesFailed",
                "",
                "Task",
                "  T-1, nodepool_scaleout, nodepool np1, cluster c1, state success, 1/2 instances",
                "  succeeded",
                "",
                "Failed instances",
                "  - i-2",
                "",
                "Error",
                "  QuotaExceeded: no more [2J",
                "",
                "Stages (times as the task API writes them)",
                "  - fail 2026-01-15 16:00:00 no stock",
                "",
                "Events of the task",
                "  - 2026-01-15T08:03:00Z error NoStock none left",
                "",
            ]
        );
        let text = lines.join("\n");
        assert!(
            text.contains("You can\n  - list the failed instances"),
            "{text}"
        );
        assert!(lines.iter().all(|line| width(line) <= 80), "{text}");
    }

    #[test]
    fn what_nobody_looked_at_says_so_and_what_is_stuck_how_to_ask_again() {
        let lines = explain(
            &object("a", &json!({ "observedGeneration": -1 })),
            now(),
            80,
            &Target::default(),
        )
        .join("\n");
        assert!(
            lines.contains("No controller has looked at it as it is now."),
            "{lines}"
        );
        assert!(lines.contains("look whether a controller runs"), "{lines}");
        assert!(
            lines.starts_with("a: NotLookedAt, made 5m01s ago"),
            "{lines}"
        );
        let denied = json!({ "observedGeneration": 2, "conditions": conditions("False", "AccessDenied", &["Stalled"]) });
        let lines = explain(&object("a", &denied), now(), 80, &Target::default()).join("\n");
        assert!(lines.contains("grant `cs:DescribeTaskInfo`"), "{lines}");
        assert!(
            lines.ends_with("kubectl scaleouttask poll a -n web"),
            "{lines}"
        );
    }
}

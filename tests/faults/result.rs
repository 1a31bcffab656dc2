//! The result of a run, and its differences from the one of an undisturbed run.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::events::v1::Event, jiff::Timestamp};
use kube::api::ListParams;
use scaleouttask_controller::{api::ScaleOutTaskStatus, rules::Reason};
use serde_json::{Value, json};

use crate::{observer::Seen, proxy::Record, scenario::Scenario, stage::Stage};

/// An object becomes `Pending` after 2 s without an answer. This is less, as the test may see the
/// object's creation late.
const OVERDUE: Duration = Duration::from_millis(1500);

/// Events by type and reason, with how often each was sent.
pub type EventCounts = BTreeMap<(String, String), i32>;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// The distinct statuses in their order, without times.
    pub statuses: Vec<Value>,
    /// Whether it was `Pending` first, which is right if the first answer came late.
    pub was_pending: bool,
    /// The last version of the object without times, or null if it was deleted.
    pub end: Value,
    /// The response codes of status patches and of deletions.
    pub patches: Vec<u64>,
    pub deletes: Vec<u64>,
    pub events: EventCounts,
    /// The numbers of calls and of versions of the object after the last step.
    pub calls_after: usize,
    pub versions_after: usize,
    pub records: Vec<Record>,
    /// Broken rules that hold for every history.
    pub flaws: Vec<String>,
}

/// How a run may differ from an undisturbed one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// How many Events may be missing.
    pub lost_events: i32,
    /// How many Events may be sent twice.
    pub repeated_events: i32,
}

impl RunResult {
    pub fn written(&self) -> usize {
        self.patches.iter().filter(|code| **code == 200).count()
    }

    pub fn deleted(&self) -> usize {
        self.deletes.iter().filter(|code| **code == 200).count()
    }

    /// All differences from the result of an undisturbed run.
    pub fn differences(&self, undisturbed: &Self, allowed: Allowance) -> Vec<String> {
        let mut found = self.flaws.clone();
        let mut equal = |what: &str, ours: &Value, theirs: &Value| {
            if ours != theirs {
                found.push(format!("{what}: {ours:#} instead of {theirs:#}"));
            }
        };
        equal(
            "statuses",
            &json!(self.statuses),
            &json!(undisturbed.statuses),
        );
        equal("the end", &self.end, &undisturbed.end);
        // On a slow machine, `Pending` is one more status.
        let written = undisturbed.written() + usize::from(self.was_pending);
        equal("status writes", &json!(self.written()), &json!(written));
        let deleted = undisturbed.deleted();
        equal("deletions", &json!(self.deleted()), &json!(deleted));
        equal("calls after the end", &json!(self.calls_after), &json!(0));
        equal(
            "versions after the end",
            &json!(self.versions_after),
            &json!(0),
        );
        found.extend(event_differences(
            &self.events,
            &undisturbed.events,
            allowed,
        ));
        found
    }
}

fn event_differences(ours: &EventCounts, theirs: &EventCounts, allowed: Allowance) -> Vec<String> {
    let count = |counts: &EventCounts, key| counts.get(key).copied().unwrap_or_default();
    let (mut lost, mut repeated) = (0, 0);
    let mut found = Vec::new();
    for key in ours
        .keys()
        .chain(theirs.keys().filter(|key| !ours.contains_key(*key)))
    {
        let more = count(ours, key) - count(theirs, key);
        lost += (-more).max(0);
        repeated += more.max(0);
        if !theirs.contains_key(key) {
            found.push(format!("unexpected Event: {key:?}"));
        }
    }
    if lost > allowed.lost_events || repeated > allowed.repeated_events {
        found.push(format!("Events: {ours:?} instead of {theirs:?}"));
    }
    found
}

/// The distinct statuses without their times, and whether the first was a legitimate `Pending`, which
/// is left out.
pub fn distinct(seen: &[Seen]) -> (Vec<Value>, bool) {
    let mut statuses: Vec<Value> = Vec::new();
    let mut was_pending = false;
    let versions = seen
        .iter()
        .filter_map(|seen| Some((seen.at, seen.object.as_ref()?)));
    let created_at = seen.first().map(|seen| seen.at);
    for (at, object) in versions {
        let is_overdue = created_at.is_some_and(|created_at| at - created_at >= OVERDUE);
        if statuses.len() == 1 && is_overdue && object.reason() == Some(Reason::Pending) {
            was_pending = true;
            continue;
        }
        let status = timeless(&object.status);
        if statuses.last() != Some(&status) {
            statuses.push(status);
        }
    }
    (statuses, was_pending)
}

/// The object without what differs from run to run.
pub fn end_of(seen: &[Seen]) -> Value {
    let newest = seen.last().and_then(|seen| seen.object.as_ref());
    newest.map_or(Value::Null, |object| {
        json!({
            "generation": object.generation,
            "deleting": object.deleting,
            "spec": object.spec,
            "status": timeless(&object.status),
        })
    })
}

/// A status without the times that differ from run to run.
fn timeless(status: &ScaleOutTaskStatus) -> Value {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    if let Some(finished_at) = &mut status.finished_at {
        finished_at.0 = Timestamp::UNIX_EPOCH;
    }
    serde_json::to_value(status).unwrap()
}

/// Times that changed without a reason.
pub fn flaws(seen: &[Seen]) -> Vec<String> {
    let versions: Vec<_> = seen
        .iter()
        .filter_map(|seen| seen.object.as_ref())
        .collect();
    let mut found = Vec::new();
    for pair in versions.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        if let (Some(one), Some(other)) = (before.ready(), after.ready())
            && one.status == other.status
            && one.last_transition_time != other.last_transition_time
        {
            found.push(format!("lastTransitionTime moved: {one:?}, then {other:?}"));
        }
        let (one, other) = (&before.status.finished_at, &after.status.finished_at);
        if one.is_some() && one != other {
            found.push(format!("finishedAt moved: {one:?}, then {other:?}"));
        }
    }
    found
}

/// Counts the Events in the namespace.
pub async fn count_events(stage: &Stage) -> EventCounts {
    let api: kube::Api<Event> =
        kube::Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let events = api.list(&ListParams::default()).await.unwrap();
    let mut counts = EventCounts::new();
    for event in events {
        let key = (
            event.type_.unwrap_or_default(),
            event.reason.unwrap_or_default(),
        );
        *counts.entry(key).or_default() += event.series.map_or(1, |series| series.count);
    }
    counts
}

/// Checks that the statuses are those of the scenario.
pub fn assert_as_expected(scenario: &Scenario, result: &RunResult) {
    let shown: Vec<_> = result
        .statuses
        .iter()
        .map(|status| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&status["conditions"][0]["reason"]),
                text(&status["progress"]),
                status["observedGeneration"].as_i64().unwrap(),
            )
        })
        .collect();
    let expected: Vec<_> = scenario
        .shows
        .iter()
        .map(|(reason, progress, generation)| {
            (String::from(*reason), String::from(*progress), *generation)
        })
        .collect();
    assert_eq!(shown, expected, "{}", scenario.name);
    assert_eq!(result.patches, vec![200; expected.len() - 1]);
}

//! What a run showed in the end, and in what it differs from an undisturbed one.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::events::v1::Event, jiff::Timestamp};
use kube::api::ListParams;
use scaleouttask_controller::{api::ScaleOutTaskStatus, rules::Reason};
use serde_json::{Value, json};

use crate::{observer::Seen, proxy::Record, scenario::Scenario, stage::Stage};

/// An object waits 2 s for its first answer before it says `Pending`; what is seen of both may come
/// a little late.
const OVERDUE: Duration = Duration::from_millis(1500);

/// Events by type and reason, with how often each was told.
pub type Told = BTreeMap<(String, String), i32>;

/// What a run showed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The distinct statuses in their order, without times.
    pub statuses: Vec<Value>,
    /// Whether it legitimately said first that it waits for an answer.
    pub was_pending: bool,
    /// The object in the end, without times; null if it was deleted.
    pub end: Value,
    /// What the API server answered to patches of the status and to deletions.
    pub patches: Vec<u64>,
    pub deletes: Vec<u64>,
    pub events: Told,
    /// Calls and versions of the object after the end.
    pub calls_after: usize,
    pub versions_after: usize,
    pub records: Vec<Record>,
    /// Rules that hold for every history and didn't here.
    pub flaws: Vec<String>,
}

/// In what a run may differ from an undisturbed one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// So many Events may be missing.
    pub lost_events: i32,
    /// So many may be told once more.
    pub repeated_events: i32,
}

impl Outcome {
    pub fn written(&self) -> usize {
        self.patches.iter().filter(|code| **code == 200).count()
    }

    pub fn deleted(&self) -> usize {
        self.deletes.iter().filter(|code| **code == 200).count()
    }

    /// Everything in which this differs from what it should be like.
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
        // `Pending` is the one status more that a slow machine may see.
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

fn event_differences(ours: &Told, theirs: &Told, allowed: Allowance) -> Vec<String> {
    let count = |told: &Told, key| told.get(key).copied().unwrap_or_default();
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
            found.push(format!("Event that nobody expects: {key:?}"));
        }
    }
    if lost > allowed.lost_events || repeated > allowed.repeated_events {
        found.push(format!("Events: {ours:?} instead of {theirs:?}"));
    }
    found
}

/// Distinct statuses without their times, and whether the first of them was a legitimate `Pending`,
/// which is left out.
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

/// Where a time moved that had no reason to.
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

/// The Events in the namespace.
pub async fn told(stage: &Stage) -> Told {
    let api: kube::Api<Event> = kube::Api::namespaced(stage.bench.client.clone(), &stage.namespace);
    let events = api.list(&ListParams::default()).await.unwrap();
    let mut told = Told::new();
    for event in events {
        let key = (
            event.type_.unwrap_or_default(),
            event.reason.unwrap_or_default(),
        );
        *told.entry(key).or_default() += event.series.map_or(1, |series| series.count);
    }
    told
}

/// Whether the statuses are what the scenario says.
pub fn assert_as_told(scenario: &Scenario, outcome: &Outcome) {
    let shown: Vec<_> = outcome
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
    assert_eq!(outcome.patches, vec![200; expected.len() - 1]);
}

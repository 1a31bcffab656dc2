//! The result of a run, and its differences from the one of an undisturbed run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::{
    api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp,
};
use kube::api::ListParams;
use scaleouttask_controller::{
    api::{ScaleOutTaskSource, ScaleOutTaskStatus},
    rules::Reason,
};
use serde_json::{Value, json};
use testbed::WholeObject;

use crate::{
    cluster::Audited,
    observer::{History, Seen},
    proxy::Record,
    scenario::Scenario,
    stage::Stage,
};

/// An object becomes `Pending` after 2 s without an answer. This is less, as the test may see the
/// object's creation late.
const OVERDUE: Duration = Duration::from_millis(1500);

/// How often each Event was sent, by the name of what it is about, type and reason.
pub type EventCounts = BTreeMap<[String; 3], i32>;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// By their names.
    pub objects: BTreeMap<String, ObjectResult>,
    /// How many objects each task ever had.
    pub of_tasks: BTreeMap<String, usize>,
    /// The last versions of the sources without times, by their names.
    pub sources: BTreeMap<String, Value>,
    /// The requests of the controller for objects and sources.
    pub audited: Vec<Audited>,
    pub events: EventCounts,
    /// The numbers of calls and of versions of objects and sources after the last step.
    pub calls_after: usize,
    pub versions_after: usize,
    pub records: Vec<Record>,
    /// Broken rules that hold for every history.
    pub flaws: Vec<String>,
}

/// What was seen of the objects of one name.
#[derive(Clone, Debug)]
pub struct ObjectResult {
    /// The distinct statuses in their order, without times.
    pub statuses: Vec<Value>,
    /// Whether it was `Pending` first, which is right if the first answer came late.
    pub was_pending: bool,
    /// The last version of the object without times, or null if it was deleted.
    pub end: Value,
}

/// How a run may differ from an undisturbed one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// How many Events may be missing.
    pub lost_events: i32,
    /// How many Events may be sent twice.
    pub repeated_events: i32,
    /// How many more writes of a source's status there may be: one for objects that were made later than others.
    pub source_writes: usize,
}

impl RunResult {
    /// The response codes of the controller's requests with that verb: of objects, or of sources.
    pub fn codes<'a>(&'a self, verb: &'a str, resource: &'a str) -> impl Iterator<Item = u64> + 'a {
        let all = self.audited.iter();
        let wanted = all.filter(move |one| one.verb == verb && one.resource == resource);
        wanted.map(|one| one.code)
    }

    fn succeeded(&self, verb: &str, resource: &str) -> usize {
        let codes = self.codes(verb, resource);
        codes.filter(|code| matches!(code, 200 | 201)).count()
    }

    /// How many objects were made of tasks that had one.
    pub fn made_twice(&self) -> usize {
        let objects: usize = self.of_tasks.values().sum();
        let made = objects.max(self.succeeded("create", "scaleouttasks"));
        made.saturating_sub(self.of_tasks.len())
    }

    /// The tasks of which no object was made.
    pub fn missed<'a>(&'a self, undisturbed: &'a Self) -> impl Iterator<Item = &'a str> {
        let expected = undisturbed.of_tasks.keys();
        let missed = expected.filter(|task| !self.of_tasks.contains_key(*task));
        missed.map(String::as_str)
    }

    /// All differences from the result of an undisturbed run.
    pub fn differences(&self, undisturbed: &Self, allowed: Allowance) -> Vec<String> {
        let mut found = self.flaws.clone();
        found.extend(
            self.missed(undisturbed)
                .map(|name| format!("{name} is missed")),
        );
        for (name, ours) in &self.objects {
            match undisturbed.objects.get(name) {
                Some(theirs) => found.extend(ours.differences(name, theirs)),
                None => found.push(format!("{name} shouldn't be there")),
            }
        }
        let mut equal = |what: &str, ours: &Value, theirs: &Value| {
            if ours != theirs {
                found.push(format!("{what}: {ours:#} instead of {theirs:#}"));
            }
        };
        equal("sources", &json!(self.sources), &json!(undisturbed.sources));
        equal("objects made twice", &json!(self.made_twice()), &json!(0));
        // On a slow machine, `Pending` is one more status.
        let pending = self.objects.values().filter(|object| object.was_pending);
        for (what, verb, resource, more) in [
            ("creations", "create", "scaleouttasks", 0),
            ("status writes", "patch", "scaleouttasks", pending.count()),
            ("deletions", "delete", "scaleouttasks", 0),
        ] {
            let (ours, theirs) = (
                self.succeeded(verb, resource),
                undisturbed.succeeded(verb, resource),
            );
            equal(what, &json!(ours), &json!(theirs + more));
        }
        equal("calls after the end", &json!(self.calls_after), &json!(0));
        equal(
            "versions after the end",
            &json!(self.versions_after),
            &json!(0),
        );
        let writes = |result: &Self| result.succeeded("patch", "scaleouttasksources");
        let (ours, theirs) = (writes(self), writes(undisturbed));
        if ours > theirs + allowed.source_writes {
            found.push(format!("{ours} writes of sources instead of {theirs}"));
        }
        found.extend(event_differences(
            &self.events,
            &undisturbed.events,
            allowed,
        ));
        found
    }
}

impl ObjectResult {
    fn differences(&self, name: &str, undisturbed: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut equal = |what: &str, ours: &Value, theirs: &Value| {
            if ours != theirs {
                found.push(format!("{what} of {name}: {ours:#} instead of {theirs:#}"));
            }
        };
        equal(
            "statuses",
            &json!(self.statuses),
            &json!(undisturbed.statuses),
        );
        equal("the end", &self.end, &undisturbed.end);
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

/// The versions of what has that name.
fn of_name<'a, T>(all: &'a [Seen<T>], name: &'a str) -> impl Iterator<Item = &'a Seen<T>> {
    all.iter().filter(move |seen| seen.name == name)
}

fn names<T>(all: &[Seen<T>]) -> BTreeSet<&str> {
    all.iter().map(|seen| seen.name.as_str()).collect()
}

/// What was seen of all objects.
pub fn objects(history: &History) -> BTreeMap<String, ObjectResult> {
    let result = |name| {
        let seen: Vec<_> = of_name(&history.objects, name).collect();
        let (statuses, was_pending) = distinct(&seen);
        let object = ObjectResult {
            statuses,
            was_pending,
            end: history.object(name).map_or(Value::Null, end_of),
        };
        (name.to_owned(), object)
    };
    names(&history.objects).into_iter().map(result).collect()
}

/// How many objects each task ever had.
pub fn of_tasks(history: &History) -> BTreeMap<String, usize> {
    let mut objects = BTreeMap::<_, BTreeSet<_>>::new();
    for seen in &history.objects {
        if let Some(object) = &seen.object {
            let task_id = object.spec.task_id.clone();
            objects.entry(task_id).or_default().insert(&seen.uid);
        }
    }
    let count = |(task_id, uids): (String, BTreeSet<_>)| (task_id, uids.len());
    objects.into_iter().map(count).collect()
}

/// How all sources ended.
pub fn sources(history: &History) -> BTreeMap<String, Value> {
    let end = |name: &str| {
        let end = history.source(name).map_or(Value::Null, end_of_source);
        (name.to_owned(), end)
    };
    names(&history.sources).into_iter().map(end).collect()
}

/// The distinct statuses without their times, and whether the first was a legitimate `Pending`, which
/// is left out.
fn distinct(seen: &[&Seen<WholeObject>]) -> (Vec<Value>, bool) {
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
fn end_of(object: &WholeObject) -> Value {
    json!({
        "generation": object.generation,
        "deleting": object.deleting,
        "spec": object.spec,
        "status": timeless(&object.status),
    })
}

/// The same of a source. Objects that are made together are made in any order.
fn end_of_source(source: &ScaleOutTaskSource) -> Value {
    let mut status = source.status.clone().unwrap_or_default();
    status.recent.sort();
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    json!({
        "generation": source.metadata.generation,
        "spec": source.spec,
        "made": status.made,
        "unmakeable": status.unmakeable,
        "recent": status.recent,
        "observedGeneration": status.observed_generation,
        "conditions": status.conditions,
    })
}

/// A status without the times that differ from run to run.
fn timeless(status: &ScaleOutTaskStatus) -> Value {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    let times = [
        &mut status.created,
        &mut status.updated,
        &mut status.finished_at,
    ];
    for time in times.into_iter().flatten() {
        time.0 = Timestamp::UNIX_EPOCH;
    }
    serde_json::to_value(status).unwrap()
}

/// Broken rules in the histories of objects and sources.
pub fn flaws(history: &History) -> Vec<String> {
    let objects = names(&history.objects).into_iter();
    let found = objects.flat_map(|name| {
        let versions = of_name(&history.objects, name).filter_map(|seen| seen.object.as_ref());
        object_flaws(&versions.collect::<Vec<_>>())
    });
    let sources = names(&history.sources).into_iter();
    found
        .chain(sources.flat_map(|name| {
            let versions = of_name(&history.sources, name).filter_map(|seen| seen.object.as_ref());
            source_flaws(&versions.collect::<Vec<_>>())
        }))
        .collect()
}

/// Times that changed without a reason.
fn object_flaws(versions: &[&WholeObject]) -> Vec<String> {
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

/// A source whose list never fails lists, and forgets nothing.
fn source_flaws(versions: &[&ScaleOutTaskSource]) -> Vec<String> {
    let statuses: Vec<_> = versions
        .iter()
        .map(|source| source.status.clone().unwrap_or_default())
        .collect();
    let mut found = Vec::new();
    for status in &statuses {
        let distinct: BTreeSet<_> = status.recent.iter().collect();
        let made = usize::try_from(status.made.unwrap_or_default()).unwrap();
        if distinct.len() != status.recent.len() || made != status.recent.len() {
            found.push(format!("{made} were made: {:?}", status.recent));
        }
        let last = status.last_made.as_ref().map(|last| &last.task_id);
        if last != status.recent.last() {
            found.push(format!("{last:?} was made last: {:?}", status.recent));
        }
        let ready = &status.conditions;
        let has_listed = ready.iter().all(|one| one.reason == "Listing");
        // The API server sets the first status.
        if status.made.is_some() && !(has_listed && ready.len() == 1) {
            found.push(format!("it doesn't list: {ready:?}"));
        }
    }
    for pair in statuses.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if !after.recent.starts_with(&before.recent) {
            found.push(format!("{:?} became {:?}", before.recent, after.recent));
        }
        let since =
            |status: &[Condition]| status.first().map(|one| one.last_transition_time.clone());
        let (one, other) = (since(&before.conditions), since(&after.conditions));
        if before.made.is_some() && one != other {
            found.push(format!("lastTransitionTime moved: {one:?}, then {other:?}"));
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
        let regarding = event.regarding.unwrap_or_default();
        let key = [regarding.name, event.type_, event.reason].map(Option::unwrap_or_default);
        *counts.entry(key).or_default() += event.series.map_or(1, |series| series.count);
    }
    counts
}

/// Checks that the statuses are those of the scenario, and what its source made.
pub fn assert_as_expected(scenario: &Scenario, result: &RunResult) {
    let name = scenario.name;
    let shown: Vec<_> = result
        .objects
        .iter()
        .map(|(name, object)| (name.as_str(), object.statuses.iter().map(shown).collect()))
        .collect();
    let expected: Vec<(&str, Vec<_>)> = scenario
        .shows
        .iter()
        .map(|(name, statuses)| {
            let statuses = statuses.iter();
            let statuses = statuses.map(|(reason, progress, generation)| {
                (String::from(*reason), String::from(*progress), *generation)
            });
            (*name, statuses.collect())
        })
        .collect();
    assert_eq!(shown, expected, "{name}");
    let changes: usize = expected.iter().map(|(_, all)| all.len() - 1).sum();
    let patches: Vec<_> = result.codes("patch", "scaleouttasks").collect();
    assert_eq!(patches, vec![200; changes], "{name}");
    let created: Vec<_> = result.codes("create", "scaleouttasks").collect();
    assert_eq!(created, vec![201; scenario.found.len()], "{name}");
    for source in result.sources.values() {
        assert_eq!(source["made"], json!(scenario.found.len()), "{name}");
        assert_eq!(source["recent"], json!(scenario.found), "{name}");
    }
}

/// Reason, progress and observed generation.
fn shown(status: &Value) -> (String, String, i64) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&status["conditions"][0]["reason"]),
        text(&status["progress"]),
        status["observedGeneration"].as_i64().unwrap(),
    )
}

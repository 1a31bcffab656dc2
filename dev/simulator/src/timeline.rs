//! The answer of a task at a given time.

use std::{borrow::Cow, time::Duration};

use jiff::{Timestamp, tz};

use crate::{
    body::{self, Fields, Node, object},
    task::{Entry, Format, Instance, ResultShape, Step, Task, TaskError},
};

/// The progress of a task: its clock and its steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// When the task's clock started.
    pub(crate) started: Timestamp,
    /// The time since then.
    pub(crate) elapsed: Duration,
    /// How many of its steps were reached, and when the last one was.
    pub(crate) steps: usize,
    pub(crate) stepped: Duration,
    /// When it was last changed from outside.
    pub(crate) touched: Duration,
}

/// A healthy answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) state: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// The state of a task at a given time.
#[derive(Default)]
struct Snapshot {
    state: String,
    results: Vec<Entry>,
    stage: Option<String>,
    stages: Vec<Node>,
    events: Vec<Node>,
    error: Option<TaskError>,
    changed: Duration,
}

/// How many steps are reached. Each needs those before it.
pub(crate) fn steps_reached(task: &Task, elapsed: Duration, earlier_requests: u64) -> usize {
    let reached = |step: &&Step| {
        step.after.is_none_or(|after| elapsed >= after)
            && step
                .after_requests
                .is_none_or(|count| earlier_requests >= count)
    };
    task.steps.iter().take_while(reached).count()
}

/// The answer of a task. `task_id` is another ID for the body, from a fault.
pub(crate) fn answer(task: &Task, clock: Clock, task_id: Option<&str>) -> Answer {
    let (now, snapshot) = at(task, clock);
    let usual_type = match now.format {
        Format::Json => "application/json",
        Format::Xml => "application/xml",
    };
    let body = now.body.clone().unwrap_or_else(|| {
        let fields = fields(&now, &snapshot, clock, task_id.unwrap_or(&now.id));
        match now.format {
            Format::Json => body::json(&fields),
            Format::Xml => body::xml(&fields),
        }
    });
    let content_type = now.content_type.as_deref().unwrap_or(usual_type).to_owned();
    Answer {
        state: snapshot.state,
        content_type,
        body,
    }
}

/// The fields of a task in a list.
const LISTED: [&str; 6] = [
    "task_id",
    "task_type",
    "state",
    "created",
    "updated",
    "error",
];

/// The task in a list: fields of its own body at that time, unless the script says otherwise.
pub(crate) fn listed(task: &Task, clock: Clock) -> Node {
    let (now, snapshot) = at(task, clock);
    let mut all = fields(&now, &snapshot, clock, &now.id);
    let take = |name: &str| {
        let position = all.iter().position(|(there, _)| there == name)?;
        Some(all.swap_remove(position))
    };
    let mut fields: Fields = LISTED.into_iter().filter_map(take).collect();
    let listed = &task.listed;
    for (name, written) in [("created", &listed.created), ("updated", &listed.updated)] {
        if let Some(written) = written {
            replace(&mut fields, name, written.as_str().into());
        }
    }
    for (name, value) in &listed.extra {
        replace(&mut fields, name, value.into());
    }
    fields.retain(|(name, _)| !listed.omit.contains(name));
    Node::Object(fields)
}

/// The task with what its steps have changed, and its state.
fn at(task: &Task, clock: Clock) -> (Cow<'_, Task>, Snapshot) {
    let (now, mut snapshot) = if task.steps.is_empty() {
        (Cow::Borrowed(task), along_timeline(task, clock))
    } else {
        let (now, snapshot) = by_steps(task, clock);
        (Cow::Owned(now), snapshot)
    };
    snapshot.changed = snapshot.changed.max(clock.touched);
    (now, snapshot)
}

fn along_timeline(task: &Task, clock: Clock) -> Snapshot {
    let last = task
        .instances
        .iter()
        .filter_map(|instance| instance.after)
        .max();
    let duration = task.duration.or(last).unwrap_or_default();
    let finished = clock.elapsed >= duration;
    let ends = task
        .instances
        .iter()
        .map(|instance| instance.after.unwrap_or(duration));
    let begun: Vec<_> = task
        .stages
        .iter()
        .take_while(|stage| clock.elapsed >= stage.after)
        .collect();
    let changed = ends
        .chain(begun.iter().map(|stage| stage.after))
        .chain(task.events.iter().map(|event| event.after))
        .chain([duration])
        .filter(|moment| *moment <= clock.elapsed)
        .max();
    Snapshot {
        state: if finished {
            task.outcome.clone()
        } else {
            "running".to_owned()
        },
        results: task
            .instances
            .iter()
            .map(|one| entry(one, duration, clock.elapsed))
            .collect(),
        stage: begun.last().map(|stage| stage.name.clone()),
        stages: stages(task, clock, finished.then_some(duration)),
        events: events(task, clock),
        error: task.error.clone().filter(|_| finished),
        changed: changed.unwrap_or_default(),
    }
}

fn entry(instance: &Instance, duration: Duration, elapsed: Duration) -> Entry {
    let finished = elapsed >= instance.after.unwrap_or(duration);
    let (status, usual) = if finished {
        (&instance.status, "success")
    } else {
        (&instance.pending, "initail")
    };
    let status = status.clone().unwrap_or_else(|| usual.to_owned());
    Entry {
        data: instance.id.clone(),
        status,
    }
}

/// The stages that have begun. Each ends with the next one, the last one with the task.
fn stages(task: &Task, clock: Clock, finished: Option<Duration>) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (position, stage) in task.stages.iter().enumerate() {
        if clock.elapsed < stage.after {
            break;
        }
        let next = task.stages.get(position + 1).map(|next| next.after);
        let end = next.filter(|next| clock.elapsed >= *next).or(finished);
        let last = next.is_none_or(|next| clock.elapsed < next);
        let state = match end {
            None => "running",
            Some(_) if last => &task.outcome,
            Some(_) => "success",
        };
        let time = |moment| plain_time(clock.started, moment);
        nodes.push(object([
            ("state", state.into()),
            ("start_time", time(stage.after).as_str().into()),
            (
                "end_time",
                end.map(time).unwrap_or_default().as_str().into(),
            ),
            (
                "message",
                stage.message.as_deref().unwrap_or_default().into(),
            ),
        ]));
    }
    nodes
}

/// The events that have happened, with their times in milliseconds as text.
fn events(task: &Task, clock: Clock) -> Vec<Node> {
    let happened = task
        .events
        .iter()
        .filter(|event| event.after <= clock.elapsed);
    let nodes = happened.map(|event| {
        let time = clock
            .started
            .saturating_add(event.after)
            .unwrap_or(Timestamp::MAX);
        object([
            ("action", event.action.as_str().into()),
            ("level", event.level.as_str().into()),
            ("message", event.message.as_str().into()),
            ("reason", event.reason.as_str().into()),
            ("source", event.source.as_str().into()),
            ("timestamp", time.as_millisecond().to_string().into()),
        ])
    });
    nodes.collect()
}

/// Applies the steps that are reached, in order.
fn by_steps(task: &Task, clock: Clock) -> (Task, Snapshot) {
    let mut now = Task {
        steps: Vec::new(),
        ..task.clone()
    };
    let mut snapshot = Snapshot {
        state: "running".to_owned(),
        changed: clock.stepped,
        ..Snapshot::default()
    };
    for step in task.steps.iter().take(clock.steps).cloned() {
        let set = |field: &mut String, value: Option<String>| {
            if let Some(value) = value {
                *field = value;
            }
        };
        set(&mut snapshot.state, step.state);
        set(&mut now.id, step.task_id);
        set(&mut now.cluster_id, step.cluster_id);
        set(&mut now.task_type, step.task_type);
        snapshot.results = step.task_result.unwrap_or(snapshot.results);
        snapshot.stage = step.current_stage.or(snapshot.stage);
        snapshot.error = step.error.or(snapshot.error);
        now.created = step.created.or(now.created);
        now.updated = step.updated.or(now.updated);
        now.omit = step.omit.unwrap_or(now.omit);
        now.extra.extend(step.extra);
        now.body = step.body.or_else(|| task.body.clone());
        now.content_type = step.content_type.or_else(|| task.content_type.clone());
    }
    (now, snapshot)
}

/// The fields of a body, in the order of the API's sample, followed by the newer ones.
fn fields(task: &Task, snapshot: &Snapshot, clock: Clock, task_id: &str) -> Fields {
    let time = |written: &Option<String>, moment| match written {
        Some(written) => written.clone(),
        None => offset_time(clock.started, moment),
    };
    let sample = [
        ("cluster_id", task.cluster_id.as_str().into()),
        ("task_id", task_id.into()),
        ("created", time(&task.created, Duration::ZERO).into()),
        ("updated", time(&task.updated, snapshot.changed).into()),
        ("state", snapshot.state.as_str().into()),
        ("task_type", task.task_type.as_str().into()),
        (
            "task_result",
            results(task.task_result_as, &snapshot.results),
        ),
    ];
    let stage = snapshot.stage.as_deref().map(Node::from);
    let stages = Some(&snapshot.stages).filter(|stages| !stages.is_empty());
    let events = Some(&snapshot.events).filter(|events| !events.is_empty());
    let target = task.target.as_ref().map(|target| {
        object([
            ("id", target.id.as_str().into()),
            ("type", target.kind.as_str().into()),
        ])
    });
    let newer = [
        ("target", target),
        ("current_stage", stage),
        ("error", snapshot.error.as_ref().map(error)),
        ("stages", stages.map(|stages| Node::List(stages.clone()))),
        ("events", events.map(|events| Node::List(events.clone()))),
    ];
    let newer = newer
        .into_iter()
        .filter_map(|(name, node)| Some((name, node?)));
    let mut fields: Fields = sample
        .into_iter()
        .chain(newer)
        .map(|(name, node)| (name.to_owned(), node))
        .collect();
    for (name, value) in &task.extra {
        replace(&mut fields, name, value.into());
    }
    fields.retain(|(name, _)| !task.omit.contains(name));
    fields
}

fn replace(fields: &mut Fields, name: &str, node: Node) {
    fields.retain(|(there, _)| there != name);
    fields.push((name.to_owned(), node));
}

fn results(shape: ResultShape, entries: &[Entry]) -> Node {
    let mut nodes = entries.iter().map(|entry| {
        object([
            ("data", entry.data.as_str().into()),
            ("status", entry.status.as_str().into()),
        ])
    });
    match shape {
        ResultShape::Array => Node::List(nodes.collect()),
        ResultShape::Object => nodes.next().unwrap_or_else(|| Node::List(Vec::new())),
        ResultShape::Task => object([("task", Node::List(nodes.collect()))]),
    }
}

fn error(error: &TaskError) -> Node {
    object([
        ("code", error.code.as_str().into()),
        ("message", error.message.as_str().into()),
    ])
}

/// A time in the format of `created` and `updated`: `2020-11-10T16:02:04+08:00`.
fn offset_time(started: Timestamp, moment: Duration) -> String {
    zoned(started, moment)
        .strftime("%Y-%m-%dT%H:%M:%S%:z")
        .to_string()
}

/// A time in the format of stages: `2022-12-15 23:00:00`, without a zone.
fn plain_time(started: Timestamp, moment: Duration) -> String {
    zoned(started, moment)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

fn zoned(started: Timestamp, moment: Duration) -> jiff::Zoned {
    let time = started.saturating_add(moment).unwrap_or(Timestamp::MAX);
    time.to_zoned(tz::offset(8).to_time_zone())
}

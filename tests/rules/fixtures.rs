//! Fixtures: an object, and what happens to it, step by step.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::{SignedDuration, Timestamp},
};
use scaleouttask_controller::{
    api::{ScaleOutTaskSpec, ScaleOutTaskStatus},
    rules::{
        self, Case, EventNote, Instance, Memory, Next, Node, NodeInstance, Nodes, ObjectKey,
        ObjectStatus, Occasion, Policy, PollError, PollResult, Reason, StatusPatch, Task,
    },
};
use serde_json::Value;

/// The default poll interval of all stories.
pub const INTERVAL: Duration = Duration::from_secs(15);

/// A time this many seconds after the creation of the object.
pub fn at(seconds: i64) -> Timestamp {
    at_millis(seconds * 1000)
}

/// A time this many milliseconds after the creation of the object.
pub fn at_millis(millis: i64) -> Timestamp {
    let created: Timestamp = "2024-05-01T12:00:00Z".parse().unwrap();
    created + SignedDuration::from_millis(millis)
}

/// An object with its whole spec and status, as the API server keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub uid: String,
    pub generation: i64,
    pub created_at: Timestamp,
    pub deleting: bool,
    pub poll_request: Option<String>,
    pub spec: ScaleOutTaskSpec,
    pub status: ScaleOutTaskStatus,
}

impl Object {
    /// The part of it that the controller keeps in memory.
    pub fn kept(&self) -> rules::Object {
        rules::Object {
            key: ObjectKey {
                namespace: "default".into(),
                name: "nodes".into(),
            },
            uid: self.uid.as_str().into(),
            resource_version: "1".into(),
            generation: self.generation,
            created_at: self.created_at,
            deleting: self.deleting,
            poll_request: self.poll_request.as_deref().map(Into::into),
            source: None,
            spec: self.spec.clone().into(),
            status: self.status.clone().into(),
        }
    }

    pub fn ready(&self) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|condition| condition.type_ == "Ready")
    }

    pub fn reason(&self) -> Option<Reason> {
        self.kept().reason()
    }

    pub fn deadline(&self) -> Option<Timestamp> {
        self.kept().deadline()
    }

    pub fn is_finished(&self) -> bool {
        self.kept().is_finished()
    }

    pub fn pending_poll_request(&self) -> Option<String> {
        self.kept().pending_poll_request().map(str::to_owned)
    }

    pub fn poll_interval(&self, policy: &Policy) -> Duration {
        self.kept().poll_interval(policy)
    }
}

/// The result of a decision, with the whole new status of the object.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub status: ScaleOutTaskStatus,
    pub note: Option<EventNote>,
    pub memory: Memory,
    /// A requested call is always due at once here, without its own delay.
    pub next: Option<Next>,
}

/// Lets the rules decide, and applies the patch like the API server.
///
/// Checks that the patched status is the one that the rules decided on. So every test notices a lost
/// fingerprint, field or condition.
pub fn decide(
    policy: &Policy,
    object: &Object,
    nodes: &Nodes,
    memory: Memory,
    occasion: &Occasion,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let kept = object.kept();
    let verdict = rules::observe(&Case {
        policy,
        object: &kept,
        nodes,
        listed_every: None,
        memory,
        occasion,
        now,
        ends_by: Some(now),
        seed,
    });
    let patch = StatusPatch {
        from: &kept.status,
        to: &verdict.status,
        task: &verdict.task,
    };
    let mut status = serde_json::to_value(&object.status).unwrap();
    merge(&mut status, serde_json::to_value(patch).unwrap());
    let status: ScaleOutTaskStatus = serde_json::from_value(status).unwrap();
    assert_eq!(ObjectStatus::from(status.clone()), verdict.status);
    let next = verdict.next.map(|next| match next {
        Next::Call {
            requested: true, ..
        } => Next::Call {
            after: Duration::ZERO,
            requested: true,
        },
        next => next,
    });
    Verdict {
        status,
        note: verdict.note,
        memory: verdict.memory,
        next,
    }
}

/// Merges a patch like the API server, but only one level deep, as patches replace whole fields.
fn merge(target: &mut Value, patch: Value) {
    let (Value::Object(target), Value::Object(patch)) = (target, patch) else {
        panic!("not objects");
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            target.insert(name, value);
        }
    }
}

/// An object, the controller's memory of it, and the policy.
#[derive(Clone, Debug)]
pub struct Story {
    pub policy: Policy,
    pub object: Object,
    pub nodes: Nodes,
    pub memory: Memory,
    pub seed: u64,
}

impl Story {
    /// A new object with this spec, as the API server stores it.
    pub fn new(specify: impl FnOnce(&mut ScaleOutTaskSpec)) -> Self {
        let mut spec = ScaleOutTaskSpec {
            task_id: "T-1".into(),
            ..ScaleOutTaskSpec::default()
        };
        specify(&mut spec);
        Self {
            policy: Policy {
                default_region: Some("cn-hangzhou".to_owned()),
                ..Policy::default()
            },
            object: Object {
                uid: "2f1c".into(),
                generation: 1,
                created_at: at(0),
                spec,
                status: ScaleOutTaskStatus {
                    observed_generation: Some(-1),
                    ..ScaleOutTaskStatus::default()
                },
                ..Object::default()
            },
            nodes: Nodes::default(),
            memory: Memory::default(),
            seed: 7,
        }
    }

    /// A new object with a minimal spec.
    pub fn plain() -> Self {
        Self::new(|_| {})
    }

    /// An object that got this answer a second after its creation.
    pub fn polled(state: &str) -> Self {
        let mut story = Self::plain();
        story.called(1, answer(state));
        story
    }

    /// The user changes the spec.
    pub fn edit(&mut self, change: impl FnOnce(&mut ScaleOutTaskSpec)) {
        change(&mut self.object.spec);
        self.object.generation += 1;
    }

    /// The user asks for a poll.
    pub fn request(&mut self, value: &str) {
        self.object.poll_request = Some(value.into());
    }

    /// The controller restarts.
    pub fn restart(&mut self) {
        self.memory = Memory::default();
    }

    pub fn seen(&mut self, seconds: i64) -> Verdict {
        self.happens(&Occasion::Seen, at(seconds))
    }

    pub fn waited(&mut self, seconds: i64) -> Verdict {
        self.happens(&Occasion::Waited, at(seconds))
    }

    /// A call without duration, for the pending poll request if there is one.
    pub fn called(&mut self, seconds: i64, result: impl IntoResult) -> Verdict {
        let request = self.object.pending_poll_request();
        self.call_ends(seconds, seconds, request.as_deref(), result)
    }

    /// The end of a call that began earlier, for the poll request of that time.
    pub fn call_ends(
        &mut self,
        began: i64,
        ended: i64,
        request: Option<&str>,
        result: impl IntoResult,
    ) -> Verdict {
        let occasion = Occasion::Polled {
            result: result.into_result(),
            started_at: at(began),
            poll_request: request.map(Into::into),
        };
        self.happens(&occasion, at(ended))
    }

    pub fn happens(&mut self, occasion: &Occasion, now: Timestamp) -> Verdict {
        let verdict = decide(
            &self.policy,
            &self.object,
            &self.nodes,
            self.memory,
            occasion,
            now,
            self.seed,
        );
        self.object.status = verdict.status.clone();
        self.memory = verdict.memory;
        verdict
    }

    pub fn status(&self) -> &ScaleOutTaskStatus {
        &self.object.status
    }

    /// The status of `Ready`, the other condition, and the reason: `False Stalled TaskFailed`.
    pub fn shows(&self) -> String {
        let Some(ready) = self.object.ready() else {
            return "nothing".into();
        };
        let abnormal = match (self.has("Reconciling"), self.has("Stalled")) {
            (true, false) => "Reconciling",
            (false, true) => "Stalled",
            (false, false) => "-",
            (true, true) => "both",
        };
        format!("{} {abnormal} {}", ready.status, ready.reason)
    }

    pub fn message(&self) -> &str {
        self.object
            .ready()
            .map_or("", |ready| ready.message.as_str())
    }

    /// When the condition of that type last changed, in seconds after the object's creation.
    pub fn changed_at(&self, type_: &str) -> Option<i64> {
        let mut conditions = self.status().conditions.iter();
        let condition = conditions.find(|condition| condition.type_ == type_)?;
        Some(since_creation(condition.last_transition_time.0))
    }

    pub fn finished_at(&self) -> Option<i64> {
        self.status()
            .finished_at
            .as_ref()
            .map(|time| since_creation(time.0))
    }

    fn has(&self, type_: &str) -> bool {
        let mut conditions = self.status().conditions.iter();
        conditions.any(|condition| condition.type_ == type_ && condition.status == "True")
    }
}

fn since_creation(time: Timestamp) -> i64 {
    time.duration_since(at(0)).as_secs()
}

/// A Node.
pub fn node(name: &str, provider_id: &str, is_ready: bool) -> Node {
    Node {
        name: name.into(),
        instance: NodeInstance::parse(provider_id),
        is_ready,
        cluster: None,
    }
}

/// A task in this state, without instances.
pub fn task(state: &str) -> Task {
    Task {
        state: state.into(),
        ..Task::default()
    }
}

/// A task in this state, with instances `i-0`, `i-1`, … of these statuses.
pub fn task_of(state: &str, statuses: &[&str]) -> Task {
    let instance = |(index, status): (usize, &&str)| Instance {
        id: format!("i-{index}"),
        status: (*status).to_owned(),
    };
    Task {
        results: statuses.iter().enumerate().map(instance).collect(),
        ..task(state)
    }
}

/// An answer about a task in this state, without instances.
pub fn answer(state: &str) -> PollResult {
    describes(task(state))
}

/// An answer about this task.
#[expect(
    clippy::unnecessary_wraps,
    reason = "errors are used in the same places"
)]
pub fn describes(task: Task) -> PollResult {
    Ok(task)
}

/// An error with this reason and no details.
pub fn poll_error(reason: Reason) -> PollError {
    PollError::new(reason)
}

/// The delay of the next call, and whether it was requested.
#[track_caller]
pub fn next_call(verdict: &Verdict) -> (Duration, bool) {
    match verdict.next {
        Some(Next::Call { after, requested }) => (after, requested),
        ref other => panic!("a call should be next, but it is {other:?}"),
    }
}

/// The API server accepts an Event's note of up to this many bytes.
pub const NOTE_BYTES: usize = 1024;

/// Types that can be used as the result of a call.
pub trait IntoResult {
    fn into_result(self) -> PollResult;
}

impl IntoResult for PollResult {
    fn into_result(self) -> PollResult {
        self
    }
}

impl IntoResult for PollError {
    fn into_result(self) -> PollResult {
        Err(self)
    }
}

//! One object, told step by step what happens to it.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use scaleouttask_controller::{
    api::{ScaleOutTaskSpec, ScaleOutTaskStatus},
    core::{
        Input, Instance, Memory, Next, Object, ObjectKey, Outcome, Policy, Reason, Task, Trouble,
        Verdict, observe,
    },
};

/// The default poll interval of all stories.
pub const INTERVAL: Duration = Duration::from_secs(15);

/// So many seconds after the object's creation.
pub fn at(seconds: i64) -> Timestamp {
    at_millis(seconds * 1000)
}

/// So many milliseconds after the object's creation.
pub fn at_millis(millis: i64) -> Timestamp {
    let created: Timestamp = "2024-05-01T12:00:00Z".parse().unwrap();
    created + SignedDuration::from_millis(millis)
}

/// An object, what is remembered of it, and who looks after it.
#[derive(Clone, Debug)]
pub struct Story {
    pub policy: Policy,
    pub object: Object,
    pub memory: Memory,
    pub seed: u64,
}

impl Story {
    /// A new object with this spec, as the API server hands it out.
    pub fn new(specify: impl FnOnce(&mut ScaleOutTaskSpec)) -> Self {
        let mut spec = ScaleOutTaskSpec {
            task_id: "T-1".into(),
            ..ScaleOutTaskSpec::default()
        };
        specify(&mut spec);
        Self {
            policy: Policy {
                has_default_region: true,
                poll_interval: INTERVAL,
                allowed_cluster_ids: Vec::new(),
                secret_credentials: false,
            },
            object: Object {
                key: ObjectKey {
                    namespace: "default".into(),
                    name: "nodes".into(),
                },
                uid: "2f1c".into(),
                resource_version: "1".into(),
                generation: 1,
                created_at: at(0),
                spec,
                status: ScaleOutTaskStatus {
                    observed_generation: Some(-1),
                    ..ScaleOutTaskStatus::default()
                },
                ..Object::default()
            },
            memory: Memory::default(),
            seed: 7,
        }
    }

    /// A new object that asks for nothing special.
    pub fn plain() -> Self {
        Self::new(|_| {})
    }

    /// An object that was last told of its task a second after its creation.
    pub fn told(state: &str) -> Self {
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

    /// The controller starts anew.
    pub fn restart(&mut self) {
        self.memory = Memory::default();
    }

    pub fn seen(&mut self, seconds: i64) -> Verdict {
        self.happens(&Input::Seen, at(seconds))
    }

    pub fn waited(&mut self, seconds: i64) -> Verdict {
        self.happens(&Input::Waited, at(seconds))
    }

    /// A call that takes no time; it acts on the poll request that waits.
    pub fn called(&mut self, seconds: i64, outcome: impl Into<Outcome>) -> Verdict {
        let request = self.object.pending_poll_request().map(str::to_owned);
        self.call_ends(seconds, seconds, request.as_deref(), outcome)
    }

    /// The end of a call that began earlier, acting on the poll request of that time.
    pub fn call_ends(
        &mut self,
        began: i64,
        ended: i64,
        request: Option<&str>,
        outcome: impl Into<Outcome>,
    ) -> Verdict {
        let input = Input::Called {
            outcome: outcome.into(),
            started_at: at(began),
            poll_request: request.map(str::to_owned),
        };
        self.happens(&input, at(ended))
    }

    pub fn happens(&mut self, input: &Input, now: Timestamp) -> Verdict {
        let verdict = observe(
            &self.policy,
            &self.object,
            self.memory,
            input,
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

    /// `Ready`'s status, what stands beside it, and the reason: `False Stalled TaskFailed`.
    pub fn shows(&self) -> String {
        let Some(ready) = self.object.ready() else {
            return "nothing".into();
        };
        let beside = match (self.has("Reconciling"), self.has("Stalled")) {
            (true, false) => "Reconciling",
            (false, true) => "Stalled",
            (false, false) => "-",
            (true, true) => "both",
        };
        format!("{} {beside} {}", ready.status, ready.reason)
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

/// A task in this state, with no instances.
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

/// The API describes a task in this state, with no instances.
pub fn answer(state: &str) -> Outcome {
    describes(task(state))
}

/// The API describes this task.
pub fn describes(task: Task) -> Outcome {
    Outcome::Answer(Box::new(task))
}

/// Trouble of this kind, and nothing more known.
pub fn trouble(reason: Reason) -> Trouble {
    Trouble::new(reason)
}

/// The delay and the urgency of the call that follows.
#[track_caller]
pub fn next_call(verdict: &Verdict) -> (Duration, bool) {
    match verdict.next {
        Some(Next::Call { after, urgent }) => (after, urgent),
        ref other => panic!("a call should follow, but it is {other:?}"),
    }
}

/// The API server accepts an Event's note up to so many bytes.
pub const NOTE_BYTES: usize = 1024;

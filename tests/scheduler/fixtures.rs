//! A scheduler, told step by step what happens.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use scaleouttask_controller::{
    api::{ScaleOutTaskSpec, ScaleOutTaskStatus, SecretReference},
    rules::{Object, ObjectKey, Policy, PollError, PollResult, Reason, Task},
    scheduler::{
        Call, CallLimits, Config, Effect, EventResult, Input, Now, Publication, Scheduler, Write,
        WriteResult,
    },
};

/// A scheduler that leads, its clock, and the Events that it had published.
pub struct Stage {
    pub scheduler: Scheduler,
    pub now: Now,
    pub events: Vec<Publication>,
    /// The objects at the API server.
    stored: BTreeMap<String, Object>,
    /// Whether Events stay under way until a test ends them.
    pub holds_events: bool,
}

/// As many calls at a time as fit.
pub fn stage() -> Stage {
    Stage::with(|_| {})
}

/// One call at a time for each account and host.
pub fn stage_of_one_call_at_a_time() -> Stage {
    Stage::with(|limits| limits.concurrency = 1)
}

impl Stage {
    pub fn with(limit: impl FnOnce(&mut CallLimits)) -> Self {
        let mut limits = CallLimits {
            requests_per_second: 1e6,
            ..CallLimits::default()
        };
        limit(&mut limits);
        let mut stage = Self {
            scheduler: Scheduler::new(Config {
                policy: Policy {
                    default_region: Some("cn-hangzhou".to_owned()),
                    nodes: true,
                    sources: true,
                    secret_credentials: true,
                    ..Policy::default()
                },
                limits,
                seed: 1,
                ..Config::default()
            }),
            now: Now {
                wall: Timestamp::UNIX_EPOCH,
                monotonic: Duration::from_secs(100),
                local: None,
                is_confirmed: true,
            },
            events: Vec::new(),
            stored: BTreeMap::new(),
            holds_events: false,
        };
        stage.handle(Input::LeadsUntil(Duration::MAX));
        stage
    }

    /// What the scheduler asks for, without log lines and Events.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.scheduler.handle(input, self.now) {
                match effect {
                    Effect::Record(_) | Effect::RecordListing(_) | Effect::CountMade => {}
                    Effect::Publish(publication) => {
                        if !self.holds_events {
                            inputs.push(Input::EventEnded(publication.id, EventResult::Created));
                        }
                        self.events.push(*publication);
                    }
                    effect => effects.push(effect),
                }
            }
        }
        effects
    }

    /// Time passes.
    pub fn after(&mut self, time: Duration) -> Vec<Effect> {
        self.now.monotonic += time;
        self.now.wall += SignedDuration::try_from(time).unwrap();
        self.handle(Input::Tick)
    }

    /// Time passes until something is due.
    pub fn next(&mut self) -> Vec<Effect> {
        let at = self.scheduler.next_wake().expect("something is due");
        self.after(at.saturating_sub(self.now.monotonic))
    }

    /// An object appears or changes.
    pub fn apply(&mut self, object: Object) -> Vec<Effect> {
        self.stored.insert(object.key.to_string(), object.clone());
        self.handle(Input::Applied(0, Box::new(object)))
    }

    /// A poll is requested by the annotation.
    pub fn request(&mut self, key: &str, request: u64) -> Vec<Effect> {
        let mut object = self.stored[key].clone();
        let version: u64 = object.resource_version.to_string().parse().unwrap();
        object.poll_request = Some(request.to_string().into());
        object.resource_version = (version + 1).to_string().into();
        self.apply(object)
    }

    /// The call ends, having taken no time.
    pub fn end(&mut self, call: &Call, result: PollResult) -> Vec<Effect> {
        self.handle(Input::CallEnded {
            object: call.object,
            queue: call.queue,
            result,
            started_at: self.now.wall,
            poll_request: call.poll_request.clone(),
        })
    }

    /// The write lands.
    pub fn land(&mut self, write: &Write) -> Vec<Effect> {
        let written = Box::new(written(write));
        self.stored
            .insert(written.key.to_string(), (*written).clone());
        self.handle(Input::WriteEnded(write.id, WriteResult::Written(written)))
    }
}

/// An object of that namespace and name, whose UID is its name.
pub fn object_in(
    namespace: &str,
    name: &str,
    specify: impl FnOnce(&mut ScaleOutTaskSpec),
) -> Object {
    let mut spec = ScaleOutTaskSpec {
        task_id: format!("T-{name}"),
        ..ScaleOutTaskSpec::default()
    };
    specify(&mut spec);
    Object {
        key: ObjectKey {
            namespace: namespace.into(),
            name: name.into(),
        },
        uid: name.into(),
        resource_version: "1".into(),
        generation: 1,
        spec: spec.into(),
        status: ScaleOutTaskStatus {
            observed_generation: Some(-1),
            ..ScaleOutTaskStatus::default()
        }
        .into(),
        ..Object::default()
    }
}

/// An object that asks for nothing special.
pub fn object(name: &str) -> Object {
    object_in("ns", name, |_| {})
}

/// The same with credentials of its own.
pub fn object_with_secret(name: &str, secret: &str) -> Object {
    object_in("ns", name, |spec| {
        let name = secret.to_owned();
        spec.credentials_secret_ref = Some(SecretReference { name });
    })
}

/// The object after an edit of its spec.
pub fn edited(
    object: &Object,
    generation: i64,
    specify: impl FnOnce(&mut ScaleOutTaskSpec),
) -> Object {
    let mut spec = ScaleOutTaskSpec {
        task_id: object.spec.task_id.to_string(),
        ..ScaleOutTaskSpec::default()
    };
    specify(&mut spec);
    Object {
        generation,
        resource_version: generation.to_string().into(),
        spec: spec.into(),
        ..object.clone()
    }
}

/// The object once the write landed.
pub fn written(write: &Write) -> Object {
    let version: u64 = write.object.resource_version.to_string().parse().unwrap();
    Object {
        status: write.status.clone(),
        resource_version: (version + 1).to_string().into(),
        ..write.object.clone()
    }
}

pub fn reason(write: &Write) -> Option<Reason> {
    write.status.conditions.reason()
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where errors do")]
pub fn answer(state: &str) -> PollResult {
    Ok(Task {
        state: state.to_owned(),
        ..Task::default()
    })
}

pub fn failure(reason: Reason) -> PollResult {
    Err(PollError::new(reason))
}

/// The API asks for a wait.
pub fn wait(reason: Reason, seconds: u64) -> PollResult {
    Err(PollError {
        retry_after: Some(Duration::from_secs(seconds)),
        ..PollError::new(reason)
    })
}

pub fn calls(effects: Vec<Effect>) -> Vec<Call> {
    let calls = effects.into_iter().filter_map(|effect| match effect {
        Effect::Call(call) => Some(call),
        _ => None,
    });
    calls.collect()
}

pub fn writes(effects: Vec<Effect>) -> Vec<Write> {
    let writes = effects.into_iter().filter_map(|effect| match effect {
        Effect::Write(write) => Some(*write),
        _ => None,
    });
    writes.collect()
}

#[track_caller]
pub fn only_call(effects: Vec<Effect>) -> Call {
    match <[Effect; 1]>::try_from(effects) {
        Ok([Effect::Call(call)]) => call,
        other => panic!("not one call: {other:?}"),
    }
}

#[track_caller]
pub fn only_write(effects: Vec<Effect>) -> Write {
    match <[Effect; 1]>::try_from(effects) {
        Ok([Effect::Write(write)]) => *write,
        other => panic!("not one write: {other:?}"),
    }
}

//! `cargo bench --bench micro`: the time of each step of a poll.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use scaleouttask_controller::{
    api::ScaleOutTaskSpec,
    rules::{
        Case, Fingerprint, Instance, Memory, Nodes, Object, ObjectKey, Occasion, Policy, Task,
        TaskChange, observe,
    },
    scheduler::{
        Call, CallLimits, Config, Effect, EventResult, Input, Now, Scheduler, WriteResult,
    },
    task_api::{
        credentials::Credentials,
        parse_task,
        sign::{Request, sign},
    },
};

const JSON: &[u8] = include_bytes!("../tests/fixtures/running.json");
const XML: &[u8] = include_bytes!("../tests/fixtures/running.xml");
const INTERVAL: Duration = Duration::from_secs(10);

criterion_group!(benches, parse, decide, turn, signature);
criterion_main!(benches);

fn parse(criterion: &mut Criterion) {
    for (name, body) in [("parse/json", JSON), ("parse/xml", XML)] {
        let id = task_id(body);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| parse_task(black_box(body), &id));
        });
    }
}

fn decide(criterion: &mut Criterion) {
    let (policy, nodes) = (policy(), Nodes::default());
    let now = Timestamp::now();
    let polled = |state: &str| Occasion::Polled {
        result: Ok(task(state)),
        started_at: now,
        poll_request: None,
    };
    let (running, success) = (polled("running"), polled("success"));
    let mut object = object(0);
    let verdict = |object: &Object, occasion: &Occasion| {
        observe(&Case {
            policy: &policy,
            object,
            nodes: &nodes,
            listed_every: None,
            memory: Memory::default(),
            occasion,
            now,
            ends_by: Some(now),
            seed: 1,
        })
    };
    let first = verdict(&object, &running);
    object.status = first.status;
    for (name, occasion) in [("observe/unchanged", &running), ("observe/end", &success)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| verdict(black_box(&object), black_box(occasion)));
        });
    }
    if let TaskChange::Set(shown) = first.task {
        criterion.bench_function("fingerprint", |bencher| {
            bencher.iter(|| Fingerprint::of(black_box(&shown)));
        });
    }
}

/// From the end of a call without changes to the next call, among 10,000 objects.
fn turn(criterion: &mut Criterion) {
    let mut world = World::settled(10_000);
    criterion.bench_function("scheduler/unchanged_poll", |bencher| {
        bencher.iter(|| world.poll());
    });
}

fn signature(criterion: &mut Criterion) {
    let credentials = Credentials {
        access_key_id: "benchmark".to_owned(),
        access_key_secret: "of-no-use-elsewhere".into(),
        security_token: None,
        expires_at: None,
    };
    let url = "https://cs.cn-hangzhou.aliyuncs.com/tasks/T-5faa48fb31b6b8078d000006";
    let Ok(url) = url.parse::<Url>() else {
        unreachable!("it is a URL");
    };
    let request = Request {
        method: &Method::GET,
        url: &url,
        action: "DescribeTaskInfo",
        version: "2015-12-15",
    };
    let (at, nonce) = (Timestamp::now(), "0123456789abcdef0123456789abcdef");
    criterion.bench_function("sign", |bencher| {
        bencher.iter(|| sign(black_box(&request), &credentials, at, nonce));
    });
}

/// A scheduler with objects, and the time.
struct World {
    scheduler: Scheduler,
    start: Timestamp,
    monotonic: Duration,
    /// Calls in flight.
    calls: Vec<Call>,
}

impl World {
    /// This many objects with running tasks, each polled twice.
    fn settled(objects: u32) -> Self {
        let mut world = Self {
            scheduler: Scheduler::new(Config {
                policy: policy(),
                limits: CallLimits {
                    requests_per_second: 1e9,
                    concurrency: usize::MAX,
                    max_calls: usize::MAX,
                },
                ..Config::default()
            }),
            start: Timestamp::now(),
            monotonic: Duration::ZERO,
            calls: Vec::new(),
        };
        world.feed(Input::LeadsUntil(Duration::MAX));
        for number in 0..objects {
            world.feed(Input::Applied(0, Box::new(object(number))));
        }
        for _ in 0..2 * objects {
            world.poll();
        }
        world
    }

    fn poll(&mut self) {
        while self.calls.is_empty() {
            let due = self.scheduler.next_wake();
            self.monotonic = due.map_or(self.monotonic, |due| due.max(self.monotonic));
            self.feed(Input::Tick);
        }
        if let Some(call) = self.calls.pop() {
            self.feed(Input::CallEnded {
                object: call.object,
                queue: call.queue,
                result: Ok(task("running")),
                started_at: self.now().wall,
                poll_request: None,
            });
        }
    }

    fn now(&self) -> Now {
        let passed = SignedDuration::try_from(self.monotonic).unwrap_or_default();
        Now {
            wall: self.start + passed,
            monotonic: self.monotonic,
            local: None,
            is_confirmed: true,
        }
    }

    fn feed(&mut self, input: Input) {
        for effect in self.scheduler.handle(input, self.now()) {
            match effect {
                Effect::Write(write) => {
                    let mut object = write.object;
                    object.status = write.status;
                    object.resource_version = "2".into();
                    let written = WriteResult::Written(Box::new(object));
                    self.feed(Input::WriteEnded(write.id, written));
                }
                Effect::Publish(event) => {
                    self.feed(Input::EventEnded(event.id, EventResult::Created));
                }
                Effect::Call(call) => self.calls.push(call),
                _ => {}
            }
        }
    }
}

fn policy() -> Policy {
    Policy {
        default_region: Some("cn-hangzhou".to_owned()),
        poll_interval: INTERVAL,
        ..Policy::default()
    }
}

fn object(number: u32) -> Object {
    Object {
        key: ObjectKey {
            namespace: "default".into(),
            name: format!("scale-out-{number}").into(),
        },
        uid: format!("{number:08x}-0000-4000-8000-000000000000").into(),
        resource_version: "1".into(),
        generation: 1,
        created_at: Timestamp::now(),
        spec: ScaleOutTaskSpec {
            task_id: format!("T-5faa48fb31b6b8078d{number:06}"),
            ..ScaleOutTaskSpec::default()
        }
        .into(),
        ..Object::default()
    }
}

fn task(state: &str) -> Task {
    let instance = |number| Instance {
        id: format!("i-bp1dfrc9mqyv4w0x{number:04}"),
        status: "initail".to_owned(),
    };
    Task {
        cluster_id: Some("c3fb96524f9274b4495df0f12a6b50000".to_owned()),
        task_type: Some("cluster_scaleout".to_owned()),
        state: state.to_owned(),
        results: (0..3).map(instance).collect(),
        ..Task::default()
    }
}

fn task_id(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let id = text.split("T-").nth(1).unwrap_or_default();
    let end = id.find(|c: char| !c.is_ascii_alphanumeric());
    format!("T-{}", &id[..end.unwrap_or(id.len())])
}

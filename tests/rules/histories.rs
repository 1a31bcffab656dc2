//! Arbitrary histories of an object, as they could happen to the controller. A call begins only after a
//! decision for one, and may end at any time.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};
use scaleouttask_controller::{
    api::SecretReference,
    rules::{
        Instance, Instances, Memory, Next, Occasion, PollError, PollResult, Reason, Stage, Target,
        Task, TaskEvent,
    },
};

use crate::fixtures::{Object, Story, Verdict, at, at_millis, decide, node};

/// Something that happens to the object, the API or the controller.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Time passes until the next step that the last verdict decided on. Then a call begins and ends.
    Due(Box<PollResult>),
    /// A call in flight ends.
    Answered(Box<PollResult>),
    Passes(Duration),
    /// The watch shows a Node: its name, provider ID, and whether it is Ready.
    Node(&'static str, &'static str, bool),
    /// A Node is gone.
    NodeGone(&'static str),
    /// The first list of Nodes is done.
    NodesListed,
    /// The user changes `waitForNodes`.
    WaitForNodes(bool),
    Suspend(bool),
    Timeout(Option<&'static str>),
    Interval(Option<&'static str>),
    Cluster(Option<&'static str>),
    Ttl(Option<i32>),
    Secret(bool),
    Request(Option<&'static str>),
    /// The controller restarts, perhaps with other flags.
    Restart {
        region: bool,
        secrets: bool,
        allowed: Vec<&'static str>,
        nodes: bool,
    },
}

/// One decision in a history, with all its inputs.
pub struct Step {
    pub before: Story,
    pub input: Occasion,
    pub now: Timestamp,
    pub verdict: Verdict,
    /// The object once the verdict is applied.
    pub after: Object,
}

impl Step {
    pub fn blocked(&self) -> bool {
        let spec = &self.before.object.spec;
        let policy = &self.before.policy;
        let secret_refused = spec.credentials_secret_ref.is_some() && !policy.secret_credentials;
        let no_region = spec.region.is_none() && policy.default_region.is_none();
        let no_nodes = spec.wait_for_nodes == Some(true) && !policy.nodes;
        // What has ended waits for no nodes.
        let waits = no_nodes && !self.after.is_finished();
        no_region || secret_refused || waits
    }

    pub fn suspended(&self) -> bool {
        self.before.object.spec.suspend == Some(true)
    }

    /// A task of a cluster that isn't the one expected or allowed.
    pub fn foreign_task(&self) -> Option<&Task> {
        let Occasion::Polled {
            result: Ok(task), ..
        } = &self.input
        else {
            return None;
        };
        self.is_foreign(task.cluster_id.as_ref()).then_some(task)
    }

    pub fn is_foreign(&self, cluster: Option<&String>) -> bool {
        let expected = self.before.object.spec.cluster_id.as_ref();
        let allowed = &self.before.policy.allowed_cluster_ids;
        let unexpected = expected.is_some() && cluster != expected;
        let forbidden = !allowed.is_empty() && cluster.is_none_or(|id| !allowed.contains(id));
        unexpected || forbidden
    }

    /// Whether what was shown before is of such a cluster, and no answer of the right one came now.
    pub fn narrows(&self) -> bool {
        let before = &self.before.object.status;
        let is_right = matches!(&self.input, Occasion::Polled { result: Ok(task), .. }
            if !self.is_foreign(task.cluster_id.as_ref()));
        before.state.is_some() && self.is_foreign(before.cluster_id.as_ref()) && !is_right
    }

    pub fn poll_error(&self) -> Option<&PollError> {
        match &self.input {
            Occasion::Polled {
                result: Err(error), ..
            } => Some(error),
            _ => None,
        }
    }

    pub fn handled_request(&self) -> Option<&str> {
        match &self.input {
            Occasion::Polled { poll_request, .. } => poll_request.as_deref(),
            _ => None,
        }
    }

    /// Whether a poll request is pending after the verdict is applied.
    pub fn request_waits(&self) -> bool {
        self.after.pending_poll_request().is_some()
    }
}

/// Runs through `events` and calls `check` for each decision.
pub fn play(
    story: Story,
    events: &[Happening],
    check: impl Fn(&Step) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut player = Player {
        story,
        now: at(0),
        next: Next::Rest,
        call: None,
        check,
    };
    player.decide(Occasion::Seen)?;
    events.iter().try_for_each(|event| player.apply(event))
}

struct Player<C> {
    story: Story,
    now: Timestamp,
    next: Next,
    /// The call in flight: when it began, and its poll request.
    call: Option<(Timestamp, Option<String>)>,
    check: C,
}

impl<C: Fn(&Step) -> Result<(), TestCaseError>> Player<C> {
    fn apply(&mut self, event: &Happening) -> Result<(), TestCaseError> {
        let spec = &mut self.story.object.spec;
        match event {
            Happening::Due(result) => return self.due(result),
            Happening::Answered(result) => return self.answered(result),
            Happening::Passes(time) => {
                self.pass(*time);
                return Ok(());
            }
            Happening::Request(request) => {
                self.story.object.poll_request = request.map(Into::into);
                return self.decide(Occasion::Seen);
            }
            Happening::Restart {
                region,
                secrets,
                allowed,
                nodes,
            } => {
                self.story.memory = Memory::default();
                self.call = None;
                let region = region.then(|| "cn-hangzhou".to_owned());
                self.story.policy.default_region = region;
                self.story.policy.secret_credentials = *secrets;
                self.story.policy.nodes = *nodes;
                self.story.policy.allowed_cluster_ids =
                    allowed.iter().map(|id| (*id).to_owned()).collect();
                return self.decide(Occasion::Seen);
            }
            Happening::Node(name, provider_id, is_ready) => {
                self.story.nodes.apply(node(name, provider_id, *is_ready));
                return self.decide(Occasion::Seen);
            }
            Happening::NodeGone(name) => {
                self.story.nodes.remove(name);
                return self.decide(Occasion::Seen);
            }
            Happening::NodesListed => {
                self.story.nodes.listed();
                return self.decide(Occasion::Seen);
            }
            Happening::WaitForNodes(waits) => spec.wait_for_nodes = Some(*waits),
            Happening::Suspend(suspend) => spec.suspend = Some(*suspend),
            Happening::Timeout(timeout) => spec.timeout = timeout.map(Into::into),
            Happening::Interval(interval) => spec.poll_interval = interval.map(Into::into),
            Happening::Cluster(cluster) => spec.cluster_id = cluster.map(Into::into),
            Happening::Ttl(ttl) => spec.ttl_seconds_after_finished = *ttl,
            Happening::Secret(secret) => {
                let reference = || SecretReference {
                    name: "keys".into(),
                };
                spec.credentials_secret_ref = secret.then(reference);
            }
        }
        self.story.object.generation += 1;
        self.decide(Occasion::Seen)
    }

    fn due(&mut self, result: &PollResult) -> Result<(), TestCaseError> {
        if self.call.is_some() {
            return self.answered(result);
        }
        match self.next {
            Next::Call { after, .. } => {
                self.pass(after);
                self.begin_call();
                self.pass(Duration::from_millis(300));
                self.answered(result)
            }
            Next::Wait(after) => {
                self.pass(after);
                self.decide(Occasion::Waited)
            }
            Next::Rest | Next::Delete(_) => self.decide(Occasion::Waited),
        }
    }

    fn begin_call(&mut self) {
        let request = self.story.object.pending_poll_request();
        self.call = Some((self.now, request));
    }

    fn answered(&mut self, result: &PollResult) -> Result<(), TestCaseError> {
        if let Some((started_at, poll_request)) = self.call.take() {
            return self.decide(Occasion::Polled {
                result: result.clone(),
                started_at,
                poll_request: poll_request.map(Into::into),
            });
        }
        // No call to answer yet: the due call begins.
        if matches!(self.next, Next::Call { .. }) {
            self.begin_call();
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        // Limited, because a deadline may be beyond the calendar.
        let time = time.min(Duration::from_secs(1_000_000));
        self.now += SignedDuration::try_from(time).unwrap();
    }

    fn decide(&mut self, input: Occasion) -> Result<(), TestCaseError> {
        let before = self.story.clone();
        let verdict = decide(
            &before.policy,
            &before.object,
            &before.nodes,
            before.memory,
            &input,
            self.now,
            before.seed,
        );
        self.story.object.status = verdict.status.clone();
        self.story.memory = verdict.memory;
        self.story.seed = before.seed.wrapping_add(1);
        self.next = verdict.next.unwrap_or(self.next);
        (self.check)(&Step {
            before,
            input,
            now: self.now,
            verdict,
            after: self.story.object.clone(),
        })
    }
}

/// Nodes that come, change and go.
const NODES: [&str; 3] = ["n-1", "n-2", "i-1"];
const PROVIDER_IDS: [&str; 4] = [
    "",
    "cn-hangzhou.i-1",
    "alicloud://cn-hangzhou.i-2",
    "cn-beijing.i-2",
];

/// New objects with arbitrary specs.
pub fn stories() -> impl Strategy<Value = Story> {
    let spec = (timeouts(), intervals(), clusters(), ttls(), any::<bool>());
    let nodes = (any::<bool>(), prop::bool::weighted(0.8));
    (spec, nodes, prop::bool::weighted(0.1), any::<u64>()).prop_map(
        |((timeout, interval, cluster, ttl, region), (waits, watched), suspend, seed)| {
            let mut story = Story::new(|spec| {
                spec.timeout = timeout.map(Into::into);
                spec.poll_interval = interval.map(Into::into);
                spec.cluster_id = cluster.map(Into::into);
                spec.ttl_seconds_after_finished = ttl;
                spec.region = region.then(|| "cn-hangzhou".into());
                spec.suspend = suspend.then_some(true);
                spec.wait_for_nodes = waits.then_some(true);
            });
            story.policy.nodes = watched;
            story.object.uid = seed.to_string();
            story.seed = seed;
            story
        },
    )
}

pub fn histories() -> impl Strategy<Value = Vec<Happening>> {
    vec(events(), 0..24)
}

fn events() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => poll_results().prop_map(|result| Happening::Due(Box::new(result))),
        6 => poll_results().prop_map(|result| Happening::Answered(Box::new(result))),
        4 => (0_u64..200_000).prop_map(|millis| Happening::Passes(Duration::from_millis(millis))),
        2 => any::<bool>().prop_map(Happening::Suspend),
        2 => timeouts().prop_map(Happening::Timeout),
        1 => intervals().prop_map(Happening::Interval),
        1 => clusters().prop_map(Happening::Cluster),
        1 => ttls().prop_map(Happening::Ttl),
        1 => any::<bool>().prop_map(Happening::Secret),
        3 => option::weighted(0.8, select(vec!["", "a", "b", "c"])).prop_map(Happening::Request),
        2 => (any::<bool>(), any::<bool>(), allowed(), prop::bool::weighted(0.8)).prop_map(
            |(region, secrets, allowed, nodes)| Happening::Restart { region, secrets, allowed, nodes },
        ),
        6 => (select(NODES.to_vec()), select(PROVIDER_IDS.to_vec()), any::<bool>())
            .prop_map(|(name, provider_id, is_ready)| Happening::Node(name, provider_id, is_ready)),
        1 => select(NODES.to_vec()).prop_map(Happening::NodeGone),
        4 => Just(Happening::NodesListed),
        2 => any::<bool>().prop_map(Happening::WaitForNodes),
    ]
}

fn timeouts() -> impl Strategy<Value = Option<&'static str>> {
    option::of(select(vec![
        "1s", "500.5s", "1m", "90s", "5m", "20m", "1h", "2562047h",
    ]))
}

fn intervals() -> impl Strategy<Value = Option<&'static str>> {
    option::of(select(vec!["1s", "1m30s", "0.5h", "1h"]))
}

fn clusters() -> impl Strategy<Value = Option<&'static str>> {
    option::weighted(0.3, select(vec!["c-1", "c-2"]))
}

fn allowed() -> impl Strategy<Value = Vec<&'static str>> {
    select(vec![vec![], vec![], vec!["c-1"], vec!["c-1", "c-2"]])
}

fn ttls() -> impl Strategy<Value = Option<i32>> {
    option::of(select(vec![0, 60, i32::MAX]))
}

fn poll_results() -> impl Strategy<Value = PollResult> {
    prop_oneof![
        2 => tasks().prop_map(Ok),
        1 => Just(Ok(task_of_nodes())),
        2 => poll_errors().prop_map(Err),
    ]
}

/// A task that succeeded, whose Nodes may come.
fn task_of_nodes() -> Task {
    let instance = |id: &str| Instance {
        id: id.to_owned(),
        status: "success".to_owned(),
    };
    Task {
        state: "success".to_owned(),
        results: ["i-1", "i-2"].map(instance).into_iter().collect(),
        ..Task::default()
    }
}

fn poll_errors() -> impl Strategy<Value = PollError> {
    let reasons = select(vec![
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::InvalidResponse,
        Reason::TaskNotFound,
        Reason::TaskNotFound,
        Reason::AccessDenied,
        Reason::CredentialsInvalid,
        Reason::ClockSkewed,
        Reason::RequestRejected,
    ]);
    let codes = option::of("[A-Za-z0-9._]{1,64}");
    let pauses = option::weighted(0.2, (0_u64..=300).prop_map(Duration::from_secs));
    (reasons, codes, option::weighted(0.2, texts()), pauses).prop_map(
        |(reason, code, detail, retry_after)| PollError {
            code,
            detail,
            retry_after,
            ..PollError::new(reason)
        },
    )
}

/// Tasks whose every free text begins with a unique word, so that it can be searched for.
fn tasks() -> impl Strategy<Value = Task> {
    let words = (
        option::of(texts()),
        option::of(texts()),
        option::of(texts()),
    );
    let error = option::weighted(0.3, (option::of(texts()), option::of(texts())));
    let cluster = option::weighted(0.8, select(vec!["c-1", "c-2", "c-1", "", "c-elsewhere"]));
    let times = (option::of(0_i64..10_000_000), option::of(0_i64..10_000_000));
    let beside = (
        option::weighted(0.2, targets()),
        vec(stages(), 0..3),
        vec(task_events(), 0..3),
    );
    (states(), cluster, words, error, results(), times, beside).prop_map(
        |(state, cluster, words, error, results, (created, updated), (target, stages, events))| {
            let (task_id, task_type, stage) = words;
            Task {
                task_id,
                cluster_id: cluster.map(Into::into),
                task_type,
                current_stage: stage,
                state,
                created: created.map(at_millis),
                updated: updated.map(at_millis),
                results,
                error,
                target,
                stages,
                events,
            }
        },
    )
}

fn targets() -> impl Strategy<Value = Target> {
    (option::of(texts()), option::of(texts())).prop_map(|(type_, id)| Target { type_, id })
}

fn stages() -> impl Strategy<Value = Stage> {
    (option::of(states()), option::of(texts())).prop_map(|(state, message)| Stage {
        state,
        message,
        ..Stage::default()
    })
}

fn task_events() -> impl Strategy<Value = TaskEvent> {
    let levels = option::of(select(vec!["error", "Warning", "info"]));
    let times = option::of((0_i64..10_000_000).prop_map(at_millis));
    (times, levels, option::of(texts()), option::of(texts())).prop_map(
        |(time, level, reason, message)| TaskEvent {
            time,
            level: level.map(Into::into),
            reason,
            message,
            source: None,
        },
    )
}

fn states() -> impl Strategy<Value = String> {
    let known = select(vec![
        "running", "running", "running", "paused", "success", "fail",
    ]);
    let rare = select(vec![
        "failed",
        "canceled",
        "cancelled",
        "Success",
        "timeout",
        "pausing",
        "cancelling",
    ]);
    prop_oneof![
        8 => known.prop_map(str::to_owned),
        2 => rare.prop_map(str::to_owned),
        1 => texts(),
    ]
}

fn results() -> impl Strategy<Value = Instances> {
    let statuses = select(vec![
        "success", "failed", "fail", "initial", "initail", "odd",
    ]);
    let ids = prop_oneof![texts(), select(vec!["i-1", "i-2"]).prop_map(str::to_owned)];
    let few = vec((ids, statuses), 0..4);
    (few, prop::bool::weighted(0.02), any::<Index>()).prop_map(|(few, many, index)| {
        let instances = few.into_iter().map(|(id, status)| Instance {
            id,
            status: status.to_owned(),
        });
        let mut instances: Vec<_> = instances.collect();
        if many && !instances.is_empty() {
            let copied = instances[index.index(instances.len())].clone();
            instances.resize(1010, copied);
        }
        instances.into_iter().collect()
    })
}

/// Texts that are hard to cut, escape or compare. Never empty.
fn texts() -> impl Strategy<Value = String> {
    let lengths = prop_oneof![6 => 1_usize..20, 1 => 1000_usize..1100];
    let letters = select(vec!["x", "错", "🦀", "\u{1}", "\"", "\\", "\n", " "]);
    ("[a-z]{12}", letters, lengths)
        .prop_map(|(word, letter, length)| format!("{MARK}{word}{}", letter.repeat(length)))
}

/// The first character of every free text of a task.
pub const MARK: &str = "~";

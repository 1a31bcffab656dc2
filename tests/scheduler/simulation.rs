//! The scheduler in a small world that is against it: users edit, delete and create again, watches
//! start over with old news, writes conflict, fail or succeed unheard, calls fail and stay away.
//! Once the world leaves it alone, every object must show the truth, and cost what it should.
//!
//! Each world follows from its seed alone, so that a failure can be seen again.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use scaleouttask_controller::{
    api::{ScaleOutTaskSpec, ScaleOutTaskStatus, SecretReference},
    rules::{Object, ObjectKey, Policy, PollError, PollResult, Reason, Task},
    scheduler::{
        Call, CallLimits, Config, Deletion, DeletionResult, Effect, EventResult, Input, Now,
        ObjectId, Scheduler, Write, WriteResult,
    },
};

const NAMESPACES: [&str; 2] = ["a", "b"];
const NAMES: [&str; 2] = ["x", "y"];
const CONCURRENCY: usize = 2;
const MAX_CALLS: usize = 3;
/// How often a world goes wild, for so many steps, and calms down again.
const ROUNDS: usize = 10;
const STEPS: usize = 150;
/// Longer than any delay that trouble leaves behind, twice.
const CALM: Duration = Duration::from_mins(25);
/// Longer than the longest delay of an object that is left alone.
const WATCHED: Duration = Duration::from_secs(400);

/// `SplitMix64`: enough chance for a world.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % n as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// An object at the API server.
#[derive(Clone)]
struct Stored {
    object: Object,
    spec: ScaleOutTaskSpec,
    /// Kept by a foreign finalizer when deleted.
    held: bool,
    readable: bool,
}

#[derive(Clone, PartialEq)]
enum Truth {
    Missing,
    Task(&'static str),
}

/// What a world does often, seldom or never: rare meetings of events are common in some world.
struct Habits {
    actions: Vec<u8>,
    edits: Vec<u8>,
    waits: Vec<u64>,
    failing_calls: usize,
    failing_writes: usize,
}

impl Habits {
    fn new(chance: &mut Chance) -> Self {
        let mut often = |kinds: u8| -> Vec<u8> {
            let weigh = |kind| vec![kind; [0, 1, 1, 3, 10][chance.below(5)]];
            (0..kinds).flat_map(weigh).collect()
        };
        let (mut actions, mut edits) = (often(9), often(14));
        // Without these there is nothing to see.
        actions.extend([0, 3, 4, 5, 7]);
        edits.push(13);
        Self {
            actions,
            edits,
            waits: vec![
                1,
                chance.of(&[1, 100, 1000]),
                chance.of(&[100, 5000, 20_000]),
            ],
            failing_calls: chance.of(&[0, 10, 35, 90]),
            failing_writes: chance.of(&[0, 10, 30, 60]),
        }
    }
}

struct World {
    chance: Chance,
    habits: Habits,
    scheduler: Scheduler,
    monotonic: Duration,
    /// The API server.
    stored: BTreeMap<ObjectKey, Stored>,
    version: u64,
    last_uid: u64,
    /// What each watch has yet to hear.
    news: [VecDeque<Input>; 2],
    /// The cloud.
    tasks: HashMap<String, Truth>,
    /// Requests under way.
    identifications: Vec<(ObjectId, ObjectKey)>,
    calls: Vec<Call>,
    writes: Vec<Write>,
    deletions: Vec<Deletion>,
    events: Vec<u64>,
    /// Nobody interferes any more, and all requests succeed.
    calm: bool,
    calls_made: HashMap<String, usize>,
    writes_made: HashMap<String, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let config = Config {
            policy: Policy {
                secret_credentials: true,
                ..Policy::default()
            },
            limits: CallLimits {
                requests_per_second: 20.0,
                concurrency: CONCURRENCY,
                max_calls: MAX_CALLS,
            },
            seed,
            ..Config::default()
        };
        let mut chance = Chance(seed);
        Self {
            habits: Habits::new(&mut chance),
            chance,
            scheduler: Scheduler::new(config),
            monotonic: Duration::ZERO,
            stored: BTreeMap::new(),
            version: 1,
            last_uid: 0,
            news: [VecDeque::new(), VecDeque::new()],
            tasks: HashMap::new(),
            identifications: Vec::new(),
            calls: Vec::new(),
            writes: Vec::new(),
            deletions: Vec::new(),
            events: Vec::new(),
            calm: false,
            calls_made: HashMap::new(),
            writes_made: HashMap::new(),
        }
    }

    fn now(&self) -> Now {
        let start: Timestamp = "2024-05-01T12:00:00Z".parse().unwrap();
        Now {
            wall: start + SignedDuration::try_from(self.monotonic).unwrap(),
            monotonic: self.monotonic,
            local: None,
            is_confirmed: true,
        }
    }

    /// Feeds the scheduler and takes on what it asks for.
    fn feed(&mut self, input: Input) {
        let now = self.now();
        for effect in self.scheduler.handle(input, now) {
            match effect {
                Effect::Call(call) => self.begin_call(call),
                Effect::Write(write) => self.begin_write(*write),
                Effect::Identify { object, secret } => self.identifications.push((object, secret)),
                Effect::Delete(deletion) => self.deletions.push(deletion),
                Effect::Record(_) => {}
                Effect::TellAltered(key) | Effect::TellForeign(key) => {
                    panic!("{key} is as this replica alone wrote it")
                }
                Effect::Publish(publication) => self.events.push(publication.id),
                Effect::List(_)
                | Effect::RecordListing(_)
                | Effect::Create(_)
                | Effect::CountMade
                | Effect::WriteSource(_) => panic!("there are no sources"),
            }
        }
        let wake = self.scheduler.next_wake();
        assert!(
            self.scheduler.leads() || wake.is_none(),
            "a standby waits for something"
        );
        assert!(
            wake.is_none_or(|at| at > now.monotonic),
            "woken over and over"
        );
    }

    fn begin_call(&mut self, call: Call) {
        assert!(
            self.calls.iter().all(|other| other.object != call.object),
            "two calls about one object at a time"
        );
        let in_queue = self.calls.iter().filter(|other| other.queue == call.queue);
        assert!(in_queue.count() < CONCURRENCY, "too many calls at a time");
        // Some under way are of a term before.
        let (in_flight, _) = self.scheduler.calls();
        assert!(in_flight <= MAX_CALLS, "too many calls in all");
        *self.calls_made.entry(call.task_id.to_string()).or_default() += 1;
        self.calls.push(call);
    }

    fn begin_write(&mut self, write: Write) {
        assert!(write.status != write.object.status, "nothing to write");
        assert!(
            self.writes.iter().all(|other| other.id != write.id),
            "two writes of one object at a time"
        );
        *self
            .writes_made
            .entry(write.object.spec.task_id.to_string())
            .or_default() += 1;
        self.writes.push(write);
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn tell(&mut self, key: &ObjectKey, event: Input) {
        let watch = NAMESPACES.iter().position(|name| *name == &*key.namespace);
        self.news[watch.unwrap()].push_back(event);
    }

    fn tell_of(&mut self, key: &ObjectKey) {
        let watch = usize::from(&*key.namespace == NAMESPACES[1]);
        let event = match self.stored.get(key) {
            Some(stored) if stored.readable => {
                Input::Applied(watch, Box::new(stored.object.clone()))
            }
            _ => Input::Gone(key.clone()),
        };
        self.tell(key, event);
    }

    /// The watch broke and starts over. What it hadn't told is told by the list, or never.
    fn relist(&mut self, watch: usize) {
        let news = &mut self.news[watch];
        news.clear();
        news.push_back(Input::Relisting(watch));
        for (key, stored) in &self.stored {
            if &*key.namespace == NAMESPACES[watch] {
                news.push_back(if stored.readable {
                    Input::Listed(watch, Box::new(stored.object.clone()))
                } else {
                    Input::Gone(key.clone())
                });
            }
        }
        // A list may break off; the next one starts anew.
        if self.calm || self.chance.percent(80) {
            news.push_back(Input::ListingDone(watch));
        } else {
            news.push_back(Input::Relisting(watch));
            self.relist(watch);
        }
    }

    fn some_key(&mut self) -> ObjectKey {
        ObjectKey {
            namespace: self.chance.of(&NAMESPACES).into(),
            name: self.chance.of(&NAMES).into(),
        }
    }

    /// A user, or anyone else, does something to an object.
    fn interfere(&mut self) {
        let key = self.some_key();
        if !self.stored.contains_key(&key) {
            return self.create(&key);
        }
        let version = self.next_version();
        let choice = self.chance.of(&self.habits.edits);
        let interval = self.chance.of(&[None, Some("5s"), Some("30s")]);
        let timeout = self
            .chance
            .of(&[None, Some("5s"), Some("1m"), Some("1000h")]);
        let ttl = self.chance.of(&[None, None, Some(0), Some(20)]);
        let cluster = self.chance.of(&[None, Some("c"), Some("other")]);
        let request = self.chance.of(&["1", "2", "3", "4"]);
        let stored = self.stored.get_mut(&key).unwrap();
        let before = stored.spec.clone();
        let spec = &mut stored.spec;
        match choice {
            0..=2 => spec.suspend = Some(!spec.suspend.unwrap_or(false)),
            3 | 4 => spec.poll_interval = interval.map(str::to_owned),
            5 | 6 => spec.timeout = timeout.map(str::to_owned),
            7 => spec.ttl_seconds_after_finished = ttl,
            8 => spec.cluster_id = cluster.map(str::to_owned),
            9 | 10 => stored.object.poll_request = Some(request.into()),
            11 => stored.object.poll_request = None,
            12 => stored.readable = !stored.readable,
            13 if stored.held && !stored.object.deleting => stored.object.deleting = true,
            _ => {
                self.stored.remove(&key);
            }
        }
        if let Some(stored) = self.stored.get_mut(&key) {
            stored.object.generation += i64::from(stored.spec != before);
            stored.object.spec = stored.spec.clone().into();
            stored.object.resource_version = version.into();
        }
        self.tell_of(&key);
    }

    fn create(&mut self, key: &ObjectKey) {
        self.last_uid += 1;
        let task_id = format!("T-{}", self.last_uid);
        let spec = ScaleOutTaskSpec {
            task_id: task_id.clone(),
            region: self
                .chance
                .of(&[Some("r1"), Some("r1"), Some("r2"), None])
                .map(str::to_owned),
            suspend: self.chance.percent(10).then_some(true),
            timeout: self.chance.percent(20).then(|| "30s".to_owned()),
            credentials_secret_ref: self.chance.percent(20).then(|| SecretReference {
                name: "keys".to_owned(),
            }),
            ..ScaleOutTaskSpec::default()
        };
        let object = Object {
            key: key.clone(),
            uid: self.last_uid.to_string().into(),
            resource_version: self.next_version().into(),
            generation: 1,
            created_at: self.now().wall,
            spec: spec.clone().into(),
            status: ScaleOutTaskStatus {
                observed_generation: Some(-1),
                ..ScaleOutTaskStatus::default()
            }
            .into(),
            ..Object::default()
        };
        let stored = Stored {
            object,
            spec,
            held: self.chance.percent(20),
            readable: true,
        };
        let truth = self.chance.of(&[
            Truth::Missing,
            Truth::Task("running"),
            Truth::Task("paused"),
        ]);
        self.tasks.insert(task_id, truth);
        self.stored.insert(key.clone(), stored);
        self.tell_of(key);
    }

    /// The cloud goes on: a task that ended stays so.
    fn turn_tasks(&mut self) {
        let mut ids: Vec<_> = self.tasks.keys().cloned().collect();
        ids.sort();
        let id = match ids.len() {
            0 => return,
            n => ids.swap_remove(self.chance.below(n)),
        };
        let next = self
            .chance
            .of(&["running", "running", "paused", "odd", "success", "fail"]);
        let truth = self.tasks.get_mut(&id).unwrap();
        if !matches!(truth, Truth::Task("success" | "fail")) {
            *truth = Truth::Task(next);
        }
    }

    /// The Lease is lost, or got back, or renewed. Calls under way may be dropped then.
    fn turn_leadership(&mut self) {
        let seconds = self.chance.of(&[0, 0, 1, 10, 10, 10]);
        let until = self.monotonic + Duration::from_secs(seconds);
        self.feed(Input::LeadsUntil(until));
        if !self.scheduler.leads() {
            // Their numbers are used again: the shell takes no end from another term.
            self.events.clear();
        }
        if !self.scheduler.leads() && self.chance.percent(80) {
            self.calls.clear();
            self.identifications.clear();
        }
    }

    fn end_an_identification(&mut self) {
        if self.identifications.is_empty() {
            return;
        }
        let index = self.chance.below(self.identifications.len());
        let (object, secret) = self.identifications.swap_remove(index);
        let account = if !self.calm && self.chance.percent(self.habits.failing_calls) {
            let reasons = [Reason::CredentialsInvalid, Reason::TaskApiUnavailable];
            Err(PollError::new(self.chance.of(&reasons)))
        } else {
            Ok("key".to_owned())
        };
        self.feed(Input::Identified {
            object,
            secret,
            account,
        });
    }

    fn end_a_call(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let index = self.chance.below(self.calls.len());
        let call = self.calls.swap_remove(index);
        let result = if !self.calm && self.chance.percent(self.habits.failing_calls) {
            self.trouble()
        } else {
            match &self.tasks[&*call.task_id] {
                Truth::Missing => Err(PollError::new(Reason::TaskNotFound)),
                Truth::Task(state) => Ok(Task {
                    state: (*state).to_owned(),
                    cluster_id: Some("c".to_owned()),
                    ..Task::default()
                }),
            }
        };
        // It began when it was asked for, about.
        self.feed(Input::CallEnded {
            object: call.object,
            queue: call.queue,
            result,
            started_at: self.now().wall,
            poll_request: call.poll_request,
        });
    }

    fn trouble(&mut self) -> PollResult {
        let reason = self.chance.of(&[
            Reason::TaskApiUnavailable,
            Reason::TaskApiUnavailable,
            Reason::Throttled,
            Reason::InvalidResponse,
            Reason::TaskNotFound,
            Reason::AccessDenied,
            Reason::CredentialsInvalid,
        ]);
        let seconds = self.chance.of(&[None, None, Some(0), Some(3), Some(300)]);
        let may_wait = matches!(reason, Reason::Throttled | Reason::TaskApiUnavailable);
        Err(PollError {
            retry_after: seconds.filter(|_| may_wait).map(Duration::from_secs),
            ..PollError::new(reason)
        })
    }

    /// A write arrives at the API server, or doesn't, and so may its answer.
    fn end_a_write(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let index = self.chance.below(self.writes.len());
        let write = self.writes.swap_remove(index);
        let failing = if self.calm {
            0
        } else {
            self.habits.failing_writes
        };
        let arrives = !self.chance.percent(failing);
        let is_heard = !self.chance.percent(failing);
        let result = if arrives {
            self.apply(&write)
        } else {
            WriteResult::Failed
        };
        let result = if is_heard {
            result
        } else {
            WriteResult::Failed
        };
        self.feed(Input::WriteEnded(write.id, result));
    }

    fn apply(&mut self, write: &Write) -> WriteResult {
        let version = self.next_version();
        let key = &write.object.key;
        let Some(stored) = self.stored.get_mut(key) else {
            return WriteResult::Gone;
        };
        if !stored.readable {
            return WriteResult::Failed;
        }
        if stored.object.uid != write.object.uid {
            return WriteResult::Gone;
        }
        if stored.object.resource_version != write.object.resource_version {
            return WriteResult::Conflict(Box::new(stored.object.clone()));
        }
        stored.object.status = write.status.clone();
        stored.object.resource_version = version.into();
        let now = stored.object.clone();
        self.tell_of(key);
        WriteResult::Written(Box::new(now))
    }

    fn end_a_deletion(&mut self) {
        if self.deletions.is_empty() {
            return;
        }
        let index = self.chance.below(self.deletions.len());
        let deletion = self.deletions.swap_remove(index);
        let result = self.delete(&deletion);
        self.feed(Input::DeletionEnded(deletion.object, result));
    }

    fn delete(&mut self, deletion: &Deletion) -> DeletionResult {
        let key = &deletion.key;
        if !self.calm && self.chance.percent(30) {
            return DeletionResult::Refused;
        }
        let Some(stored) = self.stored.get_mut(key) else {
            return DeletionResult::Deleted;
        };
        let object = &mut stored.object;
        if object.uid != deletion.uid || object.resource_version != deletion.resource_version {
            return DeletionResult::Failed;
        }
        assert!(object.is_finished(), "deleted though it isn't finished");
        assert!(object.spec.ttl().is_some(), "deleted though it should stay");
        if stored.held {
            object.deleting = true;
            self.version += 1;
            object.resource_version = self.version.to_string().into();
        } else {
            self.stored.remove(key);
        }
        self.tell_of(key);
        DeletionResult::Deleted
    }

    fn end_an_event(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let index = self.chance.below(self.events.len());
        let id = self.events.swap_remove(index);
        let result = if self.calm {
            EventResult::Created
        } else {
            let results = [
                EventResult::Created,
                EventResult::Refused,
                EventResult::Failed,
            ];
            self.chance.of(&results)
        };
        self.feed(Input::EventEnded(id, result));
    }

    fn hear(&mut self, watch: usize) {
        if let Some(event) = self.news[watch].pop_front() {
            self.feed(event);
        }
    }

    /// Time passes, but never beyond the moment that the scheduler wants to be woken at.
    fn wait(&mut self, at_most: Duration) {
        let until = self.monotonic + at_most;
        let wake = self.scheduler.next_wake().unwrap_or(Duration::MAX);
        self.monotonic = until.min(wake).max(self.monotonic);
        if wake <= self.monotonic {
            self.feed(Input::Tick);
        }
    }

    fn step(&mut self) {
        match self.chance.of(&self.habits.actions) {
            0 => self.interfere(),
            1 => self.turn_tasks(),
            2 => {
                let watch = self.chance.below(2);
                self.relist(watch);
            }
            3 => {
                let watch = self.chance.below(2);
                self.hear(watch);
            }
            4 => {
                self.end_an_identification();
                self.end_a_call();
            }
            8 => self.turn_leadership(),
            5 => {
                self.end_a_write();
                self.end_an_event();
            }
            6 => self.end_a_deletion(),
            _ => {
                let millis = self.chance.of(&self.habits.waits);
                self.wait(Duration::from_millis(millis));
            }
        }
    }

    /// Everything under way ends, and everything there is to hear is heard.
    fn catch_up(&mut self) {
        while self.news.iter().any(|news| !news.is_empty())
            || !self.identifications.is_empty()
            || !self.calls.is_empty()
            || !self.writes.is_empty()
            || !self.deletions.is_empty()
            || !self.events.is_empty()
        {
            self.hear(0);
            self.hear(1);
            self.end_an_identification();
            self.end_a_call();
            self.end_a_write();
            self.end_a_deletion();
            self.end_an_event();
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.monotonic + time;
        self.catch_up();
        while self.monotonic < end {
            self.wait(end.saturating_sub(self.monotonic));
            self.catch_up();
        }
    }

    /// From now on nobody interferes. Old trouble has its time to end.
    fn calm_down(&mut self) {
        self.calm = true;
        self.feed(Input::LeadsUntil(Duration::MAX));
        // Told of nothing else: news would wake what sleeps by mistake.
        let unreadable = self.stored.iter().filter(|(_, stored)| !stored.readable);
        let keys: Vec<_> = unreadable.map(|(key, _)| key.clone()).collect();
        for key in keys {
            let version = self.next_version();
            let stored = self.stored.get_mut(&key).unwrap();
            stored.readable = true;
            stored.object.resource_version = version.into();
            self.tell_of(&key);
        }
        self.run_for(CALM);
    }

    fn check(&self, seed: u64) {
        for stored in self.stored.values() {
            let object = &stored.object;
            let says = format!("seed {seed}: {object:#?}");
            if object.deleting {
                continue;
            }
            assert_eq!(
                object.status.observed_generation,
                Some(object.generation),
                "{says}"
            );
            let held = object.is_suspended() || object.spec.region.is_none();
            if !held {
                assert_eq!(object.pending_poll_request(), None, "{says}");
            }
            let reason = object.reason().expect(&says);
            assert!(self.expected(object).contains(&reason), "{says}");
        }
        assert_eq!(self.scheduler.writes_failing(), 0);
        let counted: i64 = self.scheduler.counts().by_state().map(|(_, n)| n).sum();
        assert_eq!(usize::try_from(counted).unwrap(), self.stored.len());
    }

    /// The reasons that fit an object that was left alone for long.
    fn expected(&self, object: &Object) -> Vec<Reason> {
        let truth = &self.tasks[&*object.spec.task_id];
        let end = match truth {
            Truth::Task("success") => Some(Reason::TaskSucceeded),
            Truth::Task("fail") => Some(Reason::TaskFailed),
            _ => None,
        };
        let expired = object
            .deadline()
            .is_some_and(|deadline| deadline <= self.now().wall);
        let mut fits = Vec::new();
        // An end that was shown once stays, whatever is edited then.
        fits.extend(end);
        if expired {
            fits.push(Reason::TimedOut);
        } else if object.is_suspended() {
            fits.push(Reason::Suspended);
        } else if object.spec.region.is_none() {
            fits.push(Reason::RegionMissing);
        } else if *truth == Truth::Missing {
            fits.push(Reason::TaskNotFound);
        } else if object.spec.cluster_id() == Some("other") {
            fits.push(Reason::ClusterMismatch);
        } else if end.is_none() {
            fits.push(match truth {
                Truth::Task("running") => Reason::TaskRunning,
                Truth::Task("paused") => Reason::TaskPaused,
                _ => Reason::TaskStateUnknown,
            });
        }
        // Kept where the user ended the time only after the fact.
        if object.is_finished() {
            fits.push(Reason::TimedOut);
        }
        fits
    }

    /// What each object costs while nothing happens to it.
    fn check_costs(&mut self, seed: u64) {
        self.calls_made.clear();
        self.writes_made.clear();
        let before: HashSet<_> = self.stored.keys().cloned().collect();
        self.run_for(WATCHED);
        for (key, stored) in &self.stored {
            let object = &stored.object;
            let says = format!("seed {seed}: {object:#?}");
            assert!(before.contains(key));
            let calls = self.calls_made.get(&*object.spec.task_id).copied();
            let still = object.is_finished()
                || object.is_suspended()
                || object.deleting
                || object.spec.region.is_none();
            let slow = matches!(
                object.reason(),
                Some(Reason::TaskNotFound | Reason::ClusterMismatch)
            );
            match calls.unwrap_or_default() {
                0 => assert!(still, "never polled: {says}"),
                1 | 2 => assert!(slow, "{says}"),
                calls => assert!(!still && !slow && (13..=90).contains(&calls), "{says}"),
            }
            let writes = self.writes_made.get(&*object.spec.task_id);
            assert_eq!(writes, None, "{says}");
        }
    }
}

#[test]
fn left_alone_every_object_shows_the_truth_and_costs_what_it_should() {
    let seeds = match std::env::var("SIMULATION_SEEDS") {
        Ok(seeds) => seeds.split_once("..").map_or_else(
            || seeds.parse().unwrap()..=seeds.parse().unwrap(),
            |(from, to)| from.parse().unwrap()..=to.parse().unwrap(),
        ),
        Err(_) => 1..=60,
    };
    for seed in seeds {
        // Shown where it fails.
        println!("seed {seed}");
        let mut world = World::new(seed);
        world.feed(Input::LeadsUntil(Duration::MAX));
        world.relist(0);
        world.relist(1);
        for _ in 0..ROUNDS {
            for _ in 0..STEPS {
                world.step();
            }
            world.calm_down();
            world.check(seed);
            world.check_costs(seed);
            world.calm = false;
        }
    }
}

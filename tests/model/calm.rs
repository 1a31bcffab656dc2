//! What becomes of a state that is left alone: a run without faults, in which everything gets its
//! turn. Always the same run, so that runs from many states soon meet.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Mutex,
    time::Duration,
};

use scaleouttask_controller::rules::{Abnormal, GRACE, Object, Reason};

use crate::{
    process::Process,
    promise::Promise,
    request::{Fate, Stage, What},
    setting::{SUCCESS, Setting, Truth},
    world::{Action, World},
};

/// The longest run: backoff up to minutes, with a look at the Lease each second.
const MOST_STEPS: u32 = 3_000;
/// How much longer it is watched that shows the truth, in steps: some polls.
const WATCHED_STEPS: usize = 150;

/// How long it takes at most until an object of a source shows what the list shows. Else it is polled so seldom.
const MOST_TIME: Duration = Duration::from_mins(4);

/// What earlier runs found out.
#[derive(Debug, Default)]
pub struct Calm {
    /// How many steps, and how long, it is from states to where the truth is shown.
    ways: Mutex<HashMap<u64, (u32, Duration)>>,
    /// Ends of runs that were seen to cost no more than they should.
    at_rest: Mutex<HashSet<u64>>,
}

impl Calm {
    /// The promise that doesn't hold from here on, if there is one.
    pub fn broken(&self, setting: &Setting, from: &World) -> Option<Promise> {
        let mut world = World {
            faults_left: 0,
            edits_left: 0,
            ..from.clone()
        };
        let mut way = Vec::new();
        let (left, time_left) = loop {
            let state = fingerprint(&world);
            if let Some(left) = self.ways.lock().unwrap().get(&state) {
                break *left;
            }
            let took = world.calendar.saturating_sub(from.calendar);
            let is_late = setting.source.is_some() && took > MOST_TIME;
            if way.len() > MOST_STEPS as usize || is_late || world.broken.is_some() {
                return world.broken.or_else(|| Some(unkept(setting, &world)));
            }
            way.push((state, world.calendar));
            if shows_the_truth(setting, &world) {
                match self.broken_at_rest(setting, &world) {
                    Some(broken) => return Some(broken),
                    None => break (0, Duration::ZERO),
                }
            }
            let Some(action) = next(&world) else {
                return Some(Promise::Converges);
            };
            world = world.after(setting, action);
        };
        let end = world.calendar + time_left;
        let is_late = setting.source.is_some() && end.saturating_sub(from.calendar) > MOST_TIME;
        let way = way.into_iter().rev().zip(left..);
        let way = way.map(|((state, at), steps)| (state, (steps, end.saturating_sub(at))));
        self.ways.lock().unwrap().extend(way);
        is_late.then_some(Promise::Converges)
    }

    /// The first steps of a run.
    pub fn way(setting: &Setting, from: &World, steps: usize) -> Vec<Action> {
        let mut world = from.clone();
        let mut way = Vec::new();
        while let Some(action) = next(&world).filter(|_| way.len() < steps) {
            world = world.after(setting, action);
            way.push(action);
        }
        way
    }

    /// The world once it has come to a point. Nothing goes wrong on the way, but some things don't happen.
    pub fn led(
        setting: &Setting,
        mut world: World,
        happens: impl Fn(&Action) -> bool,
        is_there: impl Fn(&World) -> bool,
    ) -> World {
        for _ in 0..MOST_STEPS {
            if is_there(&world) {
                return world;
            }
            let action = ways(&world).find(&happens).expect("a way");
            world = world.after(setting, action);
        }
        panic!("{} never gets there", setting.name);
    }

    /// Whether a state comes again, though time passed.
    pub fn recurs(setting: &Setting, from: &World) -> bool {
        let mut seen = HashSet::new();
        let mut world = from.clone();
        let mut passed = false;
        for _ in 0..WATCHED_STEPS {
            if !seen.insert(fingerprint(&world)) {
                return passed;
            }
            let Some(action) = next(&world) else {
                return false;
            };
            passed |= action == Action::Pass;
            world = world.after(setting, action);
        }
        false
    }

    /// The longest run of all.
    pub fn longest(&self) -> u32 {
        let ways = self.ways.lock().unwrap();
        let steps = ways.values().map(|(steps, _)| *steps);
        steps.max().unwrap_or_default()
    }

    /// Nothing is written any more, and calls are made about what goes on, and only that.
    fn broken_at_rest(&self, setting: &Setting, from: &World) -> Option<Promise> {
        let shown = format!(
            "{:?}",
            (&from.cluster.objects, &from.tasks, &from.cluster.origin)
        );
        if self.at_rest.lock().unwrap().contains(&hash(&shown)) {
            return None;
        }
        let mut world = from.clone();
        let lists = world.cluster.origin.listing().is_some();
        let is_listed = |object: &Object| lists && object.source.is_some();
        let mut called = vec![false; setting.objects.len()];
        let mut listed = false;
        for _ in 0..WATCHED_STEPS {
            let Some(action) = next(&world) else {
                break;
            };
            world = world.after(setting, action);
            for (_, process) in world.processes() {
                for request in &process.requests {
                    match &request.what {
                        What::List(_) => listed = true,
                        What::ReadLease | What::Claim(_) => {}
                        What::Call(call) => called[crate::cluster::index_of(&call.key)] = true,
                        _ => return Some(Promise::ComesToRest),
                    }
                }
            }
        }
        let objects = world.cluster.objects.iter().zip(called);
        let mut costs = objects.map(|(object, called)| match object {
            None => !called,
            Some(object) if object.is_finished() || object.is_suspended() => !called,
            Some(object) if object.reason() == Some(Reason::WaitingForNodes) => !called,
            // Asked about so seldom that it may not have been due.
            Some(object) if is_slow(object) || is_listed(object) => true,
            Some(_) => called,
        });
        if world.broken.is_some() || !costs.all(|is_right| is_right) || listed != lists {
            return world.broken.or(Some(Promise::ComesToRest));
        }
        self.at_rest.lock().unwrap().insert(hash(&shown));
        None
    }
}

/// What comes next where nothing goes wrong; none where nothing does.
fn next(world: &World) -> Option<Action> {
    ways(world).next()
}

/// The same, and what could as well.
fn ways(world: &World) -> impl Iterator<Item = Action> {
    let replicas = world.replicas.iter().enumerate();
    let up = replicas.filter_map(|(index, replica)| match &replica.process {
        None => Some(Action::Start(index)),
        Some(process) => process.frozen.then_some(Action::Thaw(index, true)),
    });
    let collects = world.cluster.is_collecting().then_some(Action::Collect);
    let orphans = (0..world.cluster.orphans.len()).map(Action::Arrive);
    let steps = world
        .processes()
        .flat_map(|(index, process)| steps_of(index, process));
    let pass = world.can_pass().then_some(Action::Pass);
    up.chain(collects).chain(orphans).chain(steps).chain(pass)
}

fn steps_of(index: usize, process: &Process) -> impl Iterator<Item = Action> + use<'_> {
    let requests = process.requests.iter().enumerate();
    let requests = requests.map(move |(number, request)| match request.stage {
        Stage::Decided => Action::Send(index, number),
        _ => Action::End(index, number, Fate::Done),
    });
    let news = (!process.news.is_empty()).then_some(Action::Hear(index));
    let sources = (!process.source_news.is_empty()).then_some(Action::HearOfSource(index));
    let nodes = (!process.node_news.is_empty()).then_some(Action::HearOfNode(index));
    requests.chain([news, sources, nodes].into_iter().flatten())
}

/// What isn't so, after all that time.
fn unkept(setting: &Setting, world: &World) -> Promise {
    if misses(setting, world) {
        Promise::NoneMissed
    } else if world.cluster.origin.miscounts() {
        Promise::MadeIsCounted
    } else {
        Promise::Converges
    }
}

/// Whether a listed task has no object, and had none.
fn misses(setting: &Setting, world: &World) -> bool {
    let records = &world.cluster.origin.records;
    let mut listed = listed(setting, world);
    listed.any(|index| records[index].creations == 0)
}

/// The tasks that a source lists.
fn listed(setting: &Setting, world: &World) -> impl Iterator<Item = usize> {
    let lists = world.cluster.origin.listing().is_some();
    let tasks = (0..world.tasks.len()).filter(move |_| lists);
    tasks.filter(|index| world.truth(setting, *index) != Truth::Missing)
}

/// Whether the source shows what it should.
fn source_is_true(setting: &Setting, world: &World) -> bool {
    let origin = &world.cluster.origin;
    let Some(source) = &origin.source else {
        return true;
    };
    let reason = if source.spec.suspend {
        Reason::Suspended
    } else {
        Reason::Listing
    };
    source.reason() == Some(reason)
        && source.status.observed_generation == Some(source.generation)
        && listed(setting, world).all(|index| origin.remembers(index))
        && !misses(setting, world)
        && !origin.miscounts()
}

fn shows_the_truth(setting: &Setting, world: &World) -> bool {
    let is_quiet = world.processes().all(|(_, process)| {
        let is_told = process.news.is_empty()
            && process.node_news.is_empty()
            && process.source_news.is_empty();
        process.requests.is_empty() && is_told && !process.frozen
    });
    // Where something waits to be written, more comes.
    let is_settled = |process: &Process| setting.source.is_none() || process.scheduler.is_settled();
    let is_quiet = is_quiet && world.processes().all(|(_, process)| is_settled(process));
    let is_led = world.processes().any(|(_, process)| process.leads());
    let objects = world.cluster.objects.iter().enumerate();
    let mut objects = objects.filter_map(|(index, object)| Some((index, object.as_ref()?)));
    is_quiet
        && is_led
        && world.cluster.orphans.is_empty()
        && !world.cluster.is_collecting()
        && source_is_true(setting, world)
        && objects.all(|(index, object)| is_true(object, index, setting, world))
}

/// Whether an object shows what it should after it was left alone for long.
fn is_true(object: &Object, index: usize, setting: &Setting, world: &World) -> bool {
    let Some(shown) = object.reason() else {
        return false;
    };
    let end = World::calendar_end(setting);
    let is_over = object.deadline().is_some_and(|deadline| deadline < end);
    let truth = world.truth(setting, index);
    let fits = if object.is_finished() {
        // Nobody asks again what became of it.
        shown.is_final()
    } else if is_over {
        false
    } else if object.is_suspended() {
        shown == Reason::Suspended
    } else if truth == Truth::Missing && end >= object.created_at + GRACE {
        shown == truth.reason() && is_stalled(object)
    } else if truth == SUCCESS && object.spec.wait_for_nodes {
        waits_for_nodes(object, setting, world)
    } else {
        shown == truth.reason()
    };
    let waits = object.pending_poll_request().is_some() && !object.is_suspended();
    let stays = object.spec.ttl().is_none() || !object.is_finished();
    fits && !waits && stays && object.status.observed_generation == Some(object.generation)
}

/// Whether it shows as many nodes as are Ready, which aren't all.
fn waits_for_nodes(object: &Object, setting: &Setting, world: &World) -> bool {
    let ready = format!("{}/{}", world.ready_nodes(setting), setting.nodes.len());
    let wait = object.status.nodes.as_ref();
    !world.nodes_are_ready(setting) && wait.is_some_and(|wait| wait.nodes == Some(ready))
}

fn is_stalled(object: &Object) -> bool {
    let shown = object.shown();
    shown.is_some_and(|shown| shown.abnormal == Abnormal::Stalled)
}

fn is_slow(object: &Object) -> bool {
    object.reason() == Some(Reason::TaskNotFound)
}

fn fingerprint(world: &World) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(world)
}

fn hash(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}

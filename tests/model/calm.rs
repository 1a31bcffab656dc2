//! What becomes of a state that is left alone: a run without faults, in which everything gets its
//! turn. Always the same run, so that runs from many states soon meet.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Mutex,
};

use scaleouttask_controller::rules::{Abnormal, GRACE, Object, Reason};

use crate::{
    promise::Promise,
    request::{Fate, Stage, What},
    setting::{SUCCESS, Setting, Truth},
    world::{Action, World},
};

/// The longest run: backoff up to minutes, with a look at the Lease each second.
const MOST_STEPS: u32 = 3_000;
/// How much longer it is watched that shows the truth, in steps: some polls.
const WATCHED_STEPS: usize = 150;

/// What earlier runs found out.
#[derive(Debug, Default)]
pub struct Calm {
    /// The number of steps from states to where the truth is shown.
    steps: Mutex<HashMap<u64, u32>>,
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
        let left = loop {
            let state = fingerprint(&world);
            if let Some(steps) = self.steps.lock().unwrap().get(&state) {
                break *steps;
            }
            if way.len() > MOST_STEPS as usize || world.broken.is_some() {
                return world.broken.or(Some(Promise::Converges));
            }
            way.push(state);
            if shows_the_truth(setting, &world) {
                match self.broken_at_rest(setting, &world) {
                    Some(broken) => return Some(broken),
                    None => break 0,
                }
            }
            let Some(action) = next(&world) else {
                return Some(Promise::Converges);
            };
            world = world.after(setting, action);
        };
        let mut known = self.steps.lock().unwrap();
        known.extend(way.into_iter().rev().zip(left..));
        None
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

    /// The longest run of all.
    pub fn longest(&self) -> u32 {
        let steps = self.steps.lock().unwrap();
        steps.values().copied().max().unwrap_or_default()
    }

    /// Nothing is written any more, and calls are made about what goes on, and only that.
    fn broken_at_rest(&self, setting: &Setting, from: &World) -> Option<Promise> {
        let shown = format!("{:?}", (&from.cluster.objects, &from.tasks));
        if self.at_rest.lock().unwrap().contains(&hash(&shown)) {
            return None;
        }
        let mut world = from.clone();
        let mut called = vec![false; setting.objects.len()];
        for _ in 0..WATCHED_STEPS {
            let Some(action) = next(&world) else {
                break;
            };
            world = world.after(setting, action);
            for (_, process) in world.processes() {
                for request in &process.requests {
                    match &request.what {
                        What::Write(_) | What::Delete(_) => return Some(Promise::ComesToRest),
                        What::Call(call) => called[crate::cluster::index_of(&call.key)] = true,
                        What::ReadLease | What::Claim(_) => {}
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
            Some(object) if is_slow(object) => true,
            Some(_) => called,
        });
        if world.broken.is_some() || !costs.all(|is_right| is_right) {
            return world.broken.or(Some(Promise::ComesToRest));
        }
        self.at_rest.lock().unwrap().insert(hash(&shown));
        None
    }
}

/// What comes next where nothing goes wrong; none where nothing does.
fn next(world: &World) -> Option<Action> {
    for (index, replica) in world.replicas.iter().enumerate() {
        match &replica.process {
            None => return Some(Action::Start(index)),
            Some(process) if process.frozen => return Some(Action::Thaw(index, true)),
            Some(_) => {}
        }
    }
    if !world.cluster.orphans.is_empty() {
        return Some(Action::Arrive(0));
    }
    for (index, process) in world.processes() {
        if let Some(request) = process.requests.first() {
            return Some(match request.stage {
                Stage::Decided => Action::Send(index, 0),
                _ => Action::End(index, 0, Fate::Done),
            });
        }
        if !process.news.is_empty() {
            return Some(Action::Hear(index));
        }
        if !process.node_news.is_empty() {
            return Some(Action::HearOfNode(index));
        }
    }
    world.can_pass().then_some(Action::Pass)
}

fn shows_the_truth(setting: &Setting, world: &World) -> bool {
    let is_quiet = world.processes().all(|(_, process)| {
        let is_told = process.news.is_empty() && process.node_news.is_empty();
        process.requests.is_empty() && is_told && !process.frozen
    });
    let is_led = world.processes().any(|(_, process)| process.leads());
    let objects = world.cluster.objects.iter().enumerate();
    let mut objects = objects.filter_map(|(index, object)| Some((index, object.as_ref()?)));
    is_quiet
        && is_led
        && world.cluster.orphans.is_empty()
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

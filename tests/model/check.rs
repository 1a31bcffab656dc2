//! The world as the checker sees it.

use std::{
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

use stateright::{Checker, HasDiscoveries, Model, Path, Property, UniformChooser};

use crate::{
    calm::Calm,
    promise::Promise,
    setting::Setting,
    world::{Action, World},
};

/// A setting, and what is known of it.
#[derive(Clone, Debug)]
pub struct Small {
    pub setting: Arc<Setting>,
    calm: Arc<Calm>,
    checked: Arc<AtomicUsize>,
}

/// How much is shown of a run that doesn't converge.
const SHOWN_STEPS: usize = 60;

/// In steps.
const LONGEST_WALK: usize = 1_000;

/// What the checker found.
pub struct Found {
    /// States that are all different, and for which every promise was looked at.
    pub states: usize,
    /// Whether those are all that can be reached.
    pub is_all: bool,
    pub depth: usize,
    /// The longest way from one of them to the truth, in steps.
    pub longest_calm: u32,
    pub broken: Option<(Promise, String)>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            states,
            depth,
            longest_calm,
            ..
        } = self;
        let all = if self.is_all && self.broken.is_none() {
            ", which is all"
        } else {
            ""
        };
        write!(
            f,
            "{states} states{all}, up to {depth} steps away, and from there \
             at most {longest_calm} to rest"
        )?;
        match &self.broken {
            Some((promise, way)) => write!(f, "; broken: {promise}\n{way}"),
            None => Ok(()),
        }
    }
}

impl Model for Small {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![(self.setting.begin)(&self.setting)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(world.actions(&self.setting));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(world.after(&self.setting, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            "keeps its promises",
            |model: &Self, world| {
                model.checked.fetch_add(1, Ordering::Relaxed);
                model.broken(world).is_none()
            },
        )]
    }
}

fn threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

impl Small {
    pub fn new(setting: Setting) -> Self {
        Self {
            setting: Arc::new(setting),
            calm: Arc::default(),
            checked: Arc::default(),
        }
    }

    fn broken(&self, world: &World) -> Option<Promise> {
        world
            .broken
            .or_else(|| self.calm.broken(&self.setting, world))
    }

    /// Looks at all states, the nearest first, or at about `most` of them.
    pub fn search(&self, most: usize) -> Found {
        let checker = self
            .clone()
            .checker()
            .threads(threads())
            .target_state_count(most)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let is_all = checker.is_done() && checker.state_count() < most;
        self.found(&checker, is_all)
    }

    /// Goes long ways by chance, through about `most` states.
    pub fn walk(&self, seed: u64, most: usize) -> Found {
        let checker = self
            .clone()
            .checker()
            .threads(threads())
            .target_state_count(most)
            .target_max_depth(LONGEST_WALK)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_simulation(seed, UniformChooser)
            .join();
        self.found(&checker, false)
    }

    fn found(&self, checker: &impl Checker<Self>, is_all: bool) -> Found {
        let mut paths = checker.discoveries().into_values();
        Found {
            states: self.checked.load(Ordering::Relaxed),
            is_all,
            depth: checker.max_depth(),
            longest_calm: self.calm.longest(),
            broken: paths.next().map(|path| self.explain(path)),
        }
    }

    /// The promise, and the way to where it is broken.
    fn explain(&self, path: Path<World, Action>) -> (Promise, String) {
        let end = path.last_state().clone();
        let mut way = String::new();
        for action in path.into_actions() {
            writeln!(way, "  {action:?}").unwrap();
        }
        let broken = self.broken(&end).unwrap();
        for object in &end.cluster.objects {
            let shown = object.as_ref().map(|object| {
                let version = &object.resource_version;
                (version, object.generation, object.reason(), &object.spec)
            });
            writeln!(way, "  {shown:?}").unwrap();
        }
        if let Some(source) = &end.cluster.origin.source {
            let records = &end.cluster.origin.records;
            writeln!(way, "  {:?} {records:?}", source.status).unwrap();
        }
        if end.broken.is_none() {
            writeln!(way, "left alone:").unwrap();
            for action in Calm::way(&self.setting, &end, SHOWN_STEPS) {
                writeln!(way, "  {action:?}").unwrap();
            }
        }
        (broken, way)
    }
}

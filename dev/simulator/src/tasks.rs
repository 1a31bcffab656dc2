//! The tasks of the simulated API, and how far each has come.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    list::Order,
    task::{Start, Task},
    timeline::{self, Clock},
};

/// All tasks, found by ID and by cluster.
#[derive(Default)]
pub(crate) struct Tasks {
    /// In the order in which they were added. The place of a removed one stays empty.
    all: Vec<Option<Box<TrackedTask>>>,
    /// The places of the tasks with an ID, which are in different regions or in all.
    by_id: HashMap<String, Vec<usize>>,
    /// The places of the tasks that are in a cluster's list at some time.
    by_cluster: HashMap<String, BTreeSet<usize>>,
    /// Whether a task was ever in one region only.
    regional: bool,
}

impl Tasks {
    /// Adds or replaces the task with that ID in that region.
    pub(crate) fn set(&mut self, task: Task, now: Instant) {
        self.regional |= task.region.is_some();
        let known = self.place_in(task.region.as_deref(), &task.id);
        let place = known.unwrap_or_else(|| {
            let places = self.by_id.entry(task.id.clone()).or_default();
            places.push(self.all.len());
            self.all.push(None);
            self.all.len() - 1
        });
        self.take(place);
        self.put(place, TrackedTask::new(task, now));
    }

    /// Removes a task in all regions.
    pub(crate) fn remove(&mut self, task_id: &str) {
        for place in self.by_id.remove(task_id).unwrap_or_default() {
            self.take(place);
        }
    }

    /// Changes a task in all regions. Returns whether there is one.
    pub(crate) fn change(
        &mut self,
        task_id: &str,
        now: Instant,
        mut change: impl FnMut(&mut Task),
    ) -> bool {
        let places = self.by_id.get(task_id).cloned().unwrap_or_default();
        for place in &places {
            if let Some(mut tracked) = self.take(*place) {
                tracked.change(now, &mut change);
                self.put(*place, tracked);
            }
        }
        !places.is_empty()
    }

    /// The task with that ID in that region, else the one for all regions.
    pub(crate) fn get(&mut self, region: &str, task_id: &str) -> Option<&mut TrackedTask> {
        let place = self.place(region, task_id)?;
        self.at_mut(place)
    }

    /// The places of the tasks that a cluster's list shows now, in order. The clocks of these tasks
    /// start, if they haven't yet. `None` if no task names the cluster.
    pub(crate) fn list(
        &mut self,
        region: &str,
        cluster_id: &str,
        order: Order,
        now: Instant,
    ) -> Option<Vec<usize>> {
        let named = self.named(region, cluster_id);
        let mut shown = Vec::with_capacity(named.len());
        for place in &named {
            if let Some(tracked) = self.at_mut(*place)
                && tracked.is_listed(cluster_id, now)
            {
                let created = tracked.created(now);
                shown.push((created, tracked.shuffled, *place));
            }
        }
        match order {
            Order::NewestFirst => shown.sort_by_key(|(at, _, place)| Reverse((*at, *place))),
            Order::OldestFirst => shown.sort_by_key(|(at, _, place)| (*at, *place)),
            Order::None => shown.sort_by_key(|(_, shuffled, place)| (*shuffled, *place)),
        }
        let shown = shown.into_iter().map(|(_, _, place)| place).collect();
        Some(shown).filter(|_| !named.is_empty())
    }

    /// Counts a page of a cluster's list that was sent.
    pub(crate) fn sent_page(&mut self, region: &str, cluster_id: &str) {
        for place in self.named(region, cluster_id) {
            if let Some(tracked) = self.at_mut(place) {
                tracked.pages += 1;
            }
        }
    }

    /// Whether a list shows the task on this page too.
    pub(crate) fn is_repeated(&self, place: usize, page_number: u64) -> bool {
        let listed = self.at(place).map(|tracked| &tracked.task.listed);
        let pages = listed.and_then(|listed| listed.repeat_on.as_ref());
        pages.is_some_and(|pages| pages.contains(page_number))
    }

    /// The tasks of a region that name a cluster at some time.
    fn named(&self, region: &str, cluster_id: &str) -> Vec<usize> {
        let places = self.by_cluster.get(cluster_id).into_iter().flatten();
        let answers = |place: &&usize| {
            !self.regional
                || self
                    .at(**place)
                    .is_some_and(|tracked| self.place(region, &tracked.task.id) == Some(**place))
        };
        places.filter(answers).copied().collect()
    }

    /// The place of the task that answers for that ID in that region.
    fn place(&self, region: &str, task_id: &str) -> Option<usize> {
        self.place_in(Some(region), task_id)
            .or_else(|| self.place_in(None, task_id))
    }

    fn place_in(&self, region: Option<&str>, task_id: &str) -> Option<usize> {
        let mut places = self.by_id.get(task_id)?.iter().copied();
        let is_there = |tracked: &TrackedTask| tracked.task.region.as_deref() == region;
        places.find(|place| self.at(*place).is_some_and(is_there))
    }

    fn at(&self, place: usize) -> Option<&TrackedTask> {
        self.all.get(place)?.as_deref()
    }

    pub(crate) fn at_mut(&mut self, place: usize) -> Option<&mut TrackedTask> {
        self.all.get_mut(place)?.as_deref_mut()
    }

    fn put(&mut self, place: usize, tracked: TrackedTask) {
        for cluster_id in tracked.task.listed_in() {
            let places = self.by_cluster.entry(cluster_id.to_owned()).or_default();
            places.insert(place);
        }
        self.all[place] = Some(Box::new(tracked));
    }

    fn take(&mut self, place: usize) -> Option<TrackedTask> {
        let tracked = *self.all.get_mut(place)?.take()?;
        for cluster_id in tracked.task.listed_in() {
            if let Some(places) = self.by_cluster.get_mut(cluster_id) {
                places.remove(&place);
                if places.is_empty() {
                    self.by_cluster.remove(cluster_id);
                }
            }
        }
        Some(tracked)
    }
}

/// A task and its progress.
pub(crate) struct TrackedTask {
    pub(crate) task: Task,
    set_at: Instant,
    started: Option<(Instant, Timestamp)>,
    requests: u64,
    /// How many pages of its cluster's list were sent since it was set.
    pages: u64,
    steps: usize,
    stepped: Duration,
    touched: Duration,
    /// `created` in the script, if it is a time.
    created: Option<Timestamp>,
    /// Its rank in a list without order.
    shuffled: u64,
}

impl TrackedTask {
    fn new(task: Task, now: Instant) -> Self {
        let mut hasher = DefaultHasher::new();
        task.id.hash(&mut hasher);
        let mut tracked = Self {
            set_at: now,
            started: None,
            requests: 0,
            pages: 0,
            steps: 0,
            stepped: Duration::ZERO,
            touched: Duration::ZERO,
            created: created(&task),
            shuffled: hasher.finish(),
            task,
        };
        if tracked.task.start == Start::StartUp {
            tracked.start(now);
        }
        tracked
    }

    /// Counts a request, and returns the progress of the task for it.
    pub(crate) fn clock(&mut self, now: Instant) -> Clock {
        let clock = self.look(now);
        self.requests += 1;
        clock
    }

    /// The progress of the task, which the next request sees too.
    pub(crate) fn look(&mut self, now: Instant) -> Clock {
        let started = self.start(now);
        let elapsed = self.elapsed(now);
        let steps = self.steps_at(now);
        if steps > self.steps {
            self.steps = steps;
            self.stepped = elapsed;
        }
        Clock {
            started,
            elapsed,
            steps: self.steps,
            stepped: self.stepped,
            touched: self.touched,
        }
    }

    /// Starts its clock, if it hasn't yet. Returns when that was.
    fn start(&mut self, now: Instant) -> Timestamp {
        let age = self.task.age;
        let begin = || {
            let time = Timestamp::now().saturating_sub(age);
            (now, time.unwrap_or(Timestamp::MIN))
        };
        self.started.get_or_insert_with(begin).1
    }

    fn elapsed(&self, now: Instant) -> Duration {
        let since = self.started.map(|(since, _)| now.duration_since(since));
        since.unwrap_or_default() + self.task.age
    }

    fn steps_at(&self, now: Instant) -> usize {
        timeline::steps_reached(&self.task, self.elapsed(now), self.requests)
    }

    /// When it was created, for the order of a list. Its clock starts, if it hasn't yet.
    fn created(&mut self, now: Instant) -> Timestamp {
        let started = self.start(now);
        self.created.unwrap_or(started)
    }

    /// Whether the cluster's list shows it now.
    fn is_listed(&self, cluster_id: &str, now: Instant) -> bool {
        let listed = &self.task.listed;
        let age = now.duration_since(self.set_at);
        listed.after.is_none_or(|after| age >= after)
            && listed.until.is_none_or(|until| age < until)
            && listed.after_pages.is_none_or(|count| self.pages >= count)
            && listed.until_pages.is_none_or(|count| self.pages < count)
            && self.cluster_id(now) == cluster_id
    }

    /// The cluster in whose list it is now.
    fn cluster_id(&self, now: Instant) -> &str {
        let by_step = || {
            let steps = self.steps.max(self.steps_at(now));
            let mut reached = self.task.steps.iter().take(steps).rev();
            reached.find_map(|step| step.cluster_id.as_deref())
        };
        let listed = self.task.listed.cluster_id.as_deref();
        listed.or_else(by_step).unwrap_or(&self.task.cluster_id)
    }

    /// Changes the task. `updated` moves if its body does.
    fn change(&mut self, now: Instant, change: &mut impl FnMut(&mut Task)) {
        let clock = self.started.map(|_| self.look(now));
        let body = |task: &Task| clock.map(|clock| timeline::answer(task, clock, None).body);
        let before = body(&self.task);
        let (id, region) = (self.task.id.clone(), self.task.region.clone());
        change(&mut self.task);
        (self.task.id, self.task.region) = (id, region);
        self.created = created(&self.task);
        if let Some(clock) = clock
            && body(&self.task) != before
        {
            self.touched = clock.elapsed;
        }
    }
}

fn created(task: &Task) -> Option<Timestamp> {
    task.created.as_deref()?.parse().ok()
}

//! Reading a list of tasks, page by page: how far to read, and of which tasks objects are made.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::Source;
use crate::{
    api::is_task_id,
    rules::{ListedTask, Mark, Object, time::elapsed},
};

/// How many tasks a page is asked to have. The vendor's own tools ask for no more.
pub const TASKS_PER_PAGE: usize = 100;
/// How many pages of a list are read at most.
const PAGES_MAX: u32 = 20;
/// Objects are made of tasks that are younger.
const YOUNG: Duration = Duration::from_hours(24);
/// A task that is older is never taken for young, however clocks differ: it needn't be remembered.
pub const OUTDATED: Duration = Duration::from_hours(25);
/// So long after it was sent a request may still take effect, for all that is known: its answer is waited for in 10 s.
const ATTEMPT_MAX: Duration = Duration::from_secs(15);
/// So many tasks in a row show that a list is sorted.
const SORTED_FROM: u32 = 20;

/// What follows from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The next page is to be read.
    Next,
    /// That was all, or all that counts.
    Done,
}

/// A task of which an object may have to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its ID, which an object can have.
    pub task_id: Box<str>,
    /// Its type.
    pub task_type: Option<Box<str>>,
    /// When it was created, by all that is known.
    pub born: Option<Timestamp>,
}

impl Candidate {
    /// Whether its object is still to be made: time has passed, and the spec may have changed.
    #[must_use]
    pub fn is_asked_for(&self, source: &Source, now: Timestamp) -> bool {
        let types = &source.spec.task_types;
        types.contain(self.task_type.as_deref()) && !is_too_old(self.born, source, now)
    }
}

/// A list that is being read.
#[derive(Clone, Debug)]
pub struct Listing {
    /// When the first page was asked for.
    pub began_at: Timestamp,
    /// Tasks of which no object can be made.
    pub unmakeable: i64,
    /// Tasks that are remembered and needn't be.
    pub outdated: BTreeSet<Mark>,
    pages: u32,
    seen: BTreeSet<Mark>,
    /// Tasks of which nobody knows when they were created.
    ageless: BTreeSet<Mark>,
    /// How many tasks the last page had.
    last_page: usize,
    candidates: Vec<Candidate>,
    /// When the oldest task was created that is remembered.
    remembered_since: Option<Timestamp>,
    order: Order,
}

/// Whether a list is sorted by age, the newest first.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    tasks: u32,
    last: Option<Timestamp>,
    falls: bool,
    is_broken: bool,
}

impl Order {
    fn follow(&mut self, created: Option<Timestamp>) {
        self.tasks += 1;
        match (self.last, created) {
            (Some(last), Some(created)) if created > last => self.is_broken = true,
            (Some(last), Some(created)) => self.falls |= created < last,
            (None, Some(_)) => {}
            (_, None) => self.is_broken = true,
        }
        self.last = created;
    }

    fn is_newest_first(&self) -> bool {
        self.falls && !self.is_broken && self.tasks >= SORTED_FROM
    }
}

impl Listing {
    /// A list of which nothing was read yet.
    #[must_use]
    pub fn new(began_at: Timestamp) -> Self {
        Self {
            began_at,
            unmakeable: 0,
            outdated: BTreeSet::new(),
            pages: 0,
            seen: BTreeSet::new(),
            ageless: BTreeSet::new(),
            last_page: 0,
            candidates: Vec::new(),
            remembered_since: None,
            order: Order::default(),
        }
    }

    /// The number of the page to read next. The first is 1.
    #[must_use]
    pub fn next_page(&self) -> u32 {
        self.pages + 1
    }

    /// Takes the next page. `all_seen`: whether all objects under way were seen, on this page or one before.
    pub fn take(
        &mut self,
        page: &[ListedTask],
        source: &Source,
        all_seen: bool,
        now: Timestamp,
    ) -> Progress {
        self.pages += 1;
        self.last_page = page.len();
        let (mut is_new, mut is_young) = (false, false);
        for task in page {
            let born = born(task);
            is_young |= born.is_none_or(|born| elapsed(born, now) < YOUNG);
            let mark = mark_of(task);
            if born.is_none() {
                self.ageless.insert(mark);
            }
            if self.seen.insert(mark) {
                is_new = true;
                self.order.follow(task.created);
                self.consider(task, mark, born, source, now);
            }
        }
        let is_over = all_seen && !is_young && self.order.is_newest_first();
        if !is_new || is_over || self.pages >= PAGES_MAX {
            return Progress::Done;
        }
        Progress::Next
    }

    fn consider(
        &mut self,
        task: &ListedTask,
        mark: Mark,
        born: Option<Timestamp>,
        source: &Source,
        now: Timestamp,
    ) {
        if source.status.recent.contains(mark) {
            let since = self.remembered_since.into_iter().chain(born).min();
            self.remembered_since = since;
            if born.is_some_and(|born| elapsed(born, now) >= OUTDATED) {
                self.outdated.insert(mark);
            }
            return;
        }
        let is_wanted = source.spec.task_types.contain(task.task_type.as_deref());
        // A task is no younger than its last change.
        if !is_wanted || is_too_old(born.or(task.updated), source, now) {
            return;
        }
        if !is_task_id(&task.task_id) {
            self.unmakeable += 1;
            return;
        }
        self.candidates.push(Candidate {
            task_id: task.task_id.clone(),
            task_type: task.task_type.clone(),
            born,
        });
    }

    /// Whether the next page may not exist: the last one wasn't full.
    #[must_use]
    pub fn may_be_over(&self) -> bool {
        self.pages > 0 && self.last_page < TASKS_PER_PAGE
    }

    /// Whether the list shows that task, and nothing says when it was created.
    #[must_use]
    pub fn shows_ageless(&self, task: Mark) -> bool {
        self.ageless.contains(&task)
    }

    /// The tasks of which an object is to be made, or that have one that isn't remembered; the oldest first.
    #[must_use]
    pub fn candidates(&mut self, source: &Source) -> Vec<Candidate> {
        let mut all = std::mem::take(&mut self.candidates);
        // Some may have been remembered since their page was read.
        let recent = &source.status.recent;
        all.retain(|task| !recent.contains(Mark::of(&task.task_id)));
        if source.status.recent.is_full()
            && let Some(since) = self.remembered_since
        {
            // What is no younger may have been made, and forgotten for lack of room.
            all.retain(|task| task.born.is_none_or(|born| born > since));
        }
        all.sort_by_key(|task| task.born);
        all
    }
}

/// Whether the source remembers the object's task, or needn't: else the object may not be deleted yet, for another
/// would be made of its task.
#[must_use]
pub fn remembers(source: &Source, object: &Object, now: Timestamp) -> bool {
    let task = Mark::of(&object.spec.task_id);
    source.status.recent.contains(task) || elapsed(object.created_at, now) >= OUTDATED
}

/// How long an object must still be kept that was made so lately that an earlier attempt to make it may yet arrive,
/// and would make it again: nobody can call it back.
#[must_use]
pub fn until_settled(object: &Object, now: Timestamp) -> Option<Duration> {
    let age = elapsed(object.created_at, now);
    ATTEMPT_MAX.checked_sub(age).filter(|left| !left.is_zero())
}

fn is_too_old(born: Option<Timestamp>, source: &Source, now: Timestamp) -> bool {
    born.is_some_and(|born| {
        elapsed(born, now) >= YOUNG || elapsed(born, source.created_at) > source.spec.lookback
    })
}

/// Stands for a task in a list. Those whose ID isn't one are told apart by the rest.
fn mark_of(task: &ListedTask) -> Mark {
    if is_task_id(&task.task_id) {
        return Mark::of(&task.task_id);
    }
    let ListedTask {
        task_id,
        task_type,
        created,
        updated,
        ..
    } = task;
    Mark::of(&format!(
        "{task_id:?} {task_type:?} {created:?} {updated:?}"
    ))
}

/// When a task was created: as it says, else as its ID does.
fn born(task: &ListedTask) -> Option<Timestamp> {
    let of_id = || {
        let time = time_of_id(&task.task_id)?;
        task.updated
            .is_none_or(|updated| time <= updated)
            .then_some(time)
    };
    task.created.or_else(of_id)
}

/// IDs of the API begin with the second of their creation, in hexadecimal digits.
fn time_of_id(task_id: &str) -> Option<Timestamp> {
    /// 2015, when the API began.
    const FIRST: i64 = 1_420_070_400;
    let digits = task_id.strip_prefix("T-")?;
    let is_object_id = digits.len() == 24 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let second = i64::from_str_radix(digits.get(..8).filter(|_| is_object_id)?, 16).ok()?;
    Timestamp::from_second(second)
        .ok()
        .filter(|_| second >= FIRST)
}

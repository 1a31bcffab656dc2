//! Reading a list of tasks, page by page: how far to read, and of which tasks objects are made.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::Source;
use crate::{
    api::is_task_id,
    rules::{ListedTask, Mark, Object, time::elapsed},
};

/// How many tasks a page is asked to have.
pub const PAGE_SIZE: u32 = 100;
/// How many pages of a list are read at most.
pub const PAGES_MAX: u32 = 20;
/// Objects are made of tasks that are younger.
const YOUNG: Duration = Duration::from_hours(24);
/// A task that is older is never taken for young, however clocks differ: it needn't be remembered.
const OUTDATED: Duration = Duration::from_hours(25);
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

    /// Takes the next page. `is_gone` says of which tasks an object was deleted; `all_seen`, whether all objects
    /// under way were seen, on this page or one before.
    pub fn take(
        &mut self,
        page: &[ListedTask],
        source: &Source,
        is_gone: impl Fn(Mark) -> bool,
        all_seen: bool,
        now: Timestamp,
    ) -> Progress {
        self.pages += 1;
        let (mut is_new, mut is_young) = (false, false);
        for task in page {
            let born = born(task);
            is_young |= born.is_none_or(|born| elapsed(born, now) < YOUNG);
            let mark = Mark::of(&task.task_id);
            if self.seen.insert(mark) {
                is_new = true;
                self.order.follow(task.created);
                self.consider(task, mark, born, source, &is_gone, now);
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
        is_gone: impl Fn(Mark) -> bool,
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
        if !is_wanted || is_gone(mark) || is_too_old(task, born, source, now) {
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

    /// The tasks of which an object is to be made, or that have one that isn't remembered; the oldest first.
    #[must_use]
    pub fn candidates(&mut self, source: &Source) -> Vec<Candidate> {
        let mut all = std::mem::take(&mut self.candidates);
        if source.status.recent.is_full()
            && let Some(since) = self.remembered_since
        {
            // What is older may have been made, and forgotten for lack of room.
            all.retain(|task| task.born.is_none_or(|born| born >= since));
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

fn is_too_old(task: &ListedTask, born: Option<Timestamp>, source: &Source, now: Timestamp) -> bool {
    // A task is no younger than its last change.
    let Some(born) = born.or(task.updated) else {
        return false;
    };
    elapsed(born, now) >= YOUNG || elapsed(born, source.created_at) > source.spec.lookback
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

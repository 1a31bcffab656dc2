//! What a source shows next, when it is listed again, and when its objects are asked about.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::{LastTask, Recent, Source, SourceStatus, messages as own};
use crate::rules::{
    EventNote, ListedTask, Mark, Memory, Object, Policy, PollError, Ready, Reason, Summary,
    backoff::{SLOW_RETRY, next_poll, phase},
    messages::{self, Subject},
    time::floor_to_second,
    trouble::Trouble,
};

/// After so many intervals of its source an object is asked about, whatever the list shows,
const INTERVALS_A_LOOK: u32 = 10;
/// but no more often than this.
const LOOK_MIN: Duration = Duration::from_mins(5);

/// How the last list ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// None was read since the controller began, or since the spec changed.
    #[default]
    Nothing,
    /// Well.
    Listed {
        /// When it was asked for.
        asked_at: Timestamp,
        /// Tasks of which no object can be made.
        unmakeable: i64,
    },
    /// A page brought no answer.
    Failed(PollError),
}

/// An object that was made, or found, and that the status doesn't remember yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its task.
    pub task_id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// When.
    pub at: Timestamp,
    /// Whether the source made it: else it was there.
    pub is_own: bool,
    /// When its task was created, where that is known.
    pub born: Option<Timestamp>,
}

/// All that a decision about a source depends on.
#[derive(Clone, Copy, Debug)]
pub struct SourceCase<'a> {
    /// What the operator decided.
    pub policy: &'a Policy,
    /// The source as it is.
    pub source: &'a Source,
    /// What was remembered before the last list.
    pub memory: Memory,
    /// How the last list ended.
    pub heard: &'a Heard,
    /// When that was heard.
    pub heard_at: Timestamp,
    /// What was made since the last status.
    pub made: &'a [Made],
    /// Remembered tasks that the list shows to be old.
    pub outdated: &'a BTreeSet<Mark>,
    /// Why the API server refuses to create objects, if it does.
    pub refusal: Option<&'a str>,
    /// The time by the calendar.
    pub now: Timestamp,
    /// Scatters delays.
    pub seed: u64,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceVerdict {
    /// The status that the source should have.
    pub status: SourceStatus,
    /// The Event to publish once that is written.
    pub note: Option<EventNote>,
    /// What to remember.
    pub memory: Memory,
    /// Whether its list stands for polls of its objects.
    pub lists: bool,
    /// After which time to list; none where not before something happens to it.
    pub next: Option<Duration>,
}

/// The type of [`observe_source`].
pub type ObserveSource = fn(&SourceCase<'_>) -> SourceVerdict;

/// Decides what a source shows and when it is listed again.
///
/// Pure: equal cases give equal verdicts.
#[must_use]
pub fn observe_source(case: &SourceCase<'_>) -> SourceVerdict {
    let source = case.source;
    let mut verdict = SourceVerdict {
        status: source.status.clone(),
        note: None,
        memory: case.memory,
        lists: false,
        next: None,
    };
    if !source.deleting {
        let (summary, next, lists) = match blocked(case) {
            Some(summary) => {
                verdict.memory = Memory::default();
                (Some(summary), None, false)
            }
            None => follow(case, &mut verdict.memory),
        };
        // Nothing is shown without a reason beside it.
        if summary.is_some() || source.shown().is_some() {
            record(&mut verdict.status, case);
        }
        if let Some(summary) = summary {
            show(&mut verdict.status, case, &summary);
            if matches!(summary.reason, Reason::NotAllowed | Reason::ClusterMismatch) {
                // Nothing of the cluster's tasks is shown but which are not to be made again.
                verdict.status.last_made = None;
                verdict.status.unmakeable = 0;
            }
        }
        (verdict.next, verdict.lists) = (next, lists);
    }
    let error = match case.heard {
        Heard::Failed(error) => Some(error),
        _ => None,
    };
    let (before, after) = (&source.status.conditions, &verdict.status.conditions);
    verdict.note = EventNote::for_change(before, after, error);
    verdict
}

/// Why it may not list.
fn blocked(case: &SourceCase<'_>) -> Option<Summary> {
    let SourceCase { policy, source, .. } = *case;
    if source.spec.suspend {
        return Some(own::suspended(kept_ready(source)));
    }
    if let Some(denial) = policy.denial_of_source(source) {
        return Some(own::not_allowed(denial));
    }
    if source.region(policy).is_none() {
        return Some(messages::region_missing());
    }
    if source.spec.secret_name.is_some() && !policy.secret_credentials {
        return Some(messages::secret_credentials_off());
    }
    let allowed = &policy.allowed_cluster_ids;
    let is_allowed = allowed.is_empty() || allowed.iter().any(|id| **id == *source.spec.cluster_id);
    (!is_allowed).then(own::cluster_not_allowed)
}

/// What to show, when to list, and whether the list stands for polls.
fn follow(case: &SourceCase<'_>, memory: &mut Memory) -> (Option<Summary>, Option<Duration>, bool) {
    let SourceCase {
        source,
        policy,
        now,
        ..
    } = *case;
    let interval = source.interval(policy);
    match case.heard {
        Heard::Nothing => {
            let is_known = source.status.observed_generation == Some(source.generation);
            let after = if source.shown().is_none() || !is_known {
                Duration::ZERO
            } else {
                phase(interval.min(SLOW_RETRY), &source.uid, now)
            };
            // An edit alone changes nothing of that.
            (None, Some(after), source.reason() == Some(Reason::Listing))
        }
        Heard::Listed {
            asked_at,
            unmakeable,
        } => {
            *memory = Memory::default();
            let summary = match case.refusal {
                Some(refusal) => own::cannot_make(refusal),
                None => own::listing(*unmakeable),
            };
            let after = next_poll(interval, &source.uid, *asked_at, now);
            (Some(summary), Some(after), true)
        }
        Heard::Failed(error) => {
            let trouble = Trouble {
                error,
                subject: Subject::Cluster,
                shown: source.shown(),
                kept_ready: kept_ready(source),
                now: case.heard_at,
                seed: case.seed,
            };
            let (summary, after) = trouble.follow(memory);
            // A blip alone doesn't send all objects to be polled.
            let is_blip = summary.is_none() && after <= interval;
            let lists = is_blip && source.reason() == Some(Reason::Listing);
            (summary, Some(after), lists)
        }
    }
}

/// The status of `Ready` while nothing new is known: `Unknown` until the tasks were first listed.
fn kept_ready(source: &Source) -> Ready {
    match source.status.made {
        Some(_) => Ready::False,
        None => Ready::Unknown,
    }
}

fn show(status: &mut SourceStatus, case: &SourceCase<'_>, summary: &Summary) {
    let (source, generation) = (case.source, case.source.generation);
    status.observed_generation = Some(generation);
    if let Heard::Listed { unmakeable, .. } = case.heard {
        status.made.get_or_insert(0);
        status.unmakeable = *unmakeable;
    }
    let now = floor_to_second(case.now);
    let before = &source.status.conditions;
    status.conditions.show(before, summary, generation, now);
}

/// Remembers what was made.
fn record(status: &mut SourceStatus, case: &SourceCase<'_>) {
    let before = &case.source.status;
    let is_new = |made: &&Made| !before.recent.contains(Mark::of(&made.task_id));
    let mut made: Vec<&Made> = case.made.iter().filter(is_new).collect();
    if made.is_empty() {
        return;
    }
    if !before.recent.has_room(made.len()) {
        // The newest are remembered for longest.
        made.sort_by_key(|made| made.born);
    }
    let own = made.iter().filter(|made| made.is_own);
    let count = i64::try_from(own.clone().count()).unwrap_or(i64::MAX);
    status.made = Some(before.made.unwrap_or_default().saturating_add(count));
    if let Some(last) = own.max_by_key(|made| made.at) {
        status.last_made = Some(LastTask {
            task_id: last.task_id.clone(),
            name: last.name.clone(),
            at: floor_to_second(last.at),
        });
    }
    let is_kept = |id: &&str| !case.outdated.contains(&Mark::of(id));
    let kept = before.recent.ids().filter(is_kept);
    let new = made.iter().map(|made| made.task_id.clone());
    status.recent = Recent::new(kept.map(Into::into).chain(new));
}

/// Whether a list of its source may have an object asked about. What is in trouble is asked about when its own time
/// comes.
#[must_use]
pub fn is_looked_after(object: &Object, memory: &Memory) -> bool {
    let is_well = memory.failures == 0 && !object.reason().is_some_and(Reason::is_trouble);
    is_well && !object.is_finished()
}

/// Whether a list shows an object's task as the last answer did: there is nothing to ask.
#[must_use]
pub fn is_listed_as_answered(object: &Object, listed: Option<&ListedTask>) -> bool {
    let marks = listed
        .and_then(ListedTask::mark)
        .zip(object.status.listed_as);
    marks.is_some_and(|(listed, answered)| listed == answered)
}

/// How often an object is asked about whose source lists so often.
#[must_use]
pub fn look_interval(interval: Duration) -> Duration {
    (interval * INTERVALS_A_LOOK).max(LOOK_MIN)
}

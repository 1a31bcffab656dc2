//! Which of a task's events say most.

use k8s_openapi::jiff::Timestamp;

use super::task_state::is_word;

/// How many events the status shows.
pub const MAX_EVENTS: usize = 10;

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Or not known.
    Normal,
    /// A warning.
    Warning,
    /// An error.
    Error,
}

impl Level {
    /// The level of that name.
    pub fn of(name: &str) -> Self {
        let is_any = |words: &[&str]| words.iter().any(|word| is_word(name, word));
        if is_any(&["error", "err", "fatal", "critical"]) {
            Self::Error
        } else if is_any(&["warning", "warn"]) {
            Self::Warning
        } else {
            Self::Normal
        }
    }
}

/// Keeps the events that say most: errors and warnings before others, then the newest; in the order
/// in which they stand. `look` finds an event's level and time.
pub fn keep_most_telling<T>(events: &mut Vec<T>, look: impl Fn(&T) -> (&str, Option<Timestamp>)) {
    let ranks = events.iter().enumerate().map(|(index, event)| {
        let (level, time) = look(event);
        (Level::of(level) > Level::Normal, time, index)
    });
    let mut ranks: Vec<_> = ranks.collect();
    ranks.sort_unstable_by(|one, other| other.cmp(one));
    let mut kept: Vec<usize> = ranks.iter().take(MAX_EVENTS).map(|rank| rank.2).collect();
    kept.sort_unstable();
    let mut index = 0;
    events.retain(|_| {
        index += 1;
        kept.binary_search(&(index - 1)).is_ok()
    });
}

//! The states of a task. The API's set is open, and it spells some in two ways.

/// The state of an object's task, from a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskState {
    /// The task was never read, or isn't shown.
    Pending,
    /// It goes on.
    Running,
    /// Somebody paused it.
    Paused,
    /// It succeeded.
    Success,
    /// It failed.
    Fail,
    /// Somebody canceled it.
    Canceled,
    /// A state that this version doesn't know.
    Unknown,
}

/// What the API writes, what the status shows, and which state that is.
const KNOWN: [(&str, &str, TaskState); 12] = [
    ("running", "running", TaskState::Running),
    ("pausing", "pausing", TaskState::Running),
    ("resuming", "resuming", TaskState::Running),
    ("canceling", "canceling", TaskState::Running),
    ("cancelling", "cancelling", TaskState::Running),
    ("paused", "paused", TaskState::Paused),
    ("success", "success", TaskState::Success),
    ("fail", "fail", TaskState::Fail),
    ("failed", "fail", TaskState::Fail),
    ("timeout", "timeout", TaskState::Fail),
    ("canceled", "canceled", TaskState::Canceled),
    ("cancelled", "canceled", TaskState::Canceled),
];

/// What the API writes of an instance, and what the status shows: `initail` is how the API's own page
/// spells it.
const RESULTS: [(&str, &str); 5] = [
    ("success", "success"),
    ("fail", "failed"),
    ("failed", "failed"),
    ("initial", "initial"),
    ("initail", "initial"),
];

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Paused,
        Self::Success,
        Self::Fail,
        Self::Canceled,
        Self::Unknown,
    ];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Success => "success",
            Self::Fail => "fail",
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
        }
    }

    /// The state that a text of the API or of a status names.
    pub(super) fn of(text: &str) -> Self {
        known(text).map_or(Self::Unknown, |(_, state)| state)
    }

    /// Whether a task in this state has ended.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Fail | Self::Canceled)
    }
}

/// How the status shows a state of the API: one that isn't known as it is.
pub fn normal_state(text: &str) -> &str {
    known(text).map_or(text, |(shown, _)| shown)
}

/// How the status shows what became of an instance.
pub fn normal_result(text: &str) -> &str {
    let mut results = RESULTS.iter();
    results
        .find(|(written, _)| is_word(text, written))
        .map_or(text, |(_, shown)| shown)
}

/// Whether the API means that word: it isn't particular about case and blanks.
pub fn is_word(text: &str, word: &str) -> bool {
    text.trim().eq_ignore_ascii_case(word)
}

fn known(text: &str) -> Option<(&'static str, TaskState)> {
    let mut known = KNOWN.iter();
    known
        .find(|(written, ..)| is_word(text, written))
        .map(|(_, shown, state)| (*shown, *state))
}

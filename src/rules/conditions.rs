//! The conditions, as kstatus, `kubectl wait` and GitOps tools read them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::{Reason, text::shown};

/// How many characters a condition's message has at most.
const MESSAGE_CHARS: usize = 1024;
const READY: &str = "Ready";
const RECONCILING: &str = "Reconciling";
const STALLED: &str = "Stalled";
const FINISHED: &str = "Finished";

/// The status of the condition `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ready {
    /// The task succeeded.
    True,
    /// It didn't, or not yet.
    False,
    /// Nothing is known of the task.
    Unknown,
}

/// The condition beside `Ready`: kstatus calls such conditions abnormal-true, for they are present
/// only while True.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abnormal {
    /// Work goes on by itself.
    Reconciling,
    /// It ended badly, or somebody has to act.
    Stalled,
    /// Neither.
    None,
}

/// What the conditions are to say.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The status of `Ready`.
    pub ready: Ready,
    /// The condition beside it.
    pub abnormal: Abnormal,
    /// The reason of both.
    pub reason: Reason,
    /// The message of both.
    pub message: String,
}

/// Times of conditions have whole seconds: these are since 1970.
type Second = i64;

/// The controller's own conditions. They have one reason, message and generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The status of `Ready`.
    pub ready: Ready,
    /// The condition beside it.
    pub abnormal: Abnormal,
    /// None where another version of this program wrote one that this one doesn't know.
    pub reason: Option<Reason>,
    /// In words.
    pub message: Box<str>,
    /// The generation of the spec that they speak of.
    generation: i64,
    ready_since: Second,
    /// When the condition beside `Ready` became True.
    abnormal_since: Second,
    /// When `Finished` became True; none while the reason isn't final.
    finished_since: Option<Second>,
    /// Whether the object's conditions are just these. Somebody may have edited them.
    is_exact: bool,
}

/// The conditions of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    shown: Option<Shown>,
    /// Of other types: whoever wrote them, they stay.
    foreign: Box<[Condition]>,
}

impl Conditions {
    /// What the object says of itself; none before its first status.
    #[must_use]
    pub fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// The reason of `Ready`, if this version knows it.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.shown.as_ref()?.reason
    }

    /// Says what `summary` says, of `generation`. The time of a condition moves only when its status
    /// differs from the one `before`.
    pub(super) fn show(
        &mut self,
        before: &Self,
        summary: &Summary,
        generation: i64,
        now: Timestamp,
    ) {
        let now = now.as_second();
        let before = before.shown.as_ref();
        let finished_before = before.and_then(|before| before.finished_since);
        let same_ready = before.filter(|before| before.ready == summary.ready);
        let same_abnormal = before.filter(|before| before.abnormal == summary.abnormal);
        self.shown = Some(Shown {
            ready: summary.ready,
            abnormal: summary.abnormal,
            reason: Some(summary.reason),
            // The task's own error may be in it.
            message: shown(&summary.message, MESSAGE_CHARS).into(),
            generation,
            ready_since: same_ready.map_or(now, |before| before.ready_since),
            abnormal_since: match summary.abnormal {
                Abnormal::None => 0,
                _ => same_abnormal.map_or(now, |before| before.abnormal_since),
            },
            finished_since: (summary.reason.is_final()).then(|| finished_before.unwrap_or(now)),
            is_exact: true,
        });
    }

    /// Makes otherwise unchanged conditions speak of `generation`.
    pub(super) fn acknowledge(&mut self, generation: i64) {
        if let Some(shown) = &mut self.shown {
            shown.generation = generation;
        }
    }

    /// As the API server keeps them.
    #[must_use]
    pub fn to_list(&self) -> Vec<Condition> {
        let own = self.shown.iter().flat_map(Shown::to_list);
        own.chain(self.foreign.iter().cloned()).collect()
    }
}

impl From<Vec<Condition>> for Conditions {
    fn from(list: Vec<Condition>) -> Self {
        let is_own = |condition: &Condition| {
            matches!(&*condition.type_, READY | RECONCILING | STALLED | FINISHED)
        };
        let (own, foreign): (Vec<_>, Vec<_>) = list.into_iter().partition(is_own);
        Self {
            shown: Shown::read(&own),
            foreign: foreign.into(),
        }
    }
}

impl Shown {
    fn read(own: &[Condition]) -> Option<Self> {
        let find = |type_: &str| own.iter().find(|condition| condition.type_ == type_);
        let since = |condition: &Condition| condition.last_transition_time.0.as_second();
        let ready = find(READY)?;
        let (abnormal, beside) = match (find(STALLED), find(RECONCILING)) {
            (Some(stalled), _) => (Abnormal::Stalled, Some(stalled)),
            (None, Some(reconciling)) => (Abnormal::Reconciling, Some(reconciling)),
            (None, None) => (Abnormal::None, None),
        };
        let mut shown = Self {
            ready: match &*ready.status {
                "True" => Ready::True,
                "False" => Ready::False,
                _ => Ready::Unknown,
            },
            abnormal,
            reason: Reason::parse(&ready.reason),
            message: ready.message.as_str().into(),
            generation: ready.observed_generation.unwrap_or_default(),
            ready_since: since(ready),
            abnormal_since: beside.map_or(0, since),
            finished_since: find(FINISHED).map(since),
            is_exact: false,
        };
        let rebuilt = shown.to_list();
        shown.is_exact =
            rebuilt.len() == own.len() && rebuilt.iter().all(|condition| own.contains(condition));
        Some(shown)
    }

    fn to_list(&self) -> Vec<Condition> {
        let build = |type_: &str, status: &str, since: Second| Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: self.reason.map_or("", Reason::as_str).to_owned(),
            message: self.message.to_string(),
            observed_generation: Some(self.generation),
            last_transition_time: Time(Timestamp::from_second(since).unwrap_or_default()),
        };
        let status = match self.ready {
            Ready::True => "True",
            Ready::False => "False",
            Ready::Unknown => "Unknown",
        };
        let beside = match self.abnormal {
            Abnormal::Reconciling => Some(RECONCILING),
            Abnormal::Stalled => Some(STALLED),
            Abnormal::None => None,
        };
        let ready = build(READY, status, self.ready_since);
        let beside = beside.map(|type_| build(type_, "True", self.abnormal_since));
        let finished = self.finished_since;
        let finished = finished.map(|since| build(FINISHED, "True", since));
        [Some(ready), beside, finished]
            .into_iter()
            .flatten()
            .collect()
    }
}

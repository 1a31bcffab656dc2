//! The three conditions, as kstatus, `kubectl wait` and GitOps tools read them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::{Reason, bounded};
use crate::api::ScaleOutTaskStatus;

/// How many characters a condition's message has at most.
const MESSAGE_CHARS: usize = 1024;
const OWN_TYPES: [&str; 3] = ["Ready", "Reconciling", "Stalled"];

/// What stands beside `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Work goes on by itself.
    Reconciling,
    /// It ended badly, or somebody has to act.
    Stalled,
    /// Neither.
    Nothing,
}

/// The situation of an object in the words of its conditions.
#[derive(Clone, Debug)]
pub struct Situation {
    /// `True`, `False` or `Unknown`.
    pub ready: &'static str,
    pub beside: Beside,
    pub reason: Reason,
    pub message: String,
}

/// The condition of that type.
pub fn find<'a>(status: &'a ScaleOutTaskStatus, type_: &str) -> Option<&'a Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == type_)
}

/// Writes the situation into `status`, which then speaks of `generation`. Conditions of other types
/// stay. The time of a condition moves only when its status differs from the one `before`.
pub fn set(
    status: &mut ScaleOutTaskStatus,
    before: &ScaleOutTaskStatus,
    situation: &Situation,
    generation: i64,
    now: Timestamp,
) {
    let message = printable(bounded(&situation.message, MESSAGE_CHARS));
    let build = |type_: &str, value: &str| Condition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: situation.reason.as_str().to_owned(),
        message: message.clone(),
        observed_generation: Some(generation),
        last_transition_time: match find(before, type_) {
            Some(before) if before.status == value => before.last_transition_time.clone(),
            _ => Time(now),
        },
    };
    let mut conditions = vec![build("Ready", situation.ready)];
    match situation.beside {
        Beside::Reconciling => conditions.push(build("Reconciling", "True")),
        Beside::Stalled => conditions.push(build("Stalled", "True")),
        Beside::Nothing => {}
    }
    let foreign = status
        .conditions
        .drain(..)
        .filter(|condition| !OWN_TYPES.contains(&condition.type_.as_str()));
    conditions.extend(foreign);
    status.conditions = conditions;
    status.observed_generation = Some(generation);
}

/// The task's own error may be in a message: whatever would forge lines or turn text around in a
/// log or a terminal becomes a blank.
fn printable(message: &str) -> String {
    let harmful =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    message
        .chars()
        .map(|c| if harmful(c) { ' ' } else { c })
        .collect()
}

/// Makes an otherwise unchanged status speak of `generation`.
pub fn acknowledge(status: &mut ScaleOutTaskStatus, generation: i64) {
    status.observed_generation = Some(generation);
    for condition in &mut status.conditions {
        if OWN_TYPES.contains(&condition.type_.as_str()) {
            condition.observed_generation = Some(generation);
        }
    }
}

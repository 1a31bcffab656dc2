//! Whether two statuses say the same of a task, without keeping either.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    num::NonZeroU64,
    sync::LazyLock,
};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::api::ScaleOutTaskStatus;

/// Random, another for each process: who can choose the bodies of tasks must not be able to make two
/// that look alike.
static KEYS: LazyLock<[u64; 2]> = LazyLock::new(|| {
    let random = RandomState::new();
    [random.hash_one(0), random.hash_one(1)]
});

/// 128 bits that stand for what a status says of its task. Comparable within one process only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// Of what the task API said, and whether nodes are shown: conditions and the like don't count.
    #[must_use]
    pub fn of(status: &ScaleOutTaskStatus) -> Self {
        let mut hasher = SipHasher13::new_with_keys(KEYS[0], KEYS[1]);
        status.hash_task(&mut hasher);
        Self(hasher.finish128().as_u128())
    }
}

/// 64 bits that stand for an ID, or for little more. Comparable within one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(NonZeroU64);

impl Mark {
    /// Of that ID.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self::of_bytes([id.as_bytes()])
    }

    /// Of a state and the second in which it was last seen to change.
    pub(super) fn of_state(state: &str, second: i64) -> Self {
        Self::of_bytes([&second.to_le_bytes()[..], state.as_bytes()])
    }

    fn of_bytes<const N: usize>(parts: [&[u8]; N]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(KEYS[0], KEYS[1]);
        for part in parts {
            hasher.write(part);
        }
        // None of them is zero, so that one that may be missing takes no more room.
        Self(NonZeroU64::new(hasher.finish128().h1).unwrap_or(NonZeroU64::MIN))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TaskResult;

    fn with_results(results: &[(&str, &str)]) -> ScaleOutTaskStatus {
        let results = results.iter().map(|(data, status)| TaskResult {
            data: (*data).to_owned(),
            status: (*status).to_owned(),
            ..TaskResult::default()
        });
        ScaleOutTaskStatus {
            task_result: Some(results.collect()),
            ..ScaleOutTaskStatus::default()
        }
    }

    #[test]
    fn statuses_that_differ_anywhere_in_the_task_have_other_fingerprints() {
        let statuses = [
            ScaleOutTaskStatus::default(),
            with_results(&[]),
            with_results(&[("i-1", "success")]),
            with_results(&[("i-1s", "uccess")]),
            with_results(&[("i-1", "success"), ("i-2", "success")]),
            ScaleOutTaskStatus {
                state: Some("running".to_owned()),
                ..ScaleOutTaskStatus::default()
            },
            ScaleOutTaskStatus {
                current_stage: Some("running".to_owned()),
                ..ScaleOutTaskStatus::default()
            },
        ];
        for (index, one) in statuses.iter().enumerate() {
            for (other_index, other) in statuses.iter().enumerate() {
                let same = Fingerprint::of(one) == Fingerprint::of(other);
                assert_eq!(same, index == other_index, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn what_the_controller_adds_does_not_count_but_that_it_shows_nodes() {
        let mut status = with_results(&[("i-1", "success")]);
        let before = Fingerprint::of(&status);
        status.observed_generation = Some(7);
        status.last_handled_poll_request = Some("now".to_owned());
        let results = status.task_result.as_mut().unwrap();
        results[0].node = Some("n-1".to_owned());
        results[0].node_ready = Some(true);
        assert_eq!(Fingerprint::of(&status), before);
        status.nodes = Some("2/5".to_owned());
        let with_nodes = Fingerprint::of(&status);
        assert_ne!(with_nodes, before);
        status.nodes = Some("3/5".to_owned());
        assert_eq!(Fingerprint::of(&status), with_nodes);
    }
}

//! Places that namespaces share.

use std::{collections::BTreeMap, sync::Arc};

use super::limits::Fairness;

/// A number of places. A namespace may take another while it holds fewer than are free: so one that
/// takes all it can leaves half of them, two leave a third, and who holds none always finds one.
#[derive(Clone, Debug)]
pub struct Shares {
    limit: usize,
    taken: usize,
    by_namespace: BTreeMap<Arc<str>, usize>,
    are_shared: bool,
}

impl Shares {
    /// Places of which none is taken.
    pub fn new(limit: usize, fairness: Fairness) -> Self {
        Self {
            limit,
            taken: 0,
            by_namespace: BTreeMap::new(),
            are_shared: fairness.namespaces_share_slots,
        }
    }

    /// How many that namespace holds.
    pub fn held_by(&self, namespace: &str) -> usize {
        self.by_namespace
            .get(namespace)
            .copied()
            .unwrap_or_default()
    }

    /// How many nobody holds.
    pub fn free(&self) -> usize {
        self.limit.saturating_sub(self.taken)
    }

    /// Whether that namespace may take another.
    pub fn has_room(&self, namespace: &str) -> bool {
        let held = if self.are_shared {
            self.held_by(namespace)
        } else {
            0
        };
        held < self.free()
    }

    /// That namespace takes one.
    pub fn take(&mut self, namespace: &Arc<str>) {
        self.taken += 1;
        *self.by_namespace.entry(namespace.clone()).or_default() += 1;
    }

    /// That namespace gives one back.
    pub fn give_back(&mut self, namespace: &str) {
        let Some(held) = self.by_namespace.get_mut(namespace) else {
            return;
        };
        self.taken -= 1;
        *held -= 1;
        if *held == 0 {
            self.by_namespace.remove(namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many each takes that takes all it can, in turn.
    fn taken(limit: usize, namespaces: &[&str]) -> Vec<usize> {
        let mut shares = Shares::new(limit, Fairness::default());
        for _ in 0..limit {
            for namespace in namespaces {
                if shares.has_room(namespace) {
                    shares.take(&(*namespace).into());
                }
            }
        }
        let held = namespaces.iter();
        held.map(|namespace| shares.held_by(namespace)).collect()
    }

    #[test]
    fn who_takes_all_it_can_leaves_as_much_as_it_holds() {
        assert_eq!(taken(64, &["a"]), [32]);
        assert_eq!(taken(63, &["a", "b"]), [21, 21]);
        assert_eq!(taken(64, &["a", "b", "c"]), [16, 16, 16]);
        assert_eq!(taken(1, &["a"]), [1]);
    }

    #[test]
    fn what_is_given_back_can_be_taken() {
        let mut shares = Shares::new(2, Fairness::default());
        shares.take(&"a".into());
        assert!(!shares.has_room("a") && shares.has_room("b"));
        shares.give_back("a");
        shares.give_back("a");
        assert!(shares.has_room("a"));
        assert_eq!(shares.free(), 2);
    }
}

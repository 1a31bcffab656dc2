//! The one queue: IDs that wait, and whose turn it is.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use super::limits::Fairness;

/// IDs that wait. Namespaces take turns. Within one, the higher priority comes first (the lower in
/// order of `P`), and what has waited longer.
#[derive(Clone, Debug)]
pub struct FairQueue<P> {
    namespaces: BTreeMap<Arc<str>, Waiting<P>>,
    /// The namespaces in which something waits, next first.
    turns: BTreeMap<u64, Arc<str>>,
    /// How many wait with each priority.
    by_priority: BTreeMap<P, usize>,
    len: usize,
    /// Counts turns and places. Starts anew whenever nothing waits.
    count: u64,
    takes_turns: bool,
}

/// What waits in one namespace.
#[derive(Clone, Debug)]
struct Waiting<P> {
    turn: u64,
    ids: BTreeMap<Place<P>, u64>,
}

/// Where an ID waits in its namespace: priority and age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<P> {
    /// How it is preferred.
    pub priority: P,
    number: u64,
}

impl<P: Copy + Ord> FairQueue<P> {
    /// A queue in which nothing waits.
    pub fn new(fairness: Fairness) -> Self {
        Self {
            namespaces: BTreeMap::new(),
            turns: BTreeMap::new(),
            by_priority: BTreeMap::new(),
            len: 0,
            count: 0,
            takes_turns: fairness.namespaces_take_turns,
        }
    }

    /// Adds an ID behind those of its namespace with the same priority.
    pub fn push(&mut self, namespace: &Arc<str>, id: u64, priority: P) -> Place<P> {
        self.count += 1;
        let (turns, turn) = (&mut self.turns, self.count);
        let waiting = self.namespaces.entry(namespace.clone()).or_insert_with(|| {
            turns.insert(turn, namespace.clone());
            let ids = BTreeMap::new();
            Waiting { turn, ids }
        });
        let place = Place {
            priority,
            number: turn,
        };
        waiting.ids.insert(place, id);
        self.added(priority);
        place
    }

    /// Takes an ID out that no longer waits.
    pub fn remove(&mut self, namespace: &str, place: Place<P>) {
        let Some(waiting) = self.namespaces.get_mut(namespace) else {
            return;
        };
        if waiting.ids.remove(&place).is_none() {
            return;
        }
        if waiting.ids.is_empty() {
            self.turns.remove(&waiting.turn);
            self.namespaces.remove(namespace);
        }
        self.removed(place.priority);
    }

    /// Gives an ID that waits another priority. Its namespace keeps its turn.
    pub fn prioritize(&mut self, namespace: &str, place: Place<P>, priority: P) -> Place<P> {
        let waiting = self.namespaces.get_mut(namespace);
        let Some(waiting) = waiting.filter(|waiting| waiting.ids.contains_key(&place)) else {
            return place;
        };
        self.count += 1;
        let moved = Place {
            priority,
            number: self.count,
        };
        if let Some(id) = waiting.ids.remove(&place) {
            waiting.ids.insert(moved, id);
        }
        self.added(priority);
        self.removed(place.priority);
        moved
    }

    /// The next ID with one of these priorities whose namespace `may_start`; that namespace's next
    /// turn comes after all others'.
    pub fn pop(
        &mut self,
        priorities: RangeInclusive<P>,
        may_start: impl Fn(&str) -> bool,
    ) -> Option<Started<P>> {
        let (first, last) = priorities.into_inner();
        let first = Place {
            priority: first,
            number: 0,
        };
        let last = Place {
            priority: last,
            number: u64::MAX,
        };
        let mut may_start = self.turns.iter().filter_map(|(turn, namespace)| {
            let ids = &self.namespaces.get(namespace)?.ids;
            let (place, id) = ids.range(first..=last).next()?;
            may_start(namespace).then_some((*turn, *place, *id))
        });
        let (turn, place, id) = if self.takes_turns {
            may_start.next()?
        } else {
            may_start.min_by_key(|(_, place, _)| *place)?
        };
        let namespace = self.turns.remove(&turn)?;
        let waiting = self.namespaces.get_mut(&namespace)?;
        waiting.ids.remove(&place);
        if waiting.ids.is_empty() {
            self.namespaces.remove(&namespace);
        } else {
            self.count += 1;
            waiting.turn = self.count;
            self.turns.insert(self.count, namespace.clone());
        }
        self.removed(place.priority);
        Some(Started {
            id,
            namespace,
            place,
        })
    }

    /// The ID whose turn is next.
    pub fn first(&self) -> Option<u64> {
        let namespace = self.next_namespace()?;
        let ids = &self.namespaces.get(namespace)?.ids;
        ids.first_key_value().map(|(_, id)| *id)
    }

    /// The namespace whose turn is next.
    pub fn next_namespace(&self) -> Option<&Arc<str>> {
        self.turns.first_key_value().map(|(_, namespace)| namespace)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many wait with that priority.
    pub fn len_of(&self, priority: P) -> usize {
        self.by_priority.get(&priority).copied().unwrap_or_default()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether any ID of that namespace waits with a priority of at least `priority`.
    pub fn waits(&self, namespace: &str, priority: P) -> bool {
        let waiting = self.namespaces.get(namespace);
        let first = waiting.and_then(|waiting| waiting.ids.first_key_value());
        first.is_some_and(|(place, _)| place.priority <= priority)
    }

    fn added(&mut self, priority: P) {
        self.len += 1;
        *self.by_priority.entry(priority).or_default() += 1;
    }

    fn removed(&mut self, priority: P) {
        self.len -= 1;
        if let Some(count) = self.by_priority.get_mut(&priority) {
            *count -= 1;
        }
        if self.len == 0 {
            self.count = 0;
        }
    }
}

/// What a queue let start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started<P> {
    pub id: u64,
    pub namespace: Arc<str>,
    /// Where it waited.
    pub place: Place<P>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_of(ids: &[(&str, u64, u8)]) -> FairQueue<u8> {
        let mut queue = FairQueue::new(Fairness::default());
        for (namespace, id, priority) in ids {
            queue.push(&(*namespace).into(), *id, *priority);
        }
        queue
    }

    fn drain(queue: &mut FairQueue<u8>) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop(0..=u8::MAX, |_| true))
            .map(|started| started.id)
            .collect()
    }

    #[test]
    fn namespaces_take_turns_and_within_one_priority_then_age_decides() {
        let mut queue = queue_of(&[
            ("a", 1, 1),
            ("a", 2, 1),
            ("a", 3, 0),
            ("a", 4, 1),
            ("b", 5, 1),
            ("c", 6, 9),
            ("b", 7, 0),
        ]);
        assert_eq!(queue.len(), 7);
        assert_eq!(drain(&mut queue), [3, 7, 6, 1, 5, 2, 4]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_comes_late_waits_for_one_turn_of_each_other_namespace() {
        let ids: Vec<_> = (0..1000).map(|id| ("a", id, 1)).collect();
        let mut queue = queue_of(&ids);
        queue.push(&"b".into(), 5000, 1);
        let first: Vec<u64> = drain(&mut queue).into_iter().take(2).collect();
        assert_eq!(first, [0, 5000]);
    }

    #[test]
    fn a_namespace_that_may_not_start_keeps_its_turn() {
        let mut queue = queue_of(&[("a", 1, 1), ("b", 2, 1), ("b", 3, 1)]);
        let started = queue.pop(0..=1, |namespace| namespace != "a").unwrap();
        assert_eq!(started.id, 2);
        assert_eq!(drain(&mut queue), [1, 3]);
    }

    #[test]
    fn priorities_outside_the_range_wait() {
        let mut queue = queue_of(&[("a", 1, 0), ("b", 2, 1)]);
        assert_eq!(queue.pop(1..=1, |_| true).unwrap().id, 2);
        assert_eq!(queue.pop(1..=1, |_| true), None);
        assert!(queue.waits("a", 0) && !queue.waits("b", 0));
    }

    #[test]
    fn a_namespace_keeps_its_turn_where_a_priority_changes() {
        let mut queue = queue_of(&[("a", 1, 1)]);
        let place = queue.push(&"b".into(), 2, 1);
        queue.push(&"a".into(), 3, 1);
        queue.push(&"c".into(), 4, 1);
        assert_eq!(queue.pop(0..=9, |_| true).unwrap().id, 1);
        queue.prioritize("b", place, 0);
        assert_eq!([queue.len_of(0), queue.len_of(1), queue.len()], [1, 2, 3]);
        assert_eq!(drain(&mut queue), [2, 4, 3]);
    }

    #[test]
    fn what_is_removed_never_starts() {
        let mut queue = queue_of(&[("a", 1, 1)]);
        let place = queue.push(&"a".into(), 2, 1);
        let only = queue.push(&"b".into(), 3, 1);
        queue.remove("a", place);
        queue.remove("b", only);
        queue.remove("b", only);
        assert_eq!((queue.len(), drain(&mut queue)), (1, vec![1]));
    }
}

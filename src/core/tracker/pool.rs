//! What many objects have in common, each held once.

use std::{borrow::Borrow, collections::HashSet, fmt, hash::Hash, sync::Arc};

use super::kept::Common;

/// A pool isn't tidied before it holds so many.
const TIDY_FROM: usize = 1024;

/// What objects share.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    /// Words in specs and statuses.
    pub texts: Pool<str>,
    /// What they show.
    pub statuses: Pool<Common>,
}

/// Holds a value for as long as somebody outside does, and a while longer.
pub struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// How many there were when those were dropped that nobody held.
    tidied: usize,
}

impl<T: Eq + Hash + ?Sized> Pool<T> {
    /// The one copy of `value`.
    pub fn share<V: Borrow<T> + Into<Arc<T>>>(&mut self, value: V) -> Arc<T> {
        if let Some(known) = self.values.get(value.borrow()) {
            return known.clone();
        }
        if self.values.len() >= TIDY_FROM.max(2 * self.tidied) {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.tidied = self.values.len();
        }
        let value: Arc<T> = value.into();
        self.values.insert(value.clone());
        value
    }
}

impl<T: ?Sized> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            tidied: self.tidied,
        }
    }
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            tidied: 0,
        }
    }
}

/// What it holds is no state: nothing follows from it.
impl<T: ?Sized> fmt::Debug for Pool<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_held_once() {
        let mut pool = Pool::<str>::default();
        let (one, other) = (pool.share("running"), pool.share("running"));
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(&*pool.share("success"), "success");
    }

    #[test]
    fn what_nobody_holds_is_dropped_some_time() {
        let mut pool = Pool::<str>::default();
        let held = pool.share("held");
        for number in 0..10 * TIDY_FROM {
            pool.share(number.to_string().as_str());
        }
        assert!(pool.values.len() <= 2 * TIDY_FROM, "{}", pool.values.len());
        assert!(Arc::ptr_eq(&held, &pool.share("held")));
    }
}

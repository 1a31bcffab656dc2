//! Strings that many objects have in common, each held once.

use std::{collections::BTreeSet, fmt, sync::Arc};

/// A pool isn't tidied before it has so many strings.
const TIDY_FROM: usize = 1024;

/// Holds a string for as long as somebody outside does, and a while longer.
#[derive(Clone, Default)]
pub struct Pool {
    texts: BTreeSet<Arc<str>>,
    /// How many there were when those were dropped that nobody held.
    tidied: usize,
}

impl Pool {
    /// The one copy of `text`.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= TIDY_FROM.max(2 * self.tidied) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.tidied = self.texts.len();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }
}

/// What it holds is no state: nothing follows from it.
impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_held_once() {
        let mut pool = Pool::default();
        let (one, other) = (pool.share("running"), pool.share("running"));
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(&*pool.share("success"), "success");
    }

    #[test]
    fn strings_that_nobody_holds_are_dropped_some_time() {
        let mut pool = Pool::default();
        let held = pool.share("held");
        for number in 0..10 * TIDY_FROM {
            pool.share(&number.to_string());
        }
        assert!(pool.texts.len() <= 2 * TIDY_FROM, "{}", pool.texts.len());
        assert!(Arc::ptr_eq(&held, &pool.share("held")));
    }
}

//! Which Secrets are kept, and for how long.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::rules::ObjectKey;

/// How many are kept at most. With a role, each may take 20 KiB.
const KEPT_MAX: usize = 1000;
/// How often those that weren't used for a while are dropped.
const SWEEP_PERIOD: Duration = Duration::from_mins(1);

/// What is kept of each Secret.
pub(super) struct KeptSecrets<T> {
    by_name: HashMap<ObjectKey, (Instant, T)>,
    swept_at: Option<Instant>,
}

impl<T> Default for KeptSecrets<T> {
    fn default() -> Self {
        Self {
            by_name: HashMap::new(),
            swept_at: None,
        }
    }
}

impl<T: Clone + Default> KeptSecrets<T> {
    /// What is kept of that Secret, which is used now. `kept_for` says how long another is kept that isn't.
    pub(super) fn use_now(&mut self, secret: &ObjectKey, kept_for: impl Fn(&T) -> Duration) -> T {
        let now = Instant::now();
        let is_due = |at| now.duration_since(at) >= SWEEP_PERIOD;
        if self.swept_at.is_none_or(is_due) {
            self.swept_at = Some(now);
            self.by_name
                .retain(|_, (used_at, one)| now.duration_since(*used_at) < kept_for(one));
        }
        if self.by_name.len() >= KEPT_MAX && !self.by_name.contains_key(secret) {
            self.evict();
        }
        let entry = self.by_name.entry(secret.clone());
        let (used_at, one) = entry.or_insert_with(|| (now, T::default()));
        *used_at = now;
        one.clone()
    }

    /// Drops the Secret that its namespace used least lately, of the namespace with the most: who uses a few loses
    /// none.
    fn evict(&mut self) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for key in self.by_name.keys() {
            *counts.entry(&key.namespace).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some((namespace, _)) = most else { return };
        let of_it = self
            .by_name
            .iter()
            .filter(|(key, _)| &*key.namespace == namespace);
        let oldest = of_it.min_by_key(|(_, (used_at, _))| *used_at);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.by_name.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::*;

    fn key(namespace: &str, number: usize) -> ObjectKey {
        ObjectKey {
            namespace: namespace.into(),
            name: number.to_string().into(),
        }
    }

    fn minute(_: &Arc<()>) -> Duration {
        Duration::from_mins(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_of_many_secrets_takes_the_places_of_no_other() {
        let mut kept = KeptSecrets::<Arc<()>>::default();
        let victim = kept.use_now(&key("victim", 0), minute);
        for number in 0..3 * KEPT_MAX {
            kept.use_now(&key("greedy", number), minute);
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(kept.by_name.len(), KEPT_MAX);
        assert!(Arc::ptr_eq(
            &victim,
            &kept.use_now(&key("victim", 0), minute)
        ));
        // Of the greedy one's, the newest are left.
        assert!(kept.by_name.contains_key(&key("greedy", 3 * KEPT_MAX - 1)));
        assert!(!kept.by_name.contains_key(&key("greedy", 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_for_long_is_dropped() {
        let mut kept = KeptSecrets::<Arc<()>>::default();
        let before = kept.use_now(&key("a", 0), minute);
        advance(Duration::from_secs(59)).await;
        assert!(Arc::ptr_eq(&before, &kept.use_now(&key("a", 0), minute)));
        advance(Duration::from_mins(2)).await;
        kept.use_now(&key("a", 1), minute);
        assert_eq!(kept.by_name.len(), 1);
    }
}

//! From an object's name to its ID.

use std::{collections::BTreeMap, sync::Arc};

use super::ObjectId;
use crate::rules::ObjectKey;

/// The IDs of all objects by namespace and name. It has the name of each namespace once.
#[derive(Clone, Debug, Default)]
pub struct ObjectIds(BTreeMap<Arc<str>, BTreeMap<Arc<str>, ObjectId>>);

impl ObjectIds {
    pub fn get(&self, key: &ObjectKey) -> Option<ObjectId> {
        self.0.get(&key.namespace)?.get(&key.name).copied()
    }

    /// Sets the ID of `key`, which then shares the name of its namespace with the others.
    pub fn insert(&mut self, key: &mut ObjectKey, id: ObjectId) {
        if let Some((namespace, _)) = self.0.get_key_value(&key.namespace) {
            key.namespace = namespace.clone();
        }
        let ids = self.0.entry(key.namespace.clone()).or_default();
        ids.insert(key.name.clone(), id);
    }

    pub fn remove(&mut self, key: &ObjectKey) {
        if let Some(ids) = self.0.get_mut(&key.namespace) {
            ids.remove(&key.name);
            if ids.is_empty() {
                self.0.remove(&key.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    #[test]
    fn the_name_of_a_namespace_is_kept_once() {
        let mut ids = ObjectIds::default();
        let (mut one, mut two) = (key("ns", "one"), key("ns", "two"));
        ids.insert(&mut one, 1);
        ids.insert(&mut two, 2);
        assert!(Arc::ptr_eq(&one.namespace, &two.namespace));
        assert_eq!(
            (ids.get(&one), ids.get(&key("ns", "two"))),
            (Some(1), Some(2))
        );
    }

    #[test]
    fn a_removed_object_has_no_id_and_leaves_nothing() {
        let mut ids = ObjectIds::default();
        ids.insert(&mut key("ns", "one"), 1);
        ids.remove(&key("ns", "two"));
        assert_eq!(ids.get(&key("ns", "one")), Some(1));
        ids.remove(&key("ns", "one"));
        assert_eq!(ids.get(&key("ns", "one")), None);
        assert!(ids.0.is_empty());
    }
}

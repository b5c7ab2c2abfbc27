//! From what a decision rests on to the decision.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Sets by key; an empty set takes no place. Most sets have one element.
#[derive(Debug)]
pub(super) struct Index<K, E>(HashMap<K, BTreeSet<E>>);

impl<K, E> Default for Index<K, E> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, E: Ord> Index<K, E> {
    pub(super) fn insert(&mut self, key: K, element: E) {
        self.0.entry(key).or_default().insert(element);
    }

    pub(super) fn remove(&mut self, key: &K, element: &E) {
        if let Some(set) = self.0.get_mut(key) {
            set.remove(element);
            if set.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// Returns the elements in order.
    pub(super) fn get(&self, key: &K) -> impl Iterator<Item = &E> {
        self.0.get(key).into_iter().flatten()
    }

    pub(super) fn take(&mut self, key: &K) -> BTreeSet<E> {
        self.0.remove(key).unwrap_or_default()
    }
}

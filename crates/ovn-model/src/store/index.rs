//! A map from keys to the rows that have them.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::sets::{self, IdSet};

/// The rows that have a key, sorted, by the key.
#[derive(Debug)]
pub(crate) struct Index<K, I>(HashMap<K, IdSet<I>, RandomState>);

impl<K, I> Default for Index<K, I> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Hash + Eq, I: Copy + Ord> Index<K, I> {
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> &[I]
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(IdSet::as_slice).unwrap_or_default()
    }

    /// Moves a row to another key; `None` means no key, and `own` creates the stored key if it is new.
    pub(crate) fn moved<Q: Hash + Eq + ?Sized>(
        &mut self,
        row: I,
        from: Option<&Q>,
        to: Option<&Q>,
        own: impl FnOnce(&Q) -> K,
    ) where
        K: Borrow<Q>,
    {
        if from != to {
            if let Some(key) = from {
                self.remove(key, row);
            }
            if let Some(key) = to {
                self.insert(key, row, own);
            }
        }
    }

    /// Inserts a row; `own` creates the stored key if it is new.
    pub(crate) fn insert<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, row: I, own: impl FnOnce(&Q) -> K)
    where
        K: Borrow<Q>,
    {
        match self.0.get_mut(key) {
            Some(rows) => sets::set(rows, row, true),
            None => drop(self.0.insert(own(key), IdSet::from_elem(row, 1))),
        }
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, row: I)
    where
        K: Borrow<Q>,
    {
        if let Some(rows) = self.0.get_mut(key) {
            sets::set(rows, row, false);
            if rows.is_empty() {
                self.0.remove(key);
            }
        }
    }
}

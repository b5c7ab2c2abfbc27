//! A map from keys to sets, such as from dependencies to decisions.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};

/// Sets by key; empty sets are not stored.
#[derive(Debug)]
pub(super) struct Index<K, E>(HashMap<K, Members<E>>);

/// A set that is not empty. Most have one element, for which a tree would allocate room for eleven.
#[derive(Debug)]
enum Members<E> {
    One(E),
    #[allow(clippy::box_collection, reason = "the common case is smaller without room for a tree")]
    Many(Box<BTreeSet<E>>),
}

impl<K, E> Default for Index<K, E> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, E: Ord> Index<K, E> {
    pub(super) fn insert(&mut self, key: K, element: E) {
        match self.0.entry(key) {
            Entry::Vacant(vacant) => drop(vacant.insert(Members::One(element))),
            Entry::Occupied(mut occupied) => occupied.get_mut().insert(element),
        }
    }

    pub(super) fn remove(&mut self, key: &K, element: &E) {
        let is_empty = match self.0.get_mut(key) {
            None => false,
            Some(Members::One(one)) => one == element,
            Some(Members::Many(many)) => {
                many.remove(element);
                many.is_empty()
            }
        };
        if is_empty {
            self.0.remove(key);
        }
    }

    /// Returns the elements in order.
    pub(super) fn get<'a>(&'a self, key: &K) -> impl Iterator<Item = &'a E> + use<'a, K, E> {
        let (one, many) = match self.0.get(key) {
            None => (None, None),
            Some(Members::One(one)) => (Some(one), None),
            Some(Members::Many(many)) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|many| many.iter()))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    pub(super) fn take(&mut self, key: &K) -> BTreeSet<E> {
        self.0.remove(key).map(Members::into_set).unwrap_or_default()
    }
}

impl<E: Ord> Members<E> {
    fn insert(&mut self, element: E) {
        match self {
            Self::One(one) if *one == element => {}
            Self::One(_) => {
                let mut many = std::mem::replace(self, Self::Many(Box::default())).into_set();
                many.insert(element);
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => drop(many.insert(element)),
        }
    }

    fn into_set(self) -> BTreeSet<E> {
        match self {
            Self::One(one) => BTreeSet::from([one]),
            Self::Many(many) => *many,
        }
    }
}

//! Indexes of typed tables, which find rows by the values of a column.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::iter;

use super::AtomValue;

/// A type of fields that can have an index: `#[ovsdb(index)]`.
///
/// Implemented for the types of single values, and for `Option`, `Vec` and `BTreeSet` of them: a row is found by each of
/// its elements.
pub trait IndexedField {
    /// The key of the index.
    type Key: Hash + Eq;

    /// Iterates over the keys by which the row is found.
    fn keys(&self) -> impl Iterator<Item = &Self::Key>;
}

impl<T: AtomValue + Hash + Eq> IndexedField for T {
    type Key = T;

    fn keys(&self) -> impl Iterator<Item = &T> {
        iter::once(self)
    }
}

macro_rules! collections {
    ($($collection:ident),*) => {$(
        impl<T: AtomValue + Hash + Eq> IndexedField for $collection<T> {
            type Key = T;

            fn keys(&self) -> impl Iterator<Item = &T> {
                self.iter()
            }
        }
    )*};
}

collections!(Option, Vec, BTreeSet);

/// An index of the row type `T` over a field of type `F`: a constant of the derived `T::INDEXES`, for
/// [`TableCache::find`](crate::TableCache::find) and [`Monitor::find`](crate::Monitor::find).
pub struct Index<T, F> {
    number: usize,
    field: fn(&T) -> &F,
}

/// The declaration of an index: a function that calls another one with the hash of each key of a row. See
/// [`Table::INDEXES`](super::Table::INDEXES).
pub type HashKeys<T> = fn(&T, &RandomState, &mut dyn FnMut(u64));

// ===== impl Index =====

impl<T, F> Index<T, F> {
    /// Creates the index at this place in [`Table::INDEXES`](super::Table::INDEXES), for the derive.
    #[doc(hidden)]
    pub const fn new(number: usize, field: fn(&T) -> &F) -> Self {
        Self { number, field }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl<T, F: IndexedField> Index<T, F> {
    /// Returns true if the row is found by `key`.
    pub(crate) fn has_key<Q>(&self, row: &T, key: &Q) -> bool
    where
        F::Key: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        (self.field)(row).keys().any(|own| own.borrow() == key)
    }
}

impl<T, F> Clone for Index<T, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, F> Copy for Index<T, F> {}

impl<T, F> fmt::Debug for Index<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Index").field(&self.number).finish()
    }
}

/// Calls `each` with the hash of each key of a field, for the derive.
#[doc(hidden)]
pub fn hash_keys<F: IndexedField>(field: &F, state: &RandomState, each: &mut dyn FnMut(u64)) {
    field.keys().for_each(|key| each(state.hash_one(key)));
}

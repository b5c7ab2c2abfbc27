//! The value of one column.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Atom;

/// The value of one column of one row.
///
/// The `as_*` accessors read a set of exactly one element, which is the form of a scalar and of a present optional
/// value; they return `None` for anything else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datum {
    /// A set; with one element also a scalar.
    Set(BTreeSet<Atom>),
    /// A map.
    Map(BTreeMap<Atom, Atom>),
}

impl Datum {
    /// Creates the empty set: an absent optional value.
    ///
    /// Its JSON is `["set",[]]`, which the server refuses for a map column. [`Datum::conform`] and
    /// [`Row::conform`](super::Row::conform) turn it into the empty map there.
    pub fn empty() -> Self {
        Self::Set(BTreeSet::new())
    }

    /// Creates a set of one element.
    pub fn scalar(atom: impl Into<Atom>) -> Self {
        Self::Set(BTreeSet::from([atom.into()]))
    }

    /// Creates a set of at most one element.
    pub fn optional(atom: Option<impl Into<Atom>>) -> Self {
        Self::set(atom)
    }

    /// Creates a set. Equal elements become one.
    pub fn set<A: Into<Atom>>(atoms: impl IntoIterator<Item = A>) -> Self {
        Self::Set(atoms.into_iter().map(Into::into).collect())
    }

    /// Creates a map. The last of several pairs with equal keys wins.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// Returns the number of elements or pairs.
    pub fn len(&self) -> usize {
        match self {
            Self::Set(set) => set.len(),
            Self::Map(map) => map.len(),
        }
    }

    /// Returns true if there are no elements or pairs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the element of a one-element set.
    pub fn as_atom(&self) -> Option<&Atom> {
        match self {
            Self::Set(set) if set.len() == 1 => set.first(),
            _ => None,
        }
    }

    /// Returns the element of a one-element set of integers.
    pub fn as_integer(&self) -> Option<i64> {
        self.as_atom()?.as_integer()
    }

    /// Returns the element of a one-element set of reals, or of integers: see [`Atom::as_real`].
    pub fn as_real(&self) -> Option<f64> {
        self.as_atom()?.as_real()
    }

    /// Returns the element of a one-element set of booleans.
    pub fn as_bool(&self) -> Option<bool> {
        self.as_atom()?.as_bool()
    }

    /// Returns the element of a one-element set of strings.
    pub fn as_str(&self) -> Option<&str> {
        self.as_atom()?.as_str()
    }

    /// Returns the element of a one-element set of row names.
    pub fn as_uuid(&self) -> Option<Uuid> {
        self.as_atom()?.as_uuid()
    }

    /// Iterates in order over the elements of a set or the keys of a map.
    pub fn iter(&self) -> impl Iterator<Item = &Atom> {
        let (set, map) = match self {
            Self::Set(set) => (Some(set), None),
            Self::Map(map) => (None, Some(map)),
        };
        set.into_iter().flatten().chain(map.into_iter().flat_map(BTreeMap::keys))
    }

    /// Iterates in order over the pairs of a map; over nothing for a set.
    pub fn pairs(&self) -> impl Iterator<Item = (&Atom, &Atom)> {
        let map = match self {
            Self::Set(_) => None,
            Self::Map(map) => Some(map),
        };
        map.into_iter().flatten()
    }

    /// Returns the value of `key` in a map; `None` for a set.
    pub fn get(&self, key: impl Into<Atom>) -> Option<&Atom> {
        match self {
            Self::Set(_) => None,
            Self::Map(map) => map.get(&key.into()),
        }
    }

    /// Returns true if `atom` is an element of the set or a key of the map.
    pub fn contains(&self, atom: impl Into<Atom>) -> bool {
        let atom = atom.into();
        match self {
            Self::Set(set) => set.contains(&atom),
            Self::Map(map) => map.contains_key(&atom),
        }
    }
}

impl<A: Into<Atom>> From<A> for Datum {
    fn from(atom: A) -> Self {
        Self::scalar(atom)
    }
}

impl<A: Into<Atom>> From<Option<A>> for Datum {
    fn from(atom: Option<A>) -> Self {
        Self::optional(atom)
    }
}

impl<A: Into<Atom>> From<Vec<A>> for Datum {
    /// Creates a set. Equal elements become one.
    fn from(atoms: Vec<A>) -> Self {
        Self::set(atoms)
    }
}

impl<A: Into<Atom>, const N: usize> From<[A; N]> for Datum {
    /// Creates a set. Equal elements become one.
    fn from(atoms: [A; N]) -> Self {
        Self::set(atoms)
    }
}

impl<A: Into<Atom>> From<BTreeSet<A>> for Datum {
    fn from(atoms: BTreeSet<A>) -> Self {
        Self::set(atoms)
    }
}

impl<K: Into<Atom>, V: Into<Atom>> From<BTreeMap<K, V>> for Datum {
    fn from(pairs: BTreeMap<K, V>) -> Self {
        Self::map(pairs)
    }
}

//! The types of fields that hold a whole column.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::{ColumnError, ColumnKind};
use crate::cursor::{AtomRef, DatumReader, DecodeError};
use crate::value::Atom;
use crate::value::AtomicType;

/// A type of fields that hold a whole column. `C` is the [`Context`](super::ColumnGroup::Context) of the row type.
///
/// Implemented for [`AtomValue`]s, and for `Option`, `Vec` (sorted), `BTreeSet` and `BTreeMap` of them. An `Option` is for
/// a column that may be empty by the server's schema, or for an enumeration without a default: servers leave out the
/// default atoms of new rows (0, false, an empty text), so that a mandatory column would be `None` at first.
pub trait Column<C: ?Sized = ()>: Default {
    /// The type of column that the field can hold.
    const KIND: ColumnKind;

    /// The words that the field understands, of an enumeration: see [`AtomValue::VALUES`].
    const VALUES: &'static [&'static str] = &[];

    /// Applies a difference, see [`ColumnGroup::apply`](super::ColumnGroup::apply).
    ///
    /// # Errors
    /// As [`ColumnGroup::apply`](super::ColumnGroup::apply).
    fn apply(&mut self, value: &mut DatumReader<'_, '_>, context: &mut C) -> Result<(), ColumnError>;
}

/// A type of single values.
///
/// An enumeration of strings derives it with `#[derive(AtomValue)]`, which also gives it a method `as_str`. A variant is
/// the word that is its name in snake case, `DnatAndSnat` the word `dnat_and_snat`, unless its attribute says otherwise:
///
/// - `#[ovsdb(name = "WORD")]`: the word;
/// - `#[ovsdb(other)]`: any word that is none of the others, of one variant at most. It is not kept: `as_str` returns an
///   empty text, and the type [is lossy](Self::IS_LOSSY). Without such a variant, these words are not understood.
///
/// A field of the type itself, which is a [`Column`] then, needs a variant with the attribute `#[default]` of
/// [`Default`]: the value of an empty column, or of one that is not understood. An `Option` of the type and collections
/// do without.
///
/// ```
/// use ovsdb_protocol::{AtomValue, Table};
///
/// #[derive(Clone, Debug, Default, PartialEq, AtomValue)]
/// enum NatType {
///     #[default]
///     Snat,
///     #[ovsdb(name = "dnat_and_snat")]
///     Both,
///     #[ovsdb(other)]
///     Other,
/// }
///
/// #[derive(Clone, Debug, Table)]
/// #[ovsdb(table = "NAT")]
/// struct Nat {
///     #[ovsdb(column = "type")]
///     kind: NatType,
/// }
///
/// assert_eq!(NatType::Both.as_str(), "dnat_and_snat");
/// ```
pub trait AtomValue: Sized {
    /// The atomic type of the column.
    const TYPE: AtomicType;

    /// The words that an enumeration knows; empty for types that take any value.
    const VALUES: &'static [&'static str] = &[];

    /// Whether different atoms may be read as equal values. Sets and maps cannot hold such a type, because differences
    /// could not be applied to them:
    ///
    /// ```compile_fail
    /// # use ovsdb_protocol::{AtomValue, Table};
    /// #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, AtomValue)]
    /// enum Flag {
    ///     Up,
    ///     #[ovsdb(other)]
    ///     Other,
    /// }
    ///
    /// #[derive(Clone, Debug, Table)]
    /// #[ovsdb(table = "Port")]
    /// struct Port {
    ///     flags: Vec<Flag>,
    /// }
    ///
    /// assert_eq!(Port::TABLE.columns.len(), 1);
    /// ```
    const IS_LOSSY: bool = false;

    /// Reads a value.
    ///
    /// # Errors
    /// The atom is of another type, or not a valid value.
    fn from_atom(atom: AtomRef<'_>) -> Result<Self, ColumnError>;

    /// Returns the value as the database has it.
    fn to_atom(&self) -> Atom;

    /// Replaces the value. A type whose values share memory may keep the one it has if it is the same.
    ///
    /// # Errors
    /// As [`AtomValue::from_atom`].
    fn assign(&mut self, atom: AtomRef<'_>) -> Result<(), ColumnError> {
        *self = Self::from_atom(atom)?;
        Ok(())
    }
}

fn expected<T>(expected: &'static str) -> Result<T, ColumnError> {
    Err(DecodeError { at: 0, expected }.into())
}

/// Implements [`AtomValue`] for types of one variant of [`AtomRef`].
macro_rules! atom_values {
    ($($type:ty, $atomic:ident, $expected:literal, $pattern:pat => $value:expr, $this:ident => $atom:expr;)*) => {$(
        impl AtomValue for $type {
            const TYPE: AtomicType = AtomicType::$atomic;

            fn from_atom(atom: AtomRef<'_>) -> Result<Self, ColumnError> {
                match atom {
                    $pattern => Ok($value),
                    _ => expected($expected),
                }
            }

            fn to_atom(&self) -> Atom {
                let $this = self;
                $atom
            }
        }
    )*};
}

atom_values! {
    i64, Integer, "an integer", AtomRef::Integer(value) => value, this => Atom::Integer(*this);
    bool, Boolean, "a boolean", AtomRef::Boolean(value) => value, this => Atom::Boolean(*this);
    Uuid, Uuid, "a UUID", AtomRef::Uuid(value) => value, this => Atom::Uuid(*this);
    String, String, "a string", AtomRef::String(value) => value.into_owned(), this => Atom::String(this.clone());
    Box<str>, String, "a string", AtomRef::String(value) => value.into(), this => Atom::from(&**this);
}

impl AtomValue for f64 {
    const TYPE: AtomicType = AtomicType::Real;

    fn from_atom(atom: AtomRef<'_>) -> Result<Self, ColumnError> {
        match atom {
            AtomRef::Real(value) => Ok(value),
            // The server writes a real without a fraction as an integer.
            AtomRef::Integer(value) => Ok(value as Self),
            _ => expected("a number"),
        }
    }

    fn to_atom(&self) -> Atom {
        Atom::Real(*self)
    }
}

impl AtomValue for Arc<str> {
    const TYPE: AtomicType = AtomicType::String;

    fn from_atom(atom: AtomRef<'_>) -> Result<Self, ColumnError> {
        Box::<str>::from_atom(atom).map(Self::from)
    }

    fn to_atom(&self) -> Atom {
        Atom::from(&**self)
    }

    fn assign(&mut self, atom: AtomRef<'_>) -> Result<(), ColumnError> {
        match atom.as_str() {
            Some(text) if *text == **self => Ok(()),
            Some(text) => {
                *self = text.into();
                Ok(())
            }
            None => expected("a string"),
        }
    }
}

/// Applies a difference to a field that holds exactly one value: the implementation of [`Column::apply`] for types that
/// are [`AtomValue`]s.
///
/// # Errors
/// As [`ColumnGroup::apply`](super::ColumnGroup::apply).
pub fn apply_scalar<T: AtomValue + Default>(
    field: &mut T,
    value: &mut DatumReader<'_, '_>,
) -> Result<(), ColumnError> {
    let (mut is_empty, mut outcome) = (true, Ok(()));
    value.atoms(|atom| {
        if !std::mem::replace(&mut is_empty, false) {
            return Err(DecodeError { at: 0, expected: "one value" });
        }
        outcome = field.assign(atom);
        Ok(())
    })?;
    // The column is optional by the server's schema, or a value that is not understood counts as absent.
    if is_empty || outcome.is_err() {
        *field = T::default();
    }
    outcome
}

/// Implements [`Column`] for types of single values.
macro_rules! scalars {
    ($($type:ty),*) => {$(
        impl<C: ?Sized> Column<C> for $type {
            const KIND: ColumnKind = ColumnKind::Scalar(<Self as AtomValue>::TYPE);

            fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
                apply_scalar(self, value)
            }
        }
    )*};
}

scalars!(i64, f64, bool, Uuid, String, Box<str>, Arc<str>);

impl<C: ?Sized, T: AtomValue> Column<C> for Option<T> {
    const KIND: ColumnKind = ColumnKind::Optional(T::TYPE);
    const VALUES: &'static [&'static str] = T::VALUES;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        let (mut count, mut outcome) = (0, Ok(()));
        *self = None;
        value.atoms(|atom| {
            count += 1;
            if count > 1 {
                return Err(DecodeError { at: 0, expected: "at most one value" });
            }
            match T::from_atom(atom) {
                Ok(value) => *self = Some(value),
                Err(error) => outcome = Err(error),
            }
            Ok(())
        })?;
        outcome
    }
}

/// Refuses, when the program is compiled, a collection of values that may be equal although they are not the same.
const fn lossless<T: AtomValue>(kind: ColumnKind) -> ColumnKind {
    assert!(!T::IS_LOSSY, "a set or map cannot hold an enumeration with #[ovsdb(other)]");
    kind
}

/// Calls `each` with every valid element of a set; the last error is that of the column.
fn read_set<T: AtomValue>(
    value: &mut DatumReader<'_, '_>,
    mut each: impl FnMut(T),
) -> Result<(), ColumnError> {
    let mut outcome = Ok(());
    value.atoms(|atom| {
        match T::from_atom(atom) {
            Ok(value) => each(value),
            Err(ColumnError::Unreadable(error)) => return Err(error),
            Err(error) => outcome = Err(error),
        }
        Ok(())
    })?;
    outcome
}

impl<C: ?Sized, T: AtomValue + Ord> Column<C> for BTreeSet<T> {
    const KIND: ColumnKind = lossless::<T>(ColumnKind::Set(T::TYPE));
    const VALUES: &'static [&'static str] = T::VALUES;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        read_set(value, |element| {
            if !self.remove(&element) {
                self.insert(element);
            }
        })
    }
}

impl<C: ?Sized, T: AtomValue + Ord> Column<C> for Vec<T> {
    const KIND: ColumnKind = lossless::<T>(ColumnKind::Set(T::TYPE));
    const VALUES: &'static [&'static str] = T::VALUES;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        let mut toggled = Self::new();
        let outcome = read_set(value, |element| toggled.push(element));
        toggled.sort_unstable();
        toggle_sorted(self, toggled);
        outcome
    }
}

impl<C: ?Sized, K: AtomValue + Ord, V: AtomValue + PartialEq> Column<C> for BTreeMap<K, V> {
    const KIND: ColumnKind = lossless::<V>(lossless::<K>(ColumnKind::Map(K::TYPE, V::TYPE)));

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        let mut outcome = Ok(());
        value.pairs(|key, value| {
            match (K::from_atom(key), V::from_atom(value)) {
                (Ok(key), Ok(value)) if self.get(&key) == Some(&value) => drop(self.remove(&key)),
                (Ok(key), Ok(value)) => drop(self.insert(key, value)),
                (Err(ColumnError::Unreadable(error)), _) | (_, Err(ColumnError::Unreadable(error))) => {
                    return Err(error);
                }
                (Ok(key), Err(error)) => {
                    // A value that is not understood counts as absent, not as the former one.
                    self.remove(&key);
                    outcome = Err(error);
                }
                (Err(error), _) => outcome = Err(error),
            }
            Ok(())
        })?;
        outcome
    }
}

/// Removes from a sorted set the elements that it has, and inserts the others; `toggled` is sorted, without duplicates.
pub fn toggle_sorted<T: Ord>(set: &mut Vec<T>, toggled: Vec<T>) {
    /// The maximum number of elements that are inserted one by one, which moves the rest of the set each time.
    const MAX_SINGLE: usize = 8;

    if set.is_empty() {
        *set = toggled;
        set.shrink_to_fit();
    } else if toggled.len() <= MAX_SINGLE {
        for element in toggled {
            match set.binary_search(&element) {
                Ok(place) => drop(set.remove(place)),
                Err(place) => set.insert(place, element),
            }
        }
    } else {
        let mut merged = Vec::with_capacity(set.len() + toggled.len());
        let (mut old, mut new) = (std::mem::take(set).into_iter().peekable(), toggled.into_iter().peekable());
        while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => merged.extend(old.next()),
                std::cmp::Ordering::Greater => merged.extend(new.next()),
                std::cmp::Ordering::Equal => drop((old.next(), new.next())),
            }
        }
        merged.extend(old.chain(new));
        merged.shrink_to_fit();
        *set = merged;
    }
}

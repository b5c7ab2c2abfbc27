//! Columns of a row type by name and type, for conditions, mutations and new rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use uuid::Uuid;

use super::{AtomValue, Original, OriginalText, Rare, TypedCondition, TypedMutation};
use crate::transact::{Condition, Function, Mutation};
use crate::value::Datum;

/// A column of row type `T` whose fields are of type `V`: a constant of the derived `T::COLUMNS`.
pub struct Field<T, V> {
    name: &'static str,
    types: PhantomData<fn() -> (T, V)>,
}

/// One key of a map of strings of row type `T`.
pub struct KeyField<T> {
    column: &'static str,
    key: &'static str,
    types: PhantomData<fn() -> T>,
}

/// The pairs of a map of strings of row type `T` whose keys have a prefix.
pub struct PairsField<T> {
    column: &'static str,
    prefix: &'static str,
    types: PhantomData<fn() -> T>,
}

/// A type of values for columns whose fields are of type `V`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value for a column of type `{V}`",
    note = "texts are given as `&str` or `String`, sets as arrays or slices, maps as `BTreeMap` or arrays of pairs"
)]
pub trait IntoColumn<V> {
    /// Returns the value as the database has it.
    fn into_column(self) -> Datum;
}

// ===== impl Field =====

impl<T, V> Field<T, V> {
    /// Creates the field of a column, for the derive.
    #[doc(hidden)]
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Returns the column's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Creates the condition that the column is `value`.
    pub fn eq(&self, value: impl IntoColumn<V>) -> TypedCondition<T> {
        self.condition(Function::Equal, value)
    }

    /// Creates the condition that the column contains all of `value`.
    pub fn includes(&self, value: impl IntoColumn<V>) -> TypedCondition<T> {
        self.condition(Function::Includes, value)
    }

    /// Creates a condition on the column.
    pub fn condition(&self, function: Function, value: impl IntoColumn<V>) -> TypedCondition<T> {
        TypedCondition::new(Condition::new(self.name, function, value.into_column()))
    }

    /// Creates the mutation that adds the elements or pairs of `value`. Pairs whose keys are there keep their values.
    pub fn insert(&self, value: impl IntoColumn<V>) -> TypedMutation<T> {
        TypedMutation::new(Mutation::insert(self.name, value.into_column()))
    }

    /// Creates the mutation that removes the elements or pairs of `value`.
    pub fn delete(&self, value: impl IntoColumn<V>) -> TypedMutation<T> {
        TypedMutation::new(Mutation::delete(self.name, value.into_column()))
    }
}

impl<T> Field<T, BTreeMap<String, String>> {
    /// Creates the mutations that give one key of the map this value, whatever it has; other keys are not touched.
    pub fn set_key(&self, key: &str, value: &str) -> [TypedMutation<T>; 2] {
        [self.remove_key(key), self.insert([(key, value)])]
    }

    /// Creates the mutation that removes one key of the map, whatever its value.
    pub fn remove_key(&self, key: &str) -> TypedMutation<T> {
        self.delete(Datum::scalar(key))
    }
}

// ===== impl KeyField =====

impl<T> KeyField<T> {
    /// Creates the field of a key, for the derive.
    #[doc(hidden)]
    pub const fn new(column: &'static str, key: &'static str) -> Self {
        Self { column, key, types: PhantomData }
    }

    /// Returns the name of the column that has the key.
    pub const fn column(&self) -> &'static str {
        self.column
    }

    /// Returns the key.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// Creates the condition that the key has this value.
    pub fn eq(&self, value: &str) -> TypedCondition<T> {
        TypedCondition::new(Condition::includes(self.column, Datum::map([(self.key, value)])))
    }

    /// Creates the mutations that give the key this value, whatever it has; other keys are not touched.
    pub fn set(&self, value: &str) -> [TypedMutation<T>; 2] {
        let pair = Datum::map([(self.key, value)]);
        [self.remove(), TypedMutation::new(Mutation::insert(self.column, pair))]
    }

    /// Creates the mutation that removes the key, whatever its value.
    pub fn remove(&self) -> TypedMutation<T> {
        TypedMutation::new(Mutation::delete(self.column, Datum::scalar(self.key)))
    }
}

// ===== impl PairsField =====

impl<T> PairsField<T> {
    /// Creates the field of the keys with a prefix, for the derive.
    #[doc(hidden)]
    pub const fn new(column: &'static str, prefix: &'static str) -> Self {
        Self { column, prefix, types: PhantomData }
    }

    /// Returns the prefix.
    pub const fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// Creates the mutations that remove `keys`, whatever their values, and add `pairs`, whose keys should be among them:
    /// one that stays keeps its value. Other keys are not touched.
    pub fn replace<'p>(
        &self,
        keys: impl IntoIterator<Item = &'p str>,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> [TypedMutation<T>; 2] {
        let removed = Mutation::delete(self.column, Datum::set(keys));
        let added = Mutation::insert(self.column, Datum::map(pairs));
        [TypedMutation::new(removed), TypedMutation::new(added)]
    }

    /// Returns the name of the column that has the pairs.
    pub const fn column(&self) -> &'static str {
        self.column
    }
}

macro_rules! by_name {
    ($($type:ident<$($parameter:ident),*>: $($part:ident),*;)*) => {$(
        impl<$($parameter),*> Clone for $type<$($parameter),*> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($parameter),*> Copy for $type<$($parameter),*> {}

        impl<$($parameter),*> fmt::Debug for $type<$($parameter),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type))$(.field(&self.$part))*.finish()
            }
        }
    )*};
}

by_name! {
    Field<T, V>: name;
    KeyField<T>: column, key;
    PairsField<T>: column, prefix;
}

// ===== values =====

macro_rules! scalars {
    ($($value:ty => $($field:ty),*;)*) => {$($(
        impl IntoColumn<$field> for $value {
            fn into_column(self) -> Datum {
                Datum::scalar(self)
            }
        }

        impl IntoColumn<Option<$field>> for $value {
            fn into_column(self) -> Datum {
                Datum::scalar(self)
            }
        }

        impl IntoColumn<Rare<$field>> for $value {
            fn into_column(self) -> Datum {
                Datum::scalar(self)
            }
        }
    )*)*};
}

scalars! {
    i64 => i64;
    i32 => i64;
    f64 => f64;
    bool => bool;
    Uuid => Uuid;
    &str => String, Box<str>, Arc<str>;
    String => String, Box<str>, Arc<str>;
    &String => String, Box<str>, Arc<str>;
}

/// The text is written unchanged.
impl<T> IntoColumn<Original<T>> for &str {
    fn into_column(self) -> Datum {
        Datum::scalar(self)
    }
}

impl<T> IntoColumn<Original<T>> for Cow<'_, str> {
    fn into_column(self) -> Datum {
        Datum::scalar(&*self)
    }
}

/// The canonical text of a value.
impl<T: OriginalText> IntoColumn<Self> for Original<T> {
    fn into_column(self) -> Datum {
        Datum::scalar(&*self.text())
    }
}

impl<T: AtomValue> IntoColumn<Self> for Option<T> {
    fn into_column(self) -> Datum {
        Datum::Set(self.iter().map(T::to_atom).collect())
    }
}

macro_rules! sets {
    ($($set:ident),*) => {$(
        impl<T: AtomValue, const N: usize> IntoColumn<$set<T>> for [T; N] {
            fn into_column(self) -> Datum {
                Datum::Set(self.iter().map(T::to_atom).collect())
            }
        }

        impl<const N: usize> IntoColumn<$set<String>> for [&str; N] {
            fn into_column(self) -> Datum {
                Datum::set(self)
            }
        }

        impl<T: AtomValue> IntoColumn<$set<T>> for &[T] {
            fn into_column(self) -> Datum {
                Datum::Set(self.iter().map(T::to_atom).collect())
            }
        }

        impl<T: AtomValue> IntoColumn<Self> for $set<T> {
            fn into_column(self) -> Datum {
                Datum::Set(self.iter().map(T::to_atom).collect())
            }
        }
    )*};
}

sets!(Vec, BTreeSet);

impl<K: AtomValue, V: AtomValue> IntoColumn<Self> for BTreeMap<K, V> {
    fn into_column(self) -> Datum {
        Datum::map(self.iter().map(|(key, value)| (key.to_atom(), value.to_atom())))
    }
}

impl<const N: usize> IntoColumn<BTreeMap<String, String>> for [(&str, &str); N] {
    fn into_column(self) -> Datum {
        Datum::map(self)
    }
}

/// A value whose notation is chosen by the caller.
impl<V> IntoColumn<V> for Datum {
    fn into_column(self) -> Datum {
        self
    }
}

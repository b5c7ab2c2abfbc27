//! A field that few rows need.

use super::{Column, ColumnError, ColumnGroup, ColumnKind, ColumnSet, ColumnSpec, KeyColumn};
use crate::cursor::DatumReader;

/// A value that is the default in most rows, and takes no more than a pointer there.
///
/// It serves for a column, for the value of a key, and for a group of columns (`#[ovsdb(flatten)]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// Returns the value, unless it is the default.
    pub fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }
}

impl<T: Default + PartialEq> Rare<T> {
    /// Changes the value.
    pub fn change<O>(&mut self, change: impl FnOnce(&mut T) -> O) -> O {
        match &mut self.0 {
            Some(value) => {
                let outcome = change(value);
                if **value == T::default() {
                    self.0 = None;
                }
                outcome
            }
            None => {
                // Most changes leave the default as it is: nothing is allocated for them.
                let mut value = T::default();
                let outcome = change(&mut value);
                if value != T::default() {
                    self.0 = Some(Box::new(value));
                }
                outcome
            }
        }
    }
}

impl<C: ?Sized, T: Column<C> + PartialEq> Column<C> for Rare<T> {
    const KIND: ColumnKind = T::KIND;
    const VALUES: &'static [&'static str] = T::VALUES;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, context: &mut C) -> Result<(), ColumnError> {
        self.change(|column| column.apply(value, context))
    }
}

impl<T: KeyColumn + PartialEq> KeyColumn for Rare<T> {
    fn toggle(&mut self, text: &str) -> Result<(), ColumnError> {
        self.change(|column| column.toggle(text))
    }
}

impl<T: ColumnGroup + Default + PartialEq> ColumnGroup for Rare<T> {
    type Context = T::Context;

    const COLUMNS: &'static [ColumnSpec] = T::COLUMNS;

    fn with_defaults() -> Self {
        Self(None)
    }

    fn column_index(name: &str) -> Option<usize> {
        T::column_index(name)
    }

    fn apply(
        &mut self,
        column: usize,
        value: &mut DatumReader<'_, '_>,
        context: &mut T::Context,
    ) -> Result<(), ColumnError> {
        self.change(|group| group.apply(column, value, context))
    }

    fn reset(&mut self, column: usize) {
        self.change(|group| group.reset(column));
    }

    fn changed(&self, other: &Self) -> ColumnSet {
        match (&self.0, &other.0) {
            (None, None) => ColumnSet::EMPTY,
            (Some(a), Some(b)) => a.changed(b),
            (Some(a), None) | (None, Some(a)) => a.changed(&T::default()),
        }
    }
}

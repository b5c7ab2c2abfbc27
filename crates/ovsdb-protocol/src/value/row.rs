//! The columns of one row.

use std::collections::{BTreeMap, btree_map};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Datum;

/// Some columns of one row by name, RFC 7047 section 5.1 `<row>`.
///
/// Whether an absent column means "default", "unchanged" or "not requested" depends on the place of the row: an insert,
/// an update, or the reply to a select.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(BTreeMap<String, Datum>);

impl Row {
    /// Creates a row without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a column, for building a row in one expression.
    #[must_use]
    pub fn with(mut self, column: impl Into<String>, datum: impl Into<Datum>) -> Self {
        self.insert(column, datum);
        self
    }

    /// Adds or replaces a column, returning its former value.
    pub fn insert(&mut self, column: impl Into<String>, datum: impl Into<Datum>) -> Option<Datum> {
        self.0.insert(column.into(), datum.into())
    }

    /// Removes a column, returning its value.
    pub fn remove(&mut self, column: &str) -> Option<Datum> {
        self.0.remove(column)
    }

    /// Returns the value of a column.
    pub fn get(&self, column: &str) -> Option<&Datum> {
        self.0.get(column)
    }

    /// Returns the value of a column for changing it.
    pub fn get_mut(&mut self, column: &str) -> Option<&mut Datum> {
        self.0.get_mut(column)
    }

    /// Returns the `_uuid` column, which a select without columns returns too.
    pub fn uuid(&self) -> Option<Uuid> {
        self.get("_uuid")?.as_uuid()
    }

    /// Returns the number of columns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there are no columns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the columns in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Datum)> {
        self.0.iter().map(|(column, datum)| (column.as_str(), datum))
    }
}

impl<C: Into<String>, D: Into<Datum>> FromIterator<(C, D)> for Row {
    fn from_iter<I: IntoIterator<Item = (C, D)>>(columns: I) -> Self {
        Self(columns.into_iter().map(|(column, datum)| (column.into(), datum.into())).collect())
    }
}

impl IntoIterator for Row {
    type Item = (String, Datum);
    type IntoIter = btree_map::IntoIter<String, Datum>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

//! Received values that could not be understood.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// A received value that could not be understood. Its column counts as absent until a whole new value arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The table's name.
    pub table: Arc<str>,
    /// The row.
    pub uuid: Uuid,
    /// The column's name.
    pub column: Arc<str>,
    /// What is wrong, for a human.
    pub message: String,
}

/// How many problems are listed. Of the others only the places are known, for the count.
const MAX_LISTED: usize = 1000;

/// The values that cannot be understood now. At most 1000 are listed, the others counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    listed: BTreeMap<Key, String>,
    unlisted: BTreeSet<Key>,
}

/// The row, its table and the column.
type Key = (Uuid, Arc<str>, Arc<str>);

// ===== impl Problem =====

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, uuid, column, message } = self;
        write!(f, "column {column} of row {uuid} of table {table}: {message}")
    }
}

// ===== impl Problems =====

impl Problems {
    /// Iterates over the listed problems, ordered by row.
    pub fn iter(&self) -> impl Iterator<Item = Problem> {
        self.listed.iter().map(|((uuid, table, column), message)| Problem {
            table: Arc::clone(table),
            uuid: *uuid,
            column: Arc::clone(column),
            message: message.clone(),
        })
    }

    /// Returns the number of problems, listed or not.
    pub fn len(&self) -> usize {
        self.listed.len() + self.unlisted.len()
    }

    /// Returns whether every value is understood.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of problems beyond those listed.
    pub fn unlisted(&self) -> usize {
        self.unlisted.len()
    }

    /// Adds a problem, or replaces what is known of the same column of the same row. Logs it if it is new.
    pub(crate) fn record(&mut self, table: &Arc<str>, uuid: Uuid, column: &str, message: String) {
        let key = (uuid, Arc::clone(table), Arc::from(column));
        if self.listed.get(&key) == Some(&message) {
            return;
        }
        if self.listed.len() >= MAX_LISTED && !self.listed.contains_key(&key) {
            self.unlisted.insert(key);
            return;
        }
        self.unlisted.remove(&key);
        tracing::warn!(table = &**table, %uuid, column, "ignored: {message}");
        self.listed.insert(key, message);
    }

    /// Forgets the problem of one column of a row.
    pub(crate) fn remove(&mut self, table: &Arc<str>, uuid: Uuid, column: &str) {
        if !self.is_empty() {
            let key = (uuid, Arc::clone(table), Arc::from(column));
            self.listed.remove(&key);
            self.unlisted.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_the_rest_counted() {
        let table = Arc::from("T");
        let mut problems = Problems::default();
        (0..1010).for_each(|n| problems.record(&table, Uuid::from_u128(n), "c", "bad".to_owned()));
        assert_eq!((problems.iter().count(), problems.unlisted(), problems.len()), (1000, 10, 1010));
        (1000..1005).for_each(|n| problems.remove(&table, Uuid::from_u128(n), "c"));
        problems.remove(&table, Uuid::from_u128(0), "c");
        assert_eq!((problems.iter().count(), problems.unlisted()), (999, 5));
        // There is room for one that was only counted.
        problems.record(&table, Uuid::from_u128(1005), "c", "bad".to_owned());
        assert_eq!((problems.iter().count(), problems.unlisted()), (1000, 4));
    }

    #[test]
    fn a_problem_is_that_of_a_column() {
        let table = Arc::from("T");
        let mut problems = Problems::default();
        problems.record(&table, Uuid::nil(), "a", "first".to_owned());
        problems.record(&table, Uuid::nil(), "a", "second".to_owned());
        problems.record(&table, Uuid::nil(), "b", "other".to_owned());
        problems.remove(&Arc::from("U"), Uuid::nil(), "a");
        let texts: Vec<_> = problems.iter().map(|problem| problem.to_string()).collect();
        let row = "of row 00000000-0000-0000-0000-000000000000 of table T";
        assert_eq!(texts, [format!("column a {row}: second"), format!("column b {row}: other")]);
        problems.remove(&table, Uuid::nil(), "a");
        assert_eq!(problems.iter().map(|problem| problem.column).collect::<Vec<_>>(), [Arc::from("b")]);
    }
}

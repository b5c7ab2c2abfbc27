//! The values of a cache that could not be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::problem::{MAX_LISTED, Problem};

/// The values that cannot be read at present. A bounded number of them is listed, the others counted.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: BTreeMap<Key, Problem>,
    unlisted: BTreeSet<Key>,
}

/// The row, its table and the column.
type Key = (Uuid, Arc<str>, Arc<str>);

// ===== impl Problems =====

impl Problems {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.listed.values()
    }

    pub(super) fn len(&self) -> usize {
        self.listed.len() + self.unlisted.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a problem, or replaces what is known of the same column of the same row. Logs it if it is new.
    pub(super) fn record(&mut self, table: &Arc<str>, uuid: Uuid, column: &str, message: String) {
        let key = (uuid, Arc::clone(table), Arc::from(column));
        let problem =
            Problem { table: table.to_string().into(), uuid, column: column.to_owned().into(), message };
        if self.listed.get(&key) == Some(&problem) {
            return;
        }
        if self.listed.len() >= MAX_LISTED && !self.listed.contains_key(&key) {
            self.unlisted.insert(key);
            return;
        }
        self.unlisted.remove(&key);
        problem.log();
        self.listed.insert(key, problem);
    }

    /// Forgets the problem of one column of a row.
    pub(super) fn remove(&mut self, table: &Arc<str>, uuid: Uuid, column: &str) {
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
        assert_eq!((problems.iter().count(), problems.len()), (1000, 1010));
        (1000..1005).for_each(|n| problems.remove(&table, Uuid::from_u128(n), "c"));
        problems.remove(&table, Uuid::from_u128(0), "c");
        assert_eq!((problems.iter().count(), problems.len()), (999, 1004));
        // There is room for one that was only counted.
        problems.record(&table, Uuid::from_u128(1005), "c", "bad".to_owned());
        assert_eq!((problems.iter().count(), problems.len()), (1000, 1004));
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
        assert_eq!(problems.iter().map(|problem| &*problem.column).collect::<Vec<_>>(), ["b"]);
    }
}

//! Received values that were not understood.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// A value that was not understood. It counts as absent. An element of a set, or a pair of a map, is a problem of its
/// column until a difference of that column arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The table's name.
    pub table: Arc<str>,
    /// The row.
    pub uuid: Uuid,
    /// The column's name.
    pub column: Arc<str>,
    /// A description of the problem.
    pub message: String,
}

/// The number of problems that are listed with their messages. The others are only counted.
const MAX_LISTED: usize = 1000;

/// The values that are not understood. At most 1000 are listed, the others counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    by_row: BTreeMap<Uuid, Vec<Entry>>,
    count: usize,
    listed: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    table: Arc<str>,
    column: Arc<str>,
    /// `None` if the problem is only counted.
    message: Option<String>,
    /// Whether the value is unknown, so that differences to it cannot be applied.
    is_unknown: bool,
}

/// A value that was not understood when a row was read.
#[derive(Debug)]
pub(crate) struct Finding<'a> {
    /// The column's name.
    pub(crate) column: &'a str,
    /// A description of the problem.
    pub(crate) message: String,
    /// Whether the value is unknown, so that differences to it cannot be applied.
    pub(crate) is_unknown: bool,
}

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
        self.by_row.iter().flat_map(|(uuid, entries)| {
            entries.iter().filter_map(|Entry { table, column, message, .. }| {
                let (table, column) = (Arc::clone(table), Arc::clone(column));
                Some(Problem { table, uuid: *uuid, column, message: message.clone()? })
            })
        })
    }

    /// Returns the number of problems, listed or not.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns true if every value is understood.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the number of problems beyond those listed.
    pub fn unlisted(&self) -> usize {
        self.count - self.listed
    }

    /// Returns true if a row has a problem.
    pub fn has_row(&self, table: &str, uuid: Uuid) -> bool {
        !self.is_empty()
            && self.by_row.get(&uuid).is_some_and(|row| row.iter().any(|entry| *entry.table == *table))
    }

    /// Forgets a row.
    pub fn forget(&mut self, table: &str, uuid: Uuid) {
        self.retain(uuid, |entry| *entry.table != *table);
    }

    /// Adds a problem, or replaces what is known of the same column of the same row. Logs it if it is new.
    pub(crate) fn record(
        &mut self,
        table: &str,
        uuid: Uuid,
        column: &str,
        message: String,
        is_unknown: bool,
    ) {
        let row = self.by_row.entry(uuid).or_default();
        let place = row.iter().position(|entry| *entry.table == *table && *entry.column == *column);
        let place = place.unwrap_or_else(|| {
            self.count += 1;
            row.push(Entry { table: table.into(), column: column.into(), message: None, is_unknown });
            row.len() - 1
        });
        let entry = &mut row[place];
        entry.is_unknown = is_unknown;
        if entry.message.as_ref() == Some(&message) {
            return;
        }
        if entry.message.is_none() {
            if self.listed >= MAX_LISTED {
                return;
            }
            self.listed += 1;
        }
        tracing::warn!(%table, %uuid, %column, detail = %message, "value not understood");
        entry.message = Some(message);
    }

    /// Forgets the problem of one column of a row.
    pub(crate) fn remove(&mut self, table: &str, uuid: Uuid, column: &str) {
        self.retain(uuid, |entry| *entry.table != *table || *entry.column != *column);
    }

    /// Returns the columns of a row whose values are unknown.
    pub(crate) fn unknown(&self, table: &str, uuid: Uuid) -> impl Iterator<Item = &str> {
        let entries = self.by_row.get(&uuid).into_iter().flatten();
        entries.filter(move |entry| entry.is_unknown && *entry.table == *table).map(|entry| &*entry.column)
    }

    /// Replaces the problems of the columns that were read with the findings. Returns whether the row has a problem
    /// now.
    pub(crate) fn settle(
        &mut self,
        table: &str,
        uuid: Uuid,
        was_read: impl Fn(&str) -> bool,
        findings: Vec<Finding<'_>>,
    ) -> bool {
        let is_settled = |entry: &Entry| {
            let is_found = findings.iter().any(|finding| *finding.column == *entry.column);
            *entry.table == *table && !is_found && was_read(&entry.column)
        };
        self.retain(uuid, |entry| !is_settled(entry));
        for Finding { column, message, is_unknown } in findings {
            self.record(table, uuid, column, message, is_unknown);
        }
        self.has_row(table, uuid)
    }

    fn retain(&mut self, uuid: Uuid, stays: impl Fn(&Entry) -> bool) {
        let Some(row) = self.by_row.get_mut(&uuid) else { return };
        row.retain(|entry| {
            let stays = stays(entry);
            self.count -= usize::from(!stays);
            self.listed -= usize::from(!stays && entry.message.is_some());
            stays
        });
        if row.is_empty() {
            self.by_row.remove(&uuid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 3] = ["a", "b", "c"];

    fn settle(
        problems: &mut Problems,
        uuid: u128,
        is_whole: bool,
        columns: &[(usize, Option<&str>)],
    ) -> bool {
        let findings = columns.iter().filter_map(|(column, message)| {
            Some(Finding { column: COLUMNS[*column], message: (*message)?.to_owned(), is_unknown: false })
        });
        let was_read = |name: &str| is_whole || columns.iter().any(|(column, _)| COLUMNS[*column] == name);
        problems.settle("T", Uuid::from_u128(uuid), was_read, findings.collect())
    }

    #[test]
    fn problem_lasts_until_its_column_is_read_again() {
        let mut problems = Problems::default();
        assert!(!settle(&mut problems, 1, true, &[(0, None)]));
        assert!(settle(&mut problems, 1, true, &[(0, Some("x")), (1, Some("y"))]));
        assert!(settle(&mut problems, 1, false, &[(2, None)]));
        assert!(settle(&mut problems, 1, false, &[(0, None)]));
        let texts = |problems: &Problems| problems.iter().map(|p| p.to_string()).collect::<Vec<_>>();
        let row = "of row 00000000-0000-0000-0000-000000000001 of table T";
        assert_eq!(texts(&problems), [format!("column b {row}: y")]);
        assert!(settle(&mut problems, 1, false, &[(1, Some("z"))]));
        assert_eq!(texts(&problems), [format!("column b {row}: z")]);
        assert!(!settle(&mut problems, 1, true, &[]));
        assert!(problems.is_empty());
    }

    #[test]
    fn list_of_problems_is_bounded_and_the_rest_counted() {
        let mut problems = Problems::default();
        for uuid in 0..1010 {
            assert!(settle(&mut problems, uuid, true, &[(0, Some("x"))]));
        }
        assert_eq!((problems.iter().count(), problems.unlisted(), problems.len()), (1000, 10, 1010));
        (1000..1005).for_each(|uuid| problems.forget("T", Uuid::from_u128(uuid)));
        problems.forget("U", Uuid::from_u128(1));
        assert!(!settle(&mut problems, 1005, false, &[(0, None)]));
        problems.remove("T", Uuid::from_u128(0), "a");
        assert_eq!((problems.iter().count(), problems.unlisted()), (999, 4));
        // There is now room for one that was only counted.
        settle(&mut problems, 1006, false, &[(0, Some("x"))]);
        assert_eq!((problems.iter().count(), problems.unlisted()), (1000, 3));
    }

    #[test]
    fn unreadable_column_is_unknown_until_it_is_read() {
        let mut problems = Problems::default();
        let finding = Finding { column: "a", message: "x".to_owned(), is_unknown: true };
        problems.settle("T", Uuid::nil(), |_| true, vec![finding]);
        assert!(problems.unknown("T", Uuid::nil()).eq(["a"]));
        settle(&mut problems, 0, true, &[(0, Some("not understood"))]);
        assert_eq!(problems.unknown("T", Uuid::nil()).count(), 0);
    }
}

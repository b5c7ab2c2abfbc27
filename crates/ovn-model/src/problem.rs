//! Values of the database that were not understood.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb_protocol::Uuid;

use crate::tables::Table;

/// A value that was not understood. What it would have said counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The table's name.
    pub table: &'static str,
    /// The row.
    pub uuid: Uuid,
    /// The column's name.
    pub column: &'static str,
    /// What is wrong, for a human.
    pub message: String,
}

/// How many problems are listed; of the others only their places are known, for the count.
const LISTED: usize = 1000;

/// The values that are bad now.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    listed: BTreeMap<(Uuid, &'static str), Problem>,
    unlisted: BTreeSet<(Uuid, &'static str)>,
}

/// What a reading of a row's columns found wrong.
#[derive(Debug)]
pub(crate) struct Notes {
    table: &'static Table,
    scope: Scope,
    complaints: Vec<(&'static str, String)>,
}

/// Which earlier problems of the row are settled by a reading.
#[derive(Debug)]
enum Scope {
    /// All.
    Row,
    /// None, for there was none.
    Clean,
    /// Those of the columns that were read.
    Columns(Vec<&'static str>),
}

// ===== impl Problems =====

impl Problems {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.listed.values()
    }

    pub(crate) fn unlisted(&self) -> usize {
        self.unlisted.len()
    }

    /// Takes over what a reading found. Returns whether the row has a problem now.
    pub(crate) fn settle(&mut self, uuid: Uuid, had: bool, notes: Notes) -> bool {
        if !had && notes.complaints.is_empty() {
            return false;
        }
        for column in notes.table.columns {
            let settled = match &notes.scope {
                Scope::Row => true,
                Scope::Clean => false,
                Scope::Columns(read) => read.contains(&column.name),
            };
            if settled && !notes.complaints.iter().any(|(name, _)| *name == column.name) {
                self.remove(uuid, column.name);
            }
        }
        for (column, message) in notes.complaints {
            self.record(Problem { table: notes.table.name, uuid, column, message });
        }
        notes.table.columns.iter().any(|column| {
            let key = (uuid, column.name);
            self.listed.contains_key(&key) || self.unlisted.contains(&key)
        })
    }

    /// Forgets a row of a table.
    pub(crate) fn forget(&mut self, table: &'static Table, uuid: Uuid) {
        table.columns.iter().for_each(|column| self.remove(uuid, column.name));
    }

    fn remove(&mut self, uuid: Uuid, column: &'static str) {
        self.listed.remove(&(uuid, column));
        self.unlisted.remove(&(uuid, column));
    }

    /// Lists a problem, and logs it unless it is known.
    fn record(&mut self, problem: Problem) {
        let key = (problem.uuid, problem.column);
        if self.listed.get(&key) == Some(&problem) {
            return;
        }
        if self.listed.len() >= LISTED && !self.listed.contains_key(&key) {
            self.unlisted.insert(key);
            return;
        }
        self.unlisted.remove(&key);
        let Problem { table, uuid, column, message } = &problem;
        tracing::warn!(table, %uuid, column, "ignored: {message}");
        self.listed.insert(key, problem);
    }
}

// ===== impl Notes =====

impl Notes {
    /// Takes notes of a reading of all of a row's columns, or of some of a row that `had` a problem.
    pub(crate) fn new(table: &'static Table, whole: bool, had: bool) -> Self {
        let scope = match (whole, had) {
            (true, _) => Scope::Row,
            (false, false) => Scope::Clean,
            (false, true) => Scope::Columns(Vec::new()),
        };
        Self { table, scope, complaints: Vec::new() }
    }

    /// A column is about to be read.
    pub(crate) fn reading(&mut self, column: &str) {
        if let (Scope::Columns(columns), Some(column)) = (&mut self.scope, self.table.column(column)) {
            columns.push(column.name);
        }
    }

    /// The column that is being read has a value that is no good.
    pub(crate) fn complain(&mut self, column: &str, message: impl Into<String>) {
        if let Some(column) = self.table.column(column) {
            self.complaints.push((column.name, message.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables;

    fn bad(problems: &mut Problems, uuid: u128, whole: bool, columns: &[(&str, Option<&str>)]) -> bool {
        let had = problems.iter().any(|p| p.uuid.as_u128() == uuid)
            || problems.unlisted.iter().any(|(u, _)| u.as_u128() == uuid);
        let mut notes = Notes::new(&tables::NAT, whole, had);
        for (column, message) in columns {
            notes.reading(column);
            if let Some(message) = message {
                notes.complain(column, *message);
            }
        }
        problems.settle(Uuid::from_u128(uuid), had, notes)
    }

    #[test]
    fn a_problem_lasts_until_its_column_is_read_again() {
        let mut problems = Problems::default();
        assert!(!bad(&mut problems, 1, true, &[("type", None)]));
        assert!(bad(&mut problems, 1, true, &[("type", Some("a")), ("external_ip", Some("b"))]));
        assert!(bad(&mut problems, 1, false, &[("logical_ip", None)]));
        assert!(bad(&mut problems, 1, false, &[("type", None)]));
        assert_eq!(
            problems.iter().map(|p| (p.column, &*p.message)).collect::<Vec<_>>(),
            [("external_ip", "b")]
        );
        assert!(bad(&mut problems, 1, false, &[("external_ip", Some("c"))]));
        assert_eq!(problems.iter().map(|p| &*p.message).collect::<Vec<_>>(), ["c"]);
        assert!(!bad(&mut problems, 1, true, &[]));
        assert_eq!(problems.iter().count(), 0);
    }

    #[test]
    fn the_list_is_bounded_and_the_rest_counted() {
        let mut problems = Problems::default();
        for uuid in 0..1010 {
            assert!(bad(&mut problems, uuid, true, &[("type", Some("x"))]));
        }
        assert_eq!((problems.iter().count(), problems.unlisted()), (1000, 10));
        (1000..1005).for_each(|uuid| problems.forget(&tables::NAT, Uuid::from_u128(uuid)));
        assert!(!bad(&mut problems, 1005, false, &[("type", None)]));
        assert!(!bad(&mut problems, 0, false, &[("type", None)]));
        assert_eq!((problems.iter().count(), problems.unlisted()), (999, 4));
    }
}
